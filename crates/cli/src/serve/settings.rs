//! The server's settings: defaults, then a TOML file, then `CALLBOARD_*` in the environment, then flags.

use super::args::Args;
use super::lengths;
use crate::error::Error;
use callboard_core::Settings as Rules;
use callboard_core::model::Span;
use callboard_engine::Config;
use callboard_server::{Limits, TlsFiles};
use callboard_store::postgres::PostgresOptions;
use clap::ValueEnum;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::Uri;

/// The least that a connection may be allowed to hold: two messages of the largest size.
const LEAST_TRAFFIC: u32 = 8 << 20;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The settings as they came together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub listen: String,
    pub database: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_direct: Option<String>,
    pub database_connections: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_ca: Option<PathBuf>,
    pub insecure: bool,
    pub log: String,
    pub log_format: LogFormat,
    #[serde(with = "lengths")]
    pub stream_lease: Duration,
    #[serde(with = "lengths")]
    pub claim_lease: Duration,
    #[serde(with = "lengths")]
    pub accept_within: Duration,
    #[serde(with = "lengths")]
    pub cancel_grace: Duration,
    #[serde(with = "lengths")]
    pub reattach_grace: Duration,
    #[serde(with = "lengths")]
    pub restart_grace: Duration,
    #[serde(with = "lengths")]
    pub drain: Duration,
    #[serde(with = "lengths::or_off")]
    pub retention: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<PathBuf>,
    pub mailbox_messages: u32,
    pub mailbox_bytes: u32,
    pub connection_traffic_bytes: u32,
    pub traffic_bytes: u32,
    pub queue: usize,
    pub batch: usize,
}

/// The names of all settings: only these are taken from the environment, where clients have variables of their own.
const NAMES: [&str; 27] = [
    "listen",
    "database",
    "database_direct",
    "database_connections",
    "advertise",
    "identities",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "insecure",
    "log",
    "log_format",
    "stream_lease",
    "claim_lease",
    "accept_within",
    "cancel_grace",
    "reattach_grace",
    "restart_grace",
    "drain",
    "retention",
    "archive",
    "mailbox_messages",
    "mailbox_bytes",
    "connection_traffic_bytes",
    "traffic_bytes",
    "queue",
    "batch",
];

impl Default for Settings {
    fn default() -> Self {
        let engine = Config::default();
        let limits = Limits::default();
        Self {
            listen: "127.0.0.1:7470".into(),
            database: "sqlite://callboard.db".into(),
            database_direct: None,
            database_connections: PostgresOptions::default().connections,
            advertise: None,
            identities: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            insecure: false,
            log: "info".into(),
            log_format: LogFormat::Text,
            stream_lease: engine.rules.stream_lease.to_std(),
            claim_lease: engine.rules.claim_lease.to_std(),
            accept_within: engine.rules.accept_within.to_std(),
            cancel_grace: engine.rules.cancel_grace.to_std(),
            reattach_grace: engine.reattach_grace,
            restart_grace: engine.restart_grace,
            drain: limits.drain,
            retention: engine.retention,
            archive: None,
            mailbox_messages: u32::try_from(engine.rules.mailbox_messages).unwrap_or(u32::MAX),
            mailbox_bytes: u32::try_from(engine.rules.mailbox_bytes).unwrap_or(u32::MAX),
            connection_traffic_bytes: u32::try_from(limits.traffic_per_connection).unwrap_or(u32::MAX),
            traffic_bytes: u32::try_from(limits.traffic).unwrap_or(u32::MAX),
            queue: engine.queue,
            batch: engine.batch,
        }
    }
}

