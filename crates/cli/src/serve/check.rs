//! `callboard serve --check`: whether a server could start, without starting one.

use super::settings::Settings;
use super::{load_identities, load_tls, log, refuse_postgres};
use crate::error::Error;
use callboard_store::sqlite::{Inspection, SqliteStore};
use std::io::Write;

/// Says what it finds on standard output; the first fault is the error.
pub async fn run(settings: &Settings) -> Result<(), Error> {
    let address = settings.listen_address()?;
    log::filter(&settings.log).map_err(|fault| Error::Usage(format!("log: {fault}")))?;
    load_tls(settings)?;
    load_identities(settings)?;
    refuse_postgres(&settings.database)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "settings: ok; it would listen on {address}")?;
    let found = SqliteStore::inspect(&settings.database).await;
    let found = found.map_err(|error| Error::Serve(format!("database: {error}")))?;
    writeln!(out, "database: ok; {}", describe(&found))?;
    if found.in_use {
        writeln!(out, "note: a server uses this file now; another can't start before it has ended")?;
    }
    Ok(())
}

fn describe(found: &Inspection) -> String {
    let file = found.path.display();
    if found.bytes == 0 {
        return format!("{file} is not there yet, and will be made at the start");
    }
    let schema = match found.known - found.schema {
        0 => format!("schema {}, which is this program's", found.schema),
        pending @ 1.. => format!(
            "schema {}; {pending} migration{} will run at the start, up to schema {}",
            found.schema,
            if pending == 1 { "" } else { "s" },
            found.known
        ),
        _ => format!("schema {}, of a newer version that lets this one use it", found.schema),
    };
    format!("{file} has {} KiB without damage, and {schema}", found.bytes / 1_024)
}
