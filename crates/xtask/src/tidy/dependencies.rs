//! Rules about who may depend on whom: the layers, and the reasons for what comes from outside.

use super::{File, Violation};
use crate::workspace::cargo;
use crate::{Result, command};
use serde_json::Value;
use std::collections::BTreeSet;

/// Each crate, and which of ours it may use outside its tests. Data flows one way: see ARCHITECTURE.md.
const LAYERS: [(&str, &[&str]); 18] = [
    ("callboard-core", &[]),
    ("callboard-sqlite-checksum", &[]),
    ("callboard-store", &["callboard-core", "callboard-sqlite-checksum"]),
    ("callboard-engine", &["callboard-core", "callboard-store"]),
    ("callboard-proto", &[]),
    ("callboard-server", &["callboard-core", "callboard-engine", "callboard-proto", "callboard-store"]),
    ("callboard", &["callboard-proto"]),
    (
        "callboard-cli",
        &["callboard", "callboard-core", "callboard-engine", "callboard-proto", "callboard-server", "callboard-store"],
    ),
    ("callboard-test-postgres", &[]),
    ("callboard-tests", &["callboard", "callboard-proto", "callboard-test-postgres"]),
    ("callboard-conformance", &["callboard-proto", "callboard-test-postgres", "callboard-tests"]),
    ("callboard-driver", &["callboard"]),
    (
        "callboard-faults",
        &[
            "callboard",
            "callboard-proto",
            "callboard-shim",
            "callboard-simulation",
            "callboard-test-postgres",
            "callboard-tests",
        ],
    ),
    (
        "callboard-fuzz",
        &["callboard-core", "callboard-engine", "callboard-proto", "callboard-server", "callboard-store"],
    ),
    ("callboard-model", &["callboard-core"]),
    ("callboard-shim", &[]),
    (
        "callboard-simulation",
        &["callboard", "callboard-core", "callboard-engine", "callboard-server", "callboard-store", "callboard-tests"],
    ),
    ("xtask", &[]),
];

/// All that the rules of the game may use: no I/O, no clock, no threads.
const CORE_MAY_USE: [&str; 5] = ["serde", "serde_json", "sha2", "thiserror", "uuid"];

/// Crates that must not know that gRPC exists.
const WITHOUT_GRPC: [&str; 3] = ["callboard-core", "callboard-store", "callboard-engine"];

/// A dependency of one of our crates.
struct Dependency {
    krate: String,
    manifest: String,
    on: String,
    /// Whether it comes from this workspace.
    ours: bool,
    for_tests: bool,
}

/// All rules.
pub fn check(files: &[File]) -> Result<Vec<Violation>> {
    let metadata = command::output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let dependencies = read(&serde_json::from_str(&metadata)?);
    let mut found: Vec<_> = dependencies.iter().filter_map(misplaced).collect();
    found.extend(unexplained(&dependencies, files));
    Ok(found)
}

fn read(metadata: &Value) -> Vec<Dependency> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = text(&metadata["workspace_root"]);
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = text(&package["manifest_path"]).replacen(&root, "", 1).replace('\\', "/");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            found.push(Dependency {
                krate: text(&package["name"]),
                manifest: manifest.trim_start_matches('/').to_owned(),
                on: text(&dependency["name"]),
                ours: !dependency["path"].is_null(),
                for_tests: dependency["kind"] == "dev",
            });
        }
    }
    found
}

fn misplaced(dependency: &Dependency) -> Option<Violation> {
    let Dependency { krate, manifest, on, ours, for_tests } = dependency;
    let is_grpc = on.starts_with("tonic") || on.starts_with("prost");
    let allowed = LAYERS.iter().find(|(name, _)| name == krate).map(|(_, allowed)| *allowed);
    let fault = if WITHOUT_GRPC.contains(&krate.as_str()) && is_grpc {
        format!("`{krate}` must not know gRPC: keep `{on}` in the server")
    } else if krate == "callboard-core" && on.starts_with("tokio") {
        format!("the rules have no threads and no clock: keep `{on}` out, also of their tests")
    } else if *for_tests {
        return None;
    } else if *ours && !allowed.is_some_and(|allowed| allowed.contains(&on.as_str())) {
        format!("`{krate}` may not use `{on}`: data flows one way (the table in crates/xtask/src/tidy/dependencies.rs)")
    } else if krate == "callboard-core" && !ours && !CORE_MAY_USE.contains(&on.as_str()) {
        format!("the rules may use {} alone: do without `{on}`", CORE_MAY_USE.join(", "))
    } else {
        return None;
    };
    Some(Violation::new(manifest, 0, fault))
}

/// CONTRIBUTING.md has a line for each dependency that comes from outside, and for no other. What the workspace
/// declares is used.
fn unexplained(dependencies: &[Dependency], files: &[File]) -> Vec<Violation> {
    let page = "CONTRIBUTING.md";
    let Some(file) = files.iter().find(|file| file.path == page) else { return Vec::new() };
    let used: BTreeSet<&str> = dependencies.iter().filter(|d| !d.ours).map(|d| d.on.as_str()).collect();
    let explained = explained(&file.text);
    let root = files.iter().find(|file| file.path == "Cargo.toml").map_or("", |file| file.text.as_str());
    let unused = shared(root).into_iter().filter(|name| !used.contains(name) && !name.starts_with("callboard"));
    let unused = unused.map(|name| Violation::new("Cargo.toml", 0, format!("no crate uses `{name}`: take it out")));
    let without = used.difference(&explained).map(|name| format!("say under Dependencies why we need `{name}`"));
    let beyond = explained.difference(&used).map(|name| format!("nothing uses `{name}` any more: take its line out"));
    without.chain(beyond).map(|message| Violation::new(page, 0, message)).chain(unused).collect()
}

/// The names under `[workspace.dependencies]`.
fn shared(manifest: &str) -> Vec<&str> {
    let section =
        manifest.split("\n[").find(|section| section.starts_with("workspace.dependencies]")).unwrap_or_default();
    section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_once(" = ")?.0)).collect()
}

/// The names in the first column of the table in the section "Dependencies".
fn explained(page: &str) -> BTreeSet<&str> {
    let section = page.split("\n## ").find(|section| section.starts_with("Dependencies\n")).unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(krate: &str, on: &str, for_tests: bool) -> Option<String> {
        let ours = on.starts_with("callboard");
        let dependency = Dependency { krate: krate.into(), manifest: "x".into(), on: on.into(), ours, for_tests };
        misplaced(&dependency).map(|violation| violation.message)
    }

    #[test]
    fn layers_are_kept() {
        assert!(fault("callboard-core", "tokio", true).is_some());
        assert!(fault("callboard-core", "rand", false).is_some());
        assert!(fault("callboard-core", "proptest", true).is_none());
        assert!(fault("callboard-engine", "prost-types", false).is_some());
        assert!(fault("callboard-store", "callboard-engine", false).is_some());
        assert!(fault("callboard-server", "callboard", true).is_none());
        assert!(fault("callboard-new", "callboard-core", false).is_some());
    }

    #[test]
    fn every_dependency_has_its_reason() {
        let page =
            "# C\n\n## Dependencies\n\n| crate | why |\n|---|---|\n| `a`, `b` | because |\n\n## Next\n| `c` | x |\n";
        assert_eq!(explained(page).into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(shared("[x]\nz = 1\n\n[workspace.dependencies]\n# w = 1\na = \"1\"\n\n[y]\nb = 1"), ["a"]);
    }
}
