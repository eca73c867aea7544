//! How far the log was committed, as the index beside it says (the `-shm` file).
//!
//! SQLite writes the index's header behind the fsync of each commit, and starts the index anew when the first process opens the
//! file. What a killed server left there therefore names only what was synced. It is never synced itself: when the power fails it
//! may be gone, or old. <https://www.sqlite.org/walformat.html#the_wal_index_file_format>; its numbers are the machine's own.

use super::format::{Order, Salts};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes of the index's header, which is there twice.
const HEADER: usize = 48;
const VERSION: u32 = 3_007_000;

/// What was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// In this generation of the log.
    pub salts: Salts,
    /// Up to this frame.
    pub frames: u64,
}

/// What an index says of a generation: `None` when there is none, when it is of another, or when it is not whole.
pub fn committed(path: &Path, salts: Salts) -> io::Result<Option<Committed>> {
    let mut bytes = [0; 2 * HEADER];
    match File::open(path).and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => return Ok(None),
        Err(error) => return Err(error),
    }
    // A crash may leave the two apart: each was true once.
    let found = bytes.as_chunks::<HEADER>().0.iter().filter_map(parse).filter(|found| found.salts == salts);
    Ok(found.max_by_key(|found| found.frames))
}

fn parse(bytes: &[u8; HEADER]) -> Option<Committed> {
    let number = |at: usize| bytes[at..].first_chunk().map_or(0, |four| u32::from_ne_bytes(*four));
    let whole = Order::NATIVE.sum([0, 0], &bytes[..40]) == [number(40), number(44)];
    let begun = number(0) == VERSION && bytes[12] == 1;
    let salts = *bytes[32..].first_chunk()?;
    (whole && begun).then(|| Committed { salts, frames: u64::from(number(16)) })
}
