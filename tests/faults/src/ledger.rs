//! The ledger: a line for each run, appended and never changed.

use crate::fault::Store;
use crate::report::Outcome;
use callboard_tests::program::root;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Where it is, from the root.
const FILE: &str = "tests/faults/ledger.jsonl";
/// The commit that everything which is run was built from, as the program says that built it.
pub const BUILT_FROM: &str = "CALLBOARD_BUILT_FROM";
/// What a run may change without making the tree another.
const RECORDS: [&str; 2] = [FILE, crate::table::PAGE];

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The fault's name.
    pub fault: String,
    /// Where servers kept everything.
    pub store: Store,
    /// The commit that was run.
    pub commit: String,
    /// Whether the tree had changes beyond it. Never, in the ledger.
    pub dirty: bool,
    /// The profile.
    pub build: String,
    /// Of all choices.
    pub seed: u64,
    /// How often the fault was to fire.
    pub rounds: u32,
    /// Acknowledged operations.
    pub operations: u64,
    /// What was seen, by name.
    pub seen: BTreeMap<String, u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// A word on it.
    pub note: String,
}

/// The tree that is run.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The commit.
    pub commit: String,
    /// Whether there are changes beyond it.
    pub dirty: bool,
}

impl Tree {
    /// Looks at it.
    ///
    /// # Errors
    ///
    /// When git doesn't say.
    pub fn look() -> Result<Self, String> {
        let commit = git(&["rev-parse", "HEAD"])?;
        let status = git(&["status", "--porcelain"])?;
        let changed = |line: &str| line.get(3..).is_some_and(|path| !RECORDS.contains(&path));
        Ok(Self { commit: commit.trim().to_owned(), dirty: status.lines().any(changed) })
    }
}

fn git(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").args(arguments).current_dir(root()).output();
    let output = output.map_err(|error| format!("git could not be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn path() -> PathBuf {
    root().join(FILE)
}

/// Every run.
///
/// # Errors
///
/// Names the line that is none.
pub fn read() -> Result<Vec<Line>, String> {
    let text = std::fs::read_to_string(path()).map_err(|error| format!("{FILE}: {error}"))?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty());
    lines
        .map(|(line, number)| serde_json::from_str(line).map_err(|error| format!("{FILE}:{number}: {error}")))
        .collect()
}

/// Adds a run.
///
/// # Errors
///
/// When the tree was not as committed, or the file can't be written.
pub fn append(line: &Line) -> Result<(), String> {
    if line.dirty {
        return Err("the tree has changes that are not committed: commit them first, then record".to_owned());
    }
    let text = serde_json::to_string(line).map_err(|error| error.to_string())? + "\n";
    let file = OpenOptions::new().create(true).append(true).open(path());
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| format!("{FILE}: {error}"))
}
