//! ARCHITECTURE.md's invariants, each of which names the tests that hold it:
//!
//! ```text
//! **Invariant: an outcome is final.** What the rest of the paragraph explains.
//! Held by: `ends_once`, `late_reports_change_nothing` (crates/core/tests/life.rs), `kill_rounds` (tests/tests/faults.rs)
//! ```

use super::{File, Violation};

const PAGE: &str = "ARCHITECTURE.md";
const OPENING: &str = "**Invariant";
const HELD_BY: &str = "Held by:";

/// Every invariant names a test, and every test that is named exists.
pub fn check(files: &[File]) -> Vec<Violation> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return Vec::new() };
    let mut found = Vec::new();
    for (number, paragraph) in paragraphs(&page.text) {
        match paragraph.split_once(HELD_BY) {
            Some((_, tests)) => {
                let faults = claims(tests).and_then(|claims| exist(&claims, files));
                found.extend(faults.err().map(|fault| Violation::new(PAGE, number, fault)));
            }
            None if paragraph.contains(OPENING) => {
                let message = "an invariant ends with: Held by: `name_of_test` (path/to/file)";
                found.push(Violation::new(PAGE, number, message));
            }
            None => {}
        }
    }
    found
}

/// Paragraphs and list items, each in one line, with the number of their first line. Not what is in fences.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut fenced, mut open) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if line.is_empty() || line.starts_with("```") || fenced {
            open = false;
            continue;
        }
        match found.last_mut() {
            Some((_, paragraph)) if open && !begins_item(line) => *paragraph += &format!(" {line}"),
            _ => found.push((number, line.to_owned())),
        }
        open = true;
    }
    found
}

/// Whether it begins a list item, a row of a table, or another invariant.
fn begins_item(line: &str) -> bool {
    let numbered = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    numbered || line.starts_with("- ") || line.starts_with("* ") || line.starts_with('|') || line.starts_with(OPENING)
}

/// A test that holds an invariant.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    test: String,
    file: String,
}

/// Reads "`a`, `b` (x.rs), `c` (`y.py`)".
fn claims(text: &str) -> Result<Vec<Claim>, String> {
    let mut claims = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '(']) {
        let close = if rest[at..].starts_with('`') { '`' } else { ')' };
        let Some((inside, after)) = rest[at + 1..].split_once(close) else { break };
        if close == '`' {
            names.push(inside.rsplit("::").next().unwrap_or(inside).to_owned());
        } else {
            let file = inside.trim_matches('`');
            claims.extend(names.drain(..).map(|test| Claim { test, file: file.to_owned() }));
        }
        rest = after;
    }
    match names.first() {
        Some(name) => Err(format!("say where `{name}` is: Held by: `{name}` (path/to/file)")),
        None if claims.is_empty() => Err("name a test: Held by: `name_of_test` (path/to/file)".into()),
        None => Ok(claims),
    }
}

fn exist(claims: &[Claim], files: &[File]) -> Result<(), String> {
    for Claim { test, file } in claims {
        let Some(found) = files.iter().find(|candidate| candidate.path == *file) else {
            return Err(format!("`{file}`, which should hold the test `{test}`, does not exist"));
        };
        if !defines(&found.text, test) {
            return Err(format!("`{file}` has no test `{test}`"));
        }
    }
    Ok(())
}

fn defines(source: &str, test: &str) -> bool {
    ["fn ", "def "].iter().any(|keyword| {
        let needle = format!("{keyword}{test}");
        source
            .match_indices(&needle)
            .any(|(at, _)| !source[at + needle.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(page: &str) -> Vec<String> {
        let tests = File { path: "tests/a.rs".into(), text: "#[test]\nfn ends_once() {}\n".into() };
        let page = File { path: PAGE.into(), text: page.into() };
        check(&[tests, page])
            .into_iter()
            .map(|violation| format!("{}: {}", violation.line, violation.message))
            .collect()
    }

    #[test]
    fn an_invariant_names_a_test_that_exists() {
        let good = "# A\n\n**Invariant: one end.** It ends\nonce. Held by:\n`x::ends_once` (tests/a.rs)\n\nProse.\n";
        assert!(faults(good).is_empty());
        assert!(
            faults("- **Invariant.** No test.\n- Held by: `ends_once` (`tests/a.rs`)")[0]
                .starts_with("1: an invariant")
        );
        assert!(faults("Held by: `ends` (tests/a.rs)")[0].contains("has no test `ends`"));
        assert!(faults("Held by: `ends_once` (tests/b.rs)")[0].contains("does not exist"));
        assert!(faults("Held by: `ends_once`")[0].contains("say where"));
        assert!(faults("Held by: hope")[0].contains("name a test"));
    }

    #[test]
    fn several_tests_may_share_a_file() {
        let claim = |test: &str, file: &str| Claim { test: test.into(), file: file.into() };
        let read = claims(" `a`, `b` (x.rs), and `c` (`y.py`).").unwrap();
        assert_eq!(read, [claim("a", "x.rs"), claim("b", "x.rs"), claim("c", "y.py")]);
    }
}
