//! The table in RELIABILITY.md: what the ledger has, against what it is to have.

use crate::fault::{Fault, Goal};
use crate::faults;
use crate::ledger::Line;
use crate::report::Outcome;
use callboard_tests::program::root;

/// The page.
pub const PAGE: &str = "RELIABILITY.md";
/// Around the table.
const MARKS: (&str, &str) = ("<!-- from the ledger -->\n", "<!-- to here -->");
/// At this commit the load became what it is today, and the ledger had so many lines: what was kept before says less of today's servers.
const SINCE: (&str, usize) = ("b048603", 215);

/// The table as it is to be.
pub fn table(lines: &[Line]) -> String {
    let mut table = "| fault | store | rounds kept | of | since ".to_owned();
    table += &format!("`{}` | operations | runs: kept, violated, void |\n", SINCE.0);
    table += "|---|---|---:|---:|---:|---:|---|\n";
    let new = lines.get(SINCE.1..).unwrap_or_default();
    for fault in faults::ALL {
        for goal in fault.goals() {
            table += &row(*fault, *goal, lines, new);
        }
    }
    table
}

fn row(fault: &dyn Fault, goal: Goal, lines: &[Line], new: &[Line]) -> String {
    let is_of = |line: &&Line| line.fault == fault.name() && line.store == goal.store;
    let ended = |outcome| lines.iter().filter(is_of).filter(move |line| line.outcome == outcome);
    let kept: u32 = ended(Outcome::Kept).map(|line| line.rounds).sum();
    let of_new = new.iter().filter(is_of).filter(|line| line.outcome == Outcome::Kept);
    let kept_since: u32 = of_new.map(|line| line.rounds).sum();
    let operations: u64 = ended(Outcome::Kept).map(|line| line.operations).sum();
    let counts = [Outcome::Kept, Outcome::Violated, Outcome::Void].map(|outcome| ended(outcome).count().to_string());
    format!(
        "| `{}`: {} | {} | {kept} | {} | {kept_since} | {operations} | {} |\n",
        fault.name(),
        fault.what(),
        goal.store,
        goal.rounds,
        counts.join(", ")
    )
}

/// What is wrong with the page: its table is not the ledger's, or it is silent on a run in which a promise was broken.
pub fn faults_of(page: &str, lines: &[Line]) -> Vec<String> {
    let mut wrong = Vec::new();
    if with_table(page, lines).as_deref() != Ok(page) {
        wrong.push("its table is not the ledger's: run `cargo xtask chaos --write-table`".to_owned());
    }
    for line in lines.iter().filter(|line| line.outcome == Outcome::Violated) {
        if !page.contains(&line.seed.to_string()) {
            wrong.push(format!(
                "it says nothing of the run of {} on {} with seed {}, which was violated",
                line.fault, line.store, line.seed
            ));
        }
    }
    wrong
}

fn with_table(page: &str, lines: &[Line]) -> Result<String, String> {
    let fault = || format!("{PAGE} has no {:?} and {:?} behind it, each once", MARKS.0, MARKS.1);
    let (before, rest) = page.split_once(MARKS.0).ok_or_else(fault)?;
    let (_, after) = rest.split_once(MARKS.1).ok_or_else(fault)?;
    Ok([before, MARKS.0, &table(lines), MARKS.1, after].concat())
}

/// The page as it is.
///
/// # Errors
///
/// When it can't be read.
pub fn read_page() -> Result<String, String> {
    std::fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))
}

/// Writes the table into the page.
///
/// # Errors
///
/// When the page can't be read or written, or has no place for it.
pub fn write(lines: &[Line]) -> Result<(), String> {
    let page = with_table(&read_page()?, lines)?;
    std::fs::write(root().join(PAGE), page).map_err(|error| format!("{PAGE}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger;

    #[test]
    fn the_page_is_what_the_ledger_says() {
        let lines = ledger::read().unwrap();
        let wrong = faults_of(&read_page().unwrap(), &lines);
        assert!(wrong.is_empty(), "{PAGE}: {wrong:#?}");
    }

    /// A line that no fault of today would give, or of a tree with changes, is no record. (Some commits were put together into others when
    /// they landed: the page says which.)
    #[test]
    fn every_line_of_the_ledger_is_a_record() {
        for line in ledger::read().unwrap() {
            let fault = faults::find(&line.fault).unwrap();
            assert!(fault.goals().iter().any(|goal| goal.store == line.store), "{line:?}");
            assert!(!line.dirty && line.commit.len() == 40, "{line:?}");
            let enough = u64::from(line.rounds) * fault.operations_per_round();
            assert!(line.outcome != Outcome::Kept || line.operations >= enough, "{line:?}");
        }
    }
}
