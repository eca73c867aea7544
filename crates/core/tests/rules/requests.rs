//! A repetition of a request gets the answer of the first.

use crate::support::{envelope, in_every_mode, make::*, receipt, with_request};
use callboard_core::model::Span;
use callboard_core::{Command, Envelope, Reason, Reply};
use std::sync::Arc;

fn create(id: &str, digest: u8) -> Envelope {
    with_request(Command::CreateTasks { tasks: vec![task("work")] }, id, digest)
}

#[test]
fn the_same_request_gets_the_same_answer_and_does_nothing() {
    in_every_mode(|mut w| {
        let first = receipt(&w.run_as(create("a", 1)).unwrap());
        w.complete(first.task);
        let before = w.tables.clone();
        w.take_effects();
        assert_eq!(receipt(&w.run_as(create("a", 1)).unwrap()), first, "also when the task has gone on since");
        assert!(w.tables == before && w.effects.is_empty());
    });
}

#[test]
fn a_different_request_under_the_same_id_is_refused() {
    in_every_mode(|mut w| {
        w.run_as(create("a", 1)).unwrap();
        assert_eq!(w.refused_as(create("a", 2)), Reason::RequestIdReused);
    });
}

#[test]
fn ids_of_principals_methods_and_namespaces_do_not_meet() {
    in_every_mode(|mut w| {
        w.run_as(crate::support::in_namespace("other", Command::CreateNamespace { settings: Default::default() }))
            .unwrap();
        w.run_as(create("a", 1)).unwrap();
        w.run_as(Envelope { principal: "someone".into(), ..create("a", 2) }).unwrap();
        w.run_as(Envelope { namespace: "other".into(), ..create("a", 2) }).unwrap();
        let mut other_method = create("a", 2);
        other_method.request.as_mut().unwrap().method = "Other";
        w.run_as(other_method).unwrap();
        assert_eq!(w.tables.tasks.len(), 4);
    });
}

#[test]
fn an_answer_is_remembered_for_a_day() {
    in_every_mode(|mut w| {
        let first = receipt(&w.run_as(create("a", 1)).unwrap());
        w.sleep(Span::seconds(86_399));
        assert_eq!(receipt(&w.run_as(create("a", 1)).unwrap()), first);
        w.sleep(Span::seconds(1));
        let second = receipt(&w.run_as(create("a", 2)).unwrap());
        assert_ne!(first.task, second.task);
        assert_eq!(receipt(&w.run_as(create("a", 2)).unwrap()), second);
    });
}

#[test]
fn a_refusal_is_not_remembered() {
    in_every_mode(|mut w| {
        let id = w.create(task("work"));
        let retry = || with_request(Command::RetryTask { task: id }, "a", 1);
        assert_eq!(w.refused_as(retry()), Reason::TaskState);
        w.cancel(id);
        w.run_as(retry()).unwrap();
    });
}

#[test]
fn a_batch_knows_its_own_requests() {
    in_every_mode(|mut w| {
        let results = w.run_batch(&[create("a", 1), create("a", 1), create("a", 2)]);
        let first = receipt(results[0].as_ref().unwrap());
        assert_eq!(receipt(results[1].as_ref().unwrap()), first);
        assert_eq!(results[2].as_ref().unwrap_err().reason, Reason::RequestIdReused);
        assert_eq!(w.tables.tasks.len(), 1);
    });
}

#[test]
fn a_repeated_claim_gives_the_same_leases_and_an_empty_one_is_tried_again() {
    in_every_mode(|mut w| {
        let claim = || {
            let profile = Arc::new(profile(5));
            with_request(Command::Claim { name: "claimer".into(), profile, max: 2, lease: Span::seconds(60) }, "c", 1)
        };
        assert_eq!(w.run_as(claim()).unwrap().reply, Reply::Claimed(Vec::new()));
        w.create(task("work"));
        let given = w.run_as(claim()).unwrap().reply;
        assert!(matches!(&given, Reply::Claimed(leases) if leases.len() == 1));
        w.create(task("work"));
        assert_eq!(w.run_as(claim()).unwrap().reply, given);
    });
}

#[test]
fn what_saves_nothing_looks_its_id_up_though_ids_are_expected_to_be_new() {
    in_every_mode(|mut w| {
        let keyed = task_with("work", |new| {
            new.spec.key = Some("mine".into());
            new.on_key_conflict = callboard_core::model::KeyConflict::Fail;
        });
        let create = || with_request(Command::CreateTasks { tasks: vec![keyed.clone()] }, "a", 1);
        w.expect_new_requests();
        let first = receipt(&w.run_as(create()).unwrap());
        w.expect_new_requests();
        assert_eq!(receipt(&w.run_as(create()).unwrap()), first, "not that the key is taken");

        let claim = || {
            let profile = Arc::new(profile(1));
            with_request(Command::Claim { name: "claimer".into(), profile, max: 1, lease: Span::seconds(60) }, "c", 1)
        };
        let given = w.run_as(claim()).unwrap().reply;
        assert!(matches!(&given, Reply::Claimed(leases) if leases.len() == 1));
        w.expect_new_requests();
        assert_eq!(w.run_as(claim()).unwrap().reply, given, "not that there is nothing to claim");
    });
}

/// The first try is committed by another replica between our look for its answer and our look at its key.
#[test]
fn a_repetition_is_not_refused_for_what_its_first_try_made() {
    in_every_mode(|mut w| {
        let keyed = task_with("work", |new| {
            new.spec.key = Some("mine".into());
            new.on_key_conflict = callboard_core::model::KeyConflict::Fail;
        });
        let create = || with_request(Command::CreateTasks { tasks: vec![keyed.clone()] }, "a", 1);
        let before = w.tables.clone();
        let first = receipt(&w.run_as(create()).unwrap());
        w.committed_behind_requests = Some(std::mem::replace(&mut w.tables, before));
        w.start_anew();
        assert_eq!(receipt(&w.run_as(create()).unwrap()), first);
        assert!(w.committed_behind_requests.is_none(), "its answer was looked for");
    });
}

#[test]
fn a_namespace_is_created_once_by_a_request() {
    in_every_mode(|mut w| {
        let create = || Envelope {
            namespace: "other".into(),
            ..with_request(Command::CreateNamespace { settings: Default::default() }, "n", 1)
        };
        let first = w.run_as(create()).unwrap().reply;
        assert_eq!(w.run_as(create()).unwrap().reply, first);
        let again = Envelope {
            namespace: "other".into(),
            ..envelope(Command::CreateNamespace { settings: Default::default() })
        };
        assert_eq!(w.refused_as(again), Reason::NamespaceExists);
    });
}
