//! Whether the pages of a file have checksums, and how they get them.
//!
//! A new file has them from its first page on (`callboard-sqlite-checksum`). A file that SQLite copied or vacuumed without us has room
//! for them and none in it: they are written before it is used, which reads the whole file. One of a time before there were
//! checksums is vacuumed first, which makes the room; and looked through before that, since behind it nobody could tell any more.

use super::error::sqlite_error;
use super::open::{explain, plain_options};
use super::schema::{self, APPLICATION_ID};
use super::writer::log_of;
use super::{SqliteOptions, open};
use crate::{Error, Result};
use callboard_sqlite_checksum::page::{self, Page, RESERVED, RESERVED_AT, SIZE, Verdict};
use sqlx::{ConnectOptions, SqliteConnection};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Pages that are looked at for checksums when the first one says that there are none.
const PROBES: u32 = 16;
/// Bytes that are read at a time.
const BLOCK: usize = 256 * SIZE;

/// What a file's pages are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// They have checksums, or there are none yet.
    Sealed,
    /// They have room for checksums, and none in it: SQLite wrote the file without us.
    Unsealed,
    /// They have no room for checksums.
    Bare,
}

/// Has room for checksums kept in a file that is new.
pub async fn reserve(connection: &mut SqliteConnection) -> Result<()> {
    let mut handle = connection.lock_handle().await.map_err(sqlite_error)?;
    if callboard_sqlite_checksum::reserve(&mut handle) {
        return Ok(());
    }
    Err(Error::Unusable(
        "this SQLite keeps no room for checksums; build callboard with the SQLite that it brings".into(),
    ))
}

/// Looks at the first page, which says it for all. A header that was damaged so that it denies the checksums is not believed.
pub fn look(path: &Path) -> Result<Pages> {
    let mut file = File::open(path).map_err(|error| io(path, error))?;
    let size = file.metadata().map_err(|error| io(path, error))?.len();
    // A crash while the file was made: SQLite undoes what is in it.
    if size == 0 || is_there(&beside(path, "-journal")) {
        return Ok(Pages::Sealed);
    }
    let mut first: Page = [0; SIZE];
    if size < SIZE as u64 {
        return Err(damaged(path, "it ends within its first page"));
    }
    file.read_exact(&mut first).map_err(|error| io(path, error))?;
    // With a log, what stands in the file may be half of what is whole in the log: SQLite knows.
    let verdict = page::verify(1, &first);
    if first[RESERVED_AT] == RESERVED as u8 {
        return match verdict {
            Verdict::Damaged if !is_there(&log_of(path)) => {
                Err(damaged(path, "the checksum of its first page is another"))
            }
            Verdict::Unsealed if first[68..72] != (APPLICATION_ID as u32).to_be_bytes() => {
                Err(Error::Unusable(format!("{} is not a file of callboard; choose another file", path.display())))
            }
            Verdict::Unsealed => Ok(Pages::Unsealed),
            _ => Ok(Pages::Sealed),
        };
    }
    first[RESERVED_AT] = RESERVED as u8;
    let mut sealed = page::verify(1, &first) == Verdict::Whole;
    let mut next: Page = [0; SIZE];
    for number in 2..2 + PROBES {
        sealed |= file.read_exact(&mut next).is_ok() && page::verify(number, &next) == Verdict::Whole;
    }
    if sealed { Err(damaged(path, "its header is not what was written")) } else { Ok(Pages::Bare) }
}

/// Gives the pages of a file checksums if they have none. Nobody else may use it.
pub async fn prepare(path: &Path, options: &SqliteOptions) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut pages = look(path)?;
    if pages == Pages::Bare {
        convert(path, options).await.map_err(|error| explain(error, path))?;
        pages = look(path)?;
    } else if pages == Pages::Unsealed {
        tracing::info!("the SQLite store was copied or vacuumed by another program, without checksums");
    }
    if pages == Pages::Unsealed { seal(path) } else { Ok(()) }
}

/// Makes room in a file that has none.
async fn convert(path: &Path, options: &SqliteOptions) -> Result<()> {
    // The copy that SQLite makes first would not go into memory.
    let connect = plain_options(path, options).pragma("temp_store", "FILE");
    let mut connection = connect.connect().await.map_err(sqlite_error)?;
    let vacuumed = async {
        schema::verify(&mut connection, path).await?;
        open::check(&mut connection, "PRAGMA quick_check(1)").await?;
        tracing::info!("the SQLite store is rewritten once (VACUUM), so that each page has a checksum");
        reserve(&mut connection).await?;
        let script = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";
        sqlx::raw_sql(script).execute(&mut connection).await.map(drop).map_err(sqlite_error)
    };
    let vacuumed = vacuumed.await;
    open::close(connection).await;
    vacuumed
}

/// Writes checksums where there are none: into the first page behind all others, so that a crash leaves it as it was.
fn seal(path: &Path) -> Result<()> {
    let fail = |error| io(path, error);
    let log = is_there(&log_of(path));
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(fail)?;
    let pages = u32::try_from(file.metadata().map_err(fail)?.len() / SIZE as u64).unwrap_or(u32::MAX);
    tracing::info!(pages, "the pages of the SQLite store get their checksums");
    let mut block = vec![0; BLOCK];
    let (mut number, mut sealed) = (2, 0_u32);
    while number <= pages {
        let count = (pages - number + 1).min((BLOCK / SIZE) as u32);
        let block = &mut block[..count as usize * SIZE];
        let start = SeekFrom::Start(u64::from(number - 1) * SIZE as u64);
        file.seek(start).and_then(|_| file.read_exact(block)).map_err(fail)?;
        let before = sealed;
        for (number, page) in (number..).zip(block.as_chunks_mut::<SIZE>().0) {
            match page::verify(number, page) {
                Verdict::Unsealed => {
                    page::seal(number, page);
                    sealed += 1;
                }
                Verdict::Damaged if !log => {
                    return Err(damaged(path, &format!("the checksum of page {number} is another")));
                }
                Verdict::Damaged | Verdict::Whole => {}
            }
        }
        if sealed > before {
            file.seek(start).and_then(|_| file.write_all(block)).map_err(fail)?;
        }
        number += count;
    }
    if sealed == 0 && pages > 1 && !log {
        return Err(damaged(path, "its first page lost its checksum, and no other did"));
    }
    file.sync_all().map_err(fail)?;
    let mut first: Page = [0; SIZE];
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut first)).map_err(fail)?;
    page::seal(1, &mut first);
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&first)).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn beside(path: &Path, end: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Whether there is something in a file.
fn is_there(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

fn io(path: &Path, error: std::io::Error) -> Error {
    explain(Error::Io(format!("can't read or write its pages: {error}")), path)
}

fn damaged(path: &Path, fault: &str) -> Error {
    explain(Error::Corrupt(format!("the file is damaged: {fault}")), path)
}
