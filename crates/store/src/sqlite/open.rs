//! Opening a file: every promise that depends on how SQLite is set is asked back from SQLite.

use super::SqliteStore;
use super::checkpoint::{BY_ITSELF, Checkpointer};
use super::error::sqlite_error;
use super::lock::Lock;
use super::log;
use super::pages;
use super::readers::Readers;
use super::schema::{self, number, text};
use super::trouble::Trouble;
use super::writer::Writer;
use crate::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Older ones can corrupt a write-ahead log when it is reset.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];
/// The first bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Files up to this size are looked through at start; larger ones would take seconds.
const QUICK_CHECK_BYTES: u64 = 32 << 20;
/// Pages in the write-ahead log before it is copied into the file: 80 MiB. Measured: +15 % over the default of 1,000.
const CHECKPOINT_PAGES: u32 = 20_000;

/// A read takes milliseconds: lists, scans and samples look at a bounded number of rows.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// How a file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many connections read.
    pub readers: u32,
    /// How long a read may take: while it looks, the write-ahead log grows.
    pub read_limit: Duration,
    /// The page cache of the writing connection, in KiB; each reading one has a quarter.
    pub cache_kib: u32,
    /// How long to wait for another connection, which only happens while the log is reset.
    pub busy_timeout: Duration,
    /// Pages of 4 KiB in the write-ahead log before it is copied into the file. A log of four times that size is cut.
    pub log_pages: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            read_limit: READ_LIMIT,
            cache_kib: 16 << 10,
            busy_timeout: Duration::from_secs(5),
            log_pages: CHECKPOINT_PAGES,
        }
    }
}

impl SqliteStore {
    /// Opens a store: a path, or `sqlite://` and a path. Creates the file if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when another process has the file, when it isn't ours, or when it needs a newer version;
    /// [`Error::Corrupt`] when it is damaged; [`Error::Io`] when it can't be read or written. The text says what to do.
    pub async fn open(path_or_url: &str, options: SqliteOptions) -> Result<Self> {
        let path = resolve(path_or_url)?;
        let lock = Lock::take(&path)?;
        let size = check_header(&path)?;
        if size > 0 {
            log::make_ready(&path)?;
        }
        pages::prepare(&path, &options).await?;
        let mut connection = connect(&path, &options).await.map_err(|error| explain(error, &path))?;
        let prepared = prepare(&mut connection, &path, size).await;
        prepared.map_err(|error| explain(error, &path))?;
        sync_folder(&path)?;
        let readers = open_readers(&path, &options).await.map_err(|error| explain(error, &path))?;
        let trouble = Trouble::default();
        let checkpointer = Checkpointer::start(base_options(&path, &options), options.log_pages, trouble.clone()).await;
        let checkpointer = checkpointer.map_err(|error| explain(error, &path))?;
        let writer = Writer::new(connection, (checkpointer, trouble), &path, &options).await;
        let writer = writer.map_err(|error| explain(error, &path))?;
        Ok(Self::new(Arc::new(writer), readers, path, lock))
    }
}

/// The absolute path, links resolved: so that every name of a file has the same lock.
pub(super) fn resolve(path_or_url: &str) -> Result<PathBuf> {
    let path = path_or_url.strip_prefix("sqlite:").unwrap_or(path_or_url);
    let path = if path.len() < path_or_url.len() { path.strip_prefix("//").unwrap_or(path) } else { path };
    let refuse = |fault: &str| Err(Error::Unusable(format!("database {path_or_url:?}: {fault}")));
    if path.is_empty() {
        return refuse("there is no file name in it; use sqlite://callboard.db, say");
    }
    if path.contains(":memory:") {
        return refuse("a store in memory loses what was acknowledged; name a file");
    }
    if path.contains('?') {
        return refuse("parameters behind a question mark are not supported; leave them out");
    }
    let path = Path::new(path);
    if let Ok(resolved) = path.canonicalize() {
        return Ok(resolved);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => Ok(folder.join(name)),
        (Err(error), _) => refuse(&format!("the folder {} can't be used: {error}; create it first", folder.display())),
        (_, None) => refuse("this is no file name"),
    }
}

/// Refuses what isn't an SQLite file before SQLite touches it. Gives the file's size.
pub(super) fn check_header(path: &Path) -> Result<u64> {
    let io = |error| Error::Io(format!("can't read {}: {error}", path.display()));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io(error)),
    };
    let size = file.metadata().map_err(io)?.len();
    if size == 0 {
        return Ok(0);
    }
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if &start == MAGIC => Ok(size),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(io(error)),
        _ => {
            let text = format!("{} is not an SQLite file, or its beginning is damaged", path.display());
            Err(Error::Corrupt(format!("{text}; choose another file, or restore a backup")))
        }
    }
}

