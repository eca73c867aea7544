//! A real `callboard serve`, on a port and a file of its own.

use crate::identity::Identities;
use crate::program;
use callboard::Client;
use callboard::v1::agent_service_client::AgentServiceClient;
use callboard::v1::namespace_service_client::NamespaceServiceClient;
use callboard::v1::task_service_client::TaskServiceClient;
use callboard::v1::workflow_service_client::WorkflowServiceClient;
use callboard_proto::MAX_MESSAGE_BYTES;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// How long a server may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The signal's number.
const SIGKILL: i32 = 9;
/// What a server says when it listens.
const LISTENING: [&str; 2] = ["listening on http://127.0.0.1:", "listening on https://127.0.0.1:"];

/// What a server is started with.
#[derive(Debug, Default)]
pub struct ServerBuilder {
    args: Vec<String>,
    /// Another binary than the one that is tested.
    program: Option<PathBuf>,
    /// Where everything is; a file of its own, if it isn't said.
    database: Option<String>,
    env: Vec<(String, String)>,
    /// Kept: the file is removed with it.
    identities: Option<Identities>,
}

/// A server process. It is killed, and its directory removed, when it is dropped; when its test failed, its log is shown.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    directory: TempDir,
    port: u16,
    secure: bool,
    process: Option<Process>,
    /// How many processes were started.
    starts: u32,
}

#[derive(Debug)]
struct Process {
    child: Child,
    // Kept open: a server that writes to a closed pipe would end.
    _stdout: BufReader<ChildStdout>,
}

impl ServerBuilder {
    /// An argument of `callboard serve`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Several arguments, separated by spaces: `--stream-lease 1s --drain 2s`.
    #[must_use]
    pub fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// Another binary than the one that is tested: that of an older version.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The database's URL.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.database = Some(url.into());
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Who may do what.
    #[must_use]
    pub fn identities(mut self, identities: Identities) -> Self {
        self.args.extend(["--identities".to_owned(), identities.path().display().to_string()]);
        self.identities = Some(identities);
        self
    }

    /// Starts it, and waits until it listens.
    pub async fn start(self) -> Server {
        let mut server = self.prepare();
        server.start_process().await;
        server
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    ///
    /// What it has logged, when it ends instead.
    pub async fn try_start(self) -> Result<Server, String> {
        let mut server = self.prepare();
        match server.try_start_process().await {
            Ok(()) => Ok(server),
            Err(said) => Err(format!("{said}{}", server.logs())),
        }
    }

    fn prepare(self) -> Server {
        let directory = tempfile::Builder::new().prefix("callboard-test-").tempdir().expect("a temporary directory");
        Server { builder: self, directory, port: 0, secure: false, process: None, starts: 0 }
    }
}

impl Server {
    /// Starts a server with the default settings.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts a server with these arguments: `--stream-lease 1s`.
    pub async fn with(args: &str) -> Self {
        Self::builder().args(args).start().await
    }

    /// A server with other settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    async fn start_process(&mut self) {
        let started = self.try_start_process().await;
        started.unwrap_or_else(|said| panic!("the server said {said:?}, not `{}PORT`", LISTENING[0]));
    }

    async fn try_start_process(&mut self) -> Result<(), String> {
        assert!(self.process.is_none(), "the server runs already");
        let log = self.open_log();
        let mut command =
            Command::from(program::command(self.builder.program.clone().unwrap_or_else(program::callboard)));
        let file = || format!("sqlite://{}", self.database().display());
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port)])
            .env("CALLBOARD_DATABASE", self.builder.database.clone().unwrap_or_else(file))
            .args(&self.builder.args)
            .envs(self.builder.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the server can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut line = String::new();
        let heard = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        heard.expect("the server listens in time").expect("its output can be read");
        let port = LISTENING.iter().find_map(|said| line.trim().strip_prefix(said)).and_then(|port| port.parse().ok());
        self.secure = line.contains("https://");
        let Some(port) = port else { return Err(line) };
        self.port = port;
        self.process = Some(Process { child, _stdout: stdout });
        self.starts += 1;
        Ok(())
    }

    fn open_log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// From its next start on it has this in its environment.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.builder.env.push((name.to_owned(), value.to_owned()));
    }

    /// Its identities, to be changed while it runs.
    pub fn identities(&mut self) -> &mut Identities {
        self.builder.identities.as_mut().expect("the server was started with identities")
    }

    /// Its file.
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("callboard.db")
    }

    /// A directory of the test's own, removed with the server.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it is: `http://127.0.0.1:PORT`, or https. The same after a restart.
    pub fn address(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its process id. Fails the test when it doesn't run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().and_then(|process| process.child.id()).expect("the server runs")
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.child.try_wait(), Ok(None)))
    }

    /// What all its processes have logged.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills it (SIGKILL), and waits until it is gone. Fails the test when it had ended by itself before.
    pub async fn kill_9(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.child.kill().await.expect("the server can be killed");
        let status = process.child.wait().await.expect("its end can be awaited");
        assert_eq!(status.signal(), Some(SIGKILL), "the server had ended by itself: {status}");
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        program::terminate(self.pid());
        self.ended().await
    }

    /// Waits until it has ended by itself, or by a signal sent before.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server runs");
        let Ok(status) = timeout(PATIENCE, process.child.wait()).await else {
            panic!("the server did not end within {PATIENCE:?}: {}", self.logs());
        };
        status.expect("its end can be awaited")
    }

    /// Starts it again, on the same port and file. Kills it first when it runs.
    pub async fn restart(&mut self) {
        if self.process.is_some() {
            self.kill_9().await;
        }
        self.start_process().await;
    }

    /// What it is started as from now on: an older version, or the one that is tested.
    pub fn set_program(&mut self, program: &Path) {
        self.builder.program = Some(program.to_owned());
    }

    /// The SDK's client, in the namespace `default`.
    pub fn client(&self) -> Client {
        self.client_in("default")
    }

    /// The SDK's client in a namespace.
    pub fn client_in(&self, namespace: &str) -> Client {
        Client::builder().address(self.address()).namespace(namespace).build().expect("a client")
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address()).expect("an address");
        timeout(PATIENCE, endpoint.connect()).await.expect("a connection in time").expect("a connection")
    }

    /// The bare client of `TaskService`, without retries or request ids.
    pub async fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel().await).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The bare client of `AgentService`.
    pub async fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel().await).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The bare client of `WorkflowService`.
    pub async fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel().await)
    }

    /// The bare client of `NamespaceService`.
    pub async fn namespaces(&self) -> NamespaceServiceClient<Channel> {
        NamespaceServiceClient::new(self.channel().await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the server at port {} ({} starts):\n{}---", self.port, self.starts, self.logs());
        }
    }
}
