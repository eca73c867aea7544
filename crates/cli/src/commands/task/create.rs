//! `callboard task create`

use callboard::NewTask;
use callboard::v1::{
    Dependency, KeyConflictPolicy, Payload, Priority, Requirements, RetryPolicy, Task, TaskReceipt, TaskSpec,
    TaskState, Timeouts,
};

use super::{Session, follow, future};
use crate::args::task::{CreateArgs, InputArgs, LimitArgs, OnConflict, RequirementArgs};
use crate::error::Error;
use crate::output::time::duration_to_proto;
use crate::output::{json, note};
use crate::{ids, input};

/// Creates it; prints its id, or waits and prints its result.
pub async fn run(session: &Session, args: CreateArgs) -> Result<(), Error> {
    let (wait, wait_for) = (args.wait, args.wait_for);
    let receipt = create(session, args).await?;
    if receipt.existing {
        note(&format!("task {} is live and has this key: nothing was created", ids::short(&receipt.task_id)));
    }
    if !wait {
        return match session.output.is_json() {
            true => session.output.document(&json::receipt(&receipt)),
            false => session.output.line(&receipt.task_id),
        };
    }
    let task = follow::until_ended(session, &receipt.task_id, wait_for).await?;
    if session.output.is_json() {
        session.output.document(&json::task(&task))?;
    }
    if task.state() != TaskState::Completed {
        return Err(Error::NotCompleted(Box::new(task)));
    }
    result(session, &task)
}

