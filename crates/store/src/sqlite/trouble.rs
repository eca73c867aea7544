//! What the disk said when no caller was there who would end the server for it: behind a commit, while the log was copied beside the
//! writer, or in a commit of what is done beside the commands (forgetting, purging).
//!
//! Whoever asks next for the connection that writes is told in their place. One failed write or sync is enough: the disk may say that
//! of it once, and never again.

use super::error::sqlite_error;
use crate::{Error, Result};
use std::sync::{Arc, OnceLock};

/// The first trouble with the disk, if there was any.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<OnceLock<String>>);

impl Trouble {
    /// Something failed that nobody waits for, and that is tried again unless the disk failed.
    pub fn heed(&self, error: sqlx::Error, what: &str) {
        match sqlite_error(error) {
            Error::Io(text) | Error::Corrupt(text) => {
                tracing::error!(error = text, "{what}: the disk failed");
                let _ = self.0.set(format!("{what}: {text}"));
            }
            error => tracing::warn!(%error, "{what}; it is tried again"),
        }
    }

    /// A commit failed. Whoever asked for it is told as well, and may take it for something that is tried again.
    pub fn note_commit(&self, error: &Error) {
        if let Error::Io(text) = error {
            let _ = self.0.set(format!("a commit failed: {text}"));
        }
    }

    /// Nothing more is to be done when there was any.
    pub fn check(&self) -> Result<()> {
        self.0.get().map_or(Ok(()), |text| Err(Error::Io(text.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_the_disk_refused_is_told_to_whoever_comes_next() {
        let trouble = Trouble::default();
        for harmless in [Error::Unavailable("the disk is full".into()), Error::Conflict("unique".into())] {
            trouble.note_commit(&harmless);
            assert!(trouble.check().is_ok(), "{harmless}");
        }
        trouble.note_commit(&Error::Io("disk I/O error".into()));
        assert!(matches!(trouble.check(), Err(Error::Io(text)) if text.contains("a commit failed")));
    }

    #[test]
    fn a_disk_that_failed_is_told_of_and_what_was_in_the_way_is_not() {
        let trouble = Trouble::default();
        trouble.heed(sqlx::Error::PoolClosed, "the log could not be copied");
        assert!(trouble.check().is_ok());
        trouble.heed(sqlx::Error::Io(std::io::Error::other("EIO")), "the log could not be copied");
        for _ in 0..2 {
            assert!(matches!(trouble.check(), Err(Error::Io(text)) if text.contains("could not be copied")));
        }
    }
}
