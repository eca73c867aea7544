//! Nothing crosses a namespace, and each has its limits.

use crate::support::{in_every_mode, in_namespace, make::*, receipt};
use callboard_core::command::{Report, Reporter, TaskUpdate};
use callboard_core::model::{KeyConflict, NamespaceSettings, StateName};
use callboard_core::{Command, Reason, Reply};
use std::sync::Arc;

fn other(command: Command) -> callboard_core::Envelope {
    in_namespace("other", command)
}

#[test]
fn an_unknown_namespace_is_not_found() {
    in_every_mode(|mut w| {
        let create = || other(Command::CreateTasks { tasks: vec![task("work")] });
        assert_eq!(w.refused_as(create()), Reason::NamespaceNotFound);
        let created = w.run_as(other(Command::CreateNamespace { settings: Default::default() })).unwrap().reply;
        let Reply::Namespace(namespace) = created else { panic!("a namespace") };
        assert_eq!((&*namespace.name, namespace.version), ("other", 1));
        w.run_as(create()).unwrap();
    });
}

#[test]
fn what_is_of_another_namespace_is_not_found() {
    in_every_mode(|mut w| {
        w.run_as(other(Command::CreateNamespace { settings: Default::default() })).unwrap();
        let session = w.attach("worker", 5);
        let id = w.run_task(task("work"));
        let fence = w.fence(id);
        let reporter = Reporter::Session { agent: session.agent, epoch: session.epoch };
        let direct = callboard_core::command::DirectReport::Completed(Arc::default());
        let commands = [
            Command::CancelTask { task: id, reason: String::new() },
            Command::RetryTask { task: id },
            Command::HoldTask { task: id, reason: String::new() },
            Command::ReleaseTask { task: id },
            Command::UpdateTask { task: id, update: TaskUpdate::default() },
            Command::Report { fence, reporter, report: Report::Accepted },
            Command::Report { fence, reporter: Reporter::Token, report: completed("mine") },
            Command::Heartbeat {
                fence,
                lease: None,
                progress: None,
                checkpoint: None,
                steps: Vec::new(),
                output: None,
            },
            Command::DirectReport { task: id, agent: "thief".into(), report: direct },
        ];
        for command in commands {
            assert_eq!(w.refused_as(other(command)), Reason::TaskNotFound);
        }
        assert_eq!(w.refused_as(other(Command::CreateTasks { tasks: vec![after(&[id])] })), Reason::InvalidField);
        assert_eq!(w.refused_as(other(Command::RemoveAgent { name: "worker".into() })), Reason::AgentNotFound);
        let before = w.tables.clone();
        w.run_as(other(Command::Wake { task: id })).unwrap();
        w.run_as(other(Command::EndSession { agent: session.agent, epoch: session.epoch, reason: "x" })).unwrap();
        assert!(w.tables == before);
    });
}

#[test]
fn agents_take_tasks_of_their_namespace_only() {
    in_every_mode(|mut w| {
        w.run_as(other(Command::CreateNamespace { settings: Default::default() })).unwrap();
        w.attach("worker", 5);
        let foreign = receipt(&w.run_as(other(Command::CreateTasks { tasks: vec![task("work")] })).unwrap()).task;
        let own = w.start(task("work"));
        assert_eq!((w.state(foreign), w.state(own)), (StateName::Ready, StateName::Assigned));
        assert!(w.claim("claimer", 5, callboard_core::model::Span::seconds(60)).is_empty());
        // The same name in the other namespace is another agent.
        w.run_as(other(Hello::new("worker", profile(1)).command())).unwrap();
        w.dispatch();
        assert_eq!(w.state(foreign), StateName::Assigned);
        assert_eq!(w.tables.agents.len(), 3, "two workers, and the claimer");
    });
}

#[test]
fn live_tasks_are_limited() {
    in_every_mode(|mut w| {
        let settings = NamespaceSettings { max_live_tasks: 2, ..NamespaceSettings::default() };
        w.run(Command::UpdateNamespace { settings }).unwrap();
        let first = w.create(task("work"));
        let tasks = vec![task("work"), task("work")];
        assert_eq!(w.refused(Command::CreateTasks { tasks }), Reason::LimitReached);
        w.create(task("work"));
        assert_eq!(w.refused(Command::CreateTasks { tasks: vec![task("work")] }), Reason::LimitReached);
        w.fail(first);
        w.create(task("work"));
        assert_eq!(w.refused(Command::RetryTask { task: first }), Reason::LimitReached);
    });
}

/// What adds no live task was refused at the limit.
#[test]
fn at_the_limit_keys_still_answer_and_replace() {
    in_every_mode(|mut w| {
        let settings = NamespaceSettings { max_live_tasks: 1, ..NamespaceSettings::default() };
        w.run(Command::UpdateNamespace { settings }).unwrap();
        let keyed = |policy| {
            task_with("work", |new| {
                new.spec.key = Some("mine".into());
                new.on_key_conflict = policy;
            })
        };
        let first = w.create(keyed(KeyConflict::Fail));
        assert_eq!(w.try_create(keyed(KeyConflict::UseExisting)).unwrap().task, first);
        w.create(keyed(KeyConflict::Replace));
        assert_eq!(w.tables.live().count(), 1);
    });
}

#[test]
fn namespaces_are_limited() {
    in_every_mode(|mut w| {
        w.settings.max_namespaces = 2;
        w.run_as(other(Command::CreateNamespace { settings: Default::default() })).unwrap();
        let third = in_namespace("third", Command::CreateNamespace { settings: Default::default() });
        assert_eq!(w.refused_as(third), Reason::LimitReached);
    });
}
