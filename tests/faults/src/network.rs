//! Servers behind proxies: between agents and servers, between everybody else and servers, between servers and PostgreSQL.

use crate::disk::planted;
use crate::fault::{Plan, Store};
use crate::proxy::{Proxy, Target};
use crate::stage::{self, REPLICAS, Servers};
use callboard_tests::server::Server;

/// The proxies, one for each server on each way.
#[derive(Debug)]
pub struct Network {
    /// From the SDK's agents.
    pub agents: Vec<Proxy>,
    /// From everybody else.
    pub clients: Vec<Proxy>,
    /// To PostgreSQL.
    pub database: Vec<Proxy>,
}

impl Network {
    /// Starts servers with it: as many as the plan's store wants.
    pub async fn start(plan: &Plan, settings: &str) -> (Servers, Self) {
        let mut network = Self { agents: Vec::new(), clients: Vec::new(), database: Vec::new() };
        let mut servers = Vec::new();
        let mut cluster = None;
        if plan.store == Store::Postgres {
            let started = stage::cluster().await;
            let url = started.database().await;
            let name = url.rsplit('/').next().expect("a database has a name").to_owned();
            for replica in 0..REPLICAS {
                let socket = started.socket().join(".s.PGSQL.5432");
                let proxy = Proxy::start(Target::Unix(socket), plan.seed ^ replica as u64).await;
                let url = format!("postgres://postgres@{}/{name}?sslmode=disable", proxy.address());
                servers.push(planted(plan, Server::builder().args(settings)).database(url).start().await);
                network.database.push(proxy);
            }
            cluster = Some(started);
        } else {
            servers.push(planted(plan, Server::builder().args(settings)).start().await);
        }
        for server in &servers {
            let address = server.address().trim_start_matches("http://").parse().expect("a server has an address");
            for (place, way) in [&mut network.agents, &mut network.clients].into_iter().enumerate() {
                let seed = plan.seed.wrapping_add(place as u64 + 10);
                way.push(Proxy::start(Target::Tcp(address), seed).await);
            }
        }
        (Servers { servers, cluster }, network)
    }

    /// Addresses of proxies, for those who connect.
    pub fn addresses(way: &[Proxy]) -> Vec<String> {
        way.iter().map(|proxy| format!("http://{}", proxy.address())).collect()
    }
}
