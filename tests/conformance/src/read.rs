//! What the server has: read by clients of the runner's own, straight from the server, as JSON.

use crate::proxy::record::{bare, content_bytes};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use callboard_proto::MAX_MESSAGE_BYTES;
use callboard_proto::v1;
use callboard_proto::v1::agent_service_client::AgentServiceClient;
use callboard_proto::v1::message_service_client::MessageServiceClient;
use callboard_proto::v1::namespace_service_client::NamespaceServiceClient;
use callboard_proto::v1::task_service_client::TaskServiceClient;
use serde_json::{Value, json};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Reads one namespace.
#[derive(Clone, Debug)]
pub struct Reader {
    channel: Channel,
    namespace: String,
}

impl Reader {
    /// Of a server and a namespace. Connects when it is needed, also after the server was away.
    ///
    /// # Errors
    ///
    /// When the address is none.
    pub fn new(address: &str, namespace: &str) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())?;
        Ok(Self { channel: endpoint.connect_lazy(), namespace: namespace.to_owned() })
    }

    /// Makes the namespace.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn create_namespace(&self) -> Result<(), Status> {
        let request = v1::CreateNamespaceRequest { name: self.namespace.clone(), ..Default::default() };
        NamespaceServiceClient::new(self.channel.clone()).create_namespace(request).await.map(|_| ())
    }

    /// A task.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn task(&self, id: &str) -> Result<Value, Status> {
        let request = v1::GetTaskRequest { namespace: self.namespace.clone(), task_id: id.to_owned() };
        let answer = self.tasks().get_task(request).await?.into_inner();
        Ok(task(&answer.task.unwrap_or_default()))
    }

    /// A task's events.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn history(&self, id: &str) -> Result<Vec<Value>, Status> {
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListTaskEventsRequest {
                namespace: self.namespace.clone(),
                task_id: id.to_owned(),
                page_token,
                ..Default::default()
            };
            let page = self.tasks().list_task_events(request).await?.into_inner();
            events.extend(page.events.iter().map(event));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(events);
            }
        }
    }

    /// The steps that the latest run of a task recorded, in order. Of every scenario they fit into one page.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn steps(&self, id: &str) -> Result<Value, Status> {
        let request =
            v1::ListStepsRequest { namespace: self.namespace.clone(), task_id: id.to_owned(), ..Default::default() };
        let page = self.tasks().list_steps(request).await?.into_inner();
        Ok(page.steps.iter().map(step).collect())
    }

    /// The children that the latest run of a task has, in order. Of every scenario they fit into one page.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn children(&self, id: &str) -> Result<Value, Status> {
        let request =
            v1::ListChildrenRequest { namespace: self.namespace.clone(), task_id: id.to_owned(), ..Default::default() };
        let page = self.tasks().list_children(request).await?.into_inner();
        Ok(page.children.iter().map(child).collect())
    }

    /// The output of a task's run (0: the latest), chunk by chunk.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn output(&self, id: &str, run: i32) -> Result<Vec<Value>, Status> {
        let mut chunks = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListOutputRequest {
                namespace: self.namespace.clone(),
                task_id: id.to_owned(),
                run,
                page_token,
                ..Default::default()
            };
            let page = self.tasks().list_output(request).await?.into_inner();
            chunks.extend(page.chunks.iter().map(chunk));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(chunks);
            }
        }
    }

    /// The ids of all tasks of the namespace. Of every scenario they fit into one page.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn task_ids(&self) -> Result<Vec<String>, Status> {
        let request = v1::ListTasksRequest { namespace: self.namespace.clone(), page_size: 1000, ..Default::default() };
        let page = self.tasks().list_tasks(request).await?.into_inner();
        Ok(page.tasks.into_iter().map(|task| task.id).collect())
    }

    /// An agent.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn agent(&self, name: &str) -> Result<Value, Status> {
        let request = v1::GetAgentRequest { namespace: self.namespace.clone(), name: name.to_owned() };
        let mut client = AgentServiceClient::new(self.channel.clone());
        Ok(agent(&client.get_agent(request).await?.into_inner().agent.unwrap_or_default()))
    }

    /// What waits in an agent's mailbox: its first messages.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub async fn mailbox(&self, name: &str) -> Result<Value, Status> {
        let request = v1::FetchMessagesRequest {
            namespace: self.namespace.clone(),
            agent: name.to_owned(),
            ..Default::default()
        };
        let mut client = MessageServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let messages = client.fetch_messages(request).await?.into_inner().messages;
        Ok(messages.iter().map(message).collect())
    }

    fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn task(task: &v1::Task) -> Value {
    let spec = task.spec.clone().unwrap_or_default();
    json!({
        "task_id": task.id, "type": spec.r#type, "key": spec.key, "description": spec.description,
        "state": bare(task.state().as_str_name(), "TASK_STATE_"),
        "priority": bare(spec.priority().as_str_name(), "PRIORITY_"),
        "run": task.run, "attempt": task.attempt, "attempts_used": task.attempts_used, "agent": task.agent,
        "tags": spec.tags, "metadata": spec.metadata, "headers": spec.headers,
        "phase": task.phase, "progress": task.progress, "progress_message": task.progress_message,
        "cancel_requested": task.cancel_requested,
        "parent": task.parent.as_ref().map(parent), "paused_for": paused_for(task.paused_for()),
        "input": spec.input.as_ref().map(payload), "result": task.result.as_ref().map(payload),
        "failure": task.failure.as_ref().map(failure),
        "waiting_for": task.waiting_for().map(|reason| bare(reason.as_str_name(), "WAIT_REASON_")).collect::<Vec<_>>(),
        "fallback": task.fallback,
    })
}

