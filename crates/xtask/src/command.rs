//! Runs programs. A failure carries what the program printed; a program that is missing, how to get it.

use crate::Result;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Read, Write, stdout};
use std::process::{Command, Stdio};
use std::thread;

/// Runs it. On a terminal its output is seen as it comes; elsewhere only when it fails.
pub fn quiet(command: &mut Command) -> Result<()> {
    if stdout().is_terminal() {
        let status = command.stdin(Stdio::null()).status().map_err(|error| not_started(command, &error))?;
        return if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", line(command)).into()) };
    }
    output(command).map(|_| ())
}

/// Runs it and returns what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    Err(format!("{printed}{complaints}{} failed ({})", line(command), output.status).into())
}

/// Runs it, copies its standard output to `out` as it comes, and gives each line to `see`. Says whether it succeeded.
pub fn watched(command: &mut Command, mut out: impl Write, mut see: impl FnMut(&str)) -> Result<bool> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| not_started(command, &error))?;
    if let Some(pipe) = child.stdout.take() {
        copy_lines(pipe, &mut out, &mut see)?;
    }
    Ok(child.wait()?.success())
}

/// The same of both outputs, each to a place of its own: the standard one, and that for errors.
pub fn watched_apart<O: Write, E: Write + Send>(
    command: &mut Command,
    (mut out, mut see): (O, impl FnMut(&str)),
    (mut errors, mut see_error): (E, impl FnMut(&str) + Send),
) -> Result<bool> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| not_started(command, &error))?;
    let (said, complained) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let beside = complained.map(|pipe| scope.spawn(move || copy_lines(pipe, &mut errors, &mut see_error)));
        let copied = said.map_or(Ok(()), |pipe| copy_lines(pipe, &mut out, &mut see));
        let beside = beside.map_or(Ok(()), |beside| beside.join().unwrap_or(Ok(())));
        copied.and(beside)
    })?;
    Ok(child.wait()?.success())
}

/// Copies a pipe to its end, and shows each line.
fn copy_lines(pipe: impl Read, out: &mut impl Write, see: &mut impl FnMut(&str)) -> std::io::Result<()> {
    let mut lines = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        out.write_all(&bytes)?;
        see(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    Ok(())
}

fn not_started(command: &Command, error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        let program = command.get_program().to_string_lossy();
        return format!("`{program}` was not found: {}", remedy(&program));
    }
    format!("{} could not be started: {error}", line(command))
}

/// How to get a program that is missing.
pub fn remedy(program: &str) -> &'static str {
    match program {
        "npm" | "node" => "install Node.js 20.19 or newer, which brings npm (https://nodejs.org)",
        "go" | "gofmt" => "install Go 1.26 or newer (https://go.dev/dl)",
        "git" => "install git (https://git-scm.com)",
        "cargo" => "install Rust (https://rustup.rs)",
        "python3" => "install Python 3.10 or newer with its venv module (Debian and Ubuntu: python3-venv)",
        "systemd-analyze" => "install systemd, which brings it and need not run (Debian and Ubuntu: systemd)",
        _ => "install it, or put it on the PATH",
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_that_says_how_to_get_it() {
        let error = quiet(&mut Command::new("no-such-program-anywhere")).unwrap_err().to_string();
        assert_eq!(error, "`no-such-program-anywhere` was not found: install it, or put it on the PATH");
    }

    #[test]
    #[cfg(unix)]
    fn a_failure_carries_what_was_printed() {
        let error = output(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("out\nerr\n"), "{error}");
        assert!(error.ends_with("failed (exit status: 3)"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_watched_program_is_seen_line_by_line() {
        let (mut copy, mut seen) = (Vec::new(), Vec::new());
        let mut command = Command::new("sh");
        let command = command.args(["-c", "printf 'a\\nb'"]);
        assert!(watched(command, &mut copy, |line| seen.push(line.to_owned())).unwrap());
        assert_eq!(copy, b"a\nb");
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    #[cfg(unix)]
    fn both_outputs_are_seen_and_kept_apart() {
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let mut command = Command::new("sh");
        let command = command.args(["-c", "echo out; echo error >&2; exit 3"]);
        let out = (std::io::sink(), |line: &str| said.push(line.to_owned()));
        let errors = (std::io::sink(), |line: &str| complained.push(line.to_owned()));
        assert!(!watched_apart(command, out, errors).unwrap());
        assert_eq!((said, complained), (vec!["out".to_owned()], vec!["error".to_owned()]));
    }
}
