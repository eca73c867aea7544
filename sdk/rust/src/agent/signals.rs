//! SIGTERM and SIGINT, when they are asked for.

use std::future::pending;

use crate::{Error, Result};

/// The signals heard so far.
pub(super) struct Signals {
    source: Option<Source>,
    heard: u32,
}

impl Signals {
    /// Listens, if that is asked for. Needs a runtime with I/O.
    pub(super) fn listen(asked: bool) -> Result<Self> {
        let source = if asked { Some(Source::new()?) } else { None };
        Ok(Self { source, heard: 0 })
    }

    /// How many came.
    pub(super) fn heard(&self) -> u32 {
        self.heard
    }

    /// Completes with the next one.
    pub(super) async fn next(&mut self) {
        match &mut self.source {
            Some(source) => source.next().await,
            None => pending().await,
        }
        self.heard += 1;
    }
}

#[cfg(unix)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).map_err(|error| unavailable(&error))?;
        let interrupt = signal(SignalKind::interrupt()).map_err(|error| unavailable(&error))?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "ctrl-c can't be listened for");
            pending().await
        }
    }
}

#[cfg(unix)]
fn unavailable(error: &std::io::Error) -> Error {
    Error::invalid("drain_on_signals", format!("signals can't be listened for: {error}"))
}
