//! PostgreSQL for tests: a cluster of its own from the installed binaries (`initdb`, `postgres`), on a socket in a folder of its
//! own. It and its folder go with the process that started it, however that ends: a watcher waits for the end of a pipe.
//!
//! A test that finds no PostgreSQL fails, and says how to get one; it is never skipped.

// A harness that can't do its part fails the test that asked for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod binaries;
mod pin;
mod pooler;
mod signals;
mod standby;

pub use binaries::{INSTALL, find};
pub use pin::Pin;
pub use pooler::Pooler;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The name of a cluster's socket, in the folder that [`Cluster::socket`] names.
pub const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// How long a cluster may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ends the server and removes the folder when its input ends, which is when its parent has, in whatever way.
const WATCHER: &str = r#"while read -r _; do :; done
for pooler in "$1"/pooler-*/pid; do kill -KILL "$(cat "$pooler")"; done 2>/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1""#;

/// How a cluster is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Commits are on the disk when they are acknowledged. Slower; for tests that kill the server itself.
    pub fsync: bool,
    /// Tables are vacuumed in the background, as everywhere; its transactions hold up the order of commits for moments.
    pub autovacuum: bool,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    settings: Settings,
    databases: AtomicU32,
    poolers: AtomicU32,
    // Kept: its end of the pipe. The watcher ends when we have.
    _watcher: Child,
    server: Mutex<Child>,
}

/// The cluster of this process, for tests that need nothing special. fsync is off.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(Settings::default()))
}

impl Cluster {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    ///
    /// When there is no PostgreSQL, or it does not start.
    pub fn start(settings: Settings) -> Self {
        Self::start_in(settings, |_| Vec::new())
    }

    /// The same with something in the server's environment: a library that is loaded in front of it, say. `prepare` is given the
    /// cluster's folder, whose `data` is the server's.
    ///
    /// # Panics
    ///
    /// As [`Cluster::start`].
    pub fn start_in(settings: Settings, prepare: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        Self::made(settings, prepare, |place, binaries| {
            let mut initdb = place.command(&binaries.join("initdb"));
            initdb.args(["--auth=trust", "--username=postgres", "--no-sync"]);
            initdb.args(["--encoding=UTF8", "--locale=C", "--pgdata"]).arg(place.data());
            initdb
        })
    }

    /// Starts a cluster whose data a program makes.
    fn made(
        settings: Settings,
        prepare: impl FnOnce(&Path) -> Vec<(String, String)>,
        make: impl FnOnce(&Place, &Path) -> Command,
    ) -> Self {
        let binaries = find().unwrap_or_else(|fault| panic!("{fault}"));
        let (mut place, watcher) = Place::new();
        let mut command = make(&place, &binaries);
        let made = command.output().expect("the program that makes the data runs");
        assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
        place.environment = prepare(&place.folder);
        let server = place.start_server(&binaries, settings);
        Self {
            place,
            settings,
            databases: AtomicU32::new(0),
            poolers: AtomicU32::new(0),
            _watcher: watcher,
            server: Mutex::new(server),
        }
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.place.log()
    }

    /// The folder of its socket, which is the host in a URL.
    pub fn socket(&self) -> &Path {
        &self.place.folder
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let socket = self.place.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/{database}")
    }

    /// A new, empty database. Gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    /// Kills the server (SIGKILL); its connections break.
    pub fn kill_9(&self) {
        let mut server = self.server.lock().expect("nobody failed with it");
        server.kill().expect("postgres can be killed");
        server.wait().expect("its end can be awaited");
    }

    /// Kills the server and every process of it at once (SIGKILL), as if the machine had stopped. Gives how many there were.
    pub fn kill_all(&self) -> usize {
        let mut server = self.server.lock().expect("nobody failed with it");
        let killed = signals::kill_family(server.id());
        server.wait().expect("its end can be awaited");
        killed
    }

    /// Ends the server as its administrators do: connections are cut, what is open is rolled back, and everything is written.
    pub fn stop_fast(&self) {
        let mut server = self.server.lock().expect("nobody failed with it");
        signals::send("INT", &[server.id()]);
        let status = server.wait().expect("its end can be awaited");
        assert!(status.success(), "postgres ended with {status}: {}", self.log());
    }