fn parent(parent: &v1::ParentLink) -> Value {
    json!({ "task_id": parent.task_id, "run": parent.run, "name": parent.name, "occurrence": parent.occurrence,
            "depth": parent.depth })
}

fn paused_for(reason: v1::PauseReason) -> Option<String> {
    (reason != v1::PauseReason::Unspecified).then(|| bare(reason.as_str_name(), "PAUSE_REASON_"))
}

fn event(event: &v1::Event) -> Value {
    json!({
        "task_id": event.task_id, "sequence": event.sequence,
        "type": bare(event.r#type().as_str_name(), "EVENT_TYPE_"),
        "state": bare(event.state().as_str_name(), "TASK_STATE_"),
        "run": event.run, "attempt": event.attempt, "agent": event.agent, "reason": event.reason,
        "at_us": event.at.as_ref().map(microseconds), "failure": event.failure.as_ref().map(failure),
        "child": event.child,
    })
}

fn step(step: &v1::Step) -> Value {
    json!({
        "name": step.name, "occurrence": step.occurrence, "ordinal": step.ordinal, "attempt": step.attempt,
        "result": step.result.as_ref().map(payload),
    })
}

fn child(child: &v1::Child) -> Value {
    let state = child.task.as_ref().map(|task| bare(task.state().as_str_name(), "TASK_STATE_"));
    json!({
        "name": child.name, "occurrence": child.occurrence, "ordinal": child.ordinal, "task_id": child.task_id,
        "on_parent_end": bare(child.on_parent_end().as_str_name(), "PARENT_END_ACTION_"), "state": state,
    })
}

/// A chunk as drivers write it, with its content type, and how many bytes it has.
fn chunk(chunk: &v1::OutputChunk) -> Value {
    let data = chunk.data.clone().unwrap_or_default();
    let mut said = payload(&data);
    let value = match said.as_object_mut().map(|said| (said.remove("json"), said.remove("text"), said.remove("base64")))
    {
        Some((Some(value), _, _) | (_, Some(value), _)) => value,
        Some((_, _, Some(bytes))) => json!({ "$bytes": bytes }),
        _ => Value::Null,
    };
    json!({ "offset": chunk.offset, "attempt": chunk.attempt, "value": value, "bytes": content_bytes(&data),
            "content_type": data.content_type })
}

fn agent(agent: &v1::Agent) -> Value {
    let profile = agent.profile.clone().unwrap_or_default();
    let handles: Vec<Value> = profile
        .handles
        .iter()
        .map(|one| {
            json!({ "type": one.r#type, "description": one.description, "input_schema": schema(&one.input_schema),
                    "output_schema": schema(&one.output_schema) })
        })
        .collect();
    json!({
        "name": profile.name, "agent_type": profile.agent_type, "role": profile.role, "skills": profile.skills,
        "tools": profile.tools, "labels": profile.labels, "slots": profile.slots, "build_id": profile.build_id,
        "sdk": profile.sdk, "handles": handles, "state": bare(agent.state().as_str_name(), "AGENT_STATE_"),
        "cordoned": agent.cordoned, "session_epoch": agent.session_epoch, "leased_tasks": agent.leased_tasks,
        "completed_attempts": agent.completed_attempts, "failed_attempts": agent.failed_attempts,
    })
}

fn schema(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) }
}

fn message(message: &v1::Message) -> Value {
    json!({ "message_id": message.id, "sequence": message.sequence, "from_agent": message.agent, "principal": message.principal,
            "headers": message.headers, "body": message.payload.as_ref().map(payload) })
}

/// A payload with its content as it was sent; JSON also as its value. What is equal in one language and another is so here.
pub fn payload(payload: &v1::Payload) -> Value {
    use v1::payload::Content;
    let content_type = payload.content_type.as_str();
    match &payload.content {
        Some(Content::Binary(bytes)) => {
            json!({ "content_type": content_type, "base64": BASE64_STANDARD.encode(bytes) })
        }
        Some(Content::Text(text)) if content_type == "application/json" => {
            let value: Value =
                serde_json::from_str(text).unwrap_or_else(|error| json!({ "no JSON": error.to_string() }));
            json!({ "content_type": content_type, "json": value })
        }
        Some(Content::Text(text)) => json!({ "content_type": content_type, "text": text }),
        None => json!({ "content_type": content_type }),
    }
}

fn failure(failure: &v1::Failure) -> Value {
    json!({ "type": failure.r#type, "message": failure.message, "retryable": failure.retryable,
            "retry_after_ms": failure.retry_after.as_ref().map(|after| after.seconds * 1000 + i64::from(after.nanos) / 1_000_000),
            "details": failure.details.as_ref().map(payload), "cause": failure.cause.as_deref().map(self::failure) })
}

fn microseconds(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1000
}
