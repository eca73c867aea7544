//! What the disk said when no caller was there to be told: behind a commit, or while the log was copied beside the writer.
//!
//! Whoever asks next for the connection that writes is told in their place. One failed write or sync is enough: the disk may say that of it once, and
//! never again.

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

    /// Nothing more is to be done when there was any.
    pub fn check(&self) -> Result<()> {
        self.0.get().map_or(Ok(()), |text| Err(Error::Io(text.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
