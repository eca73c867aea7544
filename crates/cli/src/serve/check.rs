//! `callboard serve --check`: whether a server could start, without starting one.

use super::settings::Settings;
use super::{database, load_identities, load_tls, log};
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
    for line in database::inspect(settings).await? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
