//! From how a program ended to what becomes of its attempt.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use callboard::v1::Payload;

use super::result;
use super::runner::{Finished, Output};
use crate::args::work::OutputType;

/// The exit status that fails a task for good: EX_DATAERR of sysexits.h, "the input data was incorrect in some way".
const FAILS_FOR_GOOD: i32 = 65;

/// How an attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// A short name that programs can act on.
    pub kind: &'static str,
    /// For people.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// The result, or the failure.
pub fn of(finished: Finished, output_type: OutputType) -> Result<Payload, Failed> {
    let Finished { status, output, stderr_tail, cancelled } = finished;
    let fail = |kind, what: String, retryable| Failed { kind, message: with_tail(what, &stderr_tail), retryable };
    let output = match output {
        Output::TooLarge => {
            let what = "standard output is larger than 1 MiB: put the data elsewhere and print where it is";
            return Err(fail("OutputTooLarge", what.to_owned(), false));
        }
        Output::Bytes(output) => output,
    };
    if status.success() {
        return result::payload(output, output_type).map_err(|error| fail("OutputInvalid", error.to_string(), false));
    }
    if cancelled {
        return Err(fail("callboard.cancelled", format!("stopped by the cancellation: {}", describe(status)), false));
    }
    match status.signal() {
        Some(_) => Err(fail("ProgramKilled", describe(status), true)),
        None => Err(fail("ProgramFailed", describe(status), status.code() != Some(FAILS_FOR_GOOD))),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}{}", name_of(signal)),
        (None, None) => status.to_string(),
    }
}

/// The names of those that people meet; their numbers are the same on every Unix.
fn name_of(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn with_tail(what: String, tail: &str) -> String {
    if tail.is_empty() { what } else { format!("{what}\n{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(raw: i32, output: Output, cancelled: bool) -> Finished {
        Finished { status: ExitStatus::from_raw(raw), output, stderr_tail: "the end".into(), cancelled }
    }

    fn failed(raw: i32, cancelled: bool) -> Failed {
        of(finished(raw, Output::Bytes(b"ignored".to_vec()), cancelled), OutputType::Auto).unwrap_err()
    }

    #[test]
    fn zero_completes_with_the_output() {
        let payload = of(finished(0, Output::Bytes(b"[1]".to_vec()), false), OutputType::Auto).unwrap();
        assert_eq!(payload.content_type, "application/json");
        assert!(of(finished(0, Output::Bytes(Vec::new()), true), OutputType::Auto).is_ok());
    }

    #[test]
    fn sixty_five_is_for_good_and_others_are_retried() {
        let expected = |message: &str, retryable| Failed { kind: "ProgramFailed", message: message.into(), retryable };
        assert_eq!(failed(65 << 8, false), expected("exit status 65\nthe end", false));
        assert_eq!(failed(1 << 8, false), expected("exit status 1\nthe end", true));
    }

    #[test]
    fn a_signal_is_named() {
        let killed = failed(9, false);
        assert_eq!((killed.kind, killed.retryable), ("ProgramKilled", true));
        assert_eq!(killed.message, "killed by signal 9 (SIGKILL)\nthe end");
    }

    #[test]
    fn a_cancelled_program_says_so() {
        assert_eq!(failed(15, true).kind, "callboard.cancelled");
    }

    #[test]
    fn what_can_not_be_a_result_fails_for_good() {
        let too_large = of(finished(15, Output::TooLarge, false), OutputType::Auto).unwrap_err();
        assert_eq!((too_large.kind, too_large.retryable), ("OutputTooLarge", false));
        let invalid = of(finished(0, Output::Bytes(b"x".to_vec()), false), OutputType::Json).unwrap_err();
        assert_eq!((invalid.kind, invalid.retryable), ("OutputInvalid", false));
    }
}
