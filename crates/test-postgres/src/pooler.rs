//! PgBouncer in transaction mode, in front of a cluster.

use crate::binaries;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How to get it.
pub const INSTALL: &str =
    "install PgBouncer (Debian, Ubuntu: `apt-get install pgbouncer`; macOS: `brew install pgbouncer`)";
/// The name of the socket is made of it.
const PORT: u32 = 6432;

/// A running PgBouncer. It ends when it is dropped.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    child: Child,
}

impl Pooler {
    /// Starts one with few connections to the server, so that they are really shared.
    pub(crate) fn start(cluster: &Path, name: &str) -> Self {
        let program = find().unwrap_or_else(|| panic!("`pgbouncer` was not found: {INSTALL}"));
        let folder = cluster.join(name);
        fs::create_dir(&folder).expect("a folder");
        let config = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port=5432 user=postgres\n[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 3\n\
             listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {}\nauth_type = any\nlogfile = {}\npidfile = {}\n",
            cluster.display(),
            folder.display(),
            folder.join("log").display(),
            folder.join("pid").display(),
        );
        fs::write(&config, text).expect("its settings can be written");
        let mut command = Command::new(program);
        command.arg("-q").arg(&config).env_clear().current_dir(&folder).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = binaries::owner() {
            chown(&folder, Some(uid), Some(gid)).expect("the folder can be given away");
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().expect("pgbouncer can be started");
        let mut pooler = Self { folder, child };
        pooler.wait();
        pooler
    }

    fn wait(&mut self) {
        let socket = self.folder.join(format!(".s.PGSQL.{PORT}"));
        crate::until("pgbouncer", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("pgbouncer ended with {status}: {}", self.log());
            }
            socket.exists()
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The URL of a database through it.
    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{PORT}/{database}")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// On the path, or where Debian puts what is for root.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders.find_map(|folder| Some(folder.join("pgbouncer")).filter(|program| program.is_file()))
}
