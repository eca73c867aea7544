//! What a disk does that loses its power: of what no fsync made durable it has something, in any order.

use crate::Shim;
use crate::journal::{self, Change, Naming};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What becomes of unsynced writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Survivors {
    /// None is there.
    None,
    /// Each sector, of so many bytes, is there or not: so large is the chance.
    Sectors {
        /// Bytes.
        size: u64,
        /// From 0 to 1.
        chance: f64,
    },
    /// The first ones of each file are there, and the one behind them as far as some sector.
    First {
        /// Bytes of a sector.
        size: u64,
    },
}

impl Survivors {
    /// Any of them.
    pub fn random(random: &mut StdRng) -> Self {
        let size = if random.random_bool(0.5) { 512 } else { 4096 };
        match random.random_range(0..4) {
            0 => Self::None,
            1 => Self::First { size },
            _ => Self::Sectors { size, chance: random.random_range(0.05..0.95) },
        }
    }
}

/// What a power cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Changes that were durable.
    pub durable: usize,
    /// Changes of files that were not.
    pub unsynced: usize,
    /// Of those, the ones that are lost, as a whole or in part.
    pub lost: usize,
    /// Changes of names that are lost.
    pub names: usize,
}

impl Shim {
    /// Does to the files what a disk may do that lost its power: what was written since the last sync of its file, or named
    /// since the last sync of its folder, is there or not. The journal begins anew. All programs must have ended.
    ///
    /// # Panics
    ///
    /// When the files can't be changed, or the journal is not whole.
    pub fn lose(&self, survivors: Survivors, random: &mut StdRng) -> Loss {
        self.assert_whole();
        let unsynced = journal::read(&fs::read(self.journal()).expect("the journal can be read"));
        let mut loss = Loss { durable: unsynced.durable, ..Loss::default() };
        let files = by_inode(&[self.root().to_owned(), self.graves()]);
        for (inode, changes) in &unsynced.changes {
            loss.unsynced += changes.len();
            // One that is nowhere was never named, or has gone with its last name.
            let Some(path) = files.get(inode) else { continue };
            loss.lost += lose_changes(path, changes, survivors, random);
        }
        loss.names = self.lose_names(unsynced.namings, survivors, random);
        self.begin_anew();
        loss
    }

    /// The journal begins anew: everything is durable. All programs must have ended.
    pub fn begin_anew(&self) {
        File::create(self.journal()).expect("the journal can be cut");
        for grave in fs::read_dir(self.graves()).expect("the graves can be listed") {
            fs::remove_file(grave.expect("a grave").path()).expect("a grave can be removed");
        }
        self.restore_power();
    }

    /// Of each folder the first changes of names are durable: file systems keep their order.
    fn lose_names(&self, namings: Vec<(PathBuf, Naming)>, survivors: Survivors, random: &mut StdRng) -> usize {
        let mut kept: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for (folder, _) in &namings {
            *kept.entry(folder.clone()).or_default() += 1;
        }
        for count in kept.values_mut() {
            *count = if survivors == Survivors::None { 0 } else { random.random_range(0..=*count) };
        }
        let mut lost = Vec::new();
        for (folder, naming) in namings {
            match kept.get_mut(&folder).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => lost.push(naming),
            }
        }
        lost.iter().rev().for_each(|naming| self.take_back(naming));
        lost.len()
    }

    fn take_back(&self, naming: &Naming) {
        match naming {
            Naming::Absent(path) if path.is_dir() => fs::remove_dir_all(path).expect("a folder can be removed"),
            Naming::Absent(path) => remove(path),
            Naming::Unlinked(path, grave) => self.dig_up(*grave, path),
            Naming::Renamed(from, to, grave) => {
                if to.symlink_metadata().is_ok() {
                    fs::rename(to, from).expect("a file can be renamed");
                }
                self.dig_up(*grave, to);
            }
            Naming::Removed(path) => {
                let _ = fs::create_dir(path);
            }
        }
    }

    fn dig_up(&self, grave: u64, path: &Path) {
        if grave > 0 && path.symlink_metadata().is_err() {
            fs::hard_link(self.graves().join(grave.to_string()), path).expect("a file gets its name back");
        }
    }
}

fn remove(path: &Path) {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).expect("a file can be removed");
    }
}

fn by_inode(roots: &[PathBuf]) -> BTreeMap<u64, PathBuf> {
    let mut files = BTreeMap::new();
    let mut folders = roots.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be listed") {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("what it is");
            match about.is_dir() {
                true => folders.push(entry.path()),
                false => drop(files.insert(about.ino(), entry.path())),
            }
        }
    }
    files
}

/// Takes everything back to what is durable, then does again what survives. Gives how many changes are lost, or a part of them.
fn lose_changes(path: &Path, changes: &[Change], survivors: Survivors, random: &mut StdRng) -> usize {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file can be opened");
    for change in changes.iter().rev() {
        let (Change::Write { old_size, .. } | Change::Truncate { old_size, .. }) = change;
        let (offset, old) = match change {
            Change::Write { offset, old, .. } => (offset, old),
            Change::Truncate { length, old, .. } => (length, old),
        };
        file.set_len(*old_size).expect("a file's length can be set");
        file.write_all_at(old, *offset).expect("a file can be written");
    }
    let first = random.random_range(0..=changes.len());
    let mut lost = 0;
    for (index, change) in changes.iter().enumerate() {
        let whole = match survivors {
            Survivors::None => false,
            Survivors::Sectors { size, chance } => match change {
                Change::Write { offset, new, .. } => sectors(&file, *offset, new, size, |_| random.random_bool(chance)),
                // What comes behind a lost change of the length stands in blocks that the file doesn't have.
                Change::Truncate { .. } if !random.random_bool(chance) => return lost + changes.len() - index,
                Change::Truncate { length, .. } => file.set_len(*length).is_ok(),
            },
            Survivors::First { size } if index <= first => {
                let torn = if index == first { random.random_range(0..=64) } else { u64::MAX };
                match change {
                    Change::Write { offset, new, .. } => sectors(&file, *offset, new, size, |sector| sector < torn),
                    Change::Truncate { length, .. } => index < first && file.set_len(*length).is_ok(),
                }
            }
            Survivors::First { .. } => false,
        };
        lost += usize::from(!whole);
    }
    lost
}

/// Writes those sectors of some bytes that are to survive. True when all are.
fn sectors(file: &File, offset: u64, bytes: &[u8], size: u64, mut survives: impl FnMut(u64) -> bool) -> bool {
    let mut whole = true;
    let (mut at, end, mut number) = (offset, offset + bytes.len() as u64, 0);
    while at < end {
        let next = ((at / size + 1) * size).min(end);
        if survives(number) {
            let piece = &bytes[(at - offset) as usize..(next - offset) as usize];
            file.write_all_at(piece, at).expect("a file can be written");
        } else {
            whole = false;
        }
        (at, number) = (next, number + 1);
    }
    whole
}
