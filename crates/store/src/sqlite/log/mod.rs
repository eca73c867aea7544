//! Tells a damaged write-ahead log from one whose end was not written.
//!
//! SQLite takes a log to end before the first frame that does not verify: that is right behind a power cut, where the frames of the
//! last transaction may be missing or torn. But it does the same when bytes change in what was committed, and then acknowledged
//! work is gone without a word. So a log is looked through before SQLite sees it. It is damaged, not torn, when something stands
//! behind the first broken frame, or is known of it, that was written only after that frame had been synced:
//!
//! - **the index** that a killed server left says how far the log was committed ([`index`]);
//! - **a frame behind a commit.** There is one writer, and it syncs each commit (`synchronous=FULL`) before it writes anything
//!   behind it. A frame's checksum goes on from that of the frame before, which is written in that frame: so frames behind a broken
//!   one can be verified against what their predecessors say of themselves. A frame that goes on from a commit was written when that
//!   commit, and everything before it, had been synced.
//!
//! What a power cut can leave is never refused. Frames of older generations have other salts. What a crash left of a transaction
//! that was never committed, and was written over since, has the right salts; but nobody ever went on behind its last frame.
//! A header is torn only where the log was begun anew, which SQLite does when all of it is in the file ([`unread`]).
//!
//! Not seen, if the power failed and the index is lost: damage in the last commit, and in the last frame of the one before it. Nor a
//! log that is gone, or whose header and first frames are both broken.
//!
//! It reads the log once, in pieces: up to 320 MiB, where the store cuts it, unless a reader from outside held it.

mod format;
mod index;
#[cfg(test)]
mod tests;
mod unread;

use super::writer::log_of;
use crate::{Error, Result};
use format::{FRAME_HEADER, Frame, Frames, HEADER, Header, Order, Sum, place};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// A frame is not what was written, though a frame behind it was committed.
    Frame { number: u64, at: u64, committed: u64 },
    /// Frames that were committed are missing at the end.
    Missing { whole: u64, committed: u64 },
    /// The header, though what is behind it is not in the file.
    Header,
}

/// A log that is not damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    /// It is not there, or SQLite uses as much of it as was committed.
    Used,
    /// Its header was torn when it was begun anew: SQLite takes no notice of it.
    Unread,
}

/// Refuses a store whose log is damaged; changes nothing. Nobody may write to it meanwhile.
///
/// # Errors
///
/// [`Error::Corrupt`] when it is damaged, [`Error::Io`] when it can't be read.
pub fn check(database: &Path) -> Result<()> {
    look(database).map(drop)
}

/// Refuses a store whose log is damaged, and empties a log that SQLite would take no notice of: it would begin it anew with the
/// salts that it finds in the torn header, and the old frames behind the new ones would look like damage.
///
/// # Errors
///
/// As [`check`].
pub fn make_ready(database: &Path) -> Result<()> {
    if look(database)? == Sound::Used {
        return Ok(());
    }
    let log = log_of(database);
    tracing::warn!(log = %log.display(), "the write-ahead log's header was torn; all that was committed is in the store");
    let empty = || {
        let file = OpenOptions::new().write(true).open(&log)?;
        file.set_len(0)?;
        file.sync_all()
    };
    empty().map_err(|error| Error::Io(format!("can't empty {}: {error}; check that the disk works", log.display())))
}

fn look(database: &Path) -> Result<Sound> {
    let log = log_of(database);
    let failed = |what: &str, error: io::Error| {
        Error::Io(format!("can't {what} {}: {error}; check that the disk works", log.display()))
    };
    sync(&log).map_err(|error| failed("sync", error))?;
    read(database, &log).map_err(|error| failed("read", error))?.map_err(|damage| Error::Corrupt(explain(damage, &log)))
}

