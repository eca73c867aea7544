//! The conformance suite's driver of the Rust SDK. It has one thread, the hardest case: a handler that never yields keeps everything
//! from running but what the SDK runs elsewhere.

mod agents;
mod children;
mod clients;
mod defect;
mod gates;
mod interceptors;
mod outputs;
mod placement;
mod program;
mod shown;
mod spec;
mod typed;
mod value;
mod watches;
mod workflows;

use crate::agents::Started;
use crate::defect::Defect;
use crate::interceptors::Named;
use crate::outputs::Gathering;
use crate::watches::Watching;
use callboard::{Client, Credentials};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

/// What was made by instructions, under the names that they gave.
#[derive(Default)]
struct Made {
    clients: HashMap<String, Client>,
    agents: HashMap<String, Started>,
    watches: HashMap<String, Watching>,
    outputs: HashMap<String, Gathering>,
}

type Shared = Rc<RefCell<Made>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    address: String,
    namespace: String,
    timeout_ms: Option<u64>,
    token: Option<String>,
    #[serde(default)]
    interceptors: Vec<Named>,
}

/// Says a line.
fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // A runner that is gone closes our input, too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn main() -> ExitCode {
    let defect = match Defect::plant() {
        Ok(defect) => defect,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(64);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    LocalSet::new().block_on(&runtime, serve(defect));
    // Handlers that still do something are left to themselves.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

async fn serve(defect: Option<Defect>) {
    say(&json!({ "ready": { "sdk": "rust", "protocol": 1 } }));
    let made = Shared::default();
    let mut lines = lines();
    let mut running = JoinSet::new();
    while let Some(line) = lines.recv().await {
        let made = made.clone();
        running.spawn_local(async move { answer(&line, made, defect).await });
        while running.try_join_next().is_some() {}
    }
    let agents: Vec<Started> = made.borrow().agents.values().cloned().collect();
    futures::future::join_all(agents.iter().map(agents::stop)).await;
}

/// The lines of standard input, read by a thread of their own: handlers may block this one.
fn lines() -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn answer(line: &str, made: Shared, defect: Option<Defect>) {
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(line) else {
        return say(&json!({ "fault": "a line that is no JSON object" }));
    };
    let (Some(id), Some(Value::String(verb))) = (fields.remove("id"), fields.remove("do")) else {
        return say(&json!({ "fault": "a line without `id` and `do`" }));
    };
    let mut line = match carry_out(&verb, fields, made, defect).await {
        Ok(answer) => answer,
        Err(fault) => json!({ "fault": fault }),
    };
    line["id"] = id;
    say(&line);
}

/// Carries out an instruction. Gives its answer but for the id; the error is the driver's fault.
async fn carry_out(
    verb: &str,
    mut fields: Map<String, Value>,
    made: Shared,
    defect: Option<Defect>,
) -> Result<Value, String> {
    match verb {
        "gate.open" => {
            gates::open(&name(&mut fields, "gate")?);
            nothing_left(verb, &fields)?;
            Ok(json!({ "ok": {} }))
        }
        "agent.start" => start_agent(fields, &made, defect),
        "client.open" => open_client(fields, &made),
        "client.close" => {
            made.borrow_mut().clients.remove(&name(&mut fields, "client")?);
            nothing_left(verb, &fields)?;
            Ok(json!({ "ok": {} }))
        }
        "watch.start" => {
            let (watch, client) = (name(&mut fields, "watch")?, client(&mut fields, &made)?);
            let start: watches::Start = read(verb, fields)?;
            made.borrow_mut().watches.insert(watch, start.start(client));
            Ok(json!({ "ok": {} }))
        }
        "watch.wait" | "watch.stop" => watch(verb, fields, &made).await,
        "output.start" => {
            let (watch, client) = (name(&mut fields, "watch")?, client(&mut fields, &made)?);
            let start: outputs::Start = read(verb, fields)?;
            made.borrow_mut().outputs.insert(watch, start.start(client));
            Ok(json!({ "ok": {} }))
        }
        "output.wait" | "output.stop" => output(verb, fields, &made).await,
        _ if verb.starts_with("agent.") => {
            let name = name(&mut fields, "agent")?;
            let timeout_ms = fields.remove("timeout_ms").and_then(|value| value.as_u64());
            nothing_left(verb, &fields)?;
            let agent = made.borrow().agents.get(&name).cloned();
            agent.ok_or_else(|| format!("{verb}: there is no agent `{name}`"))?.call(verb, timeout_ms).await
        }
        _ if verb.starts_with("client.") => {
            let client = client(&mut fields, &made)?;
            clients::call(&client, verb, Value::Object(fields)).await
        }
        _ => Err(format!("there is no instruction `{verb}`")),
    }
}

fn start_agent(fields: Map<String, Value>, made: &Shared, defect: Option<Defect>) -> Result<Value, String> {
    let start: agents::Start = read("agent.start", fields)?;
    let name = start.agent.clone();
    match start.start(defect)? {
        Ok(agent) => {
            made.borrow_mut().agents.insert(name, agent);
            Ok(json!({ "ok": {} }))
        }
        Err(error) => Ok(json!({ "error": error })),
    }
}

fn open_client(mut fields: Map<String, Value>, made: &Shared) -> Result<Value, String> {
    let name = name(&mut fields, "client")?;
    let open: Open = read("client.open", fields)?;
    let mut builder = Client::builder().address(open.address).namespace(open.namespace);
    if let Some(timeout) = open.timeout_ms {
        builder = builder.timeout(Duration::from_millis(timeout));
    }
    if let Some(token) = open.token {
        builder = builder.credentials(Credentials::new().token(token));
    }
    for interceptor in open.interceptors {
        builder = builder.interceptor(interceptor);
    }
    match builder.build() {
        Ok(client) => {
            made.borrow_mut().clients.insert(name, client);
            Ok(json!({ "ok": {} }))
        }
        Err(error) => Ok(json!({ "error": shown::error(&error) })),
    }
}

async fn watch(verb: &str, mut fields: Map<String, Value>, made: &Shared) -> Result<Value, String> {
    let name = name(&mut fields, "watch")?;
    let known = made.borrow().watches.get(&name).cloned();
    let known = known.ok_or_else(|| format!("{verb}: there is no watch `{name}`"))?;
    if verb == "watch.stop" {
        nothing_left(verb, &fields)?;
        made.borrow_mut().watches.remove(&name);
        return Ok(known.stop());
    }
    let mut number = |field: &str| fields.remove(field).and_then(|value| value.as_u64());
    let (count, limit) = (number("count").unwrap_or(0), number("timeout_ms").unwrap_or(0));
    nothing_left(verb, &fields)?;
    Ok(known.wait(usize::try_from(count).unwrap_or(usize::MAX), Duration::from_millis(limit)).await)
}

async fn output(verb: &str, mut fields: Map<String, Value>, made: &Shared) -> Result<Value, String> {
    let name = name(&mut fields, "watch")?;
    let known = made.borrow().outputs.get(&name).cloned();
    let known = known.ok_or_else(|| format!("{verb}: there is no watch `{name}`"))?;
    if verb == "output.stop" {
        nothing_left(verb, &fields)?;
        made.borrow_mut().outputs.remove(&name);
        return Ok(known.stop());
    }
    let mut number = |field: &str| fields.remove(field).and_then(|value| value.as_u64());
    let (bytes, limit) = (number("bytes").unwrap_or(0), number("timeout_ms").unwrap_or(0));
    nothing_left(verb, &fields)?;
    Ok(known.wait(bytes, Duration::from_millis(limit)).await)
}

fn client(fields: &mut Map<String, Value>, made: &Shared) -> Result<Client, String> {
    let name = name(fields, "client")?;
    made.borrow().clients.get(&name).cloned().ok_or_else(|| format!("there is no client `{name}`"))
}

fn name(fields: &mut Map<String, Value>, field: &str) -> Result<String, String> {
    match fields.remove(field) {
        Some(Value::String(name)) => Ok(name),
        _ => Err(format!("`{field}` is missing, or no text")),
    }
}

fn read<T: serde::de::DeserializeOwned>(verb: &str, fields: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| format!("{verb}: {error}"))
}

fn nothing_left(verb: &str, fields: &Map<String, Value>) -> Result<(), String> {
    match fields.keys().next() {
        Some(field) => Err(format!("{verb} has no field `{field}`")),
        None => Ok(()),
    }
}
