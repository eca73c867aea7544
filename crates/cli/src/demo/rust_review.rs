//! Reviews a group of Rust files: the work of the Rust agent.
//!
//! It never fails on what a file is: whatever can't be analysed becomes a finding, so that the report is made in any
//! case.

use std::io;
use std::path::Path;

use proc_macro2::TokenStream;

use super::comments;
use super::findings::{
    self, COMPLEX_FUNCTION, Finding, Findings, Function, GroupReview, KEPT_FUNCTIONS, KEPT_PER_RULE, LONG_FUNCTION,
};
use super::nesting;
use super::plan::GroupInput;
use super::portable_path;
use super::rust_visitor;
use super::source_text::{self, Source};

/// A parse may recurse as deeply as this. With the stack below that leaves 64 KiB a level; an unoptimized build needs
/// some 20.
const MAX_DEPTH: usize = 8_000;
/// Address space; only what is used becomes memory.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Reviews the files of a group, calling `progress` with the number of files done.
pub fn review_group(input: &GroupInput, progress: impl Fn(usize) + Send) -> io::Result<GroupReview> {
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new().name("rust-review".to_owned()).stack_size(STACK_BYTES);
        let review = deep.spawn_scoped(scope, || review_files(input, progress))?;
        review.join().map_err(|_| io::Error::other("the analysis of a Rust file panicked; please report it as a bug"))
    })
}

fn review_files(input: &GroupInput, progress: impl Fn(usize)) -> GroupReview {
    let root = portable_path::decode(&input.root);
    let mut review = GroupBuilder::default();
    for (done, path) in input.files.iter().enumerate() {
        progress(done);
        review.file(&root.join(portable_path::decode(path)), path);
        // Spans refer to copies of the sources, which would pile up.
        proc_macro2::extra::invalidate_current_thread_spans();
    }
    review.finish()
}

#[derive(Default)]
struct GroupBuilder {
    review: GroupReview,
    findings: Findings,
}

impl GroupBuilder {
    fn file(&mut self, file: &Path, path: &str) {
        let mut size = findings::Size { files: 1, ..findings::Size::default() };
        match source_text::read(file) {
            Ok(Source::Text { text, bytes, oddity }) => {
                size.bytes = bytes;
                size.lines = source_text::count_lines(&text);
                self.text(path, &text, oddity);
            }
            Ok(Source::Binary { bytes }) => {
                size.bytes = bytes;
                self.find("encoding", path, 0, "binary content in a Rust file");
            }
            Ok(Source::TooLarge { bytes }) => {
                size.bytes = bytes;
                self.find("too-large", path, 0, &format!("{bytes} bytes"));
            }
            Err(error) => self.find("unreadable", path, 0, &error.to_string()),
        }
        self.review.languages.entry("Rust".to_owned()).or_default().add(size);
    }

    fn text(&mut self, path: &str, text: &str, oddity: Option<&str>) {
        if let Some(oddity) = oddity {
            self.find("encoding", path, 0, oddity);
        }
        if source_text::is_generated(text) {
            self.review.generated += 1;
            return;
        }
        for mark in comments::marks(text) {
            let rule = if mark.word == "TODO" { "todo" } else { "fixme" };
            self.find(rule, path, mark.line, mark.text);
        }
        match parse(text) {
            Ok(file) if is_test_file(path) => drop(file),
            Ok(file) => self.facts(rust_visitor::facts(&file, path)),
            Err(problem) => self.find(problem.rule, path, problem.line, &problem.message),
        }
    }

    fn facts(&mut self, facts: rust_visitor::FileFacts) {
        self.review.public += facts.public;
        self.review.documented += facts.documented;
        facts.findings.into_iter().for_each(|finding| self.findings.add(finding, KEPT_PER_RULE));
        for function in facts.functions {
            self.function(function);
        }
        findings::top_functions(&mut self.review.longest, KEPT_FUNCTIONS, |function| function.lines);
        findings::top_functions(&mut self.review.most_complex, KEPT_FUNCTIONS, |function| function.complexity);
    }

    fn function(&mut self, function: Function) {
        self.review.functions += 1;
        self.review.complexity += function.complexity;
        let measures = [
            ("long-function", function.lines, LONG_FUNCTION, "lines"),
            ("complex-function", function.complexity, COMPLEX_FUNCTION, "branches"),
        ];
        for (rule, weight, limit, unit) in measures {
            if weight > limit {
                let message = format!("`{}` has {weight} {unit}", function.name);
                let (rule, path) = (rule.to_owned(), function.path.clone());
                self.findings.add(Finding { rule, path, line: function.line, message, weight }, KEPT_PER_RULE);
            }
        }
        self.review.longest.push(function.clone());
        self.review.most_complex.push(function);
    }

    fn find(&mut self, rule: &str, path: &str, line: u64, message: &str) {
        let (rule, path, message) = (rule.to_owned(), path.to_owned(), findings::cut(message));
        self.findings.add(Finding { rule, path, line, message, weight: 0 }, KEPT_PER_RULE);
    }

    fn finish(self) -> GroupReview {
        let (counts, findings) = self.findings.finish(KEPT_PER_RULE);
        GroupReview { counts, findings, ..self.review }
    }
}

struct Problem {
    rule: &'static str,
    line: u64,
    message: String,
}

/// Parses a file, unless that could overflow the stack.
fn parse(text: &str) -> Result<syn::File, Problem> {
    let syntax_error = |span: proc_macro2::Span, message: String| {
        let line = span.start().line as u64;
        Problem { rule: "syntax-error", line, message }
    };
    let tokens: TokenStream = without_shebang(text).parse().map_err(|error: proc_macro2::LexError| {
        syntax_error(error.span(), "cannot be split into tokens: a bracket or a quote has no partner".to_owned())
    })?;
    let depth = nesting::greatest_depth(tokens.clone());
    if depth > MAX_DEPTH {
        return Err(Problem { rule: "too-deep", line: 0, message: format!("may nest {depth} levels deep") });
    }
    syn::parse2(tokens).map_err(|error| syntax_error(error.span(), error.to_string()))
}

/// A first line `#!/usr/bin/env …` becomes a comment, so that lines keep their numbers.
fn without_shebang(text: &str) -> std::borrow::Cow<'_, str> {
    match text.strip_prefix("#!") {
        Some(rest) if !rest.trim_start().starts_with('[') => format!("//{rest}").into(),
        _ => text.into(),
    }
}

/// Files that only tests and benchmarks use.
fn is_test_file(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_folder = folders.split('/').any(|folder| matches!(folder, "tests" | "test" | "benches"));
    in_folder || matches!(name, "tests.rs" | "test.rs") || name.ends_with("_test.rs") || name.ends_with("_tests.rs")
}

#[cfg(test)]
#[path = "rust_review_tests.rs"]
mod tests;
