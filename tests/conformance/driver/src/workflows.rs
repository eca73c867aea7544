//! The instructions of workflows: `client.create_workflow` and its like.

use crate::clients::limit;
use crate::shown;
use crate::spec::{Refused, ResultIs, Spec, fails, named};
use callboard::{Client, NewWorkflow, NewWorkflowDependency, NewWorkflowTask, Receipt, v1};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A call of the client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Call {
    #[serde(rename = "client.create_workflow")]
    Create { workflow: Workflow, request_id: Option<String> },
    #[serde(rename = "client.get_workflow")]
    Get { workflow_id: String },
    #[serde(rename = "client.list_workflows")]
    List {
        #[serde(default)]
        states: Vec<String>,
        name: Option<String>,
        page_size: Option<i32>,
    },
    #[serde(rename = "client.workflow_tasks")]
    Tasks { workflow_id: String, page_size: Option<i32> },
    #[serde(rename = "client.wait_workflow")]
    Wait { workflow_id: String, timeout_ms: Option<u64> },
    #[serde(rename = "client.cancel_workflow")]
    Cancel { workflow_id: String, reason: Option<String>, request_id: Option<String> },
    #[serde(rename = "client.retry_workflow")]
    Retry { workflow_id: String, request_id: Option<String> },
    #[serde(rename = "client.add_workflow_tasks")]
    Add { workflow_id: String, tasks: Vec<Task>, request_id: Option<String> },
    #[serde(rename = "client.hold_workflow")]
    Hold { workflow_id: String, reason: Option<String>, request_id: Option<String> },
    #[serde(rename = "client.release_workflow")]
    Release { workflow_id: String, request_id: Option<String> },
    #[serde(rename = "client.forecast_workflow")]
    Forecast { workflow_id: String },
}

/// A workflow to create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    name: String,
    tasks: Vec<Task>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// A task of one, or to be added to one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    name: String,
    task: Spec,
    #[serde(default)]
    depends_on: Vec<DependsOn>,
    #[serde(default)]
    allow_failure: bool,
    weight: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum DependsOn {
    Name(String),
    More(Terms),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    task: String,
    on_failure: Option<String>,
    condition: Option<String>,
    result: Option<ResultIs>,
}

impl Call {
    /// Whether the instruction is of workflows.
    pub fn is(verb: &str) -> bool {
        verb.contains("workflow")
    }

    /// Carries it out, and gives what the line answers.
    pub async fn carry_out(self, client: &Client) -> Result<Value, Refused> {
        Ok(match self {
            Self::Create { workflow, request_id } => create(client, workflow, request_id).await?,
            Self::Get { workflow_id } => shown::workflow(&client.get_workflow(&workflow_id).await?),
            Self::List { states, name, page_size } => list(client, &states, name, page_size).await?,
            Self::Tasks { workflow_id, page_size } => {
                let page_size = page_size.unwrap_or_default();
                let request = v1::ListWorkflowTasksRequest { workflow_id, page_size, ..Default::default() };
                let tasks: Vec<v1::Task> = client.workflow_tasks(request).try_collect().await?;
                json!({ "tasks": tasks.iter().map(shown::workflow_task).collect::<Vec<_>>() })
            }
            Self::Wait { workflow_id, timeout_ms } => {
                shown::workflow(&client.wait_workflow(&workflow_id, limit(timeout_ms)).await?)
            }
            Self::Cancel { workflow_id, reason, request_id: None } => {
                shown::workflow(&client.cancel_workflow(&workflow_id, &reason.unwrap_or_default()).await?)
            }
            Self::Cancel { workflow_id, reason, request_id: Some(request_id) } => {
                let reason = reason.unwrap_or_default();
                let request = v1::CancelWorkflowRequest { workflow_id, reason, request_id, ..Default::default() };
                shown::workflow(&client.call(request).await?.workflow.unwrap_or_default())
            }
            Self::Retry { workflow_id, request_id: None } => {
                shown::workflow(&client.retry_workflow(&workflow_id).await?)
            }
            Self::Retry { workflow_id, request_id: Some(request_id) } => {
                let request = v1::RetryWorkflowRequest { workflow_id, request_id, ..Default::default() };
                shown::workflow(&client.call(request).await?.workflow.unwrap_or_default())
            }
            Self::Add { workflow_id, tasks, request_id } => add(client, &workflow_id, tasks, request_id).await?,
            Self::Hold { workflow_id, reason, request_id: None } => {
                shown::workflow(&client.hold_workflow(&workflow_id, &reason.unwrap_or_default()).await?)
            }
            Self::Hold { workflow_id, reason, request_id: Some(request_id) } => {
                let reason = reason.unwrap_or_default();
                let request = v1::HoldWorkflowRequest { workflow_id, reason, request_id, ..Default::default() };
                shown::workflow(&client.call(request).await?.workflow.unwrap_or_default())
            }
            Self::Release { workflow_id, request_id: None } => {
                shown::workflow(&client.release_workflow(&workflow_id).await?)
            }
            Self::Release { workflow_id, request_id: Some(request_id) } => {
                let request = v1::ReleaseWorkflowRequest { workflow_id, request_id, ..Default::default() };
                shown::workflow(&client.call(request).await?.workflow.unwrap_or_default())
            }
            Self::Forecast { workflow_id } => shown::forecast(&client.forecast_workflow(&workflow_id).await?),
        })
    }
}

