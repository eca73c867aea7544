//! What handlers do: the programs of DRIVER.md.

use crate::children::{ChildOf, Joining, WaitingForSome};
use crate::clients;
use crate::outputs::Giving;
use crate::value::Any;
use crate::{gates, say, shown};
use callboard::{Child, Context, Message, NewMessage, TaskError};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a handler carries out, one after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<Map<String, Value>>")]
pub struct Program(Vec<Guarded>);

/// An op, and when it is left out.
#[derive(Clone, Debug)]
struct Guarded {
    attempt: Option<i32>,
    delivery: Option<u32>,
    op: Op,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Op {
    Return {
        value: Value,
    },
    ReturnInput {},
    ReturnPayload {},
    See {
        what: Vec<String>,
    },
    ReturnSeen {},
    Call {
        r#as: String,
        call: Value,
    },
    Fail(Failing),
    Raise {
        message: String,
        cause: Option<String>,
    },
    Panic {
        message: String,
    },
    Gate {
        gate: String,
        #[serde(default)]
        ignore_cancellation: bool,
    },
    AwaitCancelled {},
    Cancelled {},
    Sleep {
        ms: u64,
    },
    Burn {
        ms: u64,
    },
    Block {
        ms: u64,
    },
    Checkpoint {
        value: Value,
    },
    Progress {
        fraction: Option<f64>,
        phase: Option<String>,
        message: Option<String>,
    },
    Step(Stepping),
    Child(ChildOf),
    Join(Joining),
    WaitChildren(WaitingForSome),
    Output(Giving),
    Send(Sending),
    Reply {},
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    message: String,
    r#type: Option<String>,
    retryable: Option<bool>,
    retry_after_ms: Option<u64>,
    details: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sending {
    to: String,
    body: Value,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ttl_ms: Option<u64>,
    request_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stepping {
    name: String,
    r#as: String,
    program: Program,
    #[serde(default)]
    catch: bool,
}

/// What a handler has seen, and the children that it kept.
#[derive(Default)]
pub struct Seen {
    /// What `return_seen` gives.
    pub values: Map<String, Value>,
    /// By the names that `child` kept them under.
    pub children: HashMap<String, Child>,
}

/// What `step` ended with.
enum StepFault {
    /// It is the SDK's.
    Sdk(callboard::Error),
    /// The step's function gave it.
    Own(TaskError),
}

/// An ordinary error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct ConformanceError {
    message: String,
    source: Option<Box<ConformanceError>>,
}

impl TryFrom<Vec<Map<String, Value>>> for Program {
    type Error = String;

    fn try_from(ops: Vec<Map<String, Value>>) -> Result<Self, String> {
        Self::read(ops)
    }
}

impl Program {
    /// Reads one.
    pub fn read(ops: Vec<Map<String, Value>>) -> Result<Self, String> {
        ops.into_iter().map(Guarded::read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it takes or gives payloads as they are.
    pub fn is_of_payloads(&self) -> bool {
        self.0.iter().any(|one| match &one.op {
            Op::ReturnPayload {} => true,
            Op::Return { value } => value.get("$payload").is_some(),
            _ => false,
        })
    }

    /// Does a task.
    pub async fn run(&self, context: &Context, input: &Any) -> Result<Any, TaskError> {
        self.carry_out(context, input, &mut Seen::default()).await
    }

    /// Does a task, or a step of it. Boxed, since steps have programs again.
    fn carry_out<'a>(
        &'a self,
        context: &'a Context,
        input: &'a Any,
        seen: &'a mut Seen,
    ) -> BoxFuture<'a, Result<Any, TaskError>> {
        Box::pin(async move {
            for one in self.0.iter().filter(|one| one.attempt.is_none_or(|attempt| attempt == context.attempt())) {
                if let Some(result) = one.op.task(context, input, seen).await? {
                    return Ok(result);
                }
            }
            Ok(Any::Json(Value::Null))
        })
    }

    /// Handles a message.
    pub async fn handle(&self, message: &Message, deliveries: &Mutex<HashMap<String, u32>>) -> Result<(), TaskError> {
        let delivery = {
            let mut deliveries = deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let count = deliveries.entry(message.id().to_owned()).or_default();
            *count += 1;
            *count
        };
        for one in self.0.iter().filter(|one| one.delivery.is_none_or(|wanted| wanted == delivery)) {
            if one.op.message(message, delivery).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Guarded {
    fn read(mut fields: Map<String, Value>) -> Result<Self, String> {
        let number = |value: Option<Value>| value.as_ref().and_then(Value::as_u64);
        let attempt = number(fields.remove("attempt")).and_then(|attempt| i32::try_from(attempt).ok());
        let delivery = number(fields.remove("delivery")).and_then(|delivery| u32::try_from(delivery).ok());
        let op =
            serde_json::from_value(Value::Object(fields.clone())).map_err(|error| format!("{error} in {fields:?}"))?;
        Ok(Self { attempt, delivery, op })
    }
}

impl Op {
    /// Carries it out. `Some` is the result.
    async fn task(&self, context: &Context, input: &Any, seen: &mut Seen) -> Result<Option<Any>, TaskError> {
        match self {
            Self::Return { value } => return read(value.clone()).map(Some),
            Self::ReturnInput {} => return Ok(Some(input.clone())),
            Self::ReturnPayload {} => return Ok(Some(Any::Payload(context.payload().clone()))),
            Self::ReturnSeen {} => return Ok(Some(Any::Json(Value::Object(std::mem::take(&mut seen.values))))),
            Self::See { what } => {
                for name in what {
                    seen.values.insert(name.clone(), look(context, input, name).await?);
                }
            }
            Self::Call { r#as, call } => {
                let mut call = call.clone();
                let verb = call["do"].take().as_str().unwrap_or_default().to_owned();
                if let Some(fields) = call.as_object_mut() {
                    fields.remove("do");
                }
                let answer = Box::pin(clients::call(context.client(), &verb, call)).await.map_err(driver_fault)?;
                seen.values.insert(r#as.clone(), answer);
            }
            Self::Gate { gate, ignore_cancellation } => {
                say(
                    &json!({ "saw": "gate", "gate": gate, "task_id": context.task_id(), "attempt": context.attempt() }),
                );
                match ignore_cancellation {
                    true => gates::pass(gate).await,
                    false => unless_cancelled(context, gates::pass(gate)).await?,
                }
            }
            Self::AwaitCancelled {} => context.cancelled().await,
            Self::Cancelled {} => return Err(TaskError::cancelled()),
            Self::Sleep { ms } => unless_cancelled(context, sleep(Duration::from_millis(*ms))).await?,
            Self::Checkpoint { value } => match read(value.clone())? {
                Any::Payload(payload) => context.save_checkpoint_payload(payload).await?,
                value => context.save_checkpoint(&value).await?,
            },
            Self::Progress { fraction, phase, message } => {
                context.progress(*fraction, phase.clone().unwrap_or_default(), message.clone().unwrap_or_default());
            }
            Self::Step(stepping) => stepping.take(context, input, seen).await?,
            Self::Child(child) => child.take(context, seen).await?,
            Self::Join(joining) => joining.take(seen).await?,
            Self::WaitChildren(waiting) => waiting.take(context, seen).await?,
            Self::Output(giving) => giving.give(context, seen).await?,
            Self::Send(sending) => {
                context.send(sending.message()?).await?;
            }
            Self::Reply {} => return Err(driver_fault("a task has nobody to reply to".to_owned())),
            other => other.common()?,
        }
        Ok(None)
    }

    /// Carries it out. Whether the handler ends.
    async fn message(&self, message: &Message, delivery: u32) -> Result<bool, TaskError> {
        match self {
            Self::Return { .. } | Self::ReturnInput {} | Self::ReturnPayload {} | Self::ReturnSeen {} => {
                return Ok(true);
            }
            Self::Gate { gate, .. } => {
                say(&json!({ "saw": "gate", "gate": gate, "message_id": message.id(), "delivery": delivery }));
                gates::pass(gate).await;
            }
            Self::Sleep { ms } => sleep(Duration::from_millis(*ms)).await,
            Self::Send(sending) => {
                message.send(sending.message()?).await?;
            }
            Self::Reply {} => {
                let body = message.payload().cloned().unwrap_or_default();
                let reply = NewMessage::to(message.agent()).body_payload(body);
                let headers = message.headers().iter();
                message.send(headers.fold(reply, |reply, (name, value)| reply.header(name, value))).await?;
            }
            Self::Fail(_) | Self::Raise { .. } | Self::Panic { .. } | Self::Burn { .. } | Self::Block { .. } => {
                self.common()?
            }
            other => return Err(driver_fault(format!("{other:?} in a handler of messages"))),
        }
        Ok(false)
    }

    /// What tasks and messages have in common.
    fn common(&self) -> Result<(), TaskError> {
        match self {
            Self::Fail(failing) => Err(failing.error()?),
            Self::Raise { message, cause } => {
                let source = cause.clone().map(|message| Box::new(ConformanceError { message, source: None }));
                Err(ConformanceError { message: message.clone(), source }.into())
            }
            Self::Panic { message } => panicking(message),
            Self::Burn { ms } => {
                let end = Instant::now() + Duration::from_millis(*ms);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                Ok(())
            }
            Self::Block { ms } => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Failing {
    fn error(&self) -> Result<TaskError, TaskError> {
        let mut error = TaskError::new(&self.message);
        if let Some(name) = &self.r#type {
            error = error.of_type(name);
        }
        if self.retryable == Some(false) {
            error = error.permanent();
        }
        if let Some(after) = self.retry_after_ms {
            error = error.retry_after(Duration::from_millis(after));
        }
        match &self.details {
            Some(details) => Ok(error.details(&read(details.clone())?)?),
            None => Ok(error),
        }
    }
}

impl Stepping {
    /// Takes the step, and puts what it gave into what was seen.
    async fn take(&self, context: &Context, input: &Any, seen: &mut Seen) -> Result<(), TaskError> {
        let work = self.program.carry_out(context, input, &mut *seen);
        let given: Result<Any, StepFault> =
            context.step(self.name.as_str(), || async { work.await.map_err(StepFault::Own) }).await;
        let line = match given {
            Ok(value) => value.line(),
            Err(fault) if self.catch => json!({ "error": fault.line() }),
            Err(StepFault::Sdk(error)) => return Err(error.into()),
            Err(StepFault::Own(error)) => return Err(error),
        };
        seen.values.insert(self.r#as.clone(), line);
        Ok(())
    }
}

impl StepFault {
    fn line(&self) -> Value {
        match self {
            Self::Sdk(error) => shown::error(error),
            Self::Own(error) => json!({ "kind": "Local", "code": "", "reason": "", "message": error.to_string(),
                                        "violations": [], "retry_after_ms": null }),
        }
    }
}

impl From<callboard::Error> for StepFault {
    fn from(error: callboard::Error) -> Self {
        Self::Sdk(error)
    }
}

impl Sending {
    fn message(&self) -> Result<NewMessage, TaskError> {
        message(&self.to, &self.body, &self.headers, self.ttl_ms, self.request_id.as_deref())?.map_err(TaskError::from)
    }
}

/// A message that is to be sent.
pub fn message(
    to: &str,
    body: &Value,
    headers: &BTreeMap<String, String>,
    ttl_ms: Option<u64>,
    request_id: Option<&str>,
) -> Result<callboard::Result<NewMessage>, TaskError> {
    let body = read(body.clone())?;
    let payload = match body.to_payload() {
        Ok(payload) => payload,
        Err(error) => return Ok(Err(error)),
    };
    let mut message = NewMessage::to(to).body_payload(payload);
    message = headers.iter().fold(message, |message, (name, value)| message.header(name, value));
    if let Some(ttl) = ttl_ms {
        message = message.ttl(Duration::from_millis(ttl));
    }
    if let Some(request_id) = request_id {
        message = message.request_id(request_id);
    }
    Ok(Ok(message))
}

async fn look(context: &Context, input: &Any, name: &str) -> Result<Value, TaskError> {
    Ok(match name {
        "task_id" => context.task_id().into(),
        "attempt" => context.attempt().into(),
        "run" => context.run().into(),
        "attempts_used" => context.attempts_used().into(),
        "type" => context.task_type().into(),
        "namespace" => context.namespace().into(),
        "headers" => json!(context.headers()),
        "metadata" => json!(context.metadata()),
        "deadline_at_ms" => json!(context.deadline().map(shown::at_ms)),
        "input" => input.line(),
        "checkpoint" => json!(context.checkpoint::<Any>()?.map(|any| any.line())),
        "workflow" => {
            json!(context.workflow().map(|link| json!({ "workflow_id": link.workflow_id, "name": link.name })))
        }
        "cancelled" => context.is_cancelled().into(),
        "dependencies" => {
            let mut list = Vec::new();
            for one in context.dependencies().await? {
                let value = match one.payload() {
                    Some(_) => one.value::<Any>()?.line(),
                    None => Value::Null,
                };
                list.push(json!({ "task_id": one.task_id(), "type": one.task_type(), "key": one.key(),
                                  "name": one.name(), "state": shown::bare(one.state().as_str_name(), "TASK_STATE_"), "value": value }));
            }
            list.into()
        }
        other => return Err(driver_fault(format!("a handler can't see `{other}`"))),
    })
}

async fn unless_cancelled(context: &Context, work: impl Future<Output = ()>) -> Result<(), TaskError> {
    tokio::select! {
        () = work => Ok(()),
        () = context.cancelled() => Err(TaskError::cancelled()),
    }
}

/// A value of a line.
pub fn read(value: Value) -> Result<Any, TaskError> {
    Any::read(value).map_err(driver_fault)
}

/// In a handler nobody is told of the driver's faults; the task's failure tells.
pub fn driver_fault(fault: String) -> TaskError {
    TaskError::new(fault).of_type("DriverFault").permanent()
}

#[expect(clippy::panic, reason = "it is what the SDK is tested with")]
fn panicking(message: &str) -> Result<(), TaskError> {
    panic!("{message}")
}
