//! The connections that read. What a reader sees can't leave the write-ahead log while it looks, so each read has a time limit;
//! SQLite itself interrupts what runs longer.
//!
//! A pool of our own: SQLite asks each connection whether to go on, and a read must know which flag its connection looks at.

use super::error::sqlite_error;
use crate::{Error, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a read waits for a connection. All of them are taken by others then, each for at most its own limit.
const WAIT: Duration = Duration::from_secs(10);
/// Steps of SQLite's machine between two looks at the flag: about 10 us of work, or as many pages from the disk at worst.
const STEPS: i32 = 1_000;

/// Connections for reads, a bounded number of them.
pub struct Readers {
    connect: SqliteConnectOptions,
    /// How long a read may take.
    limit: Duration,
    count: u32,
    idle: Mutex<Vec<Reader>>,
    /// One for each connection.
    permits: Semaphore,
    /// How many of them may be at pages of events. Each of a thousand watches reads what another one has just read: calls must not stand
    /// in line with them.
    pages: Semaphore,
    closed: AtomicBool,
}

struct Reader {
    connection: SqliteConnection,
    /// What runs is to end. Also of an idle connection whose last read was given up: its thread may still be at it.
    over: Arc<AtomicBool>,
}

/// A connection in use. Dropped before its read has ended, it interrupts what runs.
struct Lease<'a> {
    /// Taken only when it is dropped.
    reader: Option<Reader>,
    ended: bool,
    readers: &'a Readers,
    /// Behind the others: let go of when the connection is back.
    _permit: SemaphorePermit<'a>,
}

impl Readers {
    /// So many connections; the first is opened at once, to see that it can be.
    pub async fn open(connect: SqliteConnectOptions, count: u32, limit: Duration) -> Result<Self> {
        let count = count.max(1);
        let first = Reader::open(&connect).await?;
        let permits = Semaphore::new(count as usize);
        let pages = Semaphore::new((count as usize / 2).max(1));
        Ok(Self {
            connect,
            limit,
            count,
            idle: Mutex::new(vec![first]),
            permits,
            pages,
            closed: AtomicBool::new(false),
        })
    }

    /// Reads a page of events, when it is its turn among those that do: a watch can wait, however long that takes.
    pub async fn page<T>(&self, read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        let _turn = self.pages.acquire().await.map_err(|_| Error::Unavailable("the store is closed".into()))?;
        self.read(read).await
    }

    /// Reads. What takes longer than the limit is interrupted, and so is what nobody waits for any more.
    pub async fn read<T>(&self, read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        let mut lease = self.lease().await?;
        match timeout(self.limit, read(lease.connection()?)).await {
            Ok(found) => {
                // After an error rows may still be on their way.
                lease.ended = found.is_ok();
                found
            }
            Err(_) => {
                let text = format!("a read took longer than {:?} and was ended; ask for less at a time", self.limit);
                Err(Error::Unavailable(text))
            }
        }
    }

    /// The same, of several statements that see the same.
    pub async fn snapshot<T>(&self, read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        self.read(async |connection| {
            let mut transaction = connection.begin().await.map_err(sqlite_error)?;
            let found = read(&mut transaction).await;
            // Nothing was changed; a reader that lingers would keep the log from being reset. What failed in the transaction is told
            // first: SQLite may have ended it for that, and then says that there is none.
            let ended = transaction.rollback().await.map_err(sqlite_error);
            let found = found?;
            ended?;
            Ok(found)
        })
        .await
    }

    async fn lease(&self) -> Result<Lease<'_>> {
        let permit = match timeout(WAIT, self.permits.acquire()).await {
            Ok(Ok(permit)) if !self.closed.load(Ordering::Relaxed) => permit,
            Ok(_) => return Err(Error::Unavailable("the store is closed".into())),
            Err(_) => return Err(Error::Unavailable(format!("no reader was free for {WAIT:?}"))),
        };
        let idle = self.idle().pop();
        let mut lease = Lease { reader: idle, ended: false, readers: self, _permit: permit };
        let usable = match lease.reader.as_mut() {
            Some(reader) => reader.settle().await,
            None => false,
        };
        if !usable {
            lease.reader = Some(Reader::open(&self.connect).await?);
        }
        Ok(lease)
    }

    /// Closes all connections, when their reads have ended. More are refused from now on.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.pages.close();
        let _all = self.permits.acquire_many(self.count).await;
        let idle = std::mem::take(&mut *self.idle());
        for reader in idle {
            super::open::close(reader.connection).await;
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    async fn open(connect: &SqliteConnectOptions) -> Result<Self> {
        let mut connection = connect.connect().await.map_err(sqlite_error)?;
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        let mut handle = connection.lock_handle().await.map_err(sqlite_error)?;
        handle.set_progress_handler(STEPS, move || !flag.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self { connection, over })
    }

    /// Waits until what was given up on this connection has ended, which the flag sees to. False when another must be opened.
    async fn settle(&mut self) -> bool {
        if !self.over.load(Ordering::Relaxed) {
            return true;
        }
        let settled = self.connection.ping().await.is_ok() && !self.connection.is_in_transaction();
        self.over.store(false, Ordering::Relaxed);
        settled
    }
}

impl Lease<'_> {
    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        let reader = self.reader.as_mut();
        reader.map(|reader| &mut reader.connection).ok_or_else(|| Error::Unavailable("no reader is open".into()))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            if !self.ended {
                reader.over.store(true, Ordering::Relaxed);
            }
            self.readers.idle().push(reader);
        }
    }
}
