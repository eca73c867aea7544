//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer. What CI does of it, on stable, is in `tests/fuzz`.

use crate::workspace::root;
use crate::{Result, command};
use std::process::Command;

/// Every target, by its name.
const TARGETS: [&str; 2] = ["requests", "stream"];

/// What libFuzzer may use: memory that would be a fault by itself, and time that would be a hang.
const LIMITS: [&str; 3] = ["-rss_limit_mb=2048", "-timeout=30", "-max_len=4096"];

/// Runs the targets one after the other, each for so long. What is found in the meantime is kept in `fuzz/artifacts`.
pub fn run(target: Option<&str>, seconds: u64) -> Result<()> {
    check()?;
    for target in TARGETS.into_iter().filter(|name| target.is_none_or(|wanted| wanted == *name)) {
        println!("== {target}, {seconds} s");
        // New inputs go into a folder of their own: what is worth keeping is put into the corpus by hand.
        let found = root().join("fuzz/target/found").join(target);
        std::fs::create_dir_all(&found)?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(root()).args(["+nightly", "fuzz", "run", target]);
        fuzz.arg(found).arg(root().join("fuzz/corpus").join(target));
        fuzz.arg("--").arg(format!("-max_total_time={seconds}")).args(LIMITS);
        if !fuzz.status()?.success() {
            return Err(format!("{target} fails: what made it fail is in fuzz/artifacts/{target}").into());
        }
    }
    Ok(())
}

/// Reads how long: `90s`, `10m`, `1h`.
pub fn seconds(text: &str) -> std::result::Result<u64, String> {
    let fault = || format!("{text:?} is no length of time; say 90s, 10m or 1h");
    let unit = text.chars().next_back().ok_or_else(fault)?;
    let times = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(fault()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| fault())?;
    number.checked_mul(times).filter(|seconds| *seconds > 0).ok_or_else(fault)
}

fn check() -> Result<()> {
    let mut missing = Vec::new();
    let runs = |arguments: &[&str]| command::output(Command::new("cargo").args(arguments)).is_ok();
    if !runs(&["+nightly", "--version"]) {
        missing.push("a nightly compiler: `rustup toolchain install nightly --profile minimal`");
    }
    if !runs(&["fuzz", "--version"]) {
        missing.push("cargo-fuzz: `cargo install cargo-fuzz --locked`");
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("fuzzing needs {}", missing.join("\nfuzzing needs ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(["90s", "10m", "1h"].map(seconds), [Ok(90), Ok(600), Ok(3_600)]);
        assert!(
            ["", "1", "m", "0s", "-1s", "1d", "99999999999999999999h"].map(seconds).iter().all(|read| read.is_err())
        );
    }
}