async fn create(client: &Client, workflow: Workflow, request_id: Option<String>) -> Result<Value, Refused> {
    let mut workflow = workflow.workflow()?;
    if let Some(request_id) = request_id {
        workflow = workflow.request_id(request_id);
    }
    let created = client.create_workflow(workflow).await?;
    Ok(json!({ "workflow_id": created.workflow_id, "receipts": receipts(&created.receipts) }))
}

async fn add(client: &Client, id: &str, tasks: Vec<Task>, request_id: Option<String>) -> Result<Value, Refused> {
    let tasks = tasks.into_iter().map(Task::task).collect::<Result<Vec<_>, _>>()?;
    let mut adding = client.add_workflow_tasks(id, tasks);
    if let Some(request_id) = request_id {
        adding = adding.request_id(request_id);
    }
    Ok(json!({ "receipts": receipts(&adding.await?) }))
}

fn receipts(receipts: &BTreeMap<String, Receipt>) -> Map<String, Value> {
    receipts.iter().map(|(name, receipt)| (name.clone(), shown::receipt(receipt))).collect()
}

async fn list(
    client: &Client,
    states: &[String],
    name: Option<String>,
    page_size: Option<i32>,
) -> Result<Value, Refused> {
    let states = states.iter().map(|name| Ok(named(name, "WORKFLOW_STATE_", v1::WorkflowState::from_str_name)?.into()));
    let request = v1::ListWorkflowsRequest {
        states: states.collect::<Result<_, Refused>>()?,
        name: name.unwrap_or_default(),
        page_size: page_size.unwrap_or_default(),
        ..Default::default()
    };
    let workflows: Vec<v1::Workflow> = client.list_workflows(request).try_collect().await?;
    Ok(json!({ "workflows": workflows.iter().map(shown::workflow).collect::<Vec<_>>() }))
}

impl Workflow {
    fn workflow(self) -> Result<NewWorkflow, Refused> {
        let mut workflow = NewWorkflow::new(self.name).headers(self.headers);
        if let Some(description) = self.description {
            workflow = workflow.description(description);
        }
        workflow = self.tags.into_iter().fold(workflow, NewWorkflow::tag);
        workflow = self.metadata.into_iter().fold(workflow, |workflow, (name, value)| workflow.metadata(name, value));
        for task in self.tasks {
            workflow = workflow.task(task.task()?);
        }
        Ok(workflow)
    }
}

impl Task {
    fn task(self) -> Result<NewWorkflowTask, Refused> {
        let mut task = NewWorkflowTask::new(self.name, self.task.task()?);
        for one in self.depends_on {
            task = match one {
                DependsOn::Name(name) => task.depends_on(name),
                DependsOn::More(terms) => task.depends_on(terms.dependency()?),
            };
        }
        if let Some(weight) = self.weight {
            task = task.weight(weight);
        }
        Ok(if self.allow_failure { task.allow_failure() } else { task })
    }
}

impl Terms {
    fn dependency(&self) -> Result<NewWorkflowDependency, Refused> {
        let mut dependency = NewWorkflowDependency::on(&self.task);
        if fails(self.on_failure.as_deref())? {
            dependency = dependency.or_fail();
        }
        if let Some(name) = &self.condition {
            let condition = named(name, "DEPENDENCY_CONDITION_", v1::DependencyCondition::from_str_name)?;
            dependency = dependency.condition(condition);
        }
        Ok(match &self.result {
            Some(result) => dependency.result(result.condition()?),
            None => dependency,
        })
    }
}
