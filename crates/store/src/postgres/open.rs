//! Opening a database: every promise that depends on how the server is set is asked back from it.

use super::PostgresStore;
use super::connections::{Connections, Purpose};
use super::floors::Floors;
use super::schema::{self, SCHEMA_VERSION};
use super::statistics;
use super::store::Shared;
use super::timeline;
use super::url::{self, explain, without_password};
use crate::Result;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// How a database is used.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// How many connections there may be.
    pub connections: u32,
    /// Another URL of the same database, past a pooler: migrations run there, and notifications are heard.
    pub direct: Option<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { connections: 16, direct: None }
    }
}

/// What a database is like, before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its URL, without a password.
    pub url: String,
    /// The server's version, as `150004`.
    pub server: i64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its schema; 0 when there is none yet.
    pub schema: i64,
    /// The schema of this program: migrations lead there at the start.
    pub known: i64,
}

impl PostgresStore {
    /// Opens a database: `postgres://user:password@host:5432/database`. It must be there, and empty or ours; migrations run.
    /// `pgbouncer=true` among the URL's parameters says that a pooler in transaction mode is in between.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unusable`] when it can't be reached, when it isn't ours, when it is set so that commits may be lost, or when it needs a
    /// newer version; [`crate::Error::Corrupt`] when it is damaged. The text says what to do, and has no password in it.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self> {
        let direct = options.direct.as_deref().unwrap_or(url);
        let migrated = migrate(direct).await;
        migrated.map_err(|error| explain(error, direct))?;
        let opened = open(url, &options).await;
        opened.map_err(|error| explain(error, url))
    }

    /// Looks at a database and changes nothing: whether it is one of ours, whether this program may use it, and which schema it has.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::open`].
    pub async fn inspect(url: &str) -> Result<Inspection> {
        let found = inspect(url).await;
        let found = found.map_err(|error| explain(error, url))?;
        Ok(Inspection {
            url: without_password(url),
            server: found.server,
            bytes: u64::try_from(found.bytes).unwrap_or_default(),
            schema: found.schema,
            known: SCHEMA_VERSION,
        })
    }
}

/// A connection for what is done once.
async fn inspect(url: &str) -> Result<schema::Found> {
    let connections = one_connection(url)?;
    let mut lent = connections.lend(Purpose::Schema).await?;
    if !connections.are_sessions() {
        lent.run("BEGIN".into()).await.map_err(super::error::pg_error)?;
    }
    schema::verify(&mut lent).await
}

fn one_connection(url: &str) -> Result<Arc<Connections>> {
    let address = url::read(url)?;
    Ok(Connections::new(address.options, address.prepared, 1))
}

async fn migrate(url: &str) -> Result<()> {
    schema::migrate(&mut one_connection(url)?.lend(Purpose::Schema).await?).await
}

async fn open(url: &str, options: &PostgresOptions) -> Result<PostgresStore> {
    let address = url::read(url)?;
    // A pooler gives each transaction another server: nothing would be heard.
    let direct = options.direct.as_deref().map(url::read).transpose()?;
    let listen = direct.or(url::read(url).ok()).filter(|address| address.prepared).map(|address| address.options);
    let connections = Connections::new(address.options, address.prepared, options.connections as usize);
    let order = timeline::settle(&mut connections.lend(Purpose::Schema).await?).await?;
    let mut beside = JoinSet::new();
    beside.spawn(statistics::keep(connections.clone()));
    let (timeline, beside) = (AtomicI64::new(0), Mutex::new(beside));
    let floors = Floors::new(order);
    Ok(PostgresStore { shared: Arc::new(Shared { connections, order, timeline, floors, listen, beside }) })
}
