//! What errors of the driver mean.

use crate::Error;

/// Whether the connection is of no more use, or the server is not there.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        // Connection errors, an operator's or a crash's end, and a driver and server that no more understand each other.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Tells by PostgreSQL's error code what the caller has to do.
pub fn pg_error(error: sqlx::Error) -> Error {
    let text = error.to_string();
    match &error {
        sqlx::Error::Database(known) => by_code(&known.code().unwrap_or_default(), text),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            Error::Corrupt(text)
        }
        sqlx::Error::Encode(_) => Error::Data(text),
        sqlx::Error::Configuration(_) => Error::Unusable(text),
        _ => Error::Unavailable(text),
    }
}

fn by_code(code: &str, text: String) -> Error {
    match code {
        // Serialization, a deadlock, a lock that was waited for too long, a row that is there already.
        "40001" | "40P01" | "55P03" | "23505" => Error::Conflict(text),
        "XX001" | "XX002" => Error::Corrupt(text),
        // A prepared statement that another server of a pool has, or that it has already.
        "26000" | "42P05" => Error::Unavailable(format!(
            "{text}; behind PgBouncer in transaction mode add `pgbouncer=true` to the URL, or have it track prepared statements"
        )),
        "25006" => Error::Unavailable(format!("{text}; this server is a standby, or was made read-only")),
        _ => match code.get(..2) {
            // Bad values, constraints, statements that the schema doesn't know, limits of rows and indexes.
            Some("22" | "23" | "42" | "54") => Error::Data(text),
            _ => Error::Unavailable(text),
        },
    }
}

/// The commit itself failed. The server says that it did not happen, or nobody says anything.
pub fn commit_error(error: sqlx::Error) -> Error {
    if is_lost(&error) { Error::UnknownCommit(error.to_string()) } else { pg_error(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let of = |code| by_code(code, String::new());
        assert!(["40001", "40P01", "55P03", "23505"].iter().all(|code| matches!(of(code), Error::Conflict(_))));
        assert!(["22021", "23502", "54000"].iter().all(|code| matches!(of(code), Error::Data(_))));
        assert!(["57P01", "53300", "53100", "57014", ""].iter().all(|code| matches!(of(code), Error::Unavailable(_))));
        assert!(matches!(of("XX001"), Error::Corrupt(_)));
    }

    #[test]
    fn a_commit_whose_connection_broke_is_unknown() {
        let broken = || sqlx::Error::Io(std::io::Error::other("reset"));
        assert!(matches!(commit_error(broken()), Error::UnknownCommit(_)));
        assert!(matches!(pg_error(broken()), Error::Unavailable(_)));
    }
}
