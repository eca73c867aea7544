//! Where a database is: a URL, of which the password is never shown.

use crate::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// What a URL says.
pub struct Address {
    /// For the driver.
    pub options: PgConnectOptions,
    /// Whether a session keeps what is prepared in it: not so behind PgBouncer in transaction mode (`pgbouncer=true`).
    pub prepared: bool,
}

/// Reads a URL. What it does not say the environment may: `PGPASSWORD`, `PGPASSFILE` and so on.
pub fn read(url: &str) -> Result<Address> {
    let shown = without_password(url);
    let refuse = |fault: &str| Error::Unusable(format!("{shown}: {fault}"));
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut prepared = true;
    let mut rest = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("pgbouncer", "true")) => prepared = false,
            Some(("pgbouncer", "false")) => {}
            Some(("pgbouncer", _)) => return Err(refuse("pgbouncer must be true or false")),
            _ => rest.push(parameter),
        }
    }
    let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    // The driver's error may quote a part of what it was given.
    let options = PgConnectOptions::from_str(&plain);
    let options = options.map_err(|_| refuse("this is no URL like postgres://user@host:5432/database"))?;
    // PgBouncer refuses settings at the start that it does not know.
    let options = options.extra_float_digits(None).disable_statement_logging();
    let options =
        if options.get_application_name().is_some() { options } else { options.application_name("callboard") };
    let options = if prepared { options.statement_cache_capacity(200) } else { options.statement_cache_capacity(0) };
    Ok(Address { options, prepared })
}

/// The URL as it may be shown: with `***` for every password in it.
pub fn without_password(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let shown = match base.split_once("://") {
        // The last one: a password may have an `@` that somebody forgot to escape.
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                let password = if user.contains(':') { ":***" } else { "" };
                format!("{scheme}://{name}{password}@{host}")
            }
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    let Some(query) = query else { return shown };
    let hidden = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    format!("{shown}?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&"))
}

/// An error at the start, with where it was: what can't be connected to is unusable, and says why.
pub fn explain(error: Error, url: &str) -> Error {
    let shown = without_password(url);
    match error {
        Error::Corrupt(text) => Error::Corrupt(format!("{shown}: {text}")),
        Error::Unusable(text) => Error::Unusable(format!("{shown}: {text}")),
        Error::Unavailable(text) | Error::Data(text) | Error::Io(text) => Error::Unusable(format!(
            "can't use {shown}: {text}; is the server there, and may this user use the database?"
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("postgres://u:secret@h:1/d", "postgres://u:***@h:1/d"),
            ("postgres://u:se@cr@et@h/d?sslmode=require", "postgres://u:***@h/d?sslmode=require"),
            ("postgres://u@h/d?password=secret&user=x", "postgres://u@h/d?password=***&user=x"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres:///d?host=/tmp", "postgres:///d?host=/tmp"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        for url in
            ["postgres://u:secret@h:port/d", "postgres://u:secret@[x/d", "postgres://u:secret@h/d?sslmode=secret"]
        {
            let Err(Error::Unusable(text)) = read(url) else { panic!("{url} was taken") };
            assert!(!text.contains("secret") || url.contains("sslmode"), "{text}");
        }
    }

    #[test]
    fn pgbouncer_is_said_in_the_url() {
        assert!(read("postgres://h/d").unwrap().prepared);
        assert!(!read("postgres://h/d?pgbouncer=true&sslmode=disable").unwrap().prepared);
        assert!(read("postgres://h/d?pgbouncer=maybe").is_err());
    }
}
