//! Rows of output from columns, for both dialects.

use crate::codec::readable;
use crate::columns::Columns;
use crate::rows::payload;
use crate::{Error, OutputPage, Result};
use callboard_core::model::{OutputChunk, OutputTotals};
use callboard_core::working_set::RunRef;

/// No output reaches as far: what is asked for behind it is asked for behind this.
const FAR: u64 = 1 << 40;

/// The columns of a chunk.
macro_rules! output_columns {
    () => {
        "start, ordinal, attempt, attempt_bytes, given_at, format, content_type, metadata, content"
    };
}
pub(crate) use output_columns;

/// A page of a run's output: chunks, whose columns stand behind a first one, how many bytes the run has.
pub fn page<R: Columns>(found: &[R], run: RunRef) -> Result<OutputPage> {
    let bytes = found.first().map_or(Ok(0), |row| row.number(0))?.cast_unsigned();
    let chunks = found.iter().map(|row| chunk(row, run)).collect::<Result<_>>()?;
    Ok(OutputPage { chunks, bytes })
}

fn chunk(row: &impl Columns, (namespace, task, run): RunRef) -> Result<OutputChunk> {
    readable(row.number(6)?, "output")?;
    Ok(OutputChunk {
        namespace,
        task,
        run,
        offset: row.number(1)?.cast_unsigned(),
        ordinal: row.small(2)?,
        attempt: row.small(3)?,
        attempt_bytes: row.number(4)?.cast_unsigned(),
        given_at: row.time(5)?,
        data: payload(row, 7)?.ok_or_else(|| Error::Corrupt("a chunk of output has no content".into()))?,
    })
}

/// What a run's output has come to: namespace, task, run, and of its last chunk start, size, ordinal, attempt and the attempt's
/// bytes.
pub fn totals(row: &impl Columns) -> Result<(RunRef, OutputTotals)> {
    let totals = OutputTotals {
        bytes: row.number(3)?.saturating_add(row.number(4)?).cast_unsigned(),
        chunks: row.small(5)?,
        attempt: row.small(6)?,
        attempt_bytes: row.number(7)?.cast_unsigned(),
    };
    Ok(((row.namespace_id(0)?, row.task_id(1)?, row.small(2)?), totals))
}

/// Where a page begins, and the byte that it does not pass, but for its first chunk.
pub fn bounds(offset: u64, max_bytes: usize) -> (i64, i64) {
    let from = offset.min(FAR);
    let to = from + (max_bytes as u64).clamp(1, FAR);
    (from.cast_signed(), to.cast_signed())
}
