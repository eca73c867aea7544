//! What test binaries say of themselves: how many tests ran, which failed, and how long each binary took.

use std::fmt::Write;

/// How many of the slowest binaries are told of.
const TOLD: usize = 10;

/// Adds up what the test binaries say.
#[derive(Default)]
pub struct Tally {
    /// How many tests passed.
    pub passed: u64,
    failed: u64,
    ignored: u64,
    /// Names of tests that failed.
    pub failures: Vec<String>,
    /// What tests said that the system does not let them do: `NOT RUN: …`.
    pub not_run: Vec<String>,
    /// Whether `cargo test` ended well; also false when it did not run, or could not build.
    pub succeeded: bool,
    /// Seconds that each binary took.
    took: Vec<(f64, String)>,
}

/// Which binary runs. Cargo says it beside what the binary says.
#[derive(Default)]
pub struct Running {
    package: String,
    binary: String,
}

impl Running {
    /// Takes a line of cargo's: `Running tests/short.rs (target/debug/deps/short-b13d84b219852bcd)`. A package's binaries come behind
    /// its library's own tests, which name it.
    pub fn see(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(package) = line.strip_prefix("Doc-tests ") {
            (self.package, self.binary) = (package.to_owned(), "doc-tests".to_owned());
        }
        let Some((target, path)) = line.strip_prefix("Running ").and_then(|rest| rest.split_once(" (")) else { return };
        if target.starts_with("unittests ") {
            let file = path.trim_end_matches(')').rsplit(['/', '\\']).next().unwrap_or_default();
            file.rsplit_once('-').map_or(file, |(name, _hash)| name).clone_into(&mut self.package);
        }
        target.clone_into(&mut self.binary);
    }

    fn name(&self) -> String {
        format!("{} {}", self.package, self.binary)
    }
}

impl Tally {
    /// Takes a line of a test binary.
    pub fn see(&mut self, line: &str, running: &Running) {
        // The harness of tests may have begun a line before it.
        if let Some(said) = line.find("NOT RUN: ") {
            self.not_run.push(line[said..].to_owned());
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            if let Some(took) = count.strip_prefix("finished in ").and_then(|took| took.strip_suffix('s')) {
                self.took.push((took.parse().unwrap_or_default(), running.name()));
            }
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// `5 passed; 0 failed; 1 ignored`.
    pub fn counts(&self) -> String {
        format!("{} passed; {} failed; {} ignored", self.passed, self.failed, self.ignored)
    }

    /// The same as a test binary says it.
    pub fn line(&self) -> String {
        format!("test result: {}. {}", if self.succeeded { "ok" } else { "FAILED" }, self.counts())
    }

    /// The binaries that took longest.
    pub fn slowest(&self) -> String {
        let mut took: Vec<_> = self.took.iter().collect();
        took.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut table = String::from("== slowest test binaries");
        for (seconds, name) in took.into_iter().take(TOLD) {
            let _ = write!(table, "\n{seconds:>8.1} s  {name}");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let mut tally = Tally::default();
        let lines = [
            "running 2 tests",
            "test rules::ends_once ... ok",
            "test rules::a_b ... FAILED",
            "test rules::c_d ... NOT RUN: c_d. No rights",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        lines.iter().for_each(|line| tally.see(line, &Running::default()));
        assert_eq!(tally.line(), "test result: FAILED. 6 passed; 1 failed; 2 ignored");
        assert_eq!(tally.failures, ["rules::a_b"]);
        assert_eq!(tally.not_run, ["NOT RUN: c_d. No rights"]);
    }

    #[test]
    fn the_slowest_binaries_are_named_with_their_packages() {
        let (mut tally, mut running) = (Tally::default(), Running::default());
        let runs = [
            ("     Running unittests src/lib.rs (target/debug/deps/callboard_faults-dd1634b9af79bd57)", "0.01"),
            ("     Running tests/short.rs (target/debug/deps/short-b13d84b219852bcd)", "721.47"),
            ("   Doc-tests callboard", "12.00"),
        ];
        for (cargo, took) in runs {
            running.see(cargo);
            running.see("warning: something else");
            tally.see(&format!("test result: ok. 1 passed; 0 failed; 0 ignored; finished in {took}s"), &running);
        }
        let table = tally.slowest();
        let rows: Vec<&str> = table.lines().skip(1).map(str::trim).collect();
        let expected = [
            "721.5 s  callboard_faults tests/short.rs",
            "12.0 s  callboard doc-tests",
            "0.0 s  callboard_faults unittests src/lib.rs",
        ];
        assert_eq!(rows, expected);
    }
}
