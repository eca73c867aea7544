//! One scenario with one SDK: what it has to itself, and what it knows so far.

use crate::driver::{Answer, Driver};
use crate::proxy::{Proxy, Shared};
use crate::read::Reader;
use crate::scenario::{Scenario, Step};
use crate::sdk::Sdk;
use crate::stage::{Host, Stage};
use crate::value::{at, fill};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What a call may take beyond its own limit, which scenarios give.
const MORE: Duration = Duration::from_secs(20);
/// The name of the client, and of the agent, that a scenario has if it names none.
const CLIENT: &str = "c";
const AGENT: &str = "a";

/// What comes when an instruction is answered.
type Pending = oneshot::Receiver<Result<Answer, String>>;

/// One scenario with one SDK.
pub struct World<'s> {
    stage: &'s Stage,
    sdk: Sdk,
    /// Before every name that is global to a driver.
    prefix: String,
    /// The scenario's namespace.
    pub namespace: String,
    /// The server, or two.
    pub hosts: Vec<Arc<Host>>,
    /// What the server has; of two the second, for the first is the one that goes.
    pub reader: Reader,
    /// What passed between the SDK and the server, and what is done to it.
    pub wire: Arc<Shared>,
    /// Two addresses of the one server, or one of each.
    pub proxies: [Proxy; 2],
    drivers: HashMap<String, Arc<Driver>>,
    clients: Vec<(String, String)>,
    agents: Vec<(String, String)>,
    known: Map<String, Value>,
    pending: HashMap<String, Pending>,
}

impl<'s> World<'s> {
    /// Sets everything up. `number` is unique in this run.
    ///
    /// # Errors
    ///
    /// What could not be started.
    pub async fn set_up(stage: &'s Stage, sdk: Sdk, scenario: &Scenario, number: usize) -> Result<Self, String> {
        let hosts = stage.servers(scenario).await?;
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else { return Err("no server".to_owned()) };
        let (first, last) = (first.address, last.address);
        let namespace = format!("{sdk}-{number}");
        let reader = Reader::new(&format!("http://{last}"), &namespace)?;
        reader.create_namespace().await.map_err(|status| format!("the namespace can't be made: {status}"))?;
        let wire = Arc::new(Shared::default());
        let proxy = |to| Proxy::start(to, wire.clone());
        let proxies = [proxy(first).await, proxy(last).await];
        let [Ok(one), Ok(other)] = proxies else { return Err(format!("no port for a proxy: {proxies:?}")) };
        let proxies = [one, other];
        let mut known = Map::new();
        known.insert("proxy".into(), proxies[0].url().into());
        known.insert("proxy2".into(), proxies[1].url().into());
        known.insert("server".into(), format!("http://{first}").into());
        known.insert("server2".into(), format!("http://{last}").into());
        known.insert("namespace".into(), namespace.clone().into());
        known.insert("sdk".into(), sdk.to_string().into());
        Ok(Self {
            stage,
            sdk,
            prefix: format!("s{number}."),
            namespace,
            hosts,
            reader,
            wire,
            proxies,
            drivers: HashMap::new(),
            clients: Vec::new(),
            agents: Vec::new(),
            known,
            pending: HashMap::new(),
        })
    }

    /// How long anything is waited for.
    pub fn patience(&self) -> Duration {
        self.stage.patience
    }

    /// A value of the scenario with what it leaves open.
    ///
    /// # Errors
    ///
    /// What is not known.
    pub fn fill(&self, value: &Value) -> Result<Value, String> {
        fill(value, &|path| self.look_up(path))
    }

    fn look_up(&self, path: &str) -> Option<Value> {
        if let Some(ahead) = path.strip_prefix("now+") {
            return Some((milliseconds_now() + ahead.parse::<i64>().ok()?).into());
        }
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        at(self.known.get(name)?, rest).cloned()
    }

