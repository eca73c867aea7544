//! Which language a file is in, by its name.

use std::path::Path;

/// Who analyses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Analyser {
    /// The Python agent.
    Python,
    /// The Rust agent.
    Rust,
    /// The shell agent.
    Other,
}

impl Analyser {
    /// All of them, in the order of the plan.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::Other];

    /// The type of the tasks that it handles.
    pub fn task_type(self) -> &'static str {
        match self {
            Self::Python => "review.python",
            Self::Rust => "review.rust",
            Self::Other => "review.other",
        }
    }
}

/// The analyser of a file.
pub fn analyser(path: &Path) -> Analyser {
    match language(path) {
        "Python" => Analyser::Python,
        "Rust" => Analyser::Rust,
        _ => Analyser::Other,
    }
}

/// The language of a file; `Other` if its name does not say.
pub fn language(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    by_name(name).or_else(|| by_extension(path)).unwrap_or("Other")
}

fn by_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "Makefile" | "makefile" | "GNUmakefile" => "Makefile",
        "Dockerfile" | "Containerfile" => "Dockerfile",
        "CMakeLists.txt" => "CMake",
        "Cargo.lock" | "poetry.lock" | "uv.lock" | "package-lock.json" | "yarn.lock" | "pnpm-lock.yaml" | "go.sum" => {
            "Lock file"
        }
        "LICENSE" | "COPYING" | "README" | "CHANGELOG" | "NOTICE" | "AUTHORS" => "Text",
        "go.mod" => "Go module",
        _ => return None,
    })
}

fn by_extension(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let found = EXTENSIONS.iter().find(|(_, extensions)| extensions.contains(&extension.as_str()));
    found.map(|(language, _)| *language)
}

/// Languages, and the extensions of their files.
const EXTENSIONS: &[(&str, &[&str])] = &[
    ("Rust", &["rs"]),
    ("Python", &["py", "pyi", "pyw"]),
    ("Shell", &["sh", "bash", "zsh", "ksh"]),
    ("C", &["c", "h"]),
    ("C++", &["cc", "cpp", "cxx", "hpp", "hh", "hxx"]),
    ("Go", &["go"]),
    ("Java", &["java"]),
    ("Kotlin", &["kt", "kts"]),
    ("Scala", &["scala"]),
    ("Swift", &["swift"]),
    ("Objective-C", &["m", "mm"]),
    ("C#", &["cs"]),
    ("JavaScript", &["js", "mjs", "cjs", "jsx"]),
    ("TypeScript", &["ts", "mts", "cts", "tsx"]),
    ("Ruby", &["rb"]),
    ("PHP", &["php"]),
    ("Perl", &["pl", "pm"]),
    ("Lua", &["lua"]),
    ("Elixir", &["ex", "exs"]),
    ("Erlang", &["erl", "hrl"]),
    ("Haskell", &["hs"]),
    ("OCaml", &["ml", "mli"]),
    ("Zig", &["zig"]),
    ("Assembly", &["asm", "s"]),
    ("SQL", &["sql"]),
    ("Protocol Buffers", &["proto"]),
    ("TOML", &["toml"]),
    ("YAML", &["yaml", "yml"]),
    ("JSON", &["json", "jsonl", "ndjson"]),
    ("XML", &["xml", "xsd", "xsl"]),
    ("HTML", &["html", "htm"]),
    ("CSS", &["css", "scss", "sass", "less"]),
    ("SVG", &["svg"]),
    ("Markdown", &["md", "markdown"]),
    ("reStructuredText", &["rst"]),
    ("TeX", &["tex"]),
    ("Text", &["txt", "text"]),
    ("Table", &["csv", "tsv"]),
    ("CMake", &["cmake"]),
    ("Makefile", &["mk", "mak"]),
    ("Configuration", &["ini", "cfg", "conf", "properties"]),
    (
        "Binary",
        &[
            "png", "jpg", "jpeg", "gif", "webp", "ico", "bmp", "pdf", "zip", "gz", "xz", "zst", "bz2", "tar", "7z",
            "jar", "so", "a", "o", "rlib", "dll", "exe", "dylib", "wasm", "class", "pyc", "bin", "db", "sqlite",
            "woff", "woff2", "ttf", "otf", "mp3", "mp4", "wav", "mov", "parquet", "npy", "whl",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_language() {
        for (path, expected) in [
            ("a/b.rs", "Rust"),
            ("b.PY", "Python"),
            ("c.pyi", "Python"),
            ("Makefile", "Makefile"),
            ("x/Cargo.lock", "Lock file"),
            ("x.tar.gz", "Binary"),
            ("noextension", "Other"),
            (".rs", "Other"),
        ] {
            assert_eq!(language(Path::new(path)), expected, "{path}");
        }
    }
}
