use super::*;

fn finding(rule: &str, path: &str, line: u64, message: &str) -> Finding {
    Finding { rule: rule.into(), path: path.into(), line, message: message.into(), weight: 0 }
}

fn group(language: &str, findings: Vec<Finding>) -> GroupReview {
    let mut counts = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.rule.clone()).or_default() += 1;
    }
    let size = Size { files: 2, lines: 1_000, bytes: 4_096 };
    let function = Function { path: "a.rs".into(), line: 3, name: "S::f".into(), lines: 120, complexity: 30 };
    GroupReview {
        languages: [(language.to_owned(), size)].into(),
        functions: 1,
        complexity: 30,
        longest: vec![function.clone()],
        most_complex: vec![function],
        counts,
        findings,
        ..GroupReview::default()
    }
}

fn text(groups: Vec<GroupReview>) -> String {
    markdown(&merge(groups), "tree", "Made now.", &Skipped::default())
}

#[test]
fn the_order_of_the_groups_does_not_matter() {
    let groups = || {
        vec![
            group("Rust", vec![finding("unwrap", "b.rs", 9, "`.unwrap()`"), finding("todo", "a.rs", 1, "TODO")]),
            group("Python", vec![finding("eval", "z.py", 2, "`eval()`"), finding("unwrap", "a.rs", 7, "`.unwrap()`")]),
        ]
    };
    let forward = text(groups());
    let backward = text(groups().into_iter().rev().collect());
    assert_eq!(forward, backward);
    let first: Vec<_> = forward.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
    assert_eq!(
        first,
        [
            "1. `z.py:2` high: `eval` or `exec` runs text as code (`eval()`)",
            "2. `a.rs:7` medium: `unwrap` or `expect` outside tests (`.unwrap()`)",
            "3. `b.rs:9` medium: `unwrap` or `expect` outside tests (`.unwrap()`)",
            "4. `a.rs:1` low: TODO (TODO)",
        ]
    );
    assert!(forward.contains("4 files, 2,000 lines, 8.0 KiB, in 2 languages"), "{forward}");
}

#[test]
fn text_of_unknown_origin_stays_text() {
    let message = "TODO: ![x](http://evil) <script> `open | \u{1b}[31m \u{202e}";
    let report = text(vec![group("Rust", vec![finding("todo", "a.rs", 1, message)])]);
    assert!(report.contains(r"TODO: \!\[x\](http://evil) \<script\> 'open \|"), "{report}");
    assert!(!report.contains('\u{1b}') && !report.contains('\u{202e}'));
}

#[test]
fn what_the_lists_lack_is_counted() {
    let mut one = group("Rust", (0..12).map(|line| finding("unwrap", "a.rs", line + 1, "`.unwrap()`")).collect());
    one.counts.insert("unwrap".into(), 5_000);
    let report = text(vec![one]);
    assert!(report.contains("- and 4,988 more"), "{report}");
    assert!(report.contains("| unwrap | medium |") && report.contains("| 5,000 |"));
}

#[test]
fn an_empty_tree_has_a_report() {
    let report = text(Vec::new());
    assert!(report.contains("0 files, 0 lines, 0 B, in 0 languages") && report.contains("Nothing."), "{report}");
}

#[test]
fn a_rule_that_is_not_known_is_counted_all_the_same() {
    assert_eq!(merge(vec![group("Rust", vec![finding("new-rule", "a", 1, "x")])]).finding_count(), 1);
}

#[test]
fn numbers_are_readable() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([0, 1_023, 1_536, 5 << 40].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5120.0 GiB"]);
}
