//! Rules about source files.

use super::lexer::{Language, Line, split};
use super::{File, Violation};

/// A file is about one thing. One that passes 500 lines has had a second thing move in; the rest is for last touches.
const LONGEST: usize = 520;

/// Files that may be longer, each with the reason why it can't be split.
const LONGER: [(&str, &str); 0] = [];

/// SQL belongs into the store. Each is looked for in strings, with what follows it in a statement.
const SQL: [&str; 8] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
];

/// Begin paths that exist on one machine only.
const HOMES: [&str; 4] = ["/home/", "/root/", "/Users/", ":\\Users\\"];

/// Text files that are looked through for paths, besides sources.
const TEXTS: [&str; 11] = [".rs", ".py", ".go", ".md", ".toml", ".proto", ".yaml", ".yml", ".json", ".sh", ".ci/run"];

/// All rules, over all files.
pub fn check(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.is_generated()) {
        if file.ends_with(&TEXTS) && !is_ours(file) {
            found.extend(paths(file));
        }
        let Some(language) = language(file) else { continue };
        found.extend(length(file));
        for (number, line) in (1..).zip(split(&file.text, language)) {
            let faults = [sql(file, &line), unfinished(&line)];
            found.extend(faults.into_iter().flatten().map(|message| Violation::new(&file.path, number, message)));
        }
    }
    found
}

fn language(file: &File) -> Option<Language> {
    match file.path.rsplit_once('.') {
        // Go's comments and strings look like Rust's, but for raw strings: near enough for these rules.
        Some((_, "rs" | "go")) => Some(Language::Rust),
        Some((_, "py")) => Some(Language::Python),
        _ => None,
    }
}

/// These rules name what they forbid.
fn is_ours(file: &File) -> bool {
    file.path == "crates/xtask/src/tidy/sources.rs"
}

/// Whether it lies in the sources of a crate or an SDK: `crates/<name>/src/`, `sdk/<name>/src/`. A Go module has no `src`.
fn is_source(path: &str) -> bool {
    if path.starts_with("sdk/go/") {
        return path.ends_with(".go");
    }
    let mut parts = path.split('/');
    matches!((parts.next(), parts.next(), parts.next()), (Some("crates" | "sdk"), Some(_), Some("src")))
}

fn length(file: &File) -> Option<Violation> {
    let lines = file.text.lines().count();
    let allowed = LONGER.iter().any(|(path, _)| *path == file.path);
    (is_source(&file.path) && lines > LONGEST && !allowed).then(|| {
        let message = format!("{lines} lines, at most {LONGEST}: ask what second thing moved in, and give it a file");
        Violation::new(&file.path, 0, message)
    })
}

fn sql(file: &File, line: &Line) -> Option<String> {
    if !is_source(&file.path) || file.path.starts_with("crates/store/") || is_ours(file) {
        return None;
    }
    let word = SQL.iter().find(|word| line.strings.contains(*word))?;
    Some(format!("SQL (`{}`) outside crates/store: add to the store's trait what you need", word.trim_end()))
}

/// What isn't finished isn't committed: there are no marks for later.
fn unfinished(line: &Line) -> Option<String> {
    let comment = line.comment.trim_start_matches(['/', '!', '*', '#', ' ', '\t']);
    for mark in ["TODO", "FIXME"] {
        let starts = comment.strip_prefix(mark).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
        if starts || line.comment.contains(&format!("{mark}:")) {
            return Some(format!("a {mark}: do it, or open an issue and leave the mark out"));
        }
    }
    let call = ["todo!", "unimplemented!"].into_iter().find(|call| line.code.contains(call))?;
    Some(format!("`{call}`: finish it, or leave it out"))
}

fn paths(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if let Some(home) = HOMES.iter().find(|home| begins_a_path(line, home)) {
            let message =
                format!("a path below `{home}` exists on one machine only: make it relative, or take it as a setting");
            found.push(Violation::new(&file.path, number, message));
        }
    }
    found
}

/// Whether it occurs, and not in the middle of a relative path or an address.
fn begins_a_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        home.starts_with(':') || before.is_none_or(|c| !c.is_alphanumeric() && !"._-}>~".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        check(&[file]).into_iter().map(|violation| format!("{}: {}", violation.line, violation.message)).collect()
    }

    #[test]
    fn sql_is_allowed_in_the_store_alone() {
        let text = "// SELECT is a word\nlet q = \"SELECT 1\";\n";
        assert!(faults("crates/store/src/a.rs", text).is_empty());
        assert!(faults("crates/server/src/a.rs", text)[0].starts_with("2: SQL (`SELECT`)"));
        assert!(faults("sdk/python/src/callboard/a.py", "q = 'DELETE FROM x'")[0].starts_with("1: SQL"));
    }

    #[test]
    fn marks_count_in_comments_and_macros_in_code() {
        let text = "//! Finds the marks (`TODO`).\nlet a = \"// TODO no\";\nx(); // TODO later\n/* see FIXME: x */\nlet b = \"todo!()\";\ntodo!()\n";
        let lines: Vec<_> = faults("tests/a.rs", text).into_iter().map(|fault| fault[..1].to_owned()).collect();
        assert_eq!(lines, ["3", "4", "6"]);
        assert_eq!(faults("sdk/python/tests/a.py", "x = 1  # FIXME").len(), 1);
    }

    #[test]
    fn long_sources_are_refused_and_generated_ones_are_not() {
        let text = "\n".repeat(LONGEST + 1);
        assert!(faults("crates/core/src/a.rs", &text)[0].starts_with("0: 521 lines"));
        assert!(faults("crates/proto/src/generated/a.rs", &text).is_empty());
        assert!(faults("crates/core/src/a.rs", &text[1..]).is_empty());
    }

    #[test]
    fn paths_of_a_developers_machine_are_refused() {
        let home = format!("/{}/ada/callboard", "home");
        assert_eq!(faults("README.md", &format!("cd {home}")).len(), 1);
        assert!(faults("README.md", &format!("https://example.org{home}")).is_empty());
    }
}
