//! Servers on a disk that can be made to fail: the shim stands in front of the program that writes, which is `callboard serve` on a
//! file, and PostgreSQL under three replicas.

use crate::fault::{Plan, Store};
use crate::stage::{REPLICAS, Servers};
use callboard_shim::Shim;
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::program;
use callboard_tests::server::{Server, ServerBuilder};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// How long a program may take to end when its disk has failed.
const ENDING: Duration = Duration::from_secs(60);

/// The disk.
#[derive(Debug)]
pub struct Disk {
    /// Makes it fail.
    pub shim: Arc<Shim>,
    /// Of a server on a file; PostgreSQL has its own.
    _folder: Option<TempDir>,
}

impl Disk {
    /// Starts servers on one: as many as the plan's store wants.
    pub async fn start(plan: &Plan, settings: &str) -> (Servers, Self) {
        match plan.store {
            Store::Sqlite => on_a_file(plan, settings).await,
            Store::Postgres => on_a_cluster(plan, settings).await,
            Store::Memory => panic!("a store in memory has no disk"),
        }
    }

    /// Kills whoever is left who could write, and waits for the end of all. PostgreSQL's processes end with the first of them, but
    /// for those that wait for a lock which a dead one has.
    pub async fn kill_the_rest(&self) {
        let shim = self.shim.clone();
        self.shim.processes().into_iter().for_each(program::kill_9_if_there);
        let ended = tokio::task::spawn_blocking(move || shim.wait_for_the_end());
        timeout(ENDING, ended).await.expect("every process of the shim ends in time").expect("the shim can wait");
    }
}

async fn on_a_file(plan: &Plan, settings: &str) -> (Servers, Disk) {
    let folder = tempfile::Builder::new().prefix("callboard-disk-").tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let shim = Arc::new(Shim::new(folder.path(), &data));
    let builder = planted(plan, Server::builder().args(settings));
    let builder = preloaded(builder.database(format!("sqlite://{}/callboard.db", data.display())), &shim);
    let servers = vec![builder.start().await];
    (Servers { servers, cluster: None }, Disk { shim, _folder: Some(folder) })
}

async fn on_a_cluster(plan: &Plan, settings: &str) -> (Servers, Disk) {
    let start = || {
        let mut shim = None;
        let settings = Settings { fsync: true, autovacuum: true };
        let cluster = Cluster::start_in(settings, |folder| {
            let made = Shim::new(folder, &folder.join("data"));
            let environment = made.environment().to_vec();
            shim = Some(made);
            environment
        });
        (Arc::new(cluster), Arc::new(shim.expect("the cluster was prepared")))
    };
    let (cluster, shim) = tokio::task::spawn_blocking(start).await.expect("PostgreSQL starts");
    let url = cluster.database().await;
    let mut servers = Vec::new();
    for _ in 0..REPLICAS {
        servers.push(planted(plan, Server::builder().args(settings)).database(&url).start().await);
    }
    (Servers { servers, cluster: Some(cluster) }, Disk { shim, _folder: None })
}

/// A server with the bugs that the plan wants.
pub fn planted(plan: &Plan, builder: ServerBuilder) -> ServerBuilder {
    if plan.planted.is_empty() { builder } else { builder.env("CALLBOARD_PLANTED", &plan.planted) }
}

/// A server with a shim in front of it.
pub fn preloaded(builder: ServerBuilder, shim: &Shim) -> ServerBuilder {
    shim.environment().into_iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

/// Kills what writes, which may have ended by itself: `callboard serve` on a file, else PostgreSQL.
pub async fn kill_writer(system: &mut Servers) {
    match system.cluster.clone() {
        Some(cluster) => tokio::task::spawn_blocking(move || cluster.kill_9()).await.expect("PostgreSQL is killed"),
        None => {
            program::kill_9(system.servers[0].pid());
            system.servers[0].ended().await;
        }
    }
}

/// Starts it again.
pub async fn start_writer(system: &mut Servers) {
    match system.cluster.clone() {
        Some(cluster) => tokio::task::spawn_blocking(move || cluster.start_again()).await.expect("PostgreSQL starts"),
        None => system.servers[0].restart().await,
    }
}

/// Whether it runs.
pub fn writer_runs(system: &mut Servers) -> bool {
    match &system.cluster {
        Some(cluster) => cluster.is_running(),
        None => system.servers[0].is_running(),
    }
}
