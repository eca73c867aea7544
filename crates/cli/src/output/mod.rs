//! Writing results: tables for people, JSON for programs. Standard output has results and nothing else.

use std::io::{self, IsTerminal, Write};

use callboard::v1::{Payload, payload::Content};
use comfy_table::Table;
use serde_json::Value;

pub mod details;
pub mod forecast;
pub mod json;
pub mod names;
pub mod table;
pub mod text;
pub mod time;
pub mod workflow;

use crate::args::Format;
use crate::error::Error;
use table::Style;

/// How long a line may be where no terminal says.
const ELSEWHERE: usize = 120;

/// Where results go, and how.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    /// How tables look.
    pub style: Style,
}

impl Output {
    /// As asked for, and as fits what standard output is.
    pub fn new(format: Format) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { format, style: Style { terminal, colour: terminal && colour_wanted() } }
    }

    /// Whether a program reads it.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One document.
    pub fn document(&self, value: &Value) -> Result<(), Error> {
        self.line(&format!("{value:#}"))
    }

    /// A table; nothing for one without rows but its header, which still says what was looked for.
    pub fn table(&self, table: &Table) -> Result<(), Error> {
        self.line(&table.trim_fmt())
    }

    /// A line.
    pub fn line(&self, line: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    }

    /// Lines that end themselves.
    pub fn text(&self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// How many letters a line may have: as many as the terminal shows, or as people read elsewhere.
    pub fn width(&self) -> usize {
        let shown = Table::new().width().filter(|_| self.style.terminal);
        shown.map_or(ELSEWHERE, usize::from)
    }

    /// Without a newline: for documents that are written in pieces.
    pub fn piece(&self, piece: &str) -> Result<(), Error> {
        Ok(io::stdout().lock().write_all(piece.as_bytes())?)
    }

    /// The content of a payload, to the byte, unless a terminal shows it: then control characters are made visible and
    /// the last line is ended.
    pub fn content(&self, payload: Option<&Payload>) -> Result<(), Error> {
        let bytes: &[u8] = match payload.and_then(|payload| payload.content.as_ref()) {
            Some(Content::Text(text)) => text.as_bytes(),
            Some(Content::Binary(bytes)) => bytes,
            None => b"",
        };
        let mut stdout = io::stdout().lock();
        if self.style.terminal {
            stdout.write_all(text::visible(&String::from_utf8_lossy(bytes)).as_bytes())?;
            if !bytes.is_empty() && !bytes.ends_with(b"\n") {
                stdout.write_all(b"\n")?;
            }
        } else {
            stdout.write_all(bytes)?;
        }
        Ok(stdout.flush()?)
    }
}

/// Says something beside the results, on standard error. A reader that is gone doesn't matter.
pub fn note(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text::visible(message));
}

/// Says what went wrong, on standard error.
pub fn complain(error: &Error, address: &str) {
    note(&format!("error: {error}"));
    if let Some(hint) = error.hint(address) {
        note(&format!("hint: {hint}"));
    }
}

/// By the convention of no-color.org: any value but an empty one says no.
pub fn colour_wanted() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !no_color && !dumb
}
