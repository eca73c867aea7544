//! Output of attempts.

use super::{payload, task, time};
use callboard_core::limits::{MAX_BATCH_CHUNKS, MAX_BATCH_OUTPUT, MAX_CHUNK, MAX_CHUNK_METADATA};
use callboard_core::model::{OutputBatch, OutputChunk, Payload};
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::fmt::Display;
use std::sync::Arc;

/// Reads output that an attempt gives.
pub(crate) fn batch(at: impl Display + Copy, message: v1::OutputBatch, faults: &mut Faults) -> OutputBatch {
    let offset = u64::try_from(message.offset).unwrap_or_else(|_| {
        faults.add(format!("{at}.offset"), format!("is {}; give how many bytes came before, from 0", message.offset));
        0
    });
    let count = message.chunks.len();
    if !(1..=MAX_BATCH_CHUNKS).contains(&count) {
        faults.add(format!("{at}.chunks"), format!("has {count} entries; give 1 to {MAX_BATCH_CHUNKS}"));
        return OutputBatch { offset, chunks: Vec::new() };
    }
    let read = |(index, data)| chunk(format_args!("{at}.chunks[{index}]"), data, faults);
    let chunks: Vec<Arc<Payload>> = message.chunks.into_iter().enumerate().map(read).collect();
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    if bytes > MAX_BATCH_OUTPUT {
        let fault = format!("have {bytes} bytes; at most {MAX_BATCH_OUTPUT} (1 MiB) together: send fewer at once");
        faults.add(format!("{at}.chunks"), fault);
    }
    OutputBatch { offset, chunks }
}

fn chunk(at: impl Display + Copy, data: v1::Payload, faults: &mut Faults) -> Arc<Payload> {
    let data = payload::payload(at, Some(data), faults);
    if !(1..=MAX_CHUNK).contains(&data.len()) {
        let fault = format!("has {} bytes; give 1 to {MAX_CHUNK}, and divide what is larger", data.len());
        faults.add(at, fault);
    }
    faults.map(format_args!("{at}.metadata"), &data.metadata, 64, MAX_CHUNK_METADATA);
    data
}

/// Writes a chunk of a run's output.
pub(crate) fn to_chunk(chunk: &OutputChunk) -> v1::OutputChunk {
    v1::OutputChunk {
        offset: to_offset(chunk.offset),
        data: Some(payload::to_payload(&chunk.data)),
        attempt: task::number(chunk.attempt),
        given_at: Some(time::to_timestamp(chunk.given_at)),
    }
}

/// Writes a place in a run's output, which is never large.
pub(crate) fn to_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
