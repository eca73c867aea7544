//! Generates code from `proto/`, or checks that what is committed is what would be generated.

mod golang;
mod python;
mod rust;
mod typescript;

use crate::Result;
use crate::workspace::root;
use std::fs;
use std::path::{Path, PathBuf};

type Generator = fn(&Path) -> Result<()>;

/// What is generated, and the directory that holds it and nothing else.
const OUTPUTS: [(Generator, &str); 4] = [
    (rust::generate, "crates/proto/src/generated"),
    (python::generate, "sdk/python/src/callboard/_gen/callboard/v1"),
    (golang::generate, "sdk/go/callboardv1"),
    (typescript::generate, "sdk/typescript/src/_gen/callboard/v1"),
];

/// Writes the generated files, or with `check` compares them and names each that is stale.
pub fn run(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (generate, place) in OUTPUTS {
        let fresh = tempfile::tempdir()?;
        generate(fresh.path())?;
        let place = root().join(place);
        let changes = differences(fresh.path(), &place)?;
        if !check {
            install(fresh.path(), &place, &changes)?;
        }
        stale.extend(changes.into_iter().map(|name| place.join(name)));
    }
    let names: Vec<String> = stale.iter().map(|path| shown(path)).collect();
    if check && !names.is_empty() {
        return Err(format!("stale, run `cargo xtask generate`:\n  {}", names.join("\n  ")).into());
    }
    for (name, path) in names.iter().zip(&stale) {
        println!("{} {name}", if path.is_file() { "wrote" } else { "removed" });
    }
    Ok(())
}

/// The protocol's files, sorted.
fn protos() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = names(&root().join("proto/callboard/v1"))?.into_iter().map(PathBuf::from).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    Ok(files.into_iter().map(|name| root().join("proto/callboard/v1").join(name)).collect())
}

/// The names of files that are missing, different, or generated no more.
fn differences(fresh: &Path, committed: &Path) -> Result<Vec<String>> {
    let mut all = names(fresh)?;
    if committed.is_dir() {
        all.extend(names(committed)?);
    }
    all.sort();
    all.dedup();
    all.retain(|name| fs::read(fresh.join(name)).ok() != fs::read(committed.join(name)).ok());
    Ok(all)
}

fn install(fresh: &Path, committed: &Path, changes: &[String]) -> Result<()> {
    fs::create_dir_all(committed)?;
    for name in changes {
        if fresh.join(name).is_file() {
            fs::copy(fresh.join(name), committed.join(name))?;
        } else {
            fs::remove_file(committed.join(name))?;
        }
    }
    Ok(())
}

/// The names of the files in a directory, sorted; not of what is in its directories (`__pycache__`).
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_files_are_those_missing_changed_and_left_over() {
        let (fresh, committed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (directory, files) in [
            (&fresh, [("new", "1"), ("changed", "1"), ("same", "1")]),
            (&committed, [("old", "1"), ("changed", "2"), ("same", "1")]),
        ] {
            for (name, content) in files {
                fs::write(directory.path().join(name), content).unwrap();
            }
        }
        let changes = differences(fresh.path(), committed.path()).unwrap();
        assert_eq!(changes, ["changed", "new", "old"]);
        install(fresh.path(), committed.path(), &changes).unwrap();
        assert_eq!(names(committed.path()).unwrap(), ["changed", "new", "same"]);
        assert!(differences(fresh.path(), committed.path()).unwrap().is_empty());
    }
}
