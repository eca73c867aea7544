//! What the shim wrote down: every change of a watched file or folder, with what it replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// As in `c/shim.h`.
const MAGIC: u32 = 0x4342_5348;
const HEAD: usize = 48;

/// A change of a file's bytes.
#[derive(Debug)]
pub enum Change {
    /// Bytes were written.
    Write {
        /// From where on.
        offset: u64,
        /// How long the file was before.
        old_size: u64,
        /// What was there; fewer than the new bytes at the file's end.
        old: Vec<u8>,
        /// What was written.
        new: Vec<u8>,
    },
    /// The file was cut, or made longer.
    Truncate {
        /// Its new length.
        length: u64,
        /// How long it was before.
        old_size: u64,
        /// What was cut off.
        old: Vec<u8>,
    },
}

/// A change of a name. `grave` is the number under which what was there is kept; 0: nothing.
#[derive(Debug)]
pub enum Naming {
    /// There was nothing of that name.
    Absent(PathBuf),
    /// What had the name lost it.
    Unlinked(PathBuf, u64),
    /// Something has another name now, and what had that name lost it.
    Renamed(PathBuf, PathBuf, u64),
    /// A folder went.
    Removed(PathBuf),
}

impl Naming {
    /// The folder whose entry changed.
    fn folder(&self) -> &Path {
        let (Self::Absent(path) | Self::Unlinked(path, _) | Self::Renamed(_, path, _) | Self::Removed(path)) = self;
        path.parent().unwrap_or(path)
    }
}

/// What no fsync has made durable.
#[derive(Debug, Default)]
pub struct Unsynced {
    /// By the inode of the file, in order.
    pub changes: BTreeMap<u64, Vec<Change>>,
    /// In order, each with its folder.
    pub namings: Vec<(PathBuf, Naming)>,
    /// How many changes are durable.
    pub durable: usize,
}

struct Head {
    kind: u32,
    sequence: u64,
    inode: u64,
    offset: u64,
    old_size: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Reads a journal. What a program did not finish to write, as it died, it did not do.
pub fn read(bytes: &[u8]) -> Unsynced {
    let mut records = heads(bytes);
    records.sort_by_key(|record| record.sequence);
    let mut synced: BTreeMap<u64, u64> = BTreeMap::new();
    let mut synced_folders: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for record in &records {
        match record.kind {
            3 => latest(synced.entry(record.inode).or_default(), record.offset),
            7 => latest(synced_folders.entry(path(&record.old)).or_default(), record.offset),
            _ => {}
        }
    }
    let mut unsynced = Unsynced::default();
    for record in records {
        let (sequence, inode) = (record.sequence, record.inode);
        if let Some(naming) = naming(&record) {
            let folder = naming.folder().to_owned();
            match synced_folders.get(&folder).is_some_and(|synced| sequence < *synced) {
                true => unsynced.durable += 1,
                false => unsynced.namings.push((folder, naming)),
            }
        } else if let Some(change) = change(record) {
            match synced.get(&inode).is_some_and(|synced| sequence < *synced) {
                true => unsynced.durable += 1,
                false => unsynced.changes.entry(inode).or_default().push(change),
            }
        }
    }
    unsynced
}

fn latest(known: &mut u64, sequence: u64) {
    *known = sequence.max(*known);
}

fn heads(bytes: &[u8]) -> Vec<Head> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEAD) {
        let small = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let large = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!(small(0), MAGIC, "the shim's journal is broken at {at}");
        let (old, new) = (small(40) as usize, small(44) as usize);
        let Some(rest) = bytes.get(at + HEAD..at + HEAD + old + new) else { break };
        records.push(Head {
            kind: small(4),
            sequence: large(8),
            inode: large(16),
            offset: large(24),
            old_size: large(32),
            old: rest[..old].to_vec(),
            new: rest[old..].to_vec(),
        });
        at += HEAD + old + new;
    }
    records
}

fn change(record: Head) -> Option<Change> {
    let Head { kind, offset, old_size, old, new, .. } = record;
    match kind {
        1 => Some(Change::Write { offset, old_size, old, new }),
        2 => Some(Change::Truncate { length: offset, old_size, old }),
        _ => None,
    }
}

fn naming(record: &Head) -> Option<Naming> {
    let text = &record.old;
    match record.kind {
        4 => Some(Naming::Absent(path(text))),
        5 => Some(Naming::Unlinked(path(text), record.offset)),
        6 => {
            let end = text.iter().position(|byte| *byte == 0)?;
            Some(Naming::Renamed(path(&text[..end]), path(&text[end + 1..]), record.offset))
        }
        8 => Some(Naming::Removed(path(text))),
        _ => None,
    }
}

fn path(text: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(text).into_owned())
}
