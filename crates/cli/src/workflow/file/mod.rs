//! Workflow files: YAML or JSON, by the published schema, made into what the server is asked for.
//!
//! `source` reads bytes, `document` makes them a value with the lines of its parts, `parameters` puts values in, `format` is what a
//! file may say, `spec` makes it a workflow. Whatever is wrong is told with its line and its path, and nothing has been sent by then.

mod document;
mod fault;
mod fields;
mod format;
mod parameters;
mod source;
mod spec;

use std::io::Read;
use std::path::Path;

use callboard::v1::WorkflowSpec;
use jiff::Timestamp;

use fault::Fault;
pub use fault::FileError;

/// The JSON Schema of workflow files (draft 2020-12).
pub const SCHEMA: &str = include_str!("../../../../../schemas/workflow.schema.json");

/// What a file's tasks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A workflow of their own.
    Create,
    /// One that exists, whose tasks they may wait for.
    Add,
}

/// Reads a file, or `stdin` for `-`, and gives its parameters the values of `set`. Durations in it are from `now`.
pub fn read(
    path: &Path,
    stdin: impl Read,
    set: &[(String, String)],
    now: Timestamp,
    purpose: Purpose,
) -> Result<WorkflowSpec, FileError> {
    let name = source::name(path);
    let error = |faults| FileError { file: name.clone(), faults };
    let text = source::read(path, stdin).map_err(|fault| error(vec![fault]))?;
    parse(&text, set, now, purpose).map_err(error)
}

/// What a text says. All of its faults at the first stage that has any.
fn parse(text: &str, set: &[(String, String)], now: Timestamp, purpose: Purpose) -> Result<WorkflowSpec, Vec<Fault>> {
    let document::Document { mut value, lines } = document::parse(text).map_err(|fault| vec![fault])?;
    let spec = parameters::apply(&mut value, set)
        .and_then(|()| format::read(value).map_err(|fault| vec![fault]))
        .and_then(|file| spec::workflow(file, now, purpose));
    spec.map_err(|faults| faults.into_iter().map(|fault| lines.locate(fault)).collect())
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
