//! Rules about documents: those that must be there are there, and links between files lead somewhere.

use super::{File, Violation};
use std::path::{Component, Path, PathBuf};

/// What a newcomer looks for at the top.
const REQUIRED: [&str; 6] =
    ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "sdk/SPEC.md"];

/// All rules. `all` are the paths of all files, text or not.
pub fn check(files: &[File], all: &[PathBuf]) -> Vec<Violation> {
    let missing = REQUIRED.iter().filter(|name| !all.iter().any(|path| path == Path::new(name)));
    let mut found: Vec<_> =
        missing.map(|name| Violation::new(name, 0, "missing, and a newcomer looks for it")).collect();
    for file in files.iter().filter(|file| file.ends_with(&[".md"])) {
        for (number, target) in links(&file.text) {
            if !leads_somewhere(&file.path, &target, all) {
                found.push(Violation::new(&file.path, number, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    found
}

/// The targets of inline links, with their lines; not those in code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let prose: Vec<&str> = line.split('`').step_by(2).collect();
            let prose = prose.join("`");
            let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets.map(|target| (number, target.to_owned())));
        }
    }
    found
}

fn leads_somewhere(from: &str, target: &str, all: &[PathBuf]) -> bool {
    let target = target.split([' ', '#']).next().unwrap_or_default().trim_matches(['<', '>']);
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let folder =
        if target.starts_with('/') { Path::new("") } else { Path::new(from).parent().unwrap_or(Path::new("")) };
    // A folder has no entry of its own: some file begins with it.
    resolve(folder, target).is_some_and(|wanted| all.iter().any(|path| path.starts_with(&wanted)))
}

/// The path without `.` and `..`; none if it leads out of the repository.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in folder.join(target.trim_start_matches('/')).components() {
        match part {
            Component::ParentDir if !path.pop() => return None,
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_and_folders() {
        let all: Vec<PathBuf> = ["README.md", "sdk/SPEC.md", "sdk/python/README.md"].map(PathBuf::from).into();
        for target in
            ["../SPEC.md", "../SPEC.md#7", "/README.md", "../../sdk", "https://x.org", "#here", "../SPEC.md \"t\""]
        {
            assert!(leads_somewhere("sdk/python/README.md", target, &all), "{target}");
        }
        for target in ["SPEC.md", "../../../README.md", "/sdk/SPEC"] {
            assert!(!leads_somewhere("sdk/python/README.md", target, &all), "{target}");
        }
    }

    #[test]
    fn links_in_code_are_none() {
        let text = "a [b](c.md) `[x](y)` [d](e.md)\n```\n[f](g)\n```\n![h](i.png)";
        let found: Vec<_> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["c.md", "e.md", "i.png"]);
    }
}
