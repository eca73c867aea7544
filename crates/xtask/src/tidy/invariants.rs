//! ARCHITECTURE.md's invariants, each of which names the tests that hold it:
//!
//! ```text
//! ## Invariants
//!
//! **An outcome is final.** What the rest of the paragraph explains.
//! Held by: `ends_once`, `late_reports_change_nothing` (crates/core/tests/life.rs), `kill_rounds` (tests/tests/faults.rs)
//!
//! **All stores behave alike.** Held by the conformance suite (crates/store/tests/store/conformance)
//! ```

use super::{File, Violation};

const PAGE: &str = "ARCHITECTURE.md";
const SECTION: &str = "## Invariants";
const HELD_BY: &str = "Held by";

/// Every invariant names a test, and every test that is named exists.
pub fn check(files: &[File]) -> Vec<Violation> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return Vec::new() };
    let mut found = Vec::new();
    let mut in_section = false;
    for (number, paragraph) in paragraphs(&page.text) {
        if paragraph.starts_with("## ") {
            in_section = paragraph == SECTION;
        }
        let fault = match paragraph.split_once(HELD_BY) {
            Some((_, holders)) => held(holders, files).err(),
            None if in_section && paragraph.trim_start_matches("- ").starts_with("**") => {
                Some("an invariant ends with: Held by: `name_of_test` (path/to/file)".to_owned())
            }
            None => None,
        };
        found.extend(fault.map(|fault| Violation::new(PAGE, number, fault)));
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

/// Whether it begins a list item, a row of a table, a heading, or another invariant.
fn begins_item(line: &str) -> bool {
    let numbered = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    numbered || ["- ", "* ", "|", "#", "**"].iter().any(|opening| line.starts_with(opening))
}

/// Who holds an invariant: some tests in a file (or in the files of a folder), or a whole suite.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    /// None for a suite.
    test: Option<String>,
    path: String,
}

/// Checks ": `a`, `b` (x.rs), `c` ([y.py](y.py))", or " the suite (some/folder)".
fn held(text: &str, files: &[File]) -> Result<(), String> {
    holders(text)?.iter().try_for_each(|holder| exists(holder, files))
}

fn holders(text: &str) -> Result<Vec<Holder>, String> {
    let is_suite = !text.starts_with(':');
    let mut found = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '(']) {
        let (inside, after) = if rest[at..].starts_with('`') { quoted(&rest[at + 1..]) } else { path(&rest[at + 1..]) };
        if rest[at..].starts_with('`') {
            names.push(inside.rsplit("::").next().unwrap_or(inside));
        } else {
            let holder = |test| Holder { test, path: inside.to_owned() };
            if names.is_empty() && is_suite {
                found.push(holder(None));
            }
            found.extend(names.drain(..).map(|name| holder(Some(name.to_owned()))));
        }
        rest = after;
    }
    match names.first() {
        Some(name) => Err(format!("say where `{name}` is: Held by: `{name}` (path/to/file)")),
        None if found.is_empty() => Err("name a test: Held by: `name_of_test` (path/to/file)".into()),
        None => Ok(found),
    }
}

/// What stands before the next backtick, and what after it.
fn quoted(text: &str) -> (&str, &str) {
    text.split_once('`').unwrap_or((text, ""))
}

/// A path in parentheses, bare, as code or as a link, and what stands after it.
fn path(text: &str) -> (&str, &str) {
    if let Some((_, target)) = text.strip_prefix('[').and_then(|link| link.split_once("](")) {
        return target.split_once("))").unwrap_or((target, ""));
    }
    let (path, after) = text.split_once(')').unwrap_or((text, ""));
    (path.trim_matches('`'), after)
}

fn exists(holder: &Holder, files: &[File]) -> Result<(), String> {
    let path = holder.path.trim_end_matches('/');
    let is_there =
        |file: &&File| file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut there = files.iter().filter(is_there).peekable();
    let Some(test) = &holder.test else {
        return there.peek().map(|_| ()).ok_or_else(|| format!("`{path}` does not exist"));
    };
    if there.peek().is_none() {
        return Err(format!("`{path}`, which should hold the test `{test}`, does not exist"));
    }
    if there.any(|file| defines(&file.text, test)) { Ok(()) } else { Err(format!("`{path}` has no test `{test}`")) }
}

/// Whether there is a test or, in the conformance suite's files, a scenario of this name.
fn defines(source: &str, test: &str) -> bool {
    ["fn ", "def ", "func ", "- name: "].iter().any(|keyword| {
        let needle = format!("{keyword}{test}");
        source.match_indices(&needle).any(|(at, _)| {
            !source[at + needle.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(page: &str) -> Vec<String> {
        let tests = File { path: "tests/a.rs".into(), text: "#[test]\nfn ends_once() {}\n".into() };
        let scenarios = File { path: "scenarios/a.yaml".into(), text: "- name: ends-twice\n  why: w\n".into() };
        let page = File { path: PAGE.into(), text: page.into() };
        check(&[tests, scenarios, page])
            .into_iter()
            .map(|violation| format!("{}: {}", violation.line, violation.message))
            .collect()
    }

    #[test]
    fn an_invariant_names_a_test_that_exists() {
        let good =
            "# A\n\n## Invariants\n\n**One end.** It ends\nonce. Held by:\n`x::ends_once` (tests/a.rs)\n\nProse.\n";
        assert!(faults(good).is_empty());
        assert!(
            faults("## Invariants\n**A.** No test.\n**B.** Held by: `ends_once` (`tests`)")[0].starts_with("2: an inv")
        );
        assert!(faults("Held by: `ends` (tests/a.rs)")[0].contains("has no test `ends`"));
        assert!(faults("Held by: `ends_once` (tests/b.rs)")[0].contains("does not exist"));
        assert!(faults("Held by: `ends_once`")[0].contains("say where"));
        assert!(faults("Held by: hope (tests/a.rs)")[0].contains("name a test"));
        assert!(faults("Held by the suite ([tests](tests)).").is_empty());
        assert!(faults("Held by: `ends-twice` (scenarios/a.yaml)").is_empty());
        assert!(faults("Held by: `ends` (scenarios/a.yaml)")[0].contains("has no test `ends`"));
        assert!(faults("Held by the suite (test)")[0].contains("does not exist"));
    }

    #[test]
    fn several_tests_may_share_a_file() {
        let holder = |test: &str, path: &str| Holder { test: Some(test.into()), path: path.into() };
        let read = holders(": `a`, `b` (x.rs), `c` ([the y](y.py)), and `d` (`z.rs`).").unwrap();
        assert_eq!(read, [holder("a", "x.rs"), holder("b", "x.rs"), holder("c", "y.py"), holder("d", "z.rs")]);
    }
}
