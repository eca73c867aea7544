//! `callboard serve --check`: whether a server could start, without starting one.

use super::settings::Settings;
use super::{archive, database, load_identities, load_tls, log};
use crate::error::Error;
use std::io::Write;

/// Says what it finds on standard output; the first fault is the error.
pub async fn run(settings: &Settings) -> Result<(), Error> {
    let address = settings.listen_address()?;
    log::filter(&settings.log).map_err(|fault| Error::Usage(format!("log: {fault}")))?;
    load_tls(settings)?;
    load_identities(settings)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "settings: ok; it would listen on {address}")?;
    if let Some(directory) = &settings.archive {
        let found = archive::inspect(directory).map_err(|fault| Error::Usage(format!("archive: {fault}")))?;
        writeln!(out, "archive: ok; {found}")?;
    }
    for line in database::inspect(settings).await? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
