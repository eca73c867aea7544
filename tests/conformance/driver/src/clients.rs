//! The instructions `client.…`.

use crate::gates;
use crate::placement;
use crate::program;
use crate::shown;
use crate::spec::{Refused, Spec, given as value_given, named};
use crate::value::Any;
use crate::workflows;
use callboard::{Client, OutputChunk, OutputQuery, v1};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A call of the client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
enum Call {
    #[serde(rename = "client.create")]
    Create { task: Spec, request_id: Option<String> },
    #[serde(rename = "client.create_all")]
    CreateAll { tasks: Vec<Spec>, request_id: Option<String> },
    #[serde(rename = "client.run")]
    Run { task: Spec, request_id: Option<String>, timeout_ms: Option<u64>, give_up: Option<String> },
    #[serde(rename = "client.run_all")]
    RunAll { tasks: Vec<Spec>, timeout_ms: Option<u64> },
    #[serde(rename = "client.get")]
    Get { task_id: String },
    #[serde(rename = "client.list")]
    List(Listing),
    #[serde(rename = "client.wait")]
    Wait { task_id: String, timeout_ms: Option<u64> },
    #[serde(rename = "client.result")]
    Result { task_id: String, timeout_ms: Option<u64> },
    #[serde(rename = "client.history")]
    History { task_id: String },
    #[serde(rename = "client.dependency_results")]
    DependencyResults { task_id: String },
    #[serde(rename = "client.children")]
    Children { task_id: String, run: Option<i32> },
    #[serde(rename = "client.output")]
    Output { task_id: String, run: Option<i32>, offset: Option<i64>, page_size: Option<i32> },
    #[serde(rename = "client.cancel")]
    Cancel { task_id: String, reason: Option<String>, request_id: Option<String> },
    #[serde(rename = "client.hold")]
    Hold { task_id: String, reason: Option<String>, request_id: Option<String> },
    #[serde(rename = "client.retry")]
    Retry { task_id: String, request_id: Option<String> },
    #[serde(rename = "client.release")]
    Release { task_id: String, request_id: Option<String> },
    #[serde(rename = "client.update")]
    Update(Updating),
    #[serde(rename = "client.claim")]
    Claim(Claiming),
    #[serde(rename = "client.heartbeat")]
    Heartbeat(Beating),
    #[serde(rename = "client.complete")]
    Complete { task_id: String, attempt: Option<i32>, result: Value, agent: Option<String>, request_id: Option<String> },
    #[serde(rename = "client.fail")]
    Fail(Failing),
    #[serde(rename = "client.get_agent")]
    GetAgent { name: String },
    #[serde(rename = "client.cordon")]
    Cordon { name: String },
    #[serde(rename = "client.uncordon")]
    Uncordon { name: String },
    #[serde(rename = "client.remove_agent")]
    RemoveAgent { name: String },
    #[serde(rename = "client.list_agents")]
    ListAgents {
        #[serde(default)]
        states: Vec<String>,
        agent_type: Option<String>,
        page_size: Option<i32>,
    },
    #[serde(rename = "client.send_message")]
    SendMessage {
        to: String,
        body: Value,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        ttl_ms: Option<u64>,
        request_id: Option<String>,
    },
    #[serde(rename = "client.list_messages")]
    ListMessages { agent: String },
    #[serde(rename = "client.acknowledge_messages")]
    AcknowledgeMessages { agent: String, message_ids: Vec<String> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    #[serde(default)]
    states: Vec<String>,
    r#type: Option<String>,
    agent: Option<String>,
    key: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    page_size: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updating {
    task_id: String,
    priority: Option<String>,
    assignee: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(default, with = "given")]
    deadline_at_ms: Option<Option<u64>>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claiming {
    name: String,
    types: Vec<String>,
    slots: Option<i32>,
    max_tasks: Option<i32>,
    lease_ms: Option<u64>,
    wait_ms: Option<u64>,
    #[serde(default)]
    skills: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beating {
    task_id: String,
    attempt: i32,
    lease_ms: Option<u64>,
    fraction: Option<f64>,
    phase: Option<String>,
    message: Option<String>,
    #[serde(default, deserialize_with = "value_given")]
    checkpoint: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    task_id: String,
    attempt: Option<i32>,
    agent: Option<String>,
    message: String,
    r#type: Option<String>,
    retryable: Option<bool>,
    retry_after_ms: Option<u64>,
    details: Option<Value>,
    request_id: Option<String>,
}

/// Null is something else than nothing.
mod given {
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(Some)
    }
}

/// Carries out a call. The answer is `{"ok": …}` or `{"error": …}`.
///
/// # Errors
///
/// The driver's own: an instruction that is none.
pub async fn call(client: &Client, verb: &str, args: Value) -> Result<Value, String> {
    let answer = if workflows::Call::is(verb) {
        read::<workflows::Call>(verb, args)?.carry_out(client).await
    } else if placement::Call::is(verb) {
        read::<placement::Call>(verb, args)?.carry_out(client).await
    } else {
        carry_out(client, read(verb, args)?).await
    };
    match answer {
        Ok(value) => Ok(json!({ "ok": value })),
        Err(Refused::Error(error)) => Ok(json!({ "error": shown::error(&error) })),
        Err(Refused::Fault(fault)) => Err(format!("{verb}: {fault}")),
    }
}

/// A call, by the name of its instruction.
fn read<C: DeserializeOwned>(verb: &str, args: Value) -> Result<C, String> {
    let mut tagged = Map::new();
    tagged.insert(verb.to_owned(), args);
    serde_json::from_value(Value::Object(tagged)).map_err(|error| format!("{verb}: {error}"))
}

/// How long a call may wait.
pub fn limit(milliseconds: Option<u64>) -> Option<Duration> {
    milliseconds.map(Duration::from_millis)
}

async fn carry_out(client: &Client, call: Call) -> Result<Value, Refused> {
    Ok(match call {
        Call::Create { task, request_id } => shown::receipt(&client.create(with_id(task, request_id)?).await?),
        Call::CreateAll { tasks, request_id } => {
            let mut request_id = request_id;
            let tasks: Result<Vec<_>, _> = tasks.into_iter().map(|task| with_id(task, request_id.take())).collect();
            let receipts = client.create_all(tasks?).await?;
            json!({ "receipts": receipts.iter().map(shown::receipt).collect::<Vec<_>>() })
        }
        Call::Run { task, request_id, timeout_ms, give_up } => {
            let running = run(client, with_id(task, request_id)?, limit(timeout_ms));
            unless_given_up(give_up, running).await?
        }
        Call::RunAll { tasks, timeout_ms } => run_all(client, tasks, limit(timeout_ms)).await?,
        Call::Get { task_id } => shown::task(&client.get(&task_id).await?),
        Call::List(listing) => list(client, listing).await?,
        Call::Wait { task_id, timeout_ms } => shown::task(&client.wait(&task_id, limit(timeout_ms)).await?),
        Call::Result { task_id, timeout_ms } => {
            json!({ "value": client.result::<Any>(&task_id, limit(timeout_ms)).await?.line() })
        }
        Call::History { task_id } => {
            json!({ "events": client.history(&task_id).await?.iter().map(shown::event).collect::<Vec<_>>() })
        }
        Call::DependencyResults { task_id } => {
            let results = client.dependency_results(&task_id).await?;
            json!({ "dependencies": results.iter().map(shown::dependency).collect::<Result<Vec<_>, _>>()? })
        }
        Call::Cancel { task_id, reason, request_id: None } => {
            shown::receipt(&client.cancel(&task_id, &reason.unwrap_or_default()).await?)
        }
        Call::Cancel { task_id, reason, request_id: Some(request_id) } => {
            let reason = reason.unwrap_or_default();
            let request = v1::CancelTaskRequest { task_id, reason, request_id, ..Default::default() };
            shown::receipt(&client.call(request).await?.receipt.unwrap_or_default())
        }
        Call::Hold { task_id, reason, request_id: None } => {
            shown::receipt(&client.hold(&task_id, &reason.unwrap_or_default()).await?)
        }
        Call::Hold { task_id, reason, request_id: Some(request_id) } => {
            let reason = reason.unwrap_or_default();
            let request = v1::HoldTaskRequest { task_id, reason, request_id, ..Default::default() };
            shown::receipt(&client.call(request).await?.receipt.unwrap_or_default())
        }
        Call::Retry { task_id, request_id: None } => shown::receipt(&client.retry(&task_id).await?),
        Call::Retry { task_id, request_id: Some(request_id) } => {
            let request = v1::RetryTaskRequest { task_id, request_id, ..Default::default() };
            shown::receipt(&client.call(request).await?.receipt.unwrap_or_default())
        }
        Call::Release { task_id, request_id: None } => shown::receipt(&client.release(&task_id).await?),
        Call::Release { task_id, request_id: Some(request_id) } => {
            let request = v1::ReleaseTaskRequest { task_id, request_id, ..Default::default() };
            shown::receipt(&client.call(request).await?.receipt.unwrap_or_default())
        }
        Call::Children { task_id, run } => {
            let children = client.children(&task_id, run.unwrap_or_default()).await?;
            json!({ "children": children.iter().map(shown::child).collect::<Vec<_>>() })
        }
        Call::Output { task_id, run, offset, page_size } => {
            let query = OutputQuery::task(task_id).run(run.unwrap_or_default()).offset(offset.unwrap_or_default());
            let output = client.output(query.page_size(page_size.unwrap_or_default()));
            let chunks: Vec<OutputChunk> = output.try_collect().await?;
            json!({ "chunks": chunks.iter().map(shown::chunk).collect::<Result<Vec<_>, _>>()? })
        }
        Call::Update(updating) => shown::receipt(&client.update(updating.request()?).await?),
        Call::Claim(claiming) => claim(client, claiming).await?,
        Call::Heartbeat(beating) => heartbeat(client, beating).await?,
        Call::Complete { task_id, attempt, result, agent, request_id } => {
            let result = Any::read(result).map_err(Refused::Fault)?.to_payload()?;
            let request = v1::CompleteTaskRequest {
                attempt: Some(held(task_id, attempt)),
                result: Some(result),
                agent: agent.unwrap_or_default(),
                request_id: request_id.unwrap_or_default(),
                ..Default::default()
            };
            shown::receipt(&client.complete(request).await?)
        }
        Call::Fail(failing) => shown::receipt(&client.fail(failing.request()?).await?),
        Call::GetAgent { name } => shown::agent(&client.get_agent(&name).await?),
        Call::Cordon { name } => shown::agent(&client.cordon(&name).await?),
        Call::Uncordon { name } => shown::agent(&client.uncordon(&name).await?),
        Call::RemoveAgent { name } => {
            client.remove_agent(&name).await?;
            json!({})
        }
        Call::ListAgents { states, agent_type, page_size } => {
            let states =
                states.iter().map(|name| Ok(named(name, "AGENT_STATE_", v1::AgentState::from_str_name)?.into()));
            let request = v1::ListAgentsRequest {
                states: states.collect::<Result<_, Refused>>()?,
                agent_type: agent_type.unwrap_or_default(),
                page_size: page_size.unwrap_or_default(),
                ..Default::default()
            };
            let agents: Vec<v1::Agent> = client.list_agents(request).try_collect().await?;
            json!({ "agents": agents.iter().map(shown::agent).collect::<Vec<_>>() })
        }
        Call::SendMessage { to, body, headers, ttl_ms, request_id } => {
            let message = program::message(&to, &body, &headers, ttl_ms, request_id.as_deref());
            let message = message.map_err(|fault| Refused::Fault(fault.to_string()))??;
            let receipt = client.send_message(message).await?;
            json!({ "message_id": receipt.message_id, "sequence": receipt.sequence })
        }
        Call::ListMessages { agent } => {
            let messages: Vec<v1::Message> = client.list_messages(&agent).try_collect().await?;
            json!({ "messages": messages.iter().map(shown::message).collect::<Result<Vec<_>, _>>()? })
        }
        Call::AcknowledgeMessages { agent, message_ids } => {
            json!({ "acknowledged": client.acknowledge_messages(&agent, message_ids).await? })
        }
    })
}

fn with_id(task: Spec, request_id: Option<String>) -> Result<callboard::NewTask, Refused> {
    let task = task.task()?;
    Ok(match request_id {
        Some(request_id) => task.request_id(request_id),
        None => task,
    })
}

/// All at once. What became of each is its own.
async fn run_all(client: &Client, tasks: Vec<Spec>, limit: Option<Duration>) -> Result<Value, Refused> {
    let tasks = tasks.into_iter().map(Spec::task).collect::<Result<Vec<_>, _>>()?;
    let outcomes = join_all(tasks.into_iter().map(|task| run(client, task, limit))).await;
    let lines = outcomes.into_iter().map(|outcome| match outcome {
        Err(Refused::Error(error)) => Ok(json!({ "error": shown::error(&error) })),
        other => other,
    });
    Ok(json!({ "outcomes": lines.collect::<Result<Vec<_>, _>>()? }))
}

/// The call is dropped when the gate opens first.
async fn unless_given_up(
    gate: Option<String>,
    running: impl Future<Output = Result<Value, Refused>>,
) -> Result<Value, Refused> {
    let Some(gate) = gate else { return running.await };
    tokio::select! {
        biased;
        outcome = running => outcome,
        () = gates::pass(&gate) => Ok(json!({ "given_up": true })),
    }
}

async fn run(client: &Client, task: callboard::NewTask, limit: Option<Duration>) -> Result<Value, Refused> {
    let value = match limit {
        None => client.run::<Any>(task).await?,
        Some(limit) => {
            let ended = client.run_until_ended(task, Some(limit)).await?;
            if ended.state() != v1::TaskState::Completed {
                return Err(callboard::Error::TaskFailed(Box::new(ended)).into());
            }
            Any::of_payload(ended.result.as_ref())?
        }
    };
    Ok(json!({ "value": value.line() }))
}

async fn list(client: &Client, listing: Listing) -> Result<Value, Refused> {
    let states = listing.states.iter().map(|name| Ok(named(name, "TASK_STATE_", v1::TaskState::from_str_name)?.into()));
    let request = v1::ListTasksRequest {
        states: states.collect::<Result<_, Refused>>()?,
        r#type: listing.r#type.unwrap_or_default(),
        agent: listing.agent.unwrap_or_default(),
        key: listing.key.unwrap_or_default(),
        tags: listing.tags,
        page_size: listing.page_size.unwrap_or_default(),
        ..Default::default()
    };
    let mut tasks = Vec::new();
    let mut found = std::pin::pin!(client.list(request));
    while let Some(task) = found.next().await {
        tasks.push(shown::task(&task?));
    }
    Ok(json!({ "tasks": tasks }))
}

impl Updating {
    fn request(self) -> Result<v1::UpdateTaskRequest, Refused> {
        let mut paths = Vec::new();
        let mut request = v1::UpdateTaskRequest { task_id: self.task_id, ..Default::default() };
        if let Some(name) = self.priority {
            request.set_priority(named(&name, "PRIORITY_", v1::Priority::from_str_name)?);
            paths.push("priority".to_owned());
        }
        if let Some(assignee) = self.assignee {
            request.assignee = assignee;
            paths.push("assignee".to_owned());
        }
        if let Some(tags) = self.tags {
            request.tags = tags;
            paths.push("tags".to_owned());
        }
        if let Some(at) = self.deadline_at_ms {
            request.deadline = at.map(|ms| prost_types::Timestamp {
                seconds: (ms / 1000) as i64,
                nanos: (ms % 1000) as i32 * 1_000_000,
            });
            paths.push("deadline".to_owned());
        }
        request.update_mask = Some(prost_types::FieldMask { paths });
        request.request_id = self.request_id.unwrap_or_default();
        Ok(request)
    }
}

/// The leases of what was claimed: a claim's lease token is not in its line.
static LEASES: std::sync::LazyLock<std::sync::Mutex<BTreeMap<(String, i32), v1::Attempt>>> =
    std::sync::LazyLock::new(std::sync::Mutex::default);

async fn claim(client: &Client, claiming: Claiming) -> Result<Value, Refused> {
    let handles = claiming.types.into_iter().map(|kind| v1::TaskHandler { r#type: kind, ..Default::default() });
    let profile = v1::AgentProfile {
        name: claiming.name,
        agent_type: "agent".to_owned(),
        slots: claiming.slots.unwrap_or(1),
        skills: claiming.skills,
        handles: handles.collect(),
        ..Default::default()
    };
    let request = v1::ClaimTasksRequest {
        profile: Some(profile),
        max_tasks: claiming.max_tasks.unwrap_or(1),
        lease: span(claiming.lease_ms),
        wait: span(claiming.wait_ms),
        ..Default::default()
    };
    let assignments = client.claim(request).await?;
    let mut leases = LEASES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for attempt in assignments.iter().filter_map(|assignment| assignment.attempt.clone()) {
        leases.insert((attempt.task_id.clone(), attempt.attempt), attempt);
    }
    Ok(json!({ "claims": assignments.iter().map(shown::claim).collect::<Result<Vec<_>, _>>()? }))
}

/// The lease of an attempt; of a task that nobody has, its id alone.
fn held(task_id: String, attempt: Option<i32>) -> v1::Attempt {
    let Some(attempt) = attempt else { return v1::Attempt { task_id, ..Default::default() } };
    let leases = LEASES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    leases.get(&(task_id.clone(), attempt)).cloned().unwrap_or(v1::Attempt { task_id, attempt, ..Default::default() })
}

async fn heartbeat(client: &Client, beating: Beating) -> Result<Value, Refused> {
    let is_progress = beating.fraction.is_some() || beating.phase.is_some() || beating.message.is_some();
    let progress = v1::Progress {
        fraction: beating.fraction,
        phase: beating.phase.unwrap_or_default(),
        message: beating.message.unwrap_or_default(),
    };
    let checkpoint = match beating.checkpoint {
        Some(value) => Some(Any::read(value).map_err(Refused::Fault)?.to_payload()?),
        None => None,
    };
    let request = v1::HeartbeatTaskRequest {
        attempt: Some(held(beating.task_id, Some(beating.attempt))),
        lease: span(beating.lease_ms),
        progress: is_progress.then_some(progress),
        checkpoint,
        ..Default::default()
    };
    Ok(json!({ "cancel_requested": client.heartbeat(request).await?.cancel_requested }))
}

impl Failing {
    fn request(self) -> Result<v1::FailTaskRequest, Refused> {
        let details = match self.details {
            Some(value) => Some(Any::read(value).map_err(Refused::Fault)?.to_payload()?),
            None => None,
        };
        let failure = v1::Failure {
            r#type: self.r#type.unwrap_or_else(|| "TaskError".to_owned()),
            message: self.message,
            retryable: Some(self.retryable.unwrap_or(true)),
            retry_after: span(self.retry_after_ms),
            details,
            ..Default::default()
        };
        Ok(v1::FailTaskRequest {
            attempt: Some(held(self.task_id, self.attempt)),
            failure: Some(failure),
            agent: self.agent.unwrap_or_default(),
            request_id: self.request_id.unwrap_or_default(),
            ..Default::default()
        })
    }
}

fn span(milliseconds: Option<u64>) -> Option<prost_types::Duration> {
    milliseconds.map(|ms| prost_types::Duration { seconds: (ms / 1000) as i64, nanos: (ms % 1000) as i32 * 1_000_000 })
}
