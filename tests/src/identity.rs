//! Identities for servers under test: tokens, and the file that knows them.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An identity file, and the directory in which it is.
#[derive(Debug)]
pub struct Identities {
    directory: tempfile::TempDir,
    text: String,
}

impl Default for Identities {
    fn default() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), text: String::new() }
    }
}

/// `"*"`, or names separated by spaces, as TOML.
fn namespaces(names: &str) -> String {
    if names == "*" { "\"*\"".to_owned() } else { list(names) }
}

fn list(words: &str) -> String {
    format!("{:?}", words.split_whitespace().collect::<Vec<_>>())
}

impl Identities {
    /// Adds a token. Roles and namespaces are separated by spaces. Gives the token, which is unique.
    pub fn token(&mut self, principal: &str, roles: &str, in_namespaces: &str) -> String {
        self.token_with(principal, roles, in_namespaces, "")
    }

    /// The same with more lines in its entry.
    pub fn token_with(&mut self, principal: &str, roles: &str, in_namespaces: &str, more: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let token = format!("callboard_{:0>43}", COUNT.fetch_add(1, Ordering::Relaxed));
        let digest = Sha256::digest(&token).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let (roles, names) = (list(roles), namespaces(in_namespaces));
        let _ = writeln!(
            self.text,
            "[[token]]\nprincipal = {principal:?}\nsha256 = {digest:?}\nroles = {roles}\nnamespaces = {names}\n{more}"
        );
        self.write();
        token
    }

    /// Adds a client certificate by one of its names.
    pub fn certificate(&mut self, principal: &str, name: &str, roles: &str, in_namespaces: &str) {
        let (roles, names) = (list(roles), namespaces(in_namespaces));
        let _ = writeln!(
            self.text,
            "[[certificate]]\nprincipal = {principal:?}\nname = {name:?}\nroles = {roles}\nnamespaces = {names}\n"
        );
        self.write();
    }

    /// Changes the text of the file, for everybody who reads it.
    pub fn edit(&mut self, change: impl FnOnce(String) -> String) {
        self.text = change(std::mem::take(&mut self.text));
        self.write();
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("identities.toml")
    }

    /// Its directory, for files beside it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// As programs should: nobody reads half of it.
    fn write(&self) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, &self.text).expect("the identity file can be written");
        std::fs::rename(new, self.path()).expect("the identity file can be replaced");
    }
}
