//! Merges the results of all groups, ranks what they found, and writes it down as Markdown: the reviewer's work.
//!
//! The same results give the same text; only the line with the time differs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::findings::{self, Finding, Findings, Function, GroupReview, RULES, Severity, Size};
use super::plan::Skipped;

/// Findings of each rule in the report's details.
const SHOWN_PER_RULE: usize = 30;
/// Findings at the top, and of each rule among them.
const TOP: usize = 25;
const TOP_PER_RULE: usize = 5;
/// Rows of the functions' tables.
const SHOWN_FUNCTIONS: usize = 15;

/// The input of `review.report`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportInput {
    /// The tree's root, as `portable_path` writes it.
    pub root: String,
    /// Where the report goes, likewise.
    pub out: String,
    /// What the listing left out.
    pub skipped: Skipped,
}

/// The result of `review.report`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportResult {
    /// Where the report is, as `portable_path` writes it.
    pub out: String,
    /// Files reviewed.
    pub files: u64,
    /// Lines of them.
    pub lines: u64,
    /// Findings in all.
    pub findings: u64,
}

/// All results together.
#[derive(Debug, Default)]
pub struct Review {
    generated: u64,
    languages: BTreeMap<String, Size>,
    functions: u64,
    complexity: u64,
    public: u64,
    documented: u64,
    longest: Vec<Function>,
    most_complex: Vec<Function>,
    counts: BTreeMap<String, u64>,
    findings: Vec<Finding>,
}

/// Merges the results of groups, in whatever order they come.
pub fn merge(groups: Vec<GroupReview>) -> Review {
    let mut review = Review::default();
    let mut findings = Findings::default();
    for group in groups {
        review.generated += group.generated;
        for (language, size) in group.languages {
            review.languages.entry(findings::cut(&language)).or_default().add(size);
        }
        review.functions += group.functions;
        review.complexity += group.complexity;
        review.public += group.public;
        review.documented += group.documented;
        review.longest.extend(group.longest);
        review.most_complex.extend(group.most_complex);
        findings.merge(group.counts, group.findings, SHOWN_PER_RULE);
    }
    findings::top_functions(&mut review.longest, SHOWN_FUNCTIONS, |function| function.lines);
    findings::top_functions(&mut review.most_complex, SHOWN_FUNCTIONS, |function| function.complexity);
    (review.counts, review.findings) = findings.finish(SHOWN_PER_RULE);
    review
}

impl Review {
    /// The sizes of all languages together.
    pub fn size(&self) -> Size {
        self.languages.values().fold(Size::default(), |mut sum, size| {
            sum.add(*size);
            sum
        })
    }

    /// All findings, also those that no list has.
    pub fn finding_count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn of_severity(&self, severity: Severity) -> u64 {
        RULES.iter().filter(|rule| rule.severity == severity).filter_map(|rule| self.counts.get(rule.id)).sum()
    }

    fn of_rule<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.rule == id)
    }
}

/// The report. `tree` is the tree's name, `made` says when and by what the report was made.
pub fn markdown(review: &Review, tree: &str, made: &str, skipped: &Skipped) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write_summary(&mut text, review, tree, made);
    let _ = write_top(&mut text, review);
    let _ = write_sizes(&mut text, review);
    let _ = write_functions(&mut text, review);
    let _ = write_rules(&mut text, review);
    let _ = write_skipped(&mut text, review, skipped);
    text
}

