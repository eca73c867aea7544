//! What happened, in its order: as a digest, as counts, and as lines when they are asked for.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What the network says of its messages goes under this name.
const NETWORK: &str = "turmoil";

/// Cheap to clone; clones write the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    at: Duration,
    digest: Sha256,
    seen: BTreeMap<String, u64>,
    panics: Vec<String>,
    events: BTreeMap<(String, i64), Duration>,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// One whose lines go to a file, too, with everything that is logged.
    pub fn to(file: Option<File>) -> Self {
        Self(Arc::new(Mutex::new(Inner { file: file.map(BufWriter::new), ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes now is of this time.
    pub fn at(&self, elapsed: Duration) {
        self.inner().at = elapsed;
    }

    /// Something happened that the same seed must do again.
    pub fn note(&self, who: &str, what: &dyn Debug) {
        let mut inner = self.inner();
        let line = format!("{:?} {who}: {what:?}\n", inner.at);
        inner.digest.update(&line);
        if let Some(file) = &mut inner.file {
            file.write_all(line.as_bytes()).expect("the trace can be written");
        }
    }

    /// Something was seen to happen.
    pub fn count(&self, what: &str) {
        *self.inner().seen.entry(what.to_owned()).or_default() += 1;
    }

    /// An event of a task was committed.
    pub fn event(&self, task: String, sequence: i64) {
        let mut inner = self.inner();
        let at = inner.at;
        inner.events.insert((task, sequence), at);
    }

    /// When an event was committed: by no clock that can be wrong.
    pub fn committed(&self, task: &str, sequence: i64) -> Option<Duration> {
        self.inner().events.get(&(task.to_owned(), sequence)).copied()
    }

    /// Something panicked.
    pub fn panicked(&self, what: String) {
        self.inner().panics.push(what);
    }

    /// What panicked.
    pub fn panics(&self) -> Vec<String> {
        self.inner().panics.clone()
    }

    /// How often what was seen.
    pub fn seen(&self) -> BTreeMap<String, u64> {
        self.inner().seen.clone()
    }

    /// Of everything that was noted.
    pub fn digest(&self) -> String {
        let digest = self.inner().digest.clone().finalize();
        digest.iter().take(16).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Writes out what is left.
    pub fn flush(&self) {
        if let Some(file) = &mut self.inner().file {
            file.flush().expect("the trace can be written");
        }
    }

    fn has_lines(&self) -> bool {
        self.inner().file.is_some()
    }
}

/// Counts what the network does with messages; writes it and all logs to the trace's lines, when there are any.
pub(crate) struct Watcher {
    trace: Trace,
    lines: bool,
}

impl Watcher {
    /// For a trace.
    pub fn of(trace: &Trace) -> Self {
        Self { trace: trace.clone(), lines: trace.has_lines() }
    }
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("callboard") && *metadata.level() <= Level::DEBUG;
        metadata.target() == NETWORK || (self.lines && ours)
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let is_network = event.metadata().target() == NETWORK;
        let mut said = Said { message: String::new(), fields: String::new(), with_fields: self.lines };
        event.record(&mut said);
        if is_network {
            match said.message.as_str() {
                "Send" => self.trace.count("messages"),
                "Drop" => self.trace.count("messages dropped"),
                "Hold" => self.trace.count("messages held"),
                _ => {}
            }
        }
        if self.lines && !said.message.starts_with("step ") {
            let who = if is_network { "network" } else { "log" };
            self.trace.note(who, &format_args!("{}{}", said.message, said.fields));
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// An event as text.
struct Said {
    message: String,
    fields: String,
    with_fields: bool,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else if self.with_fields {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}
