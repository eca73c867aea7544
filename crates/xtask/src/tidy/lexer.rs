//! Tells code, strings and comments apart in Rust and Python, well enough for rules about one of them.

/// One line of source, taken apart. What is left out is replaced by nothing; the order within each part is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub code: String,
    pub strings: String,
    pub comment: String,
}

/// What a language looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
}

/// Where the lexer is.
enum State {
    Code,
    LineComment,
    /// How deeply nested.
    BlockComment(usize),
    /// What closes it, whether a backslash escapes, whether it ends with its line.
    Text {
        close: String,
        escapes: bool,
        one_line: bool,
    },
}

/// Takes source apart, line by line. Never fails: what doesn't parse is taken apart as far as it makes sense.
pub fn split(source: &str, language: Language) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut state = State::Code;
    for text in source.lines() {
        let mut line = Line::default();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (eaten, then) = step(&state, rest, next, language, &line.code);
            let (head, tail) = rest.split_at(eaten);
            let part = match (&state, &then) {
                (State::LineComment | State::BlockComment(_), _) => &mut line.comment,
                (_, Some(State::LineComment | State::BlockComment(_))) => &mut line.comment,
                (State::Text { .. }, _) => &mut line.strings,
                (State::Code, _) => &mut line.code,
            };
            part.push_str(head);
            state = then.unwrap_or(state);
            rest = tail;
        }
        if matches!(state, State::LineComment | State::Text { one_line: true, .. }) {
            state = State::Code;
        }
        lines.push(line);
    }
    lines
}

/// How many bytes belong together from here, and the state after them if it changes.
fn step(state: &State, rest: &str, next: char, language: Language, code: &str) -> (usize, Option<State>) {
    match state {
        State::Code if language == Language::Rust => rust(rest, next, code),
        State::Code => python(rest, next),
        State::LineComment => (rest.len(), None),
        State::BlockComment(depth) if rest.starts_with("*/") => {
            (2, Some(if *depth == 1 { State::Code } else { State::BlockComment(depth - 1) }))
        }
        State::BlockComment(depth) if rest.starts_with("/*") => (2, Some(State::BlockComment(depth + 1))),
        State::Text { close, .. } if rest.starts_with(close) => (close.len(), Some(State::Code)),
        State::Text { escapes: true, .. } if next == '\\' => {
            (1 + rest[1..].chars().next().map_or(0, char::len_utf8), None)
        }
        State::BlockComment(_) | State::Text { .. } => (next.len_utf8(), None),
    }
}

fn rust(rest: &str, next: char, code: &str) -> (usize, Option<State>) {
    if rest.starts_with("//") {
        return (rest.len(), Some(State::LineComment));
    }
    if rest.starts_with("/*") {
        return (2, Some(State::BlockComment(1)));
    }
    match next {
        '"' => (1, Some(State::Text { close: "\"".into(), escapes: true, one_line: false })),
        'r' if !in_word(code) => raw(rest).unwrap_or((1, None)),
        '\'' => (quoted(rest), None),
        _ => (next.len_utf8(), None),
    }
}

/// Whether the code so far ends within a name; the `b` and `c` of `br"…"` and `cr"…"` are no name.
fn in_word(code: &str) -> bool {
    let code = code.strip_suffix(['b', 'c']).unwrap_or(code);
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// `r"`, `r#"` and so on.
fn raw(rest: &str) -> Option<(usize, Option<State>)> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    rest[1 + hashes..].starts_with('"').then(|| {
        let close = format!("\"{}", "#".repeat(hashes));
        (hashes + 2, Some(State::Text { close, escapes: false, one_line: false }))
    })
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn quoted(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            chars.find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

fn python(rest: &str, next: char) -> (usize, Option<State>) {
    for quote in ["\"\"\"", "'''"] {
        if rest.starts_with(quote) {
            return (3, Some(State::Text { close: quote.into(), escapes: true, one_line: false }));
        }
    }
    match next {
        '#' => (rest.len(), Some(State::LineComment)),
        '"' | '\'' => (1, Some(State::Text { close: next.into(), escapes: true, one_line: true })),
        _ => (next.len_utf8(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(source: &str, language: Language) -> Vec<(String, String, String)> {
        split(source, language).into_iter().map(|line| (line.code, line.strings, line.comment)).collect()
    }

    fn one(source: &str, language: Language) -> (String, String, String) {
        parts(source, language).remove(0)
    }

    fn expected(code: &str, strings: &str, comment: &str) -> (String, String, String) {
        (code.into(), strings.into(), comment.into())
    }

    #[test]
    fn rust_is_taken_apart() {
        assert_eq!(one("a(\"x // \\\" y\") // z", Language::Rust), expected("a(\") ", "x // \\\" y\"", "// z"));
        assert_eq!(one("let q = '\"'; // z", Language::Rust), expected("let q = '\"'; ", "", "// z"));
        assert_eq!(one("fn f<'a>(x: &'a str) {}", Language::Rust), expected("fn f<'a>(x: &'a str) {}", "", ""));
        assert_eq!(one("br#\"a\" // b\"#; c", Language::Rust), expected("br#\"; c", "a\" // b\"#", ""));
        assert_eq!(one("for r in x {}", Language::Rust), expected("for r in x {}", "", ""));
    }

    #[test]
    fn rust_goes_on_over_lines() {
        let lines = parts("a /* b\n/* c */ d\n*/ e \"f\n// g\" h", Language::Rust);
        assert_eq!(lines[1], expected("", "", "/* c */ d"));
        assert_eq!(lines[2], expected(" e \"", "f", "*/"));
        assert_eq!(lines[3], expected(" h", "// g\"", ""));
    }

    #[test]
    fn python_is_taken_apart() {
        let lines = parts("a = 'x # \\' y' # z\nb = \"\"\"c\n# d\"\"\" # e\nf = 'open\ng", Language::Python);
        assert_eq!(lines[0], expected("a = ' ", "x # \\' y'", "# z"));
        assert_eq!(lines[2], expected(" ", "# d\"\"\"", "# e"));
        assert_eq!(lines[4], expected("g", "", ""));
    }

    #[test]
    fn nothing_breaks_it() {
        for source in ["\"open", "r#\"open", "/* open", "'", "'\\", "r", "r#", "\"\\", "'é'", "\u{feff}", "\"\\é"] {
            assert_eq!(split(source, Language::Rust).len(), 1);
            assert_eq!(split(source, Language::Python).len(), 1);
        }
    }
}