/// Every connection of the store: what it reads from the file is verified.
pub(super) fn base_options(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    plain_options(path, options).vfs(callboard_sqlite_checksum::vfs())
}

/// For a file whose pages have no checksums.
pub(super) fn plain_options(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.busy_timeout)
        .statement_cache_capacity(400)
        .row_buffer_size(512)
        // A page that can't be read must be an error, not a signal that ends the process.
        .pragma("mmap_size", "0")
        .pragma("temp_store", "MEMORY")
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

pub(super) async fn connect(path: &Path, options: &SqliteOptions) -> Result<SqliteConnection> {
    let limit = u64::from(options.log_pages) * 4096;
    let connect = base_options(path, options)
        .create_if_missing(true)
        .pragma("wal_autocheckpoint", options.log_pages.saturating_mul(BY_ITSELF).to_string())
        .pragma("journal_size_limit", limit.to_string())
        .pragma("cell_size_check", "ON")
        .pragma("cache_size", format!("-{}", options.cache_kib))
        .thread_name(|_| "sqlite-writer".to_owned());
    let mut connection = connect.connect().await.map_err(sqlite_error)?;
    // Before anything is written to a new file.
    pages::reserve(&mut connection).await?;
    text(&mut connection, "PRAGMA journal_mode = WAL").await?;
    Ok(connection)
}

async fn prepare(connection: &mut SqliteConnection, path: &Path, size: u64) -> Result<()> {
    let version = text(connection, "SELECT sqlite_version()").await?;
    if numbers(&version) < OLDEST_SQLITE.to_vec() {
        let text = format!("SQLite is {version}, and must be 3.51.3 or newer: older ones can corrupt the file");
        return Err(Error::Unusable(format!("{text}; build callboard with the SQLite that it brings along")));
    }
    require("journal_mode", &text(connection, "PRAGMA journal_mode").await?, "wal")?;
    require("synchronous", &number(connection, "PRAGMA synchronous").await?.to_string(), "2")?;
    if (1..=QUICK_CHECK_BYTES).contains(&size) {
        check(connection, "PRAGMA quick_check(1)").await?;
    }
    schema::prepare(connection, path).await
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// What makes a commit durable must be as it was set.
fn require(what: &str, found: &str, wanted: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let remedy = "put the file on a local disk whose file system supports shared memory";
    Err(Error::Unusable(format!("SQLite's {what} is {found}, and must be {wanted}; {remedy}")))
}

/// Runs a check of the whole file, which says `ok`, or what is wrong.
pub(super) async fn check(connection: &mut SqliteConnection, pragma: &'static str) -> Result<()> {
    let found = text(connection, pragma).await?;
    if found == "ok" { Ok(()) } else { Err(Error::Corrupt(found)) }
}

/// A new file's name is durable only when its folder is.
fn sync_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if cfg!(unix) => Err(Error::Io(format!("can't sync the folder {}: {error}", folder.display()))),
        _ => Ok(()),
    }
}

async fn open_readers(path: &Path, options: &SqliteOptions) -> Result<Readers> {
    let connect = base_options(path, options)
        .read_only(true)
        .pragma("query_only", "ON")
        .pragma("cache_size", format!("-{}", options.cache_kib / 4))
        .thread_name(|n| format!("sqlite-reader-{n}"));
    Readers::open(connect, options.readers, options.read_limit).await
}

/// Says which file it is, and what to do about it.
pub(super) fn explain(error: Error, path: &Path) -> Error {
    let file = path.display();
    match error {
        Error::Corrupt(text) => {
            Error::Corrupt(format!("{file}: {text}; restore a backup, or see \"Damage\" in docs/operations.md"))
        }
        Error::Io(text) => {
            Error::Io(format!("{file}: {text}; check that the disk works, has room, and may be written to"))
        }
        Error::Unavailable(text) | Error::Data(text) => Error::Unusable(format!("can't use {file}: {text}")),
        other => other,
    }
}

/// Closes a connection; SQLite then copies the log into the file.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the SQLite store was not closed cleanly; nothing is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_a_url_and_must_be_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = folder.join("a.db");
        for name in
            [path.display().to_string(), format!("sqlite://{}", path.display()), format!("sqlite:{}", path.display())]
        {
            assert_eq!(resolve(&name).unwrap(), path);
        }
        for wrong in ["", "sqlite://", ":memory:", "sqlite::memory:", "a.db?mode=ro", "/no/such/folder/a.db", "/"] {
            // "/" is a folder: it is refused when it is locked.
            assert!(wrong == "/" || matches!(resolve(wrong), Err(Error::Unusable(_))), "{wrong}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("3.51.3") >= OLDEST_SQLITE.to_vec());
        assert!(numbers("3.100.0") > OLDEST_SQLITE.to_vec());
        assert!(numbers("3.51.2") < OLDEST_SQLITE.to_vec());
    }
}
