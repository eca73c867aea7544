//! The server's log, whose filter can be set while it runs.

use super::settings::{LogFormat, Settings};
use crate::error::Error;
use callboard_server::{LogControl, LogFault};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// How a filter is written.
const REMEDY: &str =
    "write one like `info` or `info,callboard_engine=debug`, of the levels off, error, warn, info, debug and trace";

/// Reads a filter: at most one level, and `PART=LEVEL` for parts of the program.
///
/// `Targets` reads more than we take: for it a misspelt level is the name of a part, and nothing else would be logged any more.
pub fn filter(text: &str) -> Result<Targets, String> {
    let mut filter = Targets::new();
    let mut general = None;
    for directive in text.split(',').map(str::trim) {
        let fault = |fault: &str| format!("{:?} {fault}; {REMEDY}", beginning(directive));
        match directive.split_once('=') {
            None if directive.is_empty() => return Err(fault("is no level")),
            None => {
                let level = level(directive).ok_or_else(|| fault("is no level"))?;
                if general.replace(level).is_some() {
                    return Err(fault("is a second level for everything else"));
                }
                filter = filter.with_default(level);
            }
            Some((part, _)) if !is_part(part) => return Err(fault("names no part of the program")),
            Some((part, name)) => {
                filter = filter.with_target(part, level(name).ok_or_else(|| fault("has no level behind its ="))?);
            }
        }
    }
    Ok(filter)
}

fn level(name: &str) -> Option<LevelFilter> {
    LEVELS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| level)
}

/// So much of what can't be read that the fault is found behind it.
fn beginning(directive: &str) -> String {
    match directive.char_indices().nth(64) {
        Some((at, _)) => format!("{}…", &directive[..at]),
        None => directive.to_owned(),
    }
}

/// Whether it could be a module: `callboard_engine::sweep`.
fn is_part(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
}

/// Sets the filter of the log that was started.
#[derive(Debug)]
struct Control {
    handle: Handle<Targets, Registry>,
    /// As it was written.
    filter: Mutex<String>,
}

/// Starts to log on standard error.
pub fn start(settings: &Settings) -> Result<Arc<dyn LogControl>, Error> {
    let filter = filter(&settings.log).map_err(|fault| Error::Usage(format!("log: {fault}")))?;
    let (filter, handle) = reload::Layer::new(filter);
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = match settings.log_format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal() && crate::output::colour_wanted()).boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(logs).try_init();
    started.map_err(|error| Error::Serve(format!("the log can't be started: {error}")))?;
    Ok(Arc::new(Control { handle, filter: Mutex::new(settings.log.clone()) }))
}

impl LogControl for Control {
    fn filter(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_filter(&self, text: &str, by: &str) -> Result<String, LogFault> {
        let new = filter(text).map_err(LogFault::Unreadable)?;
        let mut current = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let say = || tracing::warn!(by, previous = current.as_str(), filter = text, "the filter of the log is set");
        // A log that falls silent says so before, one that was silent after.
        let heard = tracing::enabled!(Level::WARN);
        if heard {
            say();
        }
        self.handle.reload(new).map_err(|error| LogFault::Failed(format!("the log's filter can't be set: {error}")))?;
        if !heard {
            say();
        }
        Ok(std::mem::replace(&mut *current, text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_and_levels_of_parts_are_read() {
        for (text, same) in [
            ("info", "info"),
            (" WARN , callboard_engine::sweep=Trace,h2=off", "callboard_engine::sweep=trace,h2=off,warn"),
            ("callboard_engine=debug", "callboard_engine=debug"),
        ] {
            assert_eq!(filter(text).unwrap(), same.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_misspelt_is_no_name_of_a_part() {
        for text in [
            "",
            " ",
            "debgu",
            "info,",
            "info,,h2=off",
            "3",
            "callboard_engine",
            "h2=",
            "=info",
            "a=b=c",
            "a=loud",
            "info,debug",
            "a[{b}]=info",
            "a b=info",
            "a\n=info",
        ] {
            let fault = filter(text).unwrap_err();
            assert!(fault.contains("; write one like `info`"), "{text:?}: {fault}");
        }
        let long = filter(&"é".repeat(1_000)).unwrap_err();
        assert!(long.starts_with(&format!("\"{}…\" is no level", "é".repeat(64))), "{long}");
    }
}