    /// The id of a task that is named by the answer that has it: `t`, `ts.receipts.0`; or by itself.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn task_id(&self, named: &Value) -> Result<String, String> {
        let named = named.as_str().ok_or_else(|| format!("{named} names no task"))?;
        let found = self.look_up(named);
        let id = found.as_ref().map(|value| value.get("task_id").unwrap_or(value).clone());
        match id.as_ref().and_then(Value::as_str) {
            Some(id) => Ok(id.to_owned()),
            None if named.contains('-') => Ok(named.to_owned()),
            None => Err(format!("there is no task `{named}`")),
        }
    }

    /// The name that a gate has in the driver.
    pub fn gate(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A process of the scenario's SDK.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub async fn driver(&mut self, process: &str) -> Result<Arc<Driver>, String> {
        if let Some(known) = self.drivers.get(process) {
            return Ok(known.clone());
        }
        let driver = self.stage.driver(self.sdk, process != "main").await?;
        self.drivers.insert(process.to_owned(), driver.clone());
        Ok(driver)
    }

    /// Has a driver do something. Its answer is checked, and kept under the step's name.
    ///
    /// # Errors
    ///
    /// When it is otherwise than the step says.
    pub async fn instruct(&mut self, step: &Step) -> Result<(), String> {
        let mut args = self.fill(&step.args)?;
        if args.is_null() {
            args = json!({});
        }
        self.complete(&step.verb, &mut args);
        let driver = self.driver(&step.process).await?;
        if has_client(&step.verb) {
            self.open_client(&driver, step, &args).await?;
        }
        let attach =
            step.verb == "agent.start" && args.as_object_mut().and_then(|args| args.remove("attach")).is_none();
        let agent = args["agent"].clone();
        self.name_things(&step.verb, &mut args);
        if step.verb == "agent.start" {
            let agent = args["agent"].as_str().unwrap_or_default().to_owned();
            self.agents.push((step.process.clone(), agent));
        }
        let answer = driver.tell(&step.verb, &args).await?;
        if step.background {
            let name = step.name.clone().ok_or("what is in the background needs a name (`as`)")?;
            self.pending.insert(name, answer);
            return Ok(());
        }
        self.take(answer, step).await?;
        if attach {
            let name = self.gate(agent.as_str().unwrap_or(AGENT));
            let attached = driver.tell("agent.attached", &json!({ "agent": name, "timeout_ms": 15000 })).await?;
            let step = Step { expect: Some(json!({ "attached": true })), name: None, error: None, ..step.clone() };
            self.take(attached, &step).await.map_err(|fault| format!("attaching: {fault}"))?;
        }
        Ok(())
    }

    /// Waits for what was begun in the background.
    ///
    /// # Errors
    ///
    /// When it is otherwise than expected.
    pub async fn await_answer(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let answer = self.pending.remove(name).ok_or_else(|| format!("nothing is under way as `{name}`"))?;
        let step = Step { name: Some(name.to_owned()), ..step.clone() };
        self.take(answer, &step).await
    }

    async fn take(&mut self, answer: Pending, step: &Step) -> Result<(), String> {
        let heard = timeout(self.stage.patience + MORE, answer)
            .await
            .map_err(|_| "the driver did not answer in time".to_owned())?;
        let answer = heard.map_err(|_| "the driver has ended".to_owned())??;
        let (value, expected) = match (answer, &step.error) {
            (Answer::Ok(value), None) => (value, step.expect.as_ref()),
            (Answer::Error(error), Some(expected)) => (error, Some(expected)),
            (Answer::Ok(value), Some(expected)) => {
                return Err(format!("gave {}, not the error {expected}", crate::value::short(&value)));
            }
            (Answer::Error(error), None) => return Err(format!("the SDK raised {}", crate::value::short(&error))),
        };
        if let Some(expected) = expected {
            crate::value::matches(&value, &self.fill(expected)?).map_err(|fault| format!("its answer {fault}"))?;
        }
        if let Some(name) = &step.name {
            self.known.insert(name.clone(), value);
        }
        Ok(())
    }

    /// What a scenario need not say: whose client or agent, where the server is.
    fn complete(&self, verb: &str, args: &mut Value) {
        let default = |args: &mut Value, name: &str, value: Value| {
            if args.get(name).is_none() {
                args[name] = value;
            }
        };
        if has_client(verb) {
            default(args, "client", CLIENT.into());
        }
        if verb.starts_with("agent.") {
            default(args, "agent", AGENT.into());
        }
        if matches!(verb, "agent.attached" | "agent.wait") {
            default(args, "timeout_ms", 15_000.into());
        }
        if verb == "agent.start" {
            let name = args["agent"].clone();
            default(args, "options", json!({}));
            default(&mut args["options"], "name", name);
            default(&mut args["options"], "address", self.proxies[0].url().into());
            default(&mut args["options"], "namespace", self.namespace.clone().into());
            if let Some(handlers) = args["handlers"].as_object() {
                let list = handlers.iter().map(|(kind, program)| json!({ "type": kind, "program": program }));
                args["handlers"] = list.collect();
            }
        }
        if verb == "client.open" {
            default(args, "address", self.proxies[0].url().into());
            default(args, "namespace", self.namespace.clone().into());
        }
    }

    /// A client that is named for the first time is opened, through the first proxy.
    async fn open_client(&mut self, driver: &Driver, step: &Step, args: &Value) -> Result<(), String> {
        let client = args["client"].as_str().unwrap_or(CLIENT).to_owned();
        let key = (step.process.clone(), client.clone());
        if self.clients.contains(&key) {
            return Ok(());
        }
        self.clients.push(key);
        if step.verb == "client.open" {
            return Ok(());
        }
        let open =
            json!({ "client": self.gate(&client), "address": self.proxies[0].url(), "namespace": self.namespace });
        let answer = driver.tell("client.open", &open).await?;
        match timeout(MORE, answer).await {
            Ok(Ok(Ok(Answer::Ok(_)))) => Ok(()),
            other => Err(format!("a client could not be opened: {other:?}")),
        }
    }

    /// Names of things are global to a driver, which many scenarios share.
    fn name_things(&self, verb: &str, args: &mut Value) {
        let things: &[&str] = match verb {
            "watch.start" | "output.start" => &["watch", "client"],
            "watch.wait" | "watch.stop" | "output.wait" | "output.stop" => &["watch"],
            "gate.open" => &["gate"],
            _ if verb.starts_with("client.") => &["client", "give_up"],
            _ => &["agent"],
        };
        for thing in things {
            if let Some(name) = args.get(*thing).and_then(Value::as_str) {
                args[*thing] = self.gate(name).into();
            }
        }
        if verb == "agent.start" {
            let mut programs: Vec<&mut Value> = Vec::new();
            let args = args.as_object_mut().into_iter().flat_map(|args| args.iter_mut());
            for (name, value) in args {
                match name.as_str() {
                    "handlers" => {
                        programs.extend(
                            value.as_array_mut().into_iter().flatten().filter_map(|one| one.get_mut("program")),
                        );
                    }
                    "on_message" => programs.push(value),
                    _ => {}
                }
            }
            programs.into_iter().for_each(|program| self.name_gates(program));
        }
    }

    /// Those of a program, and of the programs in it.
    fn name_gates(&self, program: &mut Value) {
        for op in program.as_array_mut().into_iter().flatten() {
            if let Some(gate) = op.get("gate").and_then(Value::as_str) {
                op["gate"] = self.gate(gate).into();
            }
            if let Some(inner) = op.get_mut("program") {
                self.name_gates(inner);
            }
        }
    }

    /// Stops what the scenario began in drivers that others use, too.
    pub async fn clean_up(mut self) {
        let agents = std::mem::take(&mut self.agents);
        for (process, agent) in agents {
            let Some(driver) = self.drivers.get(&process) else { continue };
            if let Ok(answer) = driver.tell("agent.stop", &json!({ "agent": agent })).await {
                let _ = timeout(Duration::from_secs(5), answer).await;
            }
        }
        for (process, client) in &self.clients {
            let Some(driver) = self.drivers.get(process) else { continue };
            let _ = driver.tell("client.close", &json!({ "client": self.gate(client) })).await;
        }
    }

    /// The last of what the scenario's drivers logged.
    pub fn logs(&self) -> String {
        let logs = self.drivers.iter().map(|(process, driver)| (process, driver.log()));
        logs.filter(|(_, log)| !log.is_empty())
            .map(|(process, log)| format!("--- driver {process}:\n{log}\n"))
            .collect()
    }
}

/// Whether an instruction is for one of the driver's clients.
fn has_client(verb: &str) -> bool {
    verb.starts_with("client.") || matches!(verb, "watch.start" | "output.start")
}

/// The time by this machine's clock, which the server shares.
fn milliseconds_now() -> i64 {
    let since = callboard_tests::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
