//! `callboard task cancel|retry|hold|release|update|depend`

use callboard::Client;
use callboard::v1::{AddDependenciesRequest, Priority, TaskReceipt, UpdateTaskRequest};
use serde_json::json;

use super::{Session, create, future};
use crate::args::task::{DeadlineChange, DependArgs, ReasonArgs, UpdateArgs};
use crate::error::Error;
use crate::ids;
use crate::output::{json, note, table};

/// Cancels tasks.
pub async fn cancel(session: &Session, args: &ReasonArgs) -> Result<(), Error> {
    let reason = args.reason.as_deref().unwrap_or_default();
    each(session, &args.tasks.ids, async |client, id| client.cancel(id, reason).await).await
}

/// Opens the next runs of tasks.
pub async fn retry(session: &Session, ids: &[String]) -> Result<(), Error> {
    each(session, ids, async |client, id| client.retry(id).await).await
}

/// Holds tasks.
pub async fn hold(session: &Session, args: &ReasonArgs) -> Result<(), Error> {
    let reason = args.reason.as_deref().unwrap_or_default();
    each(session, &args.tasks.ids, async |client, id| client.hold(id, reason).await).await
}

/// Releases tasks.
pub async fn release(session: &Session, ids: &[String]) -> Result<(), Error> {
    each(session, ids, async |client, id| client.release(id).await).await
}

/// Changes a task.
pub async fn update(session: &Session, args: UpdateArgs) -> Result<(), Error> {
    let task_id = ids::resolve(&session.client, &args.id).await?;
    let receipt = session.client.update(UpdateTaskRequest { task_id, ..changes(args)? }).await?;
    write(session, &[receipt])
}

/// Makes a task wait for more.
pub async fn depend(session: &Session, args: DependArgs) -> Result<(), Error> {
    let task_id = ids::resolve(&session.client, &args.id).await?;
    let dependencies = create::dependencies(session, &args.depends_on).await?;
    let request_id = args.request_id.unwrap_or_default();
    let request = AddDependenciesRequest { task_id, dependencies, request_id, ..Default::default() };
    let receipt = session.client.call(request).await?.receipt.unwrap_or_default();
    write(session, &[receipt])
}

fn changes(args: UpdateArgs) -> Result<UpdateTaskRequest, Error> {
    let mut request = UpdateTaskRequest::default();
    let mut paths = Vec::new();
    if let Some(priority) = args.priority {
        request.priority = Priority::from(priority).into();
        paths.push("priority".to_owned());
    }
    if let Some(assignee) = args.assignee {
        request.assignee = assignee;
        paths.push("assignee".to_owned());
    }
    if let Some(deadline) = args.deadline {
        request.deadline = match deadline {
            DeadlineChange::None => None,
            DeadlineChange::To(moment) => Some(future("--deadline", moment)?),
        };
        paths.push("deadline".to_owned());
    }
    if let Some(tags) = args.tag {
        request.tags = tags.into_iter().filter(|tag| !tag.is_empty()).collect();
        paths.push("tags".to_owned());
    }
    request.update_mask = Some(prost_types::FieldMask { paths });
    Ok(request)
}

/// Does the same to each task. One that fails doesn't keep the others from it.
async fn each(
    session: &Session,
    given: &[String],
    act: impl AsyncFn(&Client, &str) -> callboard::Result<TaskReceipt>,
) -> Result<(), Error> {
    let mut receipts = Vec::with_capacity(given.len());
    let mut errors = Vec::new();
    for given in given {
        let outcome = match ids::resolve(&session.client, given).await {
            Ok(id) => act(&session.client, &id).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => errors.push((given, error)),
        }
    }
    if !receipts.is_empty() {
        write(session, &receipts)?;
    }
    sum_up(errors, given.len())
}

/// One error of what was done to each of several things; those of several are told here.
pub fn sum_up(mut errors: Vec<(&String, Error)>, total: usize) -> Result<(), Error> {
    if total == 1 {
        return errors.pop().map_or(Ok(()), |(_, error)| Err(error));
    }
    let Some(exit) = errors.first().map(|(_, error)| error.exit()) else { return Ok(()) };
    for (given, error) in &errors {
        note(&format!("error: {given}: {error}"));
    }
    Err(Error::Several { failed: errors.len(), total, exit })
}

fn write(session: &Session, receipts: &[TaskReceipt]) -> Result<(), Error> {
    match session.output.is_json() {
        true => session.output.document(&json!({ "receipts": receipts.iter().map(json::receipt).collect::<Vec<_>>() })),
        false => session.output.table(&table::receipts(receipts, session.output.style)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::task::TaskCommand;
    use crate::args::{Cli, Command};
    use crate::exit::Exit;

    fn parsed(options: &[&str]) -> UpdateTaskRequest {
        let line = ["callboard", "task", "update", "abcdef"].iter().chain(options);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Task(TaskCommand::Update(args)) => changes(args).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn mask(request: &UpdateTaskRequest) -> Vec<String> {
        request.update_mask.clone().unwrap().paths
    }

    #[test]
    fn the_mask_names_what_is_given() {
        let request = parsed(&["--priority", "high", "--tag", "a", "--tag", "b"]);
        assert_eq!(mask(&request), ["priority", "tags"]);
        assert_eq!((request.priority(), request.tags.len()), (Priority::High, 2));
    }

    #[test]
    fn values_can_be_taken_away() {
        let request = parsed(&["--assignee", "", "--deadline", "none", "--tag", ""]);
        assert_eq!(mask(&request), ["assignee", "deadline", "tags"]);
        assert_eq!((request.assignee.as_str(), request.deadline, request.tags.len()), ("", None, 0));
    }

    #[test]
    fn an_update_without_a_change_is_a_usage_error() {
        assert!(Cli::try_parse_from(["callboard", "task", "update", "abcdef"]).is_err());
    }

    #[test]
    fn one_failure_of_several_is_told_with_its_exit_code() {
        let id = "x".to_owned();
        let error = || Error::UnknownId { noun: ids::Noun::Task, suffix: "x".into(), namespace: "n".into() };
        assert!(sum_up(vec![], 2).is_ok());
        assert!(matches!(sum_up(vec![(&id, error())], 1), Err(Error::UnknownId { .. })));
        let several = sum_up(vec![(&id, error())], 2).unwrap_err();
        assert_eq!((several.exit(), several.to_string().as_str()), (Exit::NotFound, "1 of 2 failed"));
    }
}
