//! What scenarios are played on: servers and drivers, which many share.

use crate::driver::Driver;
use crate::scenario::Scenario;
use crate::sdk::Sdk;
use callboard_tests::server::Server;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Short, so that scenarios of lost leases are; not so short that a busy machine loses some by itself.
const SERVER: [(&str, &str); 4] =
    [("--stream-lease", "3s"), ("--reattach-grace", "2s"), ("--restart-grace", "10s"), ("--accept-within", "5s")];

/// How long anything may take, on a slow machine that does much else.
const LONG: Duration = Duration::from_secs(20);
/// The same where it is likely to be waited for in vain: with a defect.
const IN_VAIN: Duration = Duration::from_secs(6);

/// Where servers keep everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A file for each.
    Sqlite,
    /// A database for each, of one PostgreSQL.
    Postgres,
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// A server that runs, and may be killed and started again by the scenario that has it for itself.
#[derive(Debug)]
pub struct Host {
    /// The server.
    pub server: Mutex<Server>,
    /// Where it is, also after a restart.
    pub address: SocketAddr,
}

/// Servers and drivers.
#[derive(Debug)]
pub struct Stage {
    store: Store,
    defect: Option<String>,
    /// How long anything is waited for.
    pub patience: Duration,
    servers: Mutex<BTreeMap<Vec<String>, Arc<Host>>>,
    drivers: Mutex<BTreeMap<Sdk, Arc<Driver>>>,
}

impl Stage {
    /// An empty one. With a defect every driver has it in its SDK.
    pub fn new(store: Store, defect: Option<String>) -> Self {
        let patience = if defect.is_some() { IN_VAIN } else { LONG };
        Self { store, defect, patience, servers: Mutex::default(), drivers: Mutex::default() }
    }

    /// The servers of a scenario: one that all with these arguments share, or for it alone one or two.
    ///
    /// # Errors
    ///
    /// When one can't be started.
    pub async fn servers(&self, scenario: &Scenario) -> Result<Vec<Arc<Host>>, String> {
        let args = &scenario.server;
        if scenario.servers == 1 && !scenario.own_server {
            return Ok(vec![self.shared(args).await?]);
        }
        let database = self.database().await?;
        let mut hosts = Vec::new();
        for _ in 0..scenario.servers {
            hosts.push(start(args, database.clone()).await?);
        }
        Ok(hosts)
    }

    async fn shared(&self, args: &[String]) -> Result<Arc<Host>, String> {
        let mut servers = self.servers.lock().await;
        if let Some(known) = servers.get(args) {
            return Ok(known.clone());
        }
        let started = start(args, self.database().await?).await?;
        servers.insert(args.to_vec(), started.clone());
        Ok(started)
    }

    /// A database of its own, where the store has such.
    async fn database(&self) -> Result<Option<String>, String> {
        if self.store == Store::Sqlite {
            return Ok(None);
        }
        let started = tokio::task::spawn_blocking(callboard_test_postgres::shared).await;
        let cluster = started.map_err(|error| format!("PostgreSQL did not start: {error}"))?;
        Ok(Some(cluster.database().await))
    }

    /// The driver of an SDK: the one that all share, started again if it has ended, or one for a scenario alone.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub async fn driver(&self, sdk: Sdk, own: bool) -> Result<Arc<Driver>, String> {
        if own {
            return Driver::start(sdk, self.defect.as_deref()).await.map(Arc::new);
        }
        let mut drivers = self.drivers.lock().await;
        if let Some(known) = drivers.get(&sdk).filter(|driver| driver.is_alive()) {
            return Ok(known.clone());
        }
        let started = Arc::new(Driver::start(sdk, self.defect.as_deref()).await?);
        drivers.insert(sdk, started.clone());
        Ok(started)
    }
}

/// Starts a server. Without a database it has a file.
async fn start(args: &[String], database: Option<String>) -> Result<Arc<Host>, String> {
    let mut builder = Server::builder();
    let said = |name: &str| args.iter().any(|arg| arg == name);
    for (name, value) in SERVER.into_iter().filter(|(name, _)| !said(name)) {
        builder = builder.arg(name).arg(value);
    }
    for arg in args {
        builder = builder.arg(arg);
    }
    if let Some(database) = database {
        builder = builder.database(database);
    }
    let server = builder.try_start().await?;
    let address = server.address().trim_start_matches("http://").parse();
    let address = address.map_err(|error| format!("{}: {error}", server.address()))?;
    Ok(Arc::new(Host { server: Mutex::new(server), address }))
}
