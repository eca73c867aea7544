//! Looking at a file without using it: for a check before a start, also while a server runs on it.

use super::error::sqlite_error;
use super::open::{base_options, check, check_header, explain, plain_options, resolve};
use super::pages::{self, Pages};
use super::schema::{self, SCHEMA_VERSION};
use super::writer::log_of;
use super::{SqliteOptions, SqliteStore, lock, log};
use crate::{Error, Result};
use sqlx::ConnectOptions;
use std::path::PathBuf;

/// What a file is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Where it is, links resolved.
    pub path: PathBuf,
    /// Its size in bytes; 0: it is not there, or empty, and will become a store.
    pub bytes: u64,
    /// Its schema; 0 when there is none yet.
    pub schema: i64,
    /// The schema of this program: migrations lead there at the start.
    pub known: i64,
    /// A server uses it now.
    pub in_use: bool,
}

impl SqliteStore {
    /// Looks at a store and changes nothing: whether it is one, whether this program may use it, which schema it has, and
    /// whether it is damaged (SQLite's `quick_check`, which takes seconds for each gigabyte).
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`], but for a file in use, which is no error here.
    pub async fn inspect(path_or_url: &str) -> Result<Inspection> {
        let path = resolve(path_or_url)?;
        let bytes = check_header(&path)?;
        let in_use = lock::is_held(&path);
        let mut inspection = Inspection { path: path.clone(), bytes, schema: 0, known: SCHEMA_VERSION, in_use };
        if bytes == 0 {
            check_folder(&path)?;
            return Ok(inspection);
        }
        // A server that uses the file writes its log, and doesn't read it again.
        if !in_use {
            log::check(&path).or_else(|damage| if lock::is_held(&path) { Ok(()) } else { Err(damage) })?;
        }
        // Without a log nothing has to be shared with a writer; then SQLite need not make files beside this one.
        let log = std::fs::metadata(log_of(&path)).map_or(0, |log| log.len());
        // A server gave the pages of its file their checksums when it began.
        let sealed = in_use || pages::look(&path)? == Pages::Sealed;
        let options = if sealed { base_options } else { plain_options };
        let options = options(&path, &SqliteOptions::default()).read_only(true).immutable(log == 0 && !in_use);
        let connected = options.connect().await.map_err(sqlite_error);
        let mut connection = connected.map_err(|error| explain(error, &path))?;
        let schema = async {
            let schema = schema::verify(&mut connection, &path).await?;
            check(&mut connection, "PRAGMA quick_check(10)").await?;
            Ok(schema)
        };
        let schema = schema.await;
        super::open::close(connection).await;
        inspection.schema = schema.map_err(|error| explain(error, &path))?;
        Ok(inspection)
    }
}

/// A file can only be made where we may write.
fn check_folder(path: &std::path::Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let writable = std::fs::metadata(folder).is_ok_and(|folder| folder.is_dir() && !folder.permissions().readonly());
    if writable {
        return Ok(());
    }
    let fault = format!("the folder {} may not be written to; a store can't be made in it", folder.display());
    Err(Error::Unusable(fault))
}
