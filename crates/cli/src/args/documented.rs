//! What the documents tell people to paste is understood.

use super::Cli;
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of shell that are one command of ours, with where they stand.
fn commands(path: &Path) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let mut found = Vec::new();
    let mut in_shell = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(language) => in_shell = !in_shell && matches!(language, "sh" | "console"),
            None if in_shell => {
                let line = line.trim_start_matches("$ ");
                // What a shell makes of several commands, and what a reader is to fill in, is not looked at.
                let plain = !line.contains(['|', ';', '<', '>', '&', '…']) && !line.contains("$(");
                let words = plain.then(|| shlex::split(line)).flatten();
                found.extend(words.filter(|_| line.starts_with("callboard ")).map(|words| (line.to_owned(), words)));
            }
            None => {}
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found =
        vec![root.join("README.md"), root.join("deploy/README.md"), root.join("examples/workflows/README.md")];
    found.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found
}

#[test]
fn every_command_that_is_documented_is_understood() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in documents() {
        for (line, words) in commands(&path) {
            count += 1;
            if let Err(error) = Cli::try_parse_from(words)
                && error.use_stderr()
            {
                wrong.push(format!("{}: {line}\n{error}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} were found");
}
