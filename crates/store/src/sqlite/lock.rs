//! One process per file.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Holds the lock file of a store. The lock ends with the process, however it ends; the file stays.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who is in the way and what to do.
    pub fn take(store: &Path) -> Result<Self> {
        let path = lock_path(store);
        let unusable = |fault: String| Error::Unusable(format!("can't lock {}: {fault}", path.display()));
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|error| unusable(format!("{error}; is the folder there, and may we write to it?")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Unusable(format!(
                "{} is in use by another callboard process; end that process, or choose another file \
                 (an SQLite store serves one process; for several, use PostgreSQL)",
                store.display()
            ))),
            Err(TryLockError::Error(error)) => {
                Err(unusable(format!("{error}; the file system must support locks: use a local disk")))
            }
        }
    }
}

/// Whether a process has the store. It makes no file.
pub fn is_held(store: &Path) -> bool {
    let Ok(file) = File::open(lock_path(store)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn lock_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
