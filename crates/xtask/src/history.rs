//! The repository's history, which one test needs: it builds the version before this one.

use crate::command::output;
use crate::workspace::root;
use std::env;
use std::process::Command;

/// How many commits a shallow clone gets: so far back tests look for another version of the server.
const COMMITS: &str = "200";
/// Names the older server where there is no history.
pub const INSTEAD: &str = "CALLBOARD_PREVIOUS_BIN";

/// Makes sure that it is here. If it can't be had, gives what will not be tested for that, and what to do.
pub fn lacking() -> Option<String> {
    if env::var_os(INSTEAD).is_some() || !is_shallow() {
        return None;
    }
    let deepened = output(git().args(["fetch", "--quiet", "--no-tags", "--deepen", COMMITS]));
    let error = deepened.err()?;
    Some(format!(
        "NOT RUN: an_upgrade_and_a_rollback_one_server_after_the_other (tests/tests/upgrade.rs). This clone is shallow, and more of \
         the history can't be fetched; clone it whole, or name an older server in {INSTEAD}. {error}"
    ))
}

fn is_shallow() -> bool {
    output(git().args(["rev-parse", "--is-shallow-repository"])).is_ok_and(|said| said.trim() == "true")
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(root());
    command
}
