//! Programs that tests start: the `callboard` binary, Python, `buf`; and signals to them.

use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Variables that would change what programs do.
const SETTINGS: &str = "CALLBOARD_";

/// The `callboard` binary: `CALLBOARD_BIN`, or the one of the debug profile, brought up to date once.
pub fn callboard() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(find_callboard).clone()
}

fn find_callboard() -> PathBuf {
    if let Some(path) = std::env::var_os("CALLBOARD_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CALLBOARD_BIN: {} is not a file; build it, or unset the variable", path.display());
        return path;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "callboard-cli"])
        .current_dir(root())
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "cargo build -p callboard-cli failed: see above");
    let path = target().join("debug/callboard");
    assert!(path.is_file(), "cargo did not build {}; set CALLBOARD_BIN", path.display());
    path
}

/// A command without the caller's own settings, which must not reach a test.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(SETTINGS)) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// A Python interpreter with the SDK: `CALLBOARD_PYTHON`, or the one that `cargo xtask` makes.
pub fn python() -> PathBuf {
    let made = target().join("venv/bin/python");
    let path = std::env::var_os("CALLBOARD_PYTHON").map_or(made, PathBuf::from);
    let imports = command(&path).args(["-c", "import callboard"]).output();
    assert!(
        imports.is_ok_and(|output| output.status.success()),
        "{} is no Python with the SDK: run `cargo xtask test`, or set CALLBOARD_PYTHON to an interpreter after \
         `pip install ./sdk/python`",
        path.display()
    );
    path
}

/// The TypeScript SDK's module, as `npm run build` left it.
pub fn typescript() -> PathBuf {
    let path = root().join("sdk/typescript/dist/index.js");
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask test`, or `npm ci` and `npm run build` in sdk/typescript",
        path.display()
    );
    path
}

/// The Go SDK's agent that is to be killed, brought up to date once.
pub fn go_crew() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let path = target().join(format!("callboard-go-crew{}", std::env::consts::EXE_SUFFIX));
        let built = command("go")
            .args(["build", "-o"])
            .arg(&path)
            .arg("./internal/crew")
            .current_dir(root().join("sdk/go"))
            .status()
            .expect("go can be run: install Go 1.26 or newer");
        assert!(built.success(), "go build ./internal/crew in sdk/go failed: see above");
        path
    };
    BINARY.get_or_init(build).clone()
}

/// An example of the Rust SDK: the one that lies beside `CALLBOARD_BIN`, or that of the debug profile, brought up to date.
pub fn rust_example(name: &str) -> PathBuf {
    let file = format!("examples/{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::var_os("CALLBOARD_BIN").map(|binary| PathBuf::from(binary).with_file_name(&file));
    if let Some(built) = beside.filter(|path| path.is_file()) {
        return built;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "callboard", "--example", name])
        .current_dir(root())
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "cargo build -p callboard --example {name} failed: see above");
    target().join("debug").join(file)
}

/// The `buf` binary: `CALLBOARD_BUF`, or the one that `cargo xtask` installs.
pub fn buf() -> PathBuf {
    let installed = target().join("buf/node_modules/.bin/buf");
    let path = std::env::var_os("CALLBOARD_BUF").map_or(installed, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask test`, or `npm install @bufbuild/buf` and set CALLBOARD_BUF to its \
         node_modules/.bin/buf",
        path.display()
    );
    path
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Asks a process to end (SIGTERM).
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

/// Ends a process at once (SIGKILL).
pub fn kill_9(pid: u32) {
    send(pid, Signal::KILL);
}

/// The same of one that may have ended by itself.
pub fn kill_9_if_there(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Stops a process until [`resume`] (SIGSTOP).
pub fn pause(pid: u32) {
    send(pid, Signal::STOP);
}

/// Whether a process is stopped. Linux says so; elsewhere it is believed.
pub fn is_paused(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // Behind the name, which is in parentheses and may have any characters.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Lets a stopped process go on (SIGCONT).
pub fn resume(pid: u32) {
    send(pid, Signal::CONT);
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to process {pid:?}: {error}"));
}

/// The memory that a process has resident, in bytes. Linux only; elsewhere 0.
pub fn resident_bytes(pid: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

/// A program that a test started: an agent, say. Its output goes to a file, shown when the test fails; it is killed when
/// dropped.
#[derive(Debug)]
pub struct Program {
    child: tokio::process::Child,
    output: tempfile::NamedTempFile,
}

impl Program {
    /// Starts a program that finds the server by its environment.
    pub fn start(server: &crate::server::Server, command: &mut Command) -> Self {
        let output = tempfile::NamedTempFile::new().expect("a temporary file");
        let command = std::mem::replace(command, Command::new("true"));
        let mut command = tokio::process::Command::from(command);
        command.env("CALLBOARD_ADDRESS", server.address()).kill_on_drop(true);
        // Appended by both, so that they don't overwrite each other.
        let end = || std::fs::OpenOptions::new().append(true).open(output.path()).expect("the file can be appended to");
        command.stdin(std::process::Stdio::null()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, output }
    }

    /// Starts a Python script with the SDK.
    pub fn python(server: &crate::server::Server, script: &str) -> Self {
        Self::start(server, command(python()).args(["-u", "-c", script]))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        terminate(self.pid());
    }

    /// Ends it at once.
    pub fn kill_9(&self) {
        kill_9(self.pid());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        crate::wait::soon("the program's end", self.child.wait()).await.expect("its end can be awaited")
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- output of process {:?}:\n{}---", self.child.id(), self.output());
        }
    }
}
