//! The instructions `agent.…`.

use crate::defect::Defect;
use crate::interceptors::Named;
use crate::program::Program;
use crate::shown;
use crate::typed;
use crate::value::Any;
use callboard::{Agent, AgentBuilder, AgentHandle, Context, Credentials, Message, TaskError, v1};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The fields of `agent.start`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The driver's name for it.
    pub agent: String,
    options: Options,
    handlers: Vec<Handler>,
    on_message: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    signals: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: String,
    address: String,
    namespace: String,
    agent_type: Option<String>,
    role: Option<String>,
    #[serde(default)]
    skills: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    resources: BTreeMap<String, f64>,
    slots: Option<i32>,
    build_id: Option<String>,
    drain_timeout_ms: Option<u64>,
    health: Option<String>,
    token: Option<String>,
    #[serde(default)]
    interceptors: Vec<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handler {
    r#type: String,
    program: Option<Vec<Map<String, Value>>>,
    typed: Option<String>,
    description: Option<String>,
    input_schema: Option<Value>,
    output_schema: Option<Value>,
    /// All are async here.
    #[serde(rename = "style")]
    _style: Option<String>,
}

/// An agent that was started: what has its handle is a task of its own.
#[derive(Clone, Debug)]
pub struct Started {
    wishes: mpsc::UnboundedSender<Wish>,
    _task: Arc<JoinHandle<()>>,
}

type Answer = oneshot::Sender<Result<Value, Value>>;

enum Wish {
    Attached(Duration, Answer),
    Status(Answer),
    Health(Answer),
    Drain(Answer),
    Stop(Answer),
    Wait(Duration, Answer),
}

impl Start {
    /// Starts the agent.
    ///
    /// # Errors
    ///
    /// The driver's fault, or what the SDK said.
    pub fn start(self, defect: Option<Defect>) -> Result<Result<Started, Value>, String> {
        let mut builder = self.options.builder();
        for handler in self.handlers {
            builder = handler.add(builder)?;
        }
        if let Some(ops) = self.on_message {
            let program = Arc::new(Program::read(ops)?);
            let deliveries: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
            builder = builder.on_message(move |message: Message| {
                let (program, deliveries) = (program.clone(), deliveries.clone());
                async move { program.handle(&message, &deliveries).await }
            });
        }
        if self.signals {
            builder = builder.drain_on_signals(true);
        }
        if let Some(defect) = defect {
            builder = defect.build(builder);
        }
        let handle = match builder.spawn() {
            Ok(handle) => handle,
            Err(error) => return Ok(Err(shown::error(&error))),
        };
        let (wishes, wanted) = mpsc::unbounded_channel();
        let task = tokio::task::spawn_local(keep(handle, wanted));
        Ok(Ok(Started { wishes, _task: Arc::new(task) }))
    }
}

impl Options {
    fn builder(self) -> AgentBuilder {
        let mut builder = Agent::builder(self.agent_type.unwrap_or_default())
            .name(self.name)
            .address(self.address)
            .namespace(self.namespace);
        builder = self.skills.into_iter().fold(builder, AgentBuilder::skill);
        builder = self.tools.into_iter().fold(builder, AgentBuilder::tool);
        builder = self.labels.into_iter().fold(builder, |builder, (label, value)| builder.label(label, value));
        builder = self.resources.into_iter().fold(builder, |builder, (name, amount)| builder.resource(name, amount));
        if let Some(role) = self.role {
            builder = builder.role(role);
        }
        if let Some(slots) = self.slots {
            builder = builder.slots(slots);
        }
        if let Some(build_id) = self.build_id {
            builder = builder.build_id(build_id);
        }
        if let Some(limit) = self.drain_timeout_ms {
            builder = builder.drain_timeout(Duration::from_millis(limit));
        }
        if let Some(token) = self.token {
            builder = builder.credentials(Credentials::new().token(token));
        }
        if let Some(health) = self.health {
            builder = builder.health(health);
        }
        self.interceptors.into_iter().fold(builder, AgentBuilder::interceptor)
    }
}

