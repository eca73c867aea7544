//! Describing an agent.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use callboard_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::driver::{self, Plan};
use super::handle::AgentHandle;
use super::handlers::{self, ANY, Handler, Handlers};
use super::message::{self, Message, MessageHandler};
use super::{name, schemas};
use crate::credentials::Identity;
use crate::interceptor::{Interceptor, Interceptors};
use crate::task_error::TaskError;
use crate::{Client, Connector, Credentials, Error, Result, entropy, settings};

const DEFAULT_AGENT_TYPE: &str = "agent";
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_SLOTS: i32 = 1000;

/// An agent being described: what it is, what it handles, where its server is.
pub struct AgentBuilder {
    address: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    health: Option<String>,
    profile: v1::AgentProfile,
    handlers: Handlers,
    /// The schemas of handlers' types, by task type.
    schemas: HashMap<String, v1::TaskHandler>,
    on_message: Option<MessageHandler>,
    drain_timeout: Duration,
    drain_on_signals: Option<bool>,
    own_thread: bool,
    credentials: Credentials,
    /// A client's, instead.
    identity: Option<Arc<Identity>>,
    connector: Option<Connector>,
    interceptors: Interceptors,
}

impl std::fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentBuilder").field("name", &self.name).field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl AgentBuilder {
    pub(super) fn new(agent_type: String) -> Self {
        let agent_type = if agent_type.is_empty() { DEFAULT_AGENT_TYPE.to_owned() } else { agent_type };
        let profile = v1::AgentProfile {
            agent_type,
            slots: 1,
            sdk: "rust".to_owned(),
            sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..v1::AgentProfile::default()
        };
        Self {
            address: None,
            namespace: None,
            name: None,
            health: None,
            profile,
            handlers: Handlers::default(),
            schemas: HashMap::new(),
            on_message: None,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            drain_on_signals: None,
            own_thread: true,
            credentials: Credentials::new(),
            identity: None,
            connector: None,
            interceptors: Interceptors::default(),
        }
    }

    /// Where the server is: http or https URLs, separated by commas, tried in turn. Default: `CALLBOARD_ADDRESS`, or
    /// `http://127.0.0.1:7470`.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The namespace. Default: `CALLBOARD_NAMESPACE`, or `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The address, namespace, credentials and connector of a client.
    #[must_use]
    pub fn client(mut self, client: &Client) -> Self {
        self.identity = Some(client.identity().clone());
        self.connector = client.connector().cloned();
        self.address(client.addresses().join(",")).namespace(client.namespace())
    }

    /// Who the agent is to the server, and how it knows the server. What is not given comes from the environment.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self.identity = None;
        self
    }

    /// Makes its connections otherwise than by TCP.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Does this around the handler of each attempt, and around what its context's client submits and the children it
    /// starts. Call it once for each; the first is the outermost.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Its name, unique in its namespace; it is the agent's identity. Default: `CALLBOARD_AGENT_NAME`, or a unique one of
    /// the agent's type, the host's name, the process id and four random digits.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Answers probes at this `host:port`, by HTTP/1.1, from before it attaches until it has ended: `GET /healthz` is 200 as long as the
    /// agent's own loop goes on, `GET /readyz` is 200 while it is attached and takes tasks, and else 503 with one word: `connecting`,
    /// `draining` or `stopped`. Port 0 is any free one: see [`AgentHandle::health_address`]. Default: `CALLBOARD_HEALTH`, or none.
    #[must_use]
    pub fn health(mut self, address: impl Into<String>) -> Self {
        self.health = Some(address.into());
        self
    }

    /// Its role in the team: `supervisor`.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.profile.role = role.into();
        self
    }

    /// Something that it can do. Call it once for each.
    #[must_use]
    pub fn skill(mut self, skill: impl Into<String>) -> Self {
        self.profile.skills.push(skill.into());
        self
    }

    /// Something that it can use. Call it once for each.
    #[must_use]
    pub fn tool(mut self, tool: impl Into<String>) -> Self {
        self.profile.tools.push(tool.into());
        self
    }

    /// A fact to be matched by a task's affinity. Call it once for each.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.profile.labels.insert(label.into(), value.into());
        self
    }

    /// How much it has of a resource (`gpu`). Call it once for each.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>, amount: f64) -> Self {
        self.profile.resources.insert(resource.into(), amount);
        self
    }

    /// How many tasks it takes at once: 1 to 1,000. Default 1.
    #[must_use]
    pub fn slots(mut self, slots: i32) -> Self {
        self.profile.slots = slots;
        self
    }

    /// The build of the program, to tell deployments apart.
    #[must_use]
    pub fn build_id(mut self, build_id: impl Into<String>) -> Self {
        self.profile.build_id = build_id.into();
        self
    }

    /// How long running handlers may go on when the agent drains. Then they are cancelled and handed back. Default 30 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Whether SIGTERM and SIGINT drain the agent; a second one ends it at once. Default: with [`AgentBuilder::run`]
    /// they do, with [`AgentBuilder::spawn`] they don't.
    #[must_use]
    pub fn drain_on_signals(mut self, drain: bool) -> Self {
        self.drain_on_signals = Some(drain);
        self
    }

    /// Whether the connection has a thread of its own, so that no handler that keeps the runtime busy delays a heartbeat. Default:
    /// yes. Without it the connection is on the runtime of the handlers: for programs that have one thread, and for tests with
    /// tokio's paused clock.
    #[must_use]
    pub fn own_thread(mut self, own: bool) -> Self {
        self.own_thread = own;
        self
    }

    /// Handles a task type (`*`: any that no other handler takes) with a function of values. The input is read as
    /// [`crate::from_payload`] does, the result becomes a payload as [`crate::to_payload`] does. An input that is no `I`
    /// fails the task for good.
    ///
    /// When the attempt is cancelled the [`Context`] says so; ten seconds later the handler is dropped at its next
    /// `.await`.
    #[must_use]
    pub fn handle<F, Fut, I, O, E>(self, task_type: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize,
        E: Into<TaskError>,
    {
        self.add(task_type.into(), handlers::of_values(handler))
    }

    /// The same, and lists the JSON Schemas of what the handler takes and gives, unless [`AgentBuilder::describe`] gives others. One of more
    /// than 64 KiB is left out, with a warning in the log. Needs the feature `schemars`.
    ///
    /// ```
    /// # use callboard::{Agent, Context, TaskError};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Query {
    ///     text: String,
    /// }
    ///
    /// #[derive(Serialize, JsonSchema)]
    /// struct Found {
    ///     pages: Vec<String>,
    /// }
    ///
    /// async fn find(_: Context, query: Query) -> Result<Found, TaskError> {
    ///     Ok(Found { pages: vec![query.text] })
    /// }
    ///
    /// let agent = Agent::builder("finder").handle_with_schemas("find", find);
    /// ```
    #[cfg(feature = "schemars")]
    #[must_use]
    pub fn handle_with_schemas<F, Fut, I, O, E>(self, task_type: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + schemars::JsonSchema + Send + 'static,
        O: Serialize + schemars::JsonSchema,
        E: Into<TaskError>,
    {
        let task_type = task_type.into();
        let schemas = schemas::of_types::<I, O>(&task_type);
        let mut agent = self.handle(task_type.clone(), handler);
        agent.schemas.insert(task_type, schemas);
        agent
    }

    /// Handles any task type that no other handler takes: [`AgentBuilder::handle`] of `*`.
    #[must_use]
    pub fn handle_any<F, Fut, I, O, E>(self, handler: F) -> Self
    where
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize,
        E: Into<TaskError>,
    {
        self.handle(ANY, handler)
    }

    /// Handles a task type (`*`: any that no other handler takes) with a function of payloads, taken and given as they
    /// are.
    #[must_use]
    pub fn handle_payload<F, Fut, E>(self, task_type: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context, v1::Payload) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<v1::Payload, E>> + Send + 'static,
        E: Into<TaskError>,
    {
        self.add(task_type.into(), handlers::of_payloads(handler))
    }

    /// Handles the messages in the agent's mailbox, one at a time, in their order. A message is acknowledged when its
    /// handler returned without an error; with an error it comes again after a while, five times in all, and later ones of
    /// its sender wait. It may also come again after a crash: deduplicate by its id what must not happen twice.
    #[must_use]
    pub fn on_message<F, Fut, E>(mut self, handler: F) -> Self
    where
        F: Fn(Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<TaskError>,
    {
        self.on_message = Some(message::of(handler));
        self
    }

    /// Says of a task type that is handled what it does, for people and for agents that look for help: a description, and
    /// JSON Schemas of input and result (empty: those of the handler's types, if it was added with them, or none). One of more than 64 KiB
    /// is left out, with a warning in the log. Schemas are shown, inputs are not checked against them.
    #[must_use]
    pub fn describe(mut self, handler: v1::TaskHandler) -> Self {
        let known = self.profile.handles.iter_mut().find(|known| known.r#type == handler.r#type);
        match known {
            Some(known) => *known = handler,
            None => self.profile.handles.push(handler),
        }
        self
    }

    /// Attaches and works until it is drained, or can't go on. SIGTERM and SIGINT drain it, unless
    /// [`AgentBuilder::drain_on_signals`] says otherwise. Dropping the future stops the agent at once.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when a setting is not as it may be, or [`AgentBuilder::health`] can't be listened at; what the server said when attaching again can't help:
    /// the agent's name is in use by a newer session or belongs to another principal, the namespace does not exist.
    pub async fn run(mut self) -> Result<()> {
        self.drain_on_signals.get_or_insert(true);
        self.spawn()?.join().await
    }

    /// The same in the background, steered by the handle. Must be called inside a tokio runtime, where the handlers will
    /// run. The connection is on a thread of its own, unless [`AgentBuilder::own_thread`] says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when a setting is not as it may be, [`AgentBuilder::health`] can't be listened at, or there is no tokio
    /// runtime.
    pub fn spawn(self) -> Result<AgentHandle> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::invalid("agent", "agent must be started inside a tokio runtime: handlers run there"))?;
        driver::spawn(self.plan()?, runtime)
    }

    fn add(mut self, task_type: String, handler: Handler) -> Self {
        let known = self.profile.handles.iter().any(|known| known.r#type == task_type);
        if !known {
            self.profile.handles.push(v1::TaskHandler { r#type: task_type.clone(), ..v1::TaskHandler::default() });
        }
        self.schemas.remove(&task_type);
        self.handlers.insert(task_type, handler);
        self
    }

    pub(super) fn plan(mut self) -> Result<Plan> {
        self.check()?;
        schemas::complete(&mut self.profile.handles, self.schemas);
        self.profile.name = name::choose(self.name, &self.profile.agent_type, entropy::seed());
        let addresses = settings::addresses(self.address.as_deref())?;
        let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let namespace = settings::namespace(self.namespace);
        let identity = self.identity.map_or_else(|| self.credentials.resolve(), Ok)?;
        let mut client = Client::builder()
            .address(listed.join(","))
            .namespace(namespace.clone())
            .identity(identity)
            .interceptors(self.interceptors);
        if let Some(connector) = self.connector {
            client = client.connector(connector);
        }
        let client = client.build()?;
        Ok(Plan {
            addresses,
            namespace,
            health: self.health.or_else(|| settings::variable(settings::HEALTH_VARIABLE)),
            profile: self.profile,
            handlers: self.handlers,
            on_message: self.on_message,
            client,
            drain_timeout: self.drain_timeout,
            drain_on_signals: self.drain_on_signals.unwrap_or(false),
            own_thread: self.own_thread,
        })
    }

    fn check(&self) -> Result<()> {
        if self.handlers.is_empty() {
            return Err(Error::invalid("handles", "the agent handles no task type: give it a handler"));
        }
        let mut described = self.profile.handles.iter().map(|known| known.r#type.as_str());
        if let Some(idle) = described.find(|task_type| self.handlers.find(task_type).is_none()) {
            return Err(Error::invalid("handles", format!("task type `{idle}` is described, but has no handler")));
        }
        if !(1..=MAX_SLOTS).contains(&self.profile.slots) {
            let slots = self.profile.slots;
            return Err(Error::invalid("slots", format!("slots is {slots}: give a number from 1 to {MAX_SLOTS}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agent;

    fn builder() -> AgentBuilder {
        Agent::builder("t").handle("echo", |_: Context, text: String| async move { Ok::<_, TaskError>(text) })
    }

    #[test]
    fn the_profile_says_what_was_said() {
        let plan = builder().name("n").skill("s").tool("x").label("zone", "a").slots(7).plan().unwrap();
        assert_eq!(plan.profile.name, "n");
        assert_eq!(plan.profile.agent_type, "t");
        assert_eq!(plan.profile.slots, 7);
        assert_eq!(plan.profile.sdk, "rust");
        assert_eq!(plan.profile.handles[0].r#type, "echo");
    }

    #[test]
    fn bad_settings_are_refused_before_anything_is_sent() {
        assert!(builder().slots(0).plan().is_err());
        assert!(builder().slots(1001).plan().is_err());
        assert!(builder().address("nowhere").plan().is_err());
        assert!(Agent::builder("t").plan().is_err(), "no handler");
        let described = v1::TaskHandler { r#type: "other".into(), ..Default::default() };
        assert!(builder().describe(described).plan().is_err(), "described, not handled");
    }

    #[test]
    fn an_agent_needs_a_runtime() {
        assert!(builder().spawn().unwrap_err().to_string().contains("tokio runtime"));
    }

    #[test]
    fn an_agent_without_a_type_is_an_agent() {
        assert_eq!(Agent::builder("").profile.agent_type, "agent");
    }
}
