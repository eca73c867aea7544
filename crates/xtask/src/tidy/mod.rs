//! Invariants that can be read off the source tree. Each rule says where it is broken, and what to do instead.

mod dependencies;
mod documents;
mod invariants;
mod lexer;
mod sources;

use crate::Result;
use crate::workspace::{files, root};
use std::fmt;
use std::fs;
use std::path::PathBuf;

/// A text file of the project.
struct File {
    /// Relative to the root, with slashes.
    path: String,
    text: String,
}

impl File {
    fn is_generated(&self) -> bool {
        self.path.contains("/generated/") || self.path.contains("/_gen/") || self.path.ends_with(".pb.go")
    }

    fn ends_with(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }
}

/// A rule that is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    /// From 1; 0 if it is about the file as a whole.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// `cargo xtask tidy`.
pub fn run() -> Result<()> {
    let all = files()?;
    let texts = texts(&all);
    let mut violations = sources::check(&texts);
    violations.extend(documents::check(&texts, &all));
    violations.extend(invariants::check(&texts));
    violations.extend(dependencies::check(&texts)?);
    if violations.is_empty() {
        return Ok(());
    }
    violations.sort();
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(format!("the tree is not tidy:\n  {}", lines.join("\n  ")).into())
}

/// The files that are text, which is what all rules are about.
fn texts(all: &[PathBuf]) -> Vec<File> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(root().join(path)).ok()?;
        Some(File { path: path.to_string_lossy().replace('\\', "/"), text })
    };
    all.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    /// So that `cargo test` finds what `cargo xtask tidy` finds.
    #[test]
    fn tidy() {
        if let Err(error) = super::run() {
            panic!("{error}");
        }
    }
}