impl Handler {
    fn add(self, builder: AgentBuilder) -> Result<AgentBuilder, String> {
        let program = match (self.program, self.typed.as_deref()) {
            (Some(program), None) => Arc::new(Program::read(program)?),
            (None, Some("order")) => return Ok(builder.handle_with_schemas(self.r#type, typed::bill)),
            _ => return Err(format!("the handler of {} has neither a program nor a type", self.r#type)),
        };
        let builder = if program.is_of_payloads() {
            builder.handle_payload(self.r#type.clone(), move |context: Context, input: v1::Payload| {
                let program = program.clone();
                async move {
                    let result = program.run(&context, &Any::of_payload(Some(&input))?).await?;
                    result.to_payload().map_err(TaskError::from)
                }
            })
        } else {
            builder.handle(self.r#type.clone(), move |context: Context, input: Any| {
                let program = program.clone();
                async move { program.run(&context, &input).await }
            })
        };
        if self.description.is_none() && self.input_schema.is_none() && self.output_schema.is_none() {
            return Ok(builder);
        }
        let text = |schema: Option<Value>| schema.map(|schema| schema.to_string()).unwrap_or_default();
        Ok(builder.describe(v1::TaskHandler {
            r#type: self.r#type,
            description: self.description.unwrap_or_default(),
            input_schema: text(self.input_schema),
            output_schema: text(self.output_schema),
        }))
    }
}

impl Started {
    /// Carries out an instruction that is to it.
    ///
    /// # Errors
    ///
    /// The driver's fault.
    pub async fn call(&self, verb: &str, timeout_ms: Option<u64>) -> Result<Value, String> {
        let (answer, answered) = oneshot::channel();
        let limit = Duration::from_millis(timeout_ms.unwrap_or_default());
        let wish = match (verb, timeout_ms) {
            ("agent.attached", Some(_)) => Wish::Attached(limit, answer),
            ("agent.wait", Some(_)) => Wish::Wait(limit, answer),
            ("agent.status", None) => Wish::Status(answer),
            ("agent.health", None) => Wish::Health(answer),
            ("agent.drain", None) => Wish::Drain(answer),
            ("agent.stop", None) => Wish::Stop(answer),
            _ => return Err(format!("{verb} is no instruction, or its timeout_ms is missing or too much")),
        };
        self.wishes.send(wish).map_err(|_| "the agent's task has ended".to_owned())?;
        match answered.await.map_err(|_| "the agent's task has ended".to_owned())? {
            Ok(value) => Ok(json!({ "ok": value })),
            Err(error) => Ok(json!({ "error": error })),
        }
    }
}

/// Keeps the handle, and does with it what is wished. What waits does not keep other wishes from being done: it is asked again and
/// again, as the SDK allows.
async fn keep(mut handle: AgentHandle, mut wanted: mpsc::UnboundedReceiver<Wish>) {
    let mut waiting: Vec<(Instant, Wish)> = Vec::new();
    loop {
        let due = waiting.iter().map(|(due, _)| *due).min();
        let for_attached = waiting.iter().any(|(_, wish)| matches!(wish, Wish::Attached(..)));
        let for_end = waiting.iter().any(|(_, wish)| !matches!(wish, Wish::Attached(..)));
        let next = next(&mut handle, &mut wanted, due, for_attached, for_end).await;
        match next {
            Next::Wish(None) => return,
            Next::Wish(Some(Wish::Status(answer))) => drop(answer.send(Ok(status(&handle)))),
            Next::Wish(Some(Wish::Health(answer))) => {
                let address = handle.health_address().map(|address| address.to_string());
                drop(answer.send(Ok(json!({ "address": address }))));
            }
            Next::Wish(Some(Wish::Drain(answer))) => {
                handle.drain();
                drop(answer.send(Ok(json!({}))));
            }
            Next::Wish(Some(Wish::Stop(answer))) => {
                handle.stop();
                waiting.push((Instant::now() + Duration::from_secs(60), Wish::Stop(answer)));
            }
            Next::Wish(Some(Wish::Attached(limit, answer))) => {
                waiting.push((Instant::now() + limit, Wish::Attached(limit, answer)));
            }
            Next::Wish(Some(Wish::Wait(limit, answer))) => {
                waiting.push((Instant::now() + limit, Wish::Wait(limit, answer)));
            }
            Next::Attached(outcome) => {
                let attached = take(&mut waiting, |wish| matches!(wish, Wish::Attached(..)));
                for wish in attached {
                    wish.answer(outcome.clone().map(|()| status(&handle)));
                }
            }
            Next::Ended(outcome) => {
                for wish in take(&mut waiting, |wish| !matches!(wish, Wish::Attached(..))) {
                    wish.ended(&outcome);
                }
            }
            Next::Due => {
                let now = Instant::now();
                let (late, rest) = waiting.drain(..).partition::<Vec<_>, _>(|(due, _)| *due <= now);
                waiting = rest;
                for (_, wish) in late {
                    wish.late(status(&handle));
                }
            }
        }
    }
}

enum Next {
    Wish(Option<Wish>),
    Attached(Result<(), Value>),
    Ended(Result<(), Value>),
    Due,
}

async fn next(
    handle: &mut AgentHandle,
    wanted: &mut mpsc::UnboundedReceiver<Wish>,
    due: Option<Instant>,
    for_attached: bool,
    for_end: bool,
) -> Next {
    let far = Instant::now() + Duration::from_secs(3600);
    // Both need the handle: whether it has attached is asked first, since it is the one that may come early.
    let look = async {
        if for_attached && (!for_end || !handle.is_attached()) {
            let outcome = handle.attached().await.map_err(|error| shown::error(&error));
            return Next::Attached(outcome);
        }
        if for_attached {
            return Next::Attached(Ok(()));
        }
        if for_end {
            return Next::Ended(handle.ended().await.map_err(|error| shown::error(&error)));
        }
        std::future::pending().await
    };
    tokio::select! {
        wish = wanted.recv() => Next::Wish(wish),
        next = look => next,
        () = tokio::time::sleep_until(due.unwrap_or(far)) => Next::Due,
    }
}

fn take(waiting: &mut Vec<(Instant, Wish)>, which: impl Fn(&Wish) -> bool) -> Vec<Wish> {
    let (taken, rest) = waiting.drain(..).partition::<Vec<_>, _>(|(_, wish)| which(wish));
    *waiting = rest;
    taken.into_iter().map(|(_, wish)| wish).collect()
}

impl Wish {
    fn answer(self, outcome: Result<Value, Value>) {
        let (Self::Attached(_, answer)
        | Self::Status(answer)
        | Self::Health(answer)
        | Self::Drain(answer)
        | Self::Stop(answer)
        | Self::Wait(_, answer)) = self;
        let _ = answer.send(outcome);
    }

    fn ended(self, outcome: &Result<(), Value>) {
        match self {
            Self::Stop(_) => self.answer(Ok(json!({}))),
            _ => self.answer(outcome.clone().map(|()| json!({ "ended": true }))),
        }
    }

    fn late(self, status: Value) {
        match self {
            Self::Wait(..) => self.answer(Ok(json!({ "ended": false }))),
            _ => self.answer(Ok(status)),
        }
    }
}

fn status(handle: &AgentHandle) -> Value {
    json!({ "attached": handle.is_attached(), "agent_id": handle.agent_id().unwrap_or_default(), "session_epoch": handle.session_epoch() })
}

/// Stops an agent, and waits for a moment until it has.
pub async fn stop(agent: &Started) {
    let _ = timeout(Duration::from_secs(2), agent.call("agent.stop", None)).await;
}