fn write_summary(text: &mut String, review: &Review, tree: &str, made: &str) -> std::fmt::Result {
    let size = review.size();
    writeln!(text, "# Review of `{tree}`\n\n{made}\n")?;
    writeln!(
        text,
        "- **Size**: {}, {}, {}, in {}",
        count(size.files, "file"),
        count(size.lines, "line"),
        bytes(size.bytes),
        count(review.languages.len() as u64, "language")
    )?;
    let mean = if review.functions == 0 { 0.0 } else { review.complexity as f64 / review.functions as f64 };
    writeln!(text, "- **Functions**: {}, with a mean complexity of {mean:.1}", thousands(review.functions))?;
    let share = (review.documented * 100).checked_div(review.public).unwrap_or(100);
    writeln!(
        text,
        "- **Documentation**: {} of {} public items have it ({share} %)",
        thousands(review.documented),
        thousands(review.public)
    )?;
    let severities = [Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let counts: Vec<_> = severities
        .iter()
        .map(|severity| format!("{} {}", thousands(review.of_severity(*severity)), severity.name()))
        .collect();
    writeln!(text, "- **Findings**: {} ({})\n", thousands(review.finding_count()), counts.join(", "))
}

fn write_top(text: &mut String, review: &Review) -> std::fmt::Result {
    writeln!(text, "## What to look at first\n")?;
    let ranked = RULES.iter().filter(|rule| rule.severity < Severity::Info);
    let top = ranked.flat_map(|rule| {
        let mut of_rule: Vec<_> = review.of_rule(rule.id).collect();
        of_rule.dedup();
        of_rule.into_iter().take(TOP_PER_RULE).map(move |finding| (rule, finding))
    });
    let mut none = true;
    for (rank, (rule, finding)) in top.take(TOP).enumerate() {
        none = false;
        writeln!(
            text,
            "{}. {} {}: {} ({})",
            rank + 1,
            place(finding),
            rule.severity.name(),
            rule.title,
            prose(&finding.message)
        )?;
    }
    if none {
        writeln!(text, "Nothing.")?;
    }
    writeln!(text)
}

fn write_sizes(text: &mut String, review: &Review) -> std::fmt::Result {
    writeln!(text, "## Size\n\n| language | files | lines | bytes |\n|---|---:|---:|---:|")?;
    let mut sizes: Vec<_> = review.languages.iter().collect();
    sizes.sort_by(|a, b| (b.1.lines, b.1.bytes, a.0).cmp(&(a.1.lines, a.1.bytes, b.0)));
    for (language, size) in sizes {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            prose(language),
            thousands(size.files),
            thousands(size.lines),
            bytes(size.bytes)
        )?;
    }
    writeln!(text)
}

fn write_functions(text: &mut String, review: &Review) -> std::fmt::Result {
    for (title, functions) in [("Most complex functions", &review.most_complex), ("Longest functions", &review.longest)]
    {
        if functions.is_empty() {
            continue;
        }
        writeln!(text, "## {title}\n\n| function | complexity | lines | where |\n|---|---:|---:|---|")?;
        for function in functions {
            let name = findings::cut(&function.name).replace(['`', '|'], "'");
            writeln!(
                text,
                "| `{name}` | {} | {} | `{}:{}` |",
                function.complexity, function.lines, function.path, function.line
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn write_rules(text: &mut String, review: &Review) -> std::fmt::Result {
    writeln!(text, "## All findings\n\n| rule | severity | what | how many |\n|---|---|---|---:|")?;
    let present = || RULES.iter().filter_map(|rule| review.counts.get(rule.id).map(|count| (rule, *count)));
    for (rule, count) in present() {
        writeln!(text, "| {} | {} | {} | {} |", rule.id, rule.severity.name(), rule.title, thousands(count))?;
    }
    for (rule, count) in present() {
        writeln!(text, "\n### {}: {}\n", rule.id, rule.title)?;
        let shown: Vec<_> = review.of_rule(rule.id).collect();
        for same in shown.chunk_by(|one, next| one == next) {
            let times = if same.len() == 1 { String::new() } else { format!(" ({} times)", same.len()) };
            let finding = same[0];
            writeln!(text, "- {} {}{times}", place(finding), prose(&finding.message))?;
        }
        let more = count.saturating_sub(shown.len() as u64);
        if more > 0 {
            writeln!(text, "- and {} more", thousands(more))?;
        }
    }
    writeln!(text)
}

fn write_skipped(text: &mut String, review: &Review, skipped: &Skipped) -> std::fmt::Result {
    writeln!(text, "## What was left out\n")?;
    writeln!(
        text,
        "Hidden files, what `.gitignore` files name, and what builds make (`target`, `node_modules`, `__pycache__`)."
    )?;
    let counts = [
        (review.generated, "files that say they are generated (counted, not judged)"),
        (skipped.links, "symbolic links (never followed)"),
        (skipped.special, "pipes, sockets and devices"),
        (skipped.unreadable, "files or folders that could not be listed"),
        (skipped.long_paths, "files whose paths are too long"),
        (skipped.beyond_limit, "files beyond the 50,000 that are reviewed"),
    ];
    if counts.iter().any(|(count, _)| *count > 0) {
        writeln!(text)?;
    }
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        writeln!(text, "- {what}: {}", thousands(*count))?;
    }
    Ok(())
}

fn place(finding: &Finding) -> String {
    if finding.line == 0 { format!("`{}`", finding.path) } else { format!("`{}:{}`", finding.path, finding.line) }
}

/// Text of unknown origin, so that Markdown shows it as it is. Code spans stay code spans.
fn prose(text: &str) -> String {
    let text = findings::cut(text);
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return escape(&text.replace('`', "'"));
    }
    let pieces = pieces
        .iter()
        .enumerate()
        .map(|(place, piece)| if place.is_multiple_of(2) { escape(piece) } else { (*piece).to_owned() });
    pieces.collect::<Vec<_>>().join("`")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '#' | '|' | '!' | '~' | '$') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// `1 file`, `1,234 files`.
pub fn count(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
