//! Finds the marks (`TODO`, `FIXME`, …) in the comments of Rust source, also of source that does not parse.

/// A mark in a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// The word.
    pub word: &'static str,
    /// The rest of the line, the word included.
    pub text: &'a str,
}

const WORDS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// All marks in the comments of a Rust text, one a line at most.
pub fn marks(source: &str) -> Vec<Mark<'_>> {
    let mut marks: Vec<Mark<'_>> = Vec::new();
    let mut scanner = Scanner { source: source.as_bytes(), at: 0, line: 1 };
    while let Some(comment) = scanner.next_comment() {
        let Some(text) = source.get(comment.start..comment.end) else { continue };
        for (offset, line) in text.split('\n').enumerate() {
            if let Some((word, rest)) = find_word(line) {
                marks.push(Mark { line: comment.line + offset as u64, word, text: rest });
            }
        }
    }
    marks.dedup_by_key(|mark| mark.line);
    marks
}

fn find_word(line: &str) -> Option<(&'static str, &str)> {
    let found = WORDS.iter().flat_map(|word| line.match_indices(word).map(|(at, _)| (at, *word)));
    let whole = found.filter(|(at, word)| {
        let before = line[..*at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        // Part of a longer word, or quoted: a comment that speaks about marks.
        let part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '`' | '"' | '\'');
        ![before, after].into_iter().flatten().any(part)
    });
    whole.min_by_key(|(at, _)| *at).map(|(at, word)| (word, &line[at..]))
}

struct Comment {
    start: usize,
    end: usize,
    line: u64,
}

struct Scanner<'a> {
    source: &'a [u8],
    at: usize,
    line: u64,
}

impl Scanner<'_> {
    /// Goes to the next comment, over literals that may look like one.
    fn next_comment(&mut self) -> Option<Comment> {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'/')) => return Some(self.comment(Self::line_comment)),
                (b'/', Some(b'*')) => return Some(self.comment(Self::block_comment)),
                (b'"', _) => self.string(),
                (b'r', Some(b'"' | b'#')) if !self.in_word() => self.raw_string(),
                (b'\'', _) => self.quote(),
                _ => self.step(),
            }
        }
        None
    }

    fn comment(&mut self, skip: fn(&mut Self)) -> Comment {
        let (start, line) = (self.at, self.line);
        skip(self);
        Comment { start, end: self.at, line }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.step();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => depth += 1,
                (b'*', Some(b'/')) => depth -= 1,
                _ => {
                    self.step();
                    continue;
                }
            }
            self.step();
            self.step();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.step();
        while let Some(byte) = self.peek(0) {
            self.step();
            match byte {
                b'"' => return,
                b'\\' => self.step(),
                _ => {}
            }
        }
    }

    /// `r"…"`, `r#"…"#`; a raw identifier (`r#type`) is stepped over.
    fn raw_string(&mut self) {
        self.step();
        let mut hashes = 0;
        while self.peek(0) == Some(b'#') {
            hashes += 1;
            self.step();
        }
        if self.peek(0) != Some(b'"') {
            return;
        }
        self.step();
        while let Some(byte) = self.peek(0) {
            self.step();
            if byte == b'"' && (0..hashes).all(|ahead| self.peek(ahead) == Some(b'#')) {
                (0..hashes).for_each(|_| self.step());
                return;
            }
        }
    }

    /// A character literal that could hide a quote or a slash (`'"'`, `'\''`, `'/'`), or a lifetime.
    fn quote(&mut self) {
        self.step();
        match (self.peek(0), self.peek(1)) {
            (Some(b'\\'), _) => (0..2).for_each(|_| self.step()),
            (Some(_), Some(b'\'')) => self.step(),
            _ => return,
        }
        if self.peek(0) == Some(b'\'') {
            self.step();
        }
    }

    /// Whether the byte before belongs to a name, as in `var"` or `br"`; of these, byte and C strings do begin a raw
    /// string.
    fn in_word(&self) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let before = |distance: usize| self.at.checked_sub(distance).and_then(|at| self.source.get(at)).copied();
        match before(1) {
            Some(b'b' | b'c') => before(2).is_some_and(word),
            Some(byte) => word(byte),
            None => false,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some(b'\n') {
            self.line += 1;
        }
        self.at = (self.at + 1).min(self.source.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str) -> Vec<(u64, &'static str)> {
        marks(source).iter().map(|mark| (mark.line, mark.word)).collect()
    }

    #[test]
    fn marks_are_found_in_comments_only() {
        let source = r##"
// TODO: one
let a = "// TODO not this"; /* a
  FIXME two /* nested XXX three */ still HACK four
*/ let b = 'x'; let c: &'static str = r#"// TODO "no" "#; // XXX five
let d = '"'; // TODO six
let e = '\''; let f = b"\" // TODO no"; let g = br"// TODO no\"; // FIXME seven
fn TODO() {} // TODOS and _TODO are other words, and `TODO` is quoted
let r#type = 1; // HACK eight"##;
        assert_eq!(lines(source), [(2, "TODO"), (4, "FIXME"), (5, "XXX"), (6, "TODO"), (7, "FIXME"), (9, "HACK")]);
    }

    #[test]
    fn broken_source_is_scanned_to_its_end() {
        for source in ["\"open // TODO", "/* open TODO", "r#\"open", "'", "'\\", "/", "r#", "\"\\", "// é TODO\u{fffd}"]
        {
            let _ = marks(source);
        }
        assert_eq!(lines("/* open TODO"), [(1, "TODO")]);
        assert_eq!(lines("// é TODO\u{fffd}"), [(1, "TODO")]);
    }
}
