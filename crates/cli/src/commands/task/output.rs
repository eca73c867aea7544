//! `callboard task output`

use std::io::{self, Write};
use std::pin::pin;

use callboard::v1::{Payload, payload::Content};
use callboard::{OutputChunk, OutputQuery};
use futures::TryStreamExt;
use serde_json::{Value, json};

use super::Session;
use crate::args::task::OutputArgs;
use crate::error::Error;
use crate::ids;
use crate::output::json::is_json;
use crate::output::{Output, json, note, text, time};

/// Writes what a run gave so far, or that and what comes until it has ended.
pub async fn run(session: &Session, args: &OutputArgs) -> Result<(), Error> {
    let id = ids::resolve(&session.client, &args.id).await?;
    let query = OutputQuery::task(id).run(args.run.unwrap_or_default()).offset(args.offset).page_size(PAGE);
    let mut writer = Writer::new(session.output);
    if args.follow {
        let mut chunks = session.patient()?.watch_output(query);
        while let Some(chunk) = chunks.next().await? {
            writer.write(&chunk)?;
        }
    } else {
        let mut chunks = pin!(session.client.output(query));
        while let Some(chunk) = chunks.try_next().await? {
            writer.write(&chunk)?;
        }
    }
    writer.finish()
}

/// How many chunks are fetched at once.
const PAGE: i32 = 1_000;

/// Writes chunks one behind the other: text and bytes as they are, JSON a line each.
struct Writer {
    output: Output,
    attempt: i32,
    /// What was written ends with a line's end.
    at_line_start: bool,
}

impl Writer {
    fn new(output: Output) -> Self {
        Self { output, attempt: 0, at_line_start: true }
    }

    fn write(&mut self, chunk: &OutputChunk) -> Result<(), Error> {
        if self.output.is_json() {
            return self.output.line(&document(chunk).to_string());
        }
        if self.attempt != 0 && chunk.attempt() > self.attempt {
            note(&format!("attempt {} began anew; what came before may come again", chunk.attempt()));
        }
        self.attempt = chunk.attempt();
        match chunk.payload() {
            Some(payload) if is_json(&payload.content_type) => {
                self.end_line()?;
                self.content(payload)?;
                self.end_line()
            }
            Some(payload) => self.content(payload),
            None => Ok(()),
        }
    }

    fn content(&mut self, payload: &Payload) -> Result<(), Error> {
        let bytes: &[u8] = match &payload.content {
            Some(Content::Text(text)) => text.as_bytes(),
            Some(Content::Binary(bytes)) => bytes,
            None => b"",
        };
        if self.output.style.terminal {
            // A terminal must not take what an agent gives for commands.
            self.put(text::visible(&String::from_utf8_lossy(bytes)).as_bytes())
        } else {
            self.put(bytes)
        }
    }

    fn end_line(&mut self) -> Result<(), Error> {
        if self.at_line_start { Ok(()) } else { self.put(b"\n") }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        self.at_line_start = bytes.last().map_or(self.at_line_start, |last| *last == b'\n');
        Ok(stdout.flush()?)
    }

    /// A terminal's prompt begins a line.
    fn finish(&mut self) -> Result<(), Error> {
        if self.output.style.terminal { self.end_line() } else { Ok(()) }
    }
}

fn document(chunk: &OutputChunk) -> Value {
    json!({
        "offset": chunk.offset(),
        "attempt": chunk.attempt(),
        "given_at": chunk.given_at().map(prost_types::Timestamp::from).as_ref().map(time::rfc3339),
        "data": chunk.payload().map(json::payload),
    })
}
