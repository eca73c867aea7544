//! One process per file.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Holds the lock file of a store. The lock ends with the process, however it ends; the file stays.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, or says who is in the way and what to do.
    pub fn take(store: &Path) -> Result<Self> {
        let path = lock_path(store);
        let unusable = |fault: String| Error::Unusable(format!("can't lock {}: {fault}", path.display()));
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|error| unusable(format!("{error}; is the folder there, and may we write to it?")))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
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

impl Drop for Lock {
    /// Closing alone would not do: a program that is being started at this moment has a copy of every open file until it is
    /// begun, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the store's lock was not given up by itself; closing its file does that");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_its_file_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.db");
        let lock = Lock::take(&store).unwrap();
        let copy = lock.file.try_clone().unwrap();
        Lock::take(&store).unwrap_err();
        drop(lock);
        Lock::take(&store).unwrap();
        drop(copy);
    }
}
