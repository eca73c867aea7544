//! Lists a tree and cuts it into groups of files: the supervisor's work.
//!
//! A group carries paths, not contents, because a payload is at most 1 MiB; the agents read the files from the disk.
//! The same tree gives the same groups.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use serde::{Deserialize, Serialize};

use super::language::{self, Analyser};
use super::portable_path;

/// Files of a tree that are reviewed; more are counted and left out.
const MAX_FILES: usize = 50_000;
/// Groups that a plan aims at.
const MAX_GROUPS: usize = 200;
/// Files and bytes of a group, unless that makes too many groups.
const GROUP_FILES: usize = 40;
const GROUP_BYTES: u64 = 512 * 1024;
/// Bytes of the paths of a group: half of what a payload may have.
const GROUP_PATH_BYTES: usize = 512 * 1024;
/// Bytes of a path; results repeat paths, and must stay small.
const MAX_PATH_BYTES: usize = 1024;
/// Folders below this depth are left out.
const MAX_DEPTH: usize = 128;

/// The files of a tree, and what was left out.
#[derive(Debug, Default)]
pub struct Tree {
    /// Regular files, by path.
    pub files: Vec<SourceFile>,
    /// What was left out.
    pub skipped: Skipped,
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path below the root.
    pub path: PathBuf,
    /// Its length when it was listed.
    pub bytes: u64,
}

/// What a listing left out, so that the report can say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skipped {
    /// Symbolic links: never followed, so that a loop can't trap us.
    pub links: u64,
    /// Sockets, pipes, devices.
    pub special: u64,
    /// Folders and files that could not be listed.
    pub unreadable: u64,
    /// Paths longer than 1 KiB.
    pub long_paths: u64,
    /// Files beyond the limit of 50,000.
    pub beyond_limit: u64,
}

/// A group of files for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Who analyses it.
    pub analyser: Analyser,
    /// Its files, by path.
    pub files: Vec<SourceFile>,
}

/// The input of `review.rust` and `review.python`, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInput {
    /// The tree's root, as `portable_path` writes it.
    pub root: String,
    /// Paths below the root, as `portable_path` writes them.
    pub files: Vec<String>,
}

/// Lists the regular files below `root`, without hidden, ignored and built ones.
///
/// Only `.gitignore` files inside the tree count, not those of the machine or its user: the same tree gives the same
/// list anywhere.
pub fn list_tree(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let walk = WalkBuilder::new(root)
        .follow_links(false)
        .hidden(true)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .git_ignore(true)
        .require_git(false)
        .max_depth(Some(MAX_DEPTH))
        .sort_by_file_name(OsStr::cmp)
        .filter_entry(|entry| !is_built(entry))
        .build();
    for entry in walk {
        match entry {
            Ok(entry) if entry.depth() > 0 => note_entry(&mut tree, root, &entry),
            Ok(_) => {}
            Err(_) => tree.skipped.unreadable += 1,
        }
    }
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    tree
}

fn note_entry(tree: &mut Tree, root: &Path, entry: &DirEntry) {
    let Some(kind) = entry.file_type() else { return };
    if kind.is_dir() {
        return;
    }
    if kind.is_symlink() {
        tree.skipped.links += 1;
        return;
    }
    if !kind.is_file() {
        tree.skipped.special += 1;
        return;
    }
    let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let Ok(metadata) = entry.metadata() else {
        tree.skipped.unreadable += 1;
        return;
    };
    if portable_path::encode(path).len() > MAX_PATH_BYTES {
        tree.skipped.long_paths += 1;
    } else if tree.files.len() >= MAX_FILES {
        tree.skipped.beyond_limit += 1;
    } else {
        tree.files.push(SourceFile { path: path.to_owned(), bytes: metadata.len() });
    }
}

