//! The options of `callboard serve`.

use super::settings::LogFormat;
use serde::Serialize;
use std::path::PathBuf;

/// `callboard serve`. Every option can also stand in a TOML file (`--config`), under its name with `_` for `-`, and in the
/// environment as `CALLBOARD_` and that name in capitals. Flags win over the environment, the environment over the file.
#[derive(clap::Args, Debug, Default, Serialize)]
pub struct Args {
    /// A TOML file with settings [env: CALLBOARD_CONFIG]
    #[arg(long, value_name = "FILE", env = "CALLBOARD_CONFIG", hide_env = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Check the settings and the store, change nothing, and end: 0 when a server can start with them.
    #[arg(long)]
    #[serde(skip)]
    pub check: bool,
    /// Where to listen; port 0 takes a free one. [default: 127.0.0.1:7470]
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Where everything durable is: `sqlite://FILE`, or `postgres://USER@HOST/DATABASE`, whose password better stands in the
    /// environment (CALLBOARD_DATABASE, PGPASSWORD) or a file (PGPASSFILE). [default: sqlite://callboard.db]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The same PostgreSQL database past a pooler: migrations run there, and notifications are heard there.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_direct: Option<String>,
    /// How many connections to PostgreSQL there may be. [default: 16]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_connections: Option<u32>,
    /// Where agents find this server, of several on one PostgreSQL: `https://callboard-1.example:7470`. Agents of another that drains are
    /// sent there; without it they take the next of the addresses that they were given.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Who may do what: a TOML file with tokens and client certificates, as `callboard token create` writes it. Without it
    /// everybody may do everything. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<PathBuf>,
    /// The server's certificate for TLS, and those that lead to its root: PEM. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key: PEM.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// The roots of clients' certificates: PEM. With it clients may identify themselves by a certificate.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen beyond loopback without TLS, or without identities: tokens can be read on the way, or anybody may do everything.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// What is logged: `info`, `debug`, `warn,callboard_engine=trace`. [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How it is logged, on standard error. [default: text]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// How long an agent's stream may be silent before its tasks go to others. [default: 10s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_lease: Option<String>,
    /// How long a claimed task is leased when the claim doesn't say. [default: 60s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_lease: Option<String>,
    /// How long an assignment may stay unaccepted. [default: 10s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_within: Option<String>,
    /// How long an agent has to stop after a cancellation. [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_grace: Option<String>,
    /// How long the tasks of a broken stream wait for their agent. [default: 3s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reattach_grace: Option<String>,
    /// How long agents have to come back after a restart of the server. [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_grace: Option<String>,
    /// How long agents and calls have to leave when the server stops. [default: 10s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
    /// How long finished tasks, and agents that are gone, are kept; `off` keeps them for ever. [default: 7d]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// Where finished tasks are written before they are forgotten: a directory, in which each is a line of JSON with all its
    /// events. It is made if it isn't there. Without it they are not kept anywhere.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<PathBuf>,
    /// How many messages an agent's mailbox may hold. [default: 10000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_messages: Option<u32>,
    /// How many bytes they may take. [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_bytes: Option<u32>,
    /// How many bytes calls of one connection may hold: of messages that are not whole yet, and of answers that are not read
    /// yet, each. More is refused. [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_traffic_bytes: Option<u32>,
    /// The same of all connections together. [default: 134217728]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_bytes: Option<u32>,
    /// How many commands may wait; more are refused, or not read. [default: 16384]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// How many commands a transaction carries at most. [default: 512]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
}

fn is_false(value: &bool) -> bool {
    !value
}
