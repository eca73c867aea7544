//! What is wrong with a file, and where.

use std::fmt;

use crate::output::text::one_line;

/// How many faults are told; how many more there are is counted.
const TOLD: usize = 20;

/// The longest message of a fault, in characters: a name may have a megabyte.
const LONGEST: usize = 400;

/// Something wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its line, from 1, where that is known.
    pub line: Option<u64>,
    /// The part of the file: `tasks[3].priority`; empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    /// Of a part of the file, whose line will be found by its path.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, path: path.into(), message: message.into() }
    }

    /// Of the whole file.
    pub fn whole(message: impl Into<String>) -> Self {
        Self::at("", message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", one_line(&self.path, LONGEST))?;
        }
        f.write_str(&one_line(&self.message, LONGEST))
    }
}

/// A file can't be used.
#[derive(Debug)]
pub struct FileError {
    /// Its name, or `standard input`.
    pub file: String,
    /// What is wrong with it: one thing or more.
    pub faults: Vec<Fault>,
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [fault] = self.faults.as_slice() {
            return write!(f, "{}: {fault}", self.file);
        }
        write!(f, "{}: {} faults", self.file, self.faults.len())?;
        for fault in self.faults.iter().take(TOLD) {
            write!(f, "\n  {fault}")?;
        }
        match self.faults.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
