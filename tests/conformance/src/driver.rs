//! A driver's process, and the lines that are exchanged with it: see DRIVER.md.

use crate::news::until;
use crate::sdk::Sdk;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The version of the contract.
const PROTOCOL: u64 = 1;
/// How long a driver may take to be ready: an interpreter starts, on a machine that does much else.
const START: Duration = Duration::from_secs(30);

/// What an instruction gave.
#[derive(Clone, Debug)]
pub enum Answer {
    /// What the SDK gave.
    Ok(Value),
    /// What the SDK raised.
    Error(Value),
}

/// A driver that runs. It is killed when it is dropped.
#[derive(Debug)]
pub struct Driver {
    child: Mutex<Child>,
    pid: u32,
    input: tokio::sync::Mutex<ChildStdin>,
    heard: Arc<Heard>,
    numbers: AtomicU64,
    log: PathBuf,
    _folder: TempDir,
    _reading: JoinSet<()>,
}

/// What came from it.
#[derive(Debug, Default)]
struct Heard {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Answer, String>>>>,
    seen: Mutex<Vec<Value>>,
    news: Notify,
    ended: Mutex<Option<String>>,
}

impl Driver {
    /// Starts one, and waits until it is ready. A defect is planted in its SDK.
    ///
    /// # Errors
    ///
    /// When it can't be started, or says something else than that it is ready.
    pub async fn start(sdk: Sdk, defect: Option<&str>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = folder.path().join("driver.log");
        let errors = std::fs::File::create(&log).map_err(|error| error.to_string())?;
        // Finding it may run a program, and must not hold up the proxies meanwhile.
        let with_defect = defect.is_some();
        let found =
            tokio::task::spawn_blocking(move || sdk.command(with_defect)).await.map_err(|error| error.to_string())?;
        let mut command = Command::from(found?);
        if let Some(defect) = defect {
            command.env("CALLBOARD_DEFECT", defect);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("the driver of {sdk} can't be started: {error}"))?;
        let (Some(input), Some(output), Some(pid)) = (child.stdin.take(), child.stdout.take(), child.id()) else {
            return Err("the driver has no pipes".to_owned());
        };
        let mut lines = BufReader::new(output);
        let shown = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut first = String::new();
        let heard = timeout(START, lines.read_line(&mut first)).await;
        heard
            .map_err(|_| format!("the driver of {sdk} was not ready within {START:?}: {}", shown()))?
            .map_err(|e| e.to_string())?;
        let ready: Value = serde_json::from_str(&first).unwrap_or_default();
        if ready["ready"]["protocol"] != json!(PROTOCOL) {
            return Err(format!("the driver of {sdk} said {first:?} instead of that it is ready; {}", shown()));
        }
        let heard = Arc::new(Heard::default());
        let mut reading = JoinSet::new();
        reading.spawn(listen(lines, heard.clone()));
        Ok(Self {
            child: Mutex::new(child),
            pid,
            input: tokio::sync::Mutex::new(input),
            heard,
            numbers: AtomicU64::new(1),
            log,
            _folder: folder,
            _reading: reading,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still talks.
    pub fn is_alive(&self) -> bool {
        self.heard.ended.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The last of what it logged.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Ends it at once (SIGKILL), and waits until it has.
    pub async fn kill(&self) {
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        until(&self.heard.news, START, || (!self.is_alive()).then_some(())).await;
    }

    /// Gives it an instruction. The answer comes by the future that this gives, when it comes.
    ///
    /// # Errors
    ///
    /// When it does not take it.
    pub async fn tell(&self, verb: &str, args: &Value) -> Result<oneshot::Receiver<Result<Answer, String>>, String> {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut line = args.clone();
        line["id"] = id.into();
        line["do"] = verb.into();
        let (send, answer) = oneshot::channel();
        self.heard.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, send);
        let mut input = self.input.lock().await;
        let text = format!("{line}\n");
        input.write_all(text.as_bytes()).await.map_err(|error| format!("the driver takes no instruction: {error}"))?;
        input.flush().await.map_err(|error| error.to_string())?;
        Ok(answer)
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Value> {
        self.heard.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told of by what it sees.
    pub fn news(&self) -> &Notify {
        &self.heard.news
    }
}

async fn listen(mut lines: BufReader<ChildStdout>, heard: Arc<Heard>) {
    let mut line = String::new();
    let fault = loop {
        line.clear();
        match lines.read_line(&mut line).await {
            Ok(0) => break "the driver has ended".to_owned(),
            Ok(_) => {
                if let Err(fault) = hear(&line, &heard) {
                    break fault;
                }
            }
            Err(error) => break error.to_string(),
        }
    };
    *heard.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
    for (_, waiting) in heard.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain() {
        let _ = waiting.send(Err(fault.clone()));
    }
    heard.news.notify_waiters();
}

fn hear(line: &str, heard: &Heard) -> Result<(), String> {
    let mut said: Value =
        serde_json::from_str(line).map_err(|error| format!("the driver said {:.200}: {error}", line.trim()))?;
    if said.get("saw").is_some() {
        heard.seen.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        heard.news.notify_waiters();
        return Ok(());
    }
    let id = said["id"].as_u64().ok_or_else(|| format!("the driver said {:.200}", line.trim()))?;
    let waiting = heard.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let waiting = waiting.ok_or_else(|| format!("the driver answered {id}, which nobody asked"))?;
    let answer = match said
        .as_object_mut()
        .map(|fields| (fields.remove("ok"), fields.remove("error"), fields.remove("fault")))
    {
        Some((Some(ok), None, None)) => Ok(Answer::Ok(ok)),
        Some((None, Some(error), None)) => Ok(Answer::Error(error)),
        Some((None, None, Some(fault))) => Err(format!("the driver's fault: {}", fault.as_str().unwrap_or_default())),
        _ => return Err(format!("the driver said {:.200}", line.trim())),
    };
    let _ = waiting.send(answer);
    Ok(())
}
