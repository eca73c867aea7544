//! Programs that are built beside this one.

use std::path::PathBuf;

/// A program of the same build: beside this one, or, of a test, in the folder above.
///
/// # Panics
///
/// When it was not built.
pub fn beside(name: &str) -> PathBuf {
    let us = std::env::current_exe().expect("this program is somewhere");
    let mut folders = us.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = folders.find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not beside {}: run `cargo build --workspace`", us.display()))
}