/// Folders that tools fill. `target` may be a source folder elsewhere, so it must look like a build's.
fn is_built(entry: &DirEntry) -> bool {
    if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return false;
    }
    let beside = |name: &str| entry.path().parent().is_some_and(|parent| parent.join(name).exists());
    match entry.file_name().to_str() {
        Some("node_modules" | "__pycache__" | "bower_components") => true,
        Some("target") => entry.path().join("CACHEDIR.TAG").exists() || beside("Cargo.toml") || beside("pom.xml"),
        Some("venv" | "env") => entry.path().join("pyvenv.cfg").exists(),
        Some(name) => name.ends_with(".egg-info"),
        None => false,
    }
}

/// Cuts a tree's files into groups: each of one analyser, of neighbouring files, and neither large nor too many.
pub fn group(files: &[SourceFile]) -> Vec<Group> {
    let mut limits = Limits { files: GROUP_FILES, bytes: GROUP_BYTES };
    loop {
        let groups: Vec<Group> = Analyser::ALL.iter().flat_map(|analyser| group_of(*analyser, files, limits)).collect();
        if groups.len() <= MAX_GROUPS || limits.files >= MAX_FILES * 2 {
            return groups;
        }
        limits = Limits { files: limits.files * 2, bytes: limits.bytes.saturating_mul(2) };
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    files: usize,
    bytes: u64,
}

fn group_of(analyser: Analyser, files: &[SourceFile], limits: Limits) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut open = OpenGroup::default();
    for file in files.iter().filter(|file| language::analyser(&file.path) == analyser) {
        if open.ends_before(file, limits) {
            groups.push(Group { analyser, files: std::mem::take(&mut open).files });
        }
        open.push(file.clone());
    }
    if !open.files.is_empty() {
        groups.push(Group { analyser, files: open.files });
    }
    groups
}

#[derive(Debug, Default)]
struct OpenGroup {
    files: Vec<SourceFile>,
    bytes: u64,
    path_bytes: usize,
}

impl OpenGroup {
    /// A group ends when it is full, or at the end of a folder when it is half full: so folders mostly stay together.
    fn ends_before(&self, next: &SourceFile, limits: Limits) -> bool {
        let Some(last) = self.files.last() else { return false };
        let files = self.files.len() + 1;
        let bytes = self.bytes.saturating_add(next.bytes);
        let full = files > limits.files || bytes > limits.bytes || self.path_bytes + MAX_PATH_BYTES > GROUP_PATH_BYTES;
        let half_full = self.files.len() >= limits.files / 2 || self.bytes >= limits.bytes / 2;
        full || (half_full && last.path.parent() != next.path.parent())
    }

    fn push(&mut self, file: SourceFile) {
        self.bytes = self.bytes.saturating_add(file.bytes);
        // The quotes and the comma, or the language and the size.
        self.path_bytes += portable_path::encode(&file.path).len() + 48;
        self.files.push(file);
    }
}

impl Group {
    /// The folder that all its files are in, for people.
    pub fn folder(&self) -> String {
        let mut common = self.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("")).to_owned();
        for file in &self.files {
            while !file.path.starts_with(&common) {
                common.pop();
            }
        }
        if common.as_os_str().is_empty() { ".".to_owned() } else { portable_path::encode(&common) }
    }

    /// The input of a Rust or Python group.
    pub fn input(&self, root: &Path) -> GroupInput {
        let files = self.files.iter().map(|file| portable_path::encode(&file.path)).collect();
        GroupInput { root: portable_path::encode(root), files }
    }

    /// The input of another group, for a shell: the root, then a line `LANGUAGE<tab>BYTES<tab>PATH` for each file.
    pub fn shell_input(&self, root: &Path) -> String {
        let mut lines = portable_path::encode(root);
        lines.push('\n');
        for file in &self.files {
            let path = portable_path::encode(&file.path);
            lines.push_str(&format!("{}\t{}\t{path}\n", language::language(&file.path), file.bytes));
        }
        lines
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