    /// Starts it again after it was ended, and waits until it has recovered.
    pub fn start_again(&self) {
        let binaries = find().unwrap_or_else(|fault| panic!("{fault}"));
        *self.server.lock().expect("nobody failed with it") = self.place.start_server(&binaries, self.settings);
    }

    /// Whether the server runs. One whose disk failed may have ended by itself.
    pub fn is_running(&self) -> bool {
        matches!(self.server.lock().expect("nobody failed with it").try_wait(), Ok(None))
    }

    /// A PgBouncer of its own in front of the cluster, in transaction mode.
    ///
    /// # Panics
    ///
    /// When there is none, or it does not start.
    pub fn pooler(&self) -> Pooler {
        let number = self.poolers.fetch_add(1, Ordering::Relaxed);
        Pooler::start(self.socket(), &format!("pooler-{number}"))
    }

    async fn connect(&self, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url(database).parse().expect("a URL");
        options.connect().await.expect("a connection")
    }

    /// Runs statements in a database.
    pub async fn run(&self, database: &str, script: &str) {
        let mut connection = self.connect(database).await;
        sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute(&mut connection).await.expect("the statements run");
        connection.close().await.expect("the connection closes");
    }
}

/// A cluster's folder.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// The server's, beside what every one has.
    environment: Vec<(String, String)>,
}

impl Place {
    /// A new one, and who removes it with what runs in it.
    fn new() -> (Self, Child) {
        // Not the default folder of temporary files, whose name may be too long for a socket's.
        let folder = tempfile::Builder::new().prefix("callboard-pg-").tempdir_in("/tmp").expect("a folder").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("a private folder");
        if let Some((uid, gid)) = binaries::owner() {
            chown(&folder, Some(uid), Some(gid)).expect("the folder can be given away");
        }
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCHER, "watcher"]).arg(&folder).process_group(0);
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watcher = watcher.spawn().expect("sh can be started");
        (Self { folder, environment: Vec::new() }, watcher)
    }

    fn start_server(&self, binaries: &Path, settings: Settings) -> Child {
        let mut child = self.spawn_server(binaries, settings);
        until("postgres", || {
            if let Ok(Some(status)) = child.try_wait() {
                // The children of one that was killed take a moment to notice.
                assert!(self.log().contains("still in use"), "postgres ended with {status}: {}", self.log());
                child = self.spawn_server(binaries, settings);
            }
            self.is_ready(child.id())
        });
        child
    }

    fn spawn_server(&self, binaries: &Path, settings: Settings) -> Child {
        let on = |on: bool| if on { "on" } else { "off" };
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("a log file");
        let mut server = self.command(&binaries.join("postgres"));
        server.envs(self.environment.iter().map(|(name, value)| (name, value)));
        server.arg("-D").arg(self.data()).arg("-k").arg(&self.folder).args(["-c", "listen_addresses="]);
        server.args(["-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "log_min_messages=warning"]);
        // Who has a lock that another waits for is gone when that gives up.
        server.args(["-c", "log_lock_waits=on", "-c", "log_line_prefix=%m [%p] %a "]);
        server.args(["-c", &format!("fsync={}", on(settings.fsync))]);
        server.args(["-c", &format!("autovacuum={}", on(settings.autovacuum))]);
        // The watcher ends it; a signal to the test's process group, by the keyboard say, must not before.
        server.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        server.spawn().expect("postgres can be started")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // What is set for other clusters, and a folder that the other user may not enter.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir(&self.folder);
        if let Some((uid, gid)) = binaries::owner() {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file's first line says who, and the last one how far.
    fn is_ready(&self, pid: u32) -> bool {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = file.lines().map(str::trim).collect();
        lines.first().is_some_and(|first| *first == pid.to_string())
            && lines.get(7).is_some_and(|state| ["ready", "standby"].contains(state))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// Waits until a program has started, which it says in a file.
// A harness may look at the clock.
#[allow(clippy::disallowed_methods)]
fn until(program: &str, mut is_ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_ready() {
        assert!(began.elapsed() < PATIENCE, "{program} did not start in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