fn result(session: &Session, task: &Task) -> Result<(), Error> {
    match session.output.is_json() {
        true => Ok(()),
        false => session.output.content(task.result.as_ref()),
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<TaskReceipt, Error> {
    let dependencies = dependencies(session, &args.depends_on).await?;
    let request_id = args.request_id.clone().unwrap_or_default();
    let spec = TaskSpec { dependencies, input: payload(&args.input)?, ..spec(args)? };
    Ok(session.client.create(NewTask::from(spec).request_id(request_id)).await?)
}

/// With whole ids.
pub(super) async fn dependencies(session: &Session, given: &[Dependency]) -> Result<Vec<Dependency>, Error> {
    let mut dependencies = Vec::with_capacity(given.len());
    for dependency in given {
        let task_id = ids::resolve(&session.client, &dependency.task_id).await?;
        dependencies.push(Dependency { task_id, ..dependency.clone() });
    }
    Ok(dependencies)
}

fn payload(args: &InputArgs) -> Result<Option<Payload>, Error> {
    let Some(given) = &args.input else { return Ok(None) };
    Ok(Some(input::payload(given, args.kind(), std::io::stdin().lock())?))
}

/// Everything but input and dependencies.
fn spec(args: CreateArgs) -> Result<TaskSpec, Error> {
    let deadline = args.limits.deadline.map(|moment| future("--deadline", moment)).transpose()?;
    let start_at = args.limits.start_at.map(|moment| future("--start-at", moment)).transpose()?;
    Ok(TaskSpec {
        r#type: args.task_type,
        description: args.description,
        key: args.key.unwrap_or_default(),
        key_conflict_policy: KeyConflictPolicy::from(args.on_conflict).into(),
        requirements: Some(requirements(args.requirements)),
        priority: Priority::from(args.priority).into(),
        retry_policy: retry_policy(&args.limits),
        timeouts: Some(timeouts(&args.limits)),
        deadline,
        start_at,
        hold: args.hold,
        tags: args.tag,
        metadata: args.metadata.into_iter().collect(),
        headers: args.header.into_iter().collect(),
        fairness_key: args.fairness_key.unwrap_or_default(),
        limit_keys: args.limit_key,
        ..TaskSpec::default()
    })
}

fn requirements(args: RequirementArgs) -> Requirements {
    Requirements {
        skills: args.skill,
        tools: args.tool,
        role: args.role.unwrap_or_default(),
        assignee: args.assignee.unwrap_or_default(),
        preferred_agent: args.prefer.unwrap_or_default(),
        affinity: args.affinity.into_iter().collect(),
        fallbacks: args.fallback,
        anti_affinity: args.anti_affinity.into_iter().collect(),
        resources: args.resource.into_iter().collect(),
        near: args.near,
        apart: args.apart,
    }
}

/// Unset unless something of it is given: the namespace's own applies then.
fn retry_policy(args: &LimitArgs) -> Option<RetryPolicy> {
    let policy = RetryPolicy {
        max_attempts: args.max_attempts.unwrap_or_default(),
        initial_backoff: args.backoff.map(duration_to_proto),
        max_backoff: args.max_backoff.map(duration_to_proto),
        non_retryable_types: args.non_retryable.clone(),
        ..RetryPolicy::default()
    };
    (policy != RetryPolicy::default()).then_some(policy)
}

fn timeouts(args: &LimitArgs) -> Timeouts {
    Timeouts {
        schedule_to_start: args.schedule_to_start.map(duration_to_proto),
        start_to_close: args.start_to_close.map(duration_to_proto),
        schedule_to_close: args.schedule_to_close.map(duration_to_proto),
        heartbeat: args.heartbeat.map(duration_to_proto),
    }
}

impl From<OnConflict> for KeyConflictPolicy {
    fn from(name: OnConflict) -> Self {
        match name {
            OnConflict::UseExisting => Self::UseExisting,
            OnConflict::Fail => Self::Fail,
            OnConflict::Replace => Self::Replace,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::task::TaskCommand;
    use crate::args::{Cli, Command};

    fn parsed(options: &[&str]) -> TaskSpec {
        let line = ["callboard", "task", "create", "Look", "--type", "review"].iter().chain(options);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Task(TaskCommand::Create(args)) => spec(*args).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bare_task_leaves_policies_to_the_namespace() {
        let spec = parsed(&[]);
        assert_eq!((spec.r#type.as_str(), spec.description.as_str()), ("review", "Look"));
        assert_eq!(
            (spec.priority(), spec.retry_policy, spec.timeouts),
            (Priority::Normal, None, Some(Timeouts::default()))
        );
    }

    #[test]
    fn every_option_arrives() {
        let spec = parsed(&[
            "--key",
            "k",
            "--on-conflict",
            "replace",
            "--priority",
            "urgent",
            "--skill",
            "a",
            "--skill",
            "b",
            "--tool",
            "t",
            "--role",
            "r",
            "--assignee",
            "x",
            "--prefer",
            "y",
            "--affinity",
            "zone=1",
            "--fallback",
            "after=30s,role=lead",
            "--fallback",
            "after=5m",
            "--anti-affinity",
            "spot=yes",
            "--resource",
            "gpu=0.5",
            "--near",
            "plan",
            "--apart",
            "draft",
            "--max-attempts",
            "5",
            "--backoff",
            "2s",
            "--max-backoff",
            "1m",
            "--non-retryable",
            "Bad",
            "--start-to-close",
            "10m",
            "--schedule-to-start",
            "1h",
            "--schedule-to-close",
            "1d",
            "--heartbeat",
            "30s",
            "--deadline",
            "2d",
            "--start-at",
            "2099-01-01T00:00:00Z",
            "--hold",
            "--tag",
            "g",
            "--metadata",
            "m=1",
            "--header",
            "traceparent=00",
            "--fairness-key",
            "tenant-a",
            "--limit-key",
            "api",
            "--limit-key",
            "tenant/a",
            "--request-id",
            "once",
        ]);
        assert_eq!((spec.key.as_str(), spec.key_conflict_policy()), ("k", KeyConflictPolicy::Replace));
        let requirements = spec.requirements.clone().unwrap();
        assert_eq!((requirements.skills.len(), requirements.tools.len()), (2, 1));
        assert_eq!((requirements.role.as_str(), requirements.assignee.as_str()), ("r", "x"));
        assert_eq!((requirements.preferred_agent.as_str(), requirements.affinity["zone"].as_str()), ("y", "1"));
        let fallbacks = requirements.fallbacks;
        assert_eq!((fallbacks[0].role.as_str(), fallbacks[1].after.unwrap().seconds), ("lead", 300));
        assert_eq!((requirements.anti_affinity["spot"].as_str(), requirements.resources["gpu"]), ("yes", 0.5));
        assert_eq!((requirements.near, requirements.apart), (vec!["plan".to_owned()], vec!["draft".to_owned()]));
        assert_eq!((spec.fairness_key.as_str(), spec.limit_keys.join(" ")), ("tenant-a", "api tenant/a".to_owned()));
        let policy = spec.retry_policy.clone().unwrap();
        assert_eq!((policy.max_attempts, policy.non_retryable_types.as_slice()), (5, ["Bad".to_owned()].as_slice()));
        assert_eq!((policy.initial_backoff.unwrap().seconds, policy.max_backoff.unwrap().seconds), (2, 60));
        let timeouts = spec.timeouts.unwrap();
        assert_eq!(timeouts.start_to_close.unwrap().seconds, 600);
        assert_eq!(timeouts.schedule_to_start.unwrap().seconds, 3600);
        assert_eq!(timeouts.schedule_to_close.unwrap().seconds, 86_400);
        assert_eq!(timeouts.heartbeat.unwrap().seconds, 30);
        assert!(spec.deadline.is_some() && spec.hold);
        assert_eq!(spec.start_at.unwrap().seconds, 4_070_908_800);
        assert_eq!(
            (spec.tags.len(), spec.metadata["m"].as_str(), spec.headers["traceparent"].as_str()),
            (1, "1", "00")
        );
    }

    #[test]
    fn contradictions_are_usage_errors() {
        let line = ["callboard", "task", "create", "Look", "--type", "t"];
        for options in
            [&["--text"][..], &["--for", "1s"], &["--on-conflict", "fail"], &["--input", "1", "--text", "--binary"]]
        {
            assert!(Cli::try_parse_from(line.iter().chain(options)).is_err(), "{options:?}");
        }
    }
}