impl Settings {
    /// Brings them together, and checks them.
    pub fn load(args: Args) -> Result<Self, Error> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = &args.config {
            if !file.is_file() {
                return Err(Error::Usage(format!("config: {} is not a file", file.display())));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let figment = figment.merge(Env::prefixed("CALLBOARD_").only(&NAMES)).merge(Serialized::defaults(args));
        let settings: Self = figment.extract().map_err(|error| Error::Usage(explain(&error)))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), Error> {
        let second = Duration::from_secs(1);
        let leases = [("stream_lease", self.stream_lease), ("claim_lease", self.claim_lease)];
        for (name, lease) in leases.into_iter().chain([("accept_within", self.accept_within)]) {
            if lease < second / 2 {
                return Err(Error::Usage(format!("{name}: must be at least 500ms, or healthy agents look dead")));
            }
        }
        if self.retention.is_some_and(|kept| kept < second) {
            return Err(Error::Usage("retention: must be at least 1s, or `off`, which keeps everything".into()));
        }
        if self.archive.is_some() && self.retention.is_none() {
            let fault = "archive: nothing is ever archived while retention is `off`; leave one of them out";
            return Err(Error::Usage(fault.into()));
        }
        if self.connection_traffic_bytes < LEAST_TRAFFIC {
            let least = "a message may have 4 MiB, and one on its way must not keep others out";
            return Err(Error::Usage(format!("connection_traffic_bytes: must be at least {LEAST_TRAFFIC}: {least}")));
        }
        if self.traffic_bytes < self.connection_traffic_bytes {
            let fault = format!(
                "traffic_bytes: {} is less than what one connection may hold; raise it, or lower connection_traffic_bytes \
                 ({})",
                self.traffic_bytes, self.connection_traffic_bytes
            );
            return Err(Error::Usage(fault));
        }
        if self.database_connections < 2 {
            return Err(Error::Usage("database_connections: must be at least 2: one writes, and others read".into()));
        }
        if let Some(address) = self.advertise.as_deref().filter(|address| !is_address(address)) {
            let remedy = "give the URL by which agents find this server, like https://callboard-1.example:7470";
            return Err(Error::Usage(format!("advertise: {address:?} is no address: {remedy}")));
        }
        if self.queue == 0 || self.batch == 0 {
            return Err(Error::Usage("queue and batch: must be at least 1".into()));
        }
        Ok(())
    }

    /// Where the certificates are, if TLS is spoken.
    pub fn tls_files(&self) -> Result<Option<TlsFiles>, Error> {
        let refused = |message: &str| Err(Error::Usage(message.into()));
        let client_ca = self.tls_client_ca.clone();
        if client_ca.is_some() && self.identities.is_none() {
            return refused(
                "tls_client_ca: a client certificate must stand for somebody; say for whom in a file, and give it by \
                 --identities",
            );
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone(), client_ca }))
            }
            (Some(_), None) => refused("tls_key: is missing; give the private key of tls_cert, too"),
            (None, Some(_)) => refused("tls_cert: is missing; give the certificate of tls_key, too"),
            (None, None) if client_ca.is_some() => {
                refused("tls_cert: is missing; clients' certificates come with TLS: give tls_cert and tls_key")
            }
            (None, None) => Ok(None),
        }
    }

    /// Where to listen. Beyond loopback only with TLS and identities, or with `insecure`.
    pub fn listen_address(&self) -> Result<SocketAddr, Error> {
        let address: SocketAddr = self.listen.parse().map_err(|_| {
            let message =
                format!("listen: {:?} is not an address and a port like 127.0.0.1:7470 or [::1]:7470", self.listen);
            Error::Usage(message)
        })?;
        let missing = match (self.tls_files()?, &self.identities) {
            (Some(_), Some(_)) => return Ok(address),
            _ if address.ip().is_loopback() || self.insecure => return Ok(address),
            (Some(_), None) => "anybody who can connect may do everything. Give --identities",
            (None, Some(_)) => "tokens could be read on the way. Give --tls-cert and --tls-key",
            (None, None) => {
                "anybody who can connect may do everything, and read it on the way. Give --identities, --tls-cert and --tls-key"
            }
        };
        let message = format!(
            "listen: {address} is not a loopback address, and {missing}, listen on 127.0.0.1, or say --insecure if that is \
             what you want"
        );
        Err(Error::Usage(message))
    }

    /// What the server is told.
    pub fn limits(&self) -> Limits {
        Limits {
            traffic_per_connection: self.connection_traffic_bytes as usize,
            traffic: self.traffic_bytes as usize,
            drain: self.drain,
            ..Limits::default()
        }
    }

    /// What the engine is told.
    pub fn engine_config(&self) -> Config {
        let rules = Rules {
            stream_lease: Span::from_std(self.stream_lease),
            claim_lease: Span::from_std(self.claim_lease),
            accept_within: Span::from_std(self.accept_within),
            cancel_grace: Span::from_std(self.cancel_grace),
            mailbox_messages: i64::from(self.mailbox_messages),
            mailbox_bytes: i64::from(self.mailbox_bytes),
            ..Rules::default()
        };
        Config {
            rules,
            advertise: self.advertise.clone(),
            reattach_grace: self.reattach_grace,
            restart_grace: self.restart_grace,
            retention: self.retention,
            queue: self.queue,
            batch: self.batch,
            ..Config::default()
        }
    }
}

