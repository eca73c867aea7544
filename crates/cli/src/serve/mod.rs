//! `callboard serve`: the server, from its settings.

mod archive;
mod args;
mod check;
mod database;
mod lengths;
mod log;
mod settings;

pub use args::Args;
use settings::Settings;

use crate::error::Error;
use archive::Directory;
use callboard_core::planted::Planted;
use callboard_engine::{Config, Engine, SystemClock, SystemEntropy};
use callboard_server::identity::IdentityFile;
use callboard_server::{Listener, Server, Tls};
use callboard_store::Store;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which bugs a test wants.
const PLANTED: &str = "CALLBOARD_PLANTED";

/// Serves until SIGTERM or SIGINT; a second one ends it at once.
pub async fn run(args: Args) -> Result<(), Error> {
    let only_check = args.check;
    let settings = Settings::load(args)?;
    if only_check {
        return check::run(&settings).await;
    }
    let log = log::start(&settings)?;
    let address = settings.listen_address()?;
    let files = crate::open_files::raise();
    tracing::debug!(files, "open files, connections among them, that this process may have");
    let (tls, identities) = (load_tls(&settings)?, load_identities(&settings)?);
    let mut config = settings.engine_config();
    config.rules.planted = planted()?;
    config.archive = open_archive(&settings)?;
    let store = database::open(&settings).await?;
    let engine = start_engine(store, config).await?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::Serve(format!("listen: {address} can't be listened on: {error}; is a server running there?"))
    })?;
    let address = listener.local_addr().map_err(|error| Error::Serve(format!("listen: {error}")))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    // Before anybody knows that it runs: who knows may tell it to end.
    let signals = Signals::listen();
    announce(scheme, address, &database::shown(&settings.database))?;
    let limits = settings.limits();
    let listener = match tls {
        Some(tls) => Listener::tls(listener, tls),
        None => Listener::plain(listener),
    };
    let mut server = Server::new(engine, limits, log);
    if let Some(identities) = identities {
        server = server.with_identities(identities);
    }
    let served = server.serve(listener, signals.first()).await;
    served.map_err(|error| Error::Serve(format!("the server stopped: {error}")))
}

/// Bugs on purpose, for tests of those who are to notice: see `callboard_core::planted`. A release build has none.
fn planted() -> Result<Planted, Error> {
    let names = std::env::var(PLANTED).unwrap_or_default();
    let planted = Planted::named(&names).map_err(|fault| Error::Usage(format!("{PLANTED}: {fault}")))?;
    if planted != Planted::default() {
        tracing::warn!(names, "this server has bugs on purpose: it is for tests");
    }
    Ok(planted)
}

fn load_tls(settings: &Settings) -> Result<Option<Tls>, Error> {
    settings.tls_files()?.map(Tls::load).transpose().map_err(|fault| Error::Usage(format!("tls: {fault}")))
}

fn load_identities(settings: &Settings) -> Result<Option<IdentityFile>, Error> {
    let identities = settings.identities.clone().map(IdentityFile::load).transpose();
    identities.map_err(|fault| Error::Usage(format!("identities: {fault}")))
}

fn open_archive(settings: &Settings) -> Result<Option<Arc<dyn callboard_engine::Archive>>, Error> {
    let Some(directory) = &settings.archive else { return Ok(None) };
    let archive = Directory::open(directory, &mut SystemEntropy::new());
    let archive = archive.map_err(|fault| Error::Usage(format!("archive: {fault}")))?;
    Ok(Some(Arc::new(archive)))
}

async fn start_engine(store: Arc<dyn Store>, config: Config) -> Result<Engine, Error> {
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, config, clock, Box::new(SystemEntropy::new())).await;
    engine.map_err(|error| Error::Serve(format!("the engine can't start: {error}")))
}

/// The one line on standard output: programs that start a server wait for it.
fn announce(scheme: &str, address: SocketAddr, database: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {scheme}://{address}")?;
    out.flush()?;
    tracing::info!(%address, database, version = env!("CARGO_PKG_VERSION"), "listening");
    Ok(())
}

/// What tells a server to end. From the beginning of its life on, a signal no more ends the process by itself.
struct Signals {
    /// SIGTERM and SIGINT; none if they can't be listened for.
    both: Option<(Signal, Signal)>,
}

impl Signals {
    fn listen() -> Self {
        let both =
            signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
        if let Err(error) = &both {
            tracing::error!(%error, "signals can't be listened for; the server only ends by being killed");
        }
        Self { both: both.ok() }
    }

    /// Ends with the first. The second one ends the process: whoever sends it does not want to wait.
    async fn first(mut self) {
        self.next().await;
        let second = async move {
            self.next().await;
            tracing::warn!("a second signal: ending at once");
            std::process::exit(1);
        };
        // It lives as long as the process: there is nothing to await it for.
        drop(tokio_util::task::TaskTracker::new().spawn(second));
    }

    async fn next(&mut self) {
        let Some((terminate, interrupt)) = &mut self.both else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
