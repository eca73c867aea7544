//! `callboard workflow run`

use callboard::v1::WorkflowSpec;
use callboard::{NewWorkflow, Receipt};
use serde_json::{Value, json};

use super::{Session, follow};
use crate::args::workflow::RunArgs;
use crate::error::Error;
use crate::output::json;
use crate::values;
use crate::workflow::file::{self, Purpose};

/// Creates it; prints its id, or follows it to its end. A file that is wrong is told before a server is asked.
pub async fn run(connect: impl FnOnce() -> Result<Session, Error>, args: RunArgs) -> Result<(), Error> {
    let spec = file::read(&args.file, std::io::stdin().lock(), &args.parameters.set, values::now(), Purpose::Create)?;
    let session = connect()?;
    let names: Vec<String> = spec.tasks.iter().map(|task| task.name.clone()).collect();
    let new = NewWorkflow::from(spec.clone()).request_id(args.request_id.unwrap_or_default());
    let created = session.client.create_workflow(new).await.map_err(|error| explained(error, &spec))?;
    if args.wait {
        return follow::to_its_end(&session, &created.workflow_id, args.wait_for).await;
    }
    match session.output.is_json() {
        true => {
            let receipts = names.iter().filter_map(|name| Some((name.as_str(), created.receipts.get(name)?)));
            session.output.document(&document(&created.workflow_id, receipts))
        }
        false => session.output.line(&created.workflow_id),
    }
}

/// In the order of the file.
pub(super) fn document<'a>(workflow_id: &str, receipts: impl Iterator<Item = (&'a str, &'a Receipt)>) -> Value {
    let receipts = receipts.map(|(name, receipt)| {
        let mut receipt = json::receipt(receipt);
        receipt["name"] = json!(name);
        receipt
    });
    json!({ "workflow_id": workflow_id, "receipts": receipts.collect::<Vec<_>>() })
}

/// A refusal names tasks by their places; people know them by their names.
pub(super) fn explained(error: callboard::Error, spec: &WorkflowSpec) -> Error {
    let faults: Vec<String> = error
        .violations()
        .iter()
        .map(|fault| format!("{}: {}", place(&fault.field, spec), fault.description))
        .collect();
    let error = Error::Call(error);
    if faults.is_empty() { error } else { Error::WorkflowRefused { faults, exit: error.exit() } }
}

/// `workflow.tasks[3].task.type` is "task `draft`: type".
fn place(field: &str, spec: &WorkflowSpec) -> String {
    let field = field.strip_prefix("workflow.").unwrap_or(field);
    let of_task = field.strip_prefix("tasks[").and_then(|rest| {
        let (index, within) = rest.split_once(']')?;
        let name = &spec.tasks.get(index.parse::<usize>().ok()?)?.name;
        Some((name, within.trim_start_matches('.')))
    });
    match of_task {
        Some((name, "")) => format!("task `{name}`"),
        Some((name, within)) => format!("task `{name}`: {}", within.strip_prefix("task.").unwrap_or(within)),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use callboard::v1::WorkflowTask;

    use super::*;

    #[test]
    fn faults_are_told_by_names() {
        let task = |name: &str| WorkflowTask { name: name.into(), ..WorkflowTask::default() };
        let spec = WorkflowSpec { tasks: vec![task("a"), task("b")], ..WorkflowSpec::default() };
        for (field, told) in [
            ("workflow.name", "name"),
            ("workflow.tasks", "tasks"),
            ("workflow.tasks[1].task.type", "task `b`: type"),
            ("workflow.tasks[0].depends_on[2].result.pointer", "task `a`: depends_on[2].result.pointer"),
            ("workflow.tasks[1]", "task `b`"),
            ("workflow.tasks[7].name", "tasks[7].name"),
            ("workflow.tasks[x", "tasks[x"),
        ] {
            assert_eq!(place(field, &spec), told);
        }
    }
}