/// Names the setting, the fault and where it stands.
fn explain(error: &figment::Error) -> String {
    let setting = error.path.join(".");
    let place = error.metadata.as_ref().map(|m| format!(" (in {})", m.name)).unwrap_or_default();
    match setting.is_empty() {
        true => format!("{}{place}", error.kind),
        false => format!("{setting}: {}{place}", error.kind),
    }
}

/// Whether clients can be given it: one of the two schemes, a host, perhaps a port, and nothing else. A variable that nobody filled in
/// is no host.
fn is_address(text: &str) -> bool {
    let Some(place) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    let host = uri.host().unwrap_or_default();
    let port = place.strip_prefix(host).and_then(|port| port.strip_prefix(':'));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    !host.is_empty() && host.chars().all(is_plain) && (place == host || port.is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(args: Args) -> Result<Settings, String> {
        Settings::load(args).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_can_stand_in_the_environment() {
        let path = || Some(PathBuf::from("file"));
        let all = Settings {
            database_direct: Some("postgres://h/d".into()),
            advertise: Some("http://h:1".into()),
            identities: path(),
            tls_cert: path(),
            tls_key: path(),
            tls_client_ca: path(),
            archive: path(),
            ..Settings::default()
        };
        let figment = Figment::from(Serialized::defaults(all));
        let value: figment::value::Dict = figment.extract().unwrap();
        let mut names: Vec<&str> = value.keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut known = NAMES.to_vec();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn flags_win_over_the_file_and_unknown_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("callboard.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nstream_lease = \"20s\"\n").unwrap();
        let args = Args { config: Some(file.clone()), listen: Some("127.0.0.1:2".into()), ..Args::default() };
        let settings = load(args).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:2");
        assert_eq!(settings.stream_lease, Duration::from_secs(20));
        std::fs::write(&file, "listne = \"127.0.0.1:1\"\n").unwrap();
        let error = load(Args { config: Some(file), ..Args::default() }).unwrap_err();
        assert!(error.contains("listne"), "{error}");
    }

    #[test]
    fn anything_but_loopback_needs_tls_and_identities_or_to_be_called_insecure() {
        let file = || Some(PathBuf::from("file"));
        for (address, tls, identities, insecure, allowed) in [
            ("127.0.0.1:0", false, false, false, true),
            ("[::1]:0", false, true, false, true),
            ("127.0.0.1:0", true, false, false, true),
            ("0.0.0.0:0", false, false, false, false),
            ("0.0.0.0:0", true, false, false, false),
            ("[::]:0", false, true, false, false),
            ("192.0.2.1:0", true, true, false, true),
            ("0.0.0.0:0", false, false, true, true),
        ] {
            let args = Args {
                listen: Some(address.into()),
                identities: file().filter(|_| identities),
                tls_cert: file().filter(|_| tls),
                tls_key: file().filter(|_| tls),
                insecure,
                ..Args::default()
            };
            match load(args).unwrap().listen_address() {
                Ok(_) => assert!(allowed, "{address} {tls} {identities} {insecure}"),
                Err(error) => assert!(!allowed && error.to_string().contains("--insecure"), "{error}"),
            }
        }
        let nonsense = Args { listen: Some("here".into()), ..Args::default() };
        assert!(load(nonsense).unwrap().listen_address().is_err());
    }

    #[test]
    fn half_a_tls_is_refused() {
        let file = || Some(PathBuf::from("file"));
        for (cert, key, client_ca, identities, missing) in [
            (file(), None, None, None, "tls_key"),
            (None, file(), None, None, "tls_cert"),
            (None, None, file(), file(), "tls_cert"),
            (file(), file(), file(), None, "tls_client_ca"),
        ] {
            let args = Args { tls_cert: cert, tls_key: key, tls_client_ca: client_ca, identities, ..Args::default() };
            let error = load(args).unwrap().listen_address().unwrap_err().to_string();
            assert!(error.starts_with(missing), "{error}");
        }
    }

    #[test]
    fn retention_is_a_length_or_off() {
        let retention = |text: &str| load(Args { retention: Some(text.into()), ..Args::default() });
        assert_eq!(load(Args::default()).unwrap().retention, Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(retention("90s").unwrap().retention, Some(Duration::from_secs(90)));
        assert_eq!(retention("off").unwrap().retention, None);
        for wrong in ["never", "0s", "10ms", "-1d"] {
            let error = retention(wrong).unwrap_err();
            assert!(error.contains("retention") && error.contains("off"), "{error}");
        }
    }

    #[test]
    fn what_is_advertised_is_an_address() {
        let advertise = |text: &str| load(Args { advertise: Some(text.into()), ..Args::default() });
        let kept = advertise("https://callboard-1.example:7470").unwrap().engine_config().advertise;
        assert_eq!(kept.as_deref(), Some("https://callboard-1.example:7470"));
        assert!(["http://[::1]:7470", "https://callboard-1"].into_iter().all(|right| advertise(right).is_ok()));
        for wrong in ["", "callboard-1:7470", "http://", "ftp://callboard-1", "https://a b"].into_iter().chain([
            "https://$(POD_NAME).replicas",
            "https://me@callboard-1",
            "https://callboard-1/x",
            "https://callboard-1?x",
            "https://callboard-1:$(PORT)",
            "https://callboard-1:99999",
            "https://callboard-1:",
        ]) {
            let error = advertise(wrong).unwrap_err();
            assert!(error.starts_with("advertise: ") && error.contains("https://"), "{error}");
        }
    }

    #[test]
    fn an_archive_without_retention_is_refused() {
        let load = |retention: Option<&str>| {
            let archive = Some(PathBuf::from("archive"));
            load(Args { archive, retention: retention.map(Into::into), ..Args::default() })
        };
        assert_eq!(load(None).unwrap().archive, Some(PathBuf::from("archive")));
        let error = load(Some("off")).unwrap_err();
        assert!(error.starts_with("archive: "), "{error}");
    }

    #[test]
    fn traffic_has_room_for_messages_and_for_a_connection() {
        let of = |connection: Option<u32>, all: Option<u32>| {
            load(Args { connection_traffic_bytes: connection, traffic_bytes: all, ..Args::default() })
        };
        let limits = load(Args::default()).unwrap().limits();
        assert_eq!((limits.traffic_per_connection, limits.traffic), (32 << 20, 128 << 20));
        let limits = of(Some(8 << 20), Some(9 << 20)).unwrap().limits();
        assert_eq!((limits.traffic_per_connection, limits.traffic), (8 << 20, 9 << 20));
        for (connection, all, field) in
            [(Some(1 << 20), None, "connection_traffic_bytes"), (None, Some(16 << 20), "traffic_bytes")]
        {
            let error = of(connection, all).unwrap_err();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn a_lease_that_kills_healthy_agents_is_refused() {
        let error = load(Args { stream_lease: Some("10ms".into()), ..Args::default() }).unwrap_err();
        assert!(error.contains("stream_lease"), "{error}");
        let error = load(Args { stream_lease: Some("soon".into()), ..Args::default() }).unwrap_err();
        assert!(error.contains("stream_lease"), "{error}");
    }
}
