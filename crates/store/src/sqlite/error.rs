//! What errors of the driver mean.

use crate::Error;

const CONSTRAINT_PRIMARYKEY: u32 = 1555;
const CONSTRAINT_UNIQUE: u32 = 2067;
/// The checksum of a page is wrong.
const IOERR_DATA: u32 = 8202;
const DAMAGED: &str = "the file is damaged: a page is not what was written (the log says which); restore a backup, or see \
     \"Damage\" in docs/operations.md";

/// Tells by SQLite's (extended) result code what the caller has to do.
pub fn sqlite_error(error: sqlx::Error) -> Error {
    let text = error.to_string();
    match error {
        sqlx::Error::Database(error) => by_code(error.code().and_then(|code| code.parse().ok()).unwrap_or(0), text),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Error::Io(text),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
            Error::Corrupt(text)
        }
        sqlx::Error::Encode(_) => Error::Data(text),
        sqlx::Error::Configuration(_) => Error::Unusable(text),
        _ => Error::Unavailable(text),
    }
}

fn by_code(code: u32, text: String) -> Error {
    match (code, code & 0xff) {
        (CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE, _) => Error::Conflict(text),
        // The disk gave what it has, and it isn't what was written.
        (IOERR_DATA, _) => Error::Corrupt(DAMAGED.into()),
        // PERM, READONLY, IOERR, CANTOPEN, PROTOCOL, NOLFS
        (_, 3 | 8 | 10 | 14 | 15 | 22) => Error::Io(text),
        // FULL: no room for what was to be written, so that the transaction's end is not in the log either. SQLite goes on, and so
        // do we; a sync that fails for want of room is an IOERR.
        (_, 13) => Error::Unavailable(format!("{text}; make room, then all goes on")),
        // CORRUPT, NOTADB, FORMAT
        (_, 11 | 24 | 26) => Error::Corrupt(text),
        // BUSY, LOCKED, NOMEM, INTERRUPT, SCHEMA, ABORT
        (_, 4 | 5 | 6 | 7 | 9 | 17) => Error::Unavailable(text),
        // CONSTRAINT of another kind, TOOBIG, MISMATCH, RANGE, ERROR
        _ => Error::Data(text),
    }
}

/// The commit itself failed. SQLite says whether it is still to be done; a connection that is gone says nothing.
pub fn commit_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::WorkerCrashed => Error::UnknownCommit(error.to_string()),
        other => sqlite_error(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_what_was_written_is_damage() {
        let text = by_code(IOERR_DATA, "disk I/O error".into()).to_string();
        assert!(text.contains("corrupt") && text.contains("damaged") && text.contains("restore a backup"), "{text}");
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_failing_one_is_not() {
        let of = |code| by_code(code, String::new());
        assert!(matches!(of(13), Error::Unavailable(_)));
        // Reading, writing, syncing.
        assert!([10, 266, 778, 1034].into_iter().all(|code| matches!(of(code), Error::Io(_))));
    }
}
