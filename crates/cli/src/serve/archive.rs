//! The archive: before finished tasks are forgotten, each is a line of JSON in a directory, and on the disk.
//!
//! A process writes files of its own, one a day (UTC), and only behind their end. A file is opened for each batch: so it may be
//! moved away at any time.

use crate::output::json;
use callboard_core::Entropy;
use callboard_core::model::Timestamp;
use callboard_engine::{Archive, Piece};
use callboard_server::archive;
use futures::future::{BoxFuture, FutureExt};
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::cell::RefCell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Payloads are secrets as often as not: what is made is its owner's alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How much is gathered before it is written.
const BUFFER: usize = 256 << 10;

/// A directory of archived tasks.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Nobody else has it: process ids are the same in each container.
    process: String,
}

impl Directory {
    /// Makes it if it isn't there; it must be possible to write to it.
    pub fn open(path: &Path, entropy: &mut dyn Entropy) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path);
        made.map_err(|error| unusable(path, &error))?;
        check(path)?;
        Ok(Self { path: path.to_owned(), process: format!("{:016x}", entropy.bits() >> 64) })
    }

    fn file(&self, now: Timestamp) -> PathBuf {
        let day = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default().strftime("%Y-%m-%d");
        self.path.join(format!("tasks-{day}-{}.jsonl", self.process))
    }
}

impl Archive for Directory {
    fn keep(&self, now: Timestamp, pieces: mpsc::Receiver<Piece>) -> BoxFuture<'_, io::Result<()>> {
        let file = self.file(now);
        async move { tokio::task::spawn_blocking(move || append(&file, pieces)).await? }.boxed()
    }
}

/// Whether a server could write to it, without changing anything; says what it is like.
pub fn inspect(path: &Path) -> Result<String, String> {
    match path.try_exists() {
        Ok(false) => Ok(format!("{} is not there yet, and will be made at the start", path.display())),
        _ => check(path).map(|()| format!("{} can be written to", path.display())),
    }
}

fn check(path: &Path) -> Result<(), String> {
    // It has no name, or loses it at once.
    tempfile::tempfile_in(path).map(drop).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> String {
    format!("{} can't be used: {error}; give a directory that the server's user may write to", path.display())
}

/// Writes tasks behind the file's end. They are on the disk when it succeeds; when it fails nothing has been added.
fn append(path: &Path, pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    let added = add(&mut file, end, pieces).and_then(|()| match end {
        // A new file's name is on the disk only when its folder is.
        0 => path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
        _ => Ok(()),
    });
    if added.is_err() {
        // All of them come again: what was written must not pile up meanwhile. What stays in spite of that does no harm.
        let _ = file.set_len(end);
    }
    added
}

fn add(file: &mut File, end: u64, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let torn = end > 0 && last_byte(file)? != b'\n';
    let mut out = BufWriter::with_capacity(BUFFER, &*file);
    if torn {
        // By a crash, or a full disk. It must not spoil what comes behind it.
        out.write_all(b"\n")?;
    }
    while let Some(piece) = pieces.blocking_recv() {
        let Piece::Task(task) = piece else { return Err(io::Error::other("a piece of no task")) };
        let line = Line { task: json::task(&archive::task(&task)), events: Events(RefCell::new(&mut pieces)) };
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    drop(out);
    file.sync_data()
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A line: the task and its events, as `callboard task show` and `callboard task history` print them with `-o json`.
#[derive(Serialize)]
struct Line<'a> {
    task: Value,
    events: Events<'a>,
}

/// The events of the task whose turn it is; they are written as they come.
struct Events<'a>(RefCell<&'a mut mpsc::Receiver<Piece>>);

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut pieces = self.0.borrow_mut();
        loop {
            match pieces.blocking_recv() {
                Some(Piece::Events(events)) => {
                    for event in &events {
                        list.serialize_element(&json::event(&archive::event(event)))?;
                    }
                }
                Some(Piece::End) => return list.end(),
                Some(Piece::Task(_)) | None => return Err(S::Error::custom("a task's events broke off")),
            }
        }
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