fn explain(damage: Damage, log: &Path) -> String {
    let found = match damage {
        Damage::Frame { number, at, committed } => format!(
            "frame {number}, at byte {at}, is not what was written, though the log was committed up to frame {committed}"
        ),
        Damage::Missing { whole, committed } => {
            format!("it ends with frame {whole}, though it was committed up to frame {committed}")
        }
        Damage::Header => "its header is not what was written, and what is behind it is not in the store".to_owned(),
    };
    format!(
        "the write-ahead log {} is damaged: {found}. Used as it is, work that was acknowledged would be lost without a word. \
         Restore a backup, and remove this log; \"A damaged log\" in docs/operations.md says what else can be done",
        log.display()
    )
}

/// A killed server may leave a commit that is not on the disk. SQLite would count it, write behind it, and say so in the index: a
/// power cut in that moment would look like damage, and what was read of it would be gone.
fn sync(log: &Path) -> io::Result<()> {
    match File::open(log).and_then(|log| log.sync_all()) {
        Err(error) if cfg!(unix) && error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(database: &Path, log: &Path) -> io::Result<std::result::Result<Sound, Damage>> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(Sound::Used)),
        Err(error) => return Err(error),
    };
    let mut start = [0; HEADER];
    match file.read_exact(&mut start) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Ok(Sound::Used)),
        Err(error) => return Err(error),
    }
    Ok(match Header::parse(&start) {
        Some(header) => {
            let frames = Frames::new(file, header.page_size)?;
            broken_frame(&header, frames, &index_of(database))?.map_or(Ok(Sound::Used), Err)
        }
        None if unread::lost(database, file)? => Err(Damage::Header),
        None => Ok(Sound::Unread),
    })
}

/// The index of a log.
fn index_of(database: &Path) -> PathBuf {
    let mut index = database.as_os_str().to_owned();
    index.push("-shm");
    index.into()
}

/// Looks for the first frame that does not verify, and for what proves that it did once.
fn broken_frame(header: &Header, mut frames: Frames, index: &Path) -> io::Result<Option<Damage>> {
    let mut sum = header.sum;
    let mut whole = 0;
    let broken = loop {
        let Some(frame) = frames.read()? else { break None };
        if frame.salts != header.salts || !frame.is_behind(sum, header.order) {
            break Some(Before::broken(&frame, sum, header.order));
        }
        (sum, whole) = (frame.sum, frame.number);
    };
    let committed = index::committed(index, header.salts)?.map_or(0, |committed| committed.frames);
    let proven = match broken {
        _ if committed > whole => Some(committed),
        Some(before) => proof(header, frames, before)?,
        None => None,
    };
    Ok(proven.map(|committed| match broken {
        Some(_) => {
            let at = place(whole + 1, FRAME_HEADER + header.page_size);
            Damage::Frame { number: whole + 1, at, committed }
        }
        None => Damage::Missing { whole, committed },
    }))
}

/// What is known of the frame before the one that is looked at.
#[derive(Clone, Copy)]
struct Before {
    /// The checksum that is written in it.
    written: Sum,
    /// The first broken frame follows a whole one: so what its checksum should be is known.
    computed: Option<Sum>,
    /// It is as it was written, behind the one before it.
    whole: bool,
    commits: bool,
}

impl Before {
    fn broken(frame: &Frame<'_>, before: Sum, order: Order) -> Self {
        let computed = Some(frame.sum_behind(before, order));
        Self { written: frame.sum, computed, whole: false, commits: frame.commits() }
    }
}

/// The last frame of a commit that somebody went on behind, if there is one.
fn proof(header: &Header, mut frames: Frames, mut before: Before) -> io::Result<Option<u64>> {
    while let Some(frame) = frames.read()? {
        let mut whole = false;
        if frame.salts == header.salts {
            // When it goes on from what the frame before it sums up to, that frame is broken in its salts or its checksum alone.
            let unchanged = before.computed.is_some_and(|sum| frame.is_behind(sum, header.order));
            whole = unchanged || frame.is_behind(before.written, header.order);
            if whole && before.commits && (before.whole || unchanged) {
                return Ok(Some(frame.number - 1));
            }
        }
        before = Before { written: frame.sum, computed: None, whole, commits: frame.commits() };
    }
    Ok(None)
}
