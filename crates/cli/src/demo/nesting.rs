//! How deeply a parser could recurse on a stream of Rust tokens.
//!
//! `syn` and its visitors recurse; a stack that overflows ends the process, and no handler can catch it. So a file is
//! measured before it is parsed. The measure is an upper bound: whatever nests (brackets, unary operators, chains of
//! calls, `a + a + a`, `A<A<A<`) needs at least a token for each level, and a separator (`;`, `,`, the end of a block)
//! closes what stood before it.

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

struct Level {
    tokens: token_stream::IntoIter,
    /// Tokens since the last separator, in this level.
    run: usize,
    /// Of these, the angle brackets and closures that a comma doesn't close.
    open: usize,
    /// The last token was a block, which ends what stood before it unless an `else`, `.` or `?` follows.
    after_block: bool,
    /// The last token can't end an operand: a `|` after it begins a closure.
    before_operand: bool,
    /// The last token was `-` or `=`: a `>` after it is an arrow's.
    in_arrow: bool,
}

/// The greatest depth that a parse of these tokens could have. Does not recurse itself.
pub fn greatest_depth(tokens: TokenStream) -> usize {
    let mut greatest = 0;
    let mut outer = 0;
    let mut levels = vec![level(tokens)];
    while let Some(current) = levels.last_mut() {
        let Some(token) = current.tokens.next() else {
            levels.pop();
            // The runs of the levels around an inner level count for it; back in the outer one, they don't count twice.
            outer -= levels.last().map_or(0, |level| level.run);
            continue;
        };
        current.note(&token);
        greatest = greatest.max(outer + current.run);
        if let TokenTree::Group(group) = token {
            outer += current.run;
            levels.push(level(group.stream()));
        }
    }
    greatest
}

fn level(tokens: TokenStream) -> Level {
    Level { tokens: tokens.into_iter(), run: 0, open: 0, after_block: false, before_operand: true, in_arrow: false }
}

impl Level {
    fn note(&mut self, token: &TokenTree) {
        if self.after_block && !continues(token) {
            self.close();
        }
        self.after_block = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        self.run += 1;
        match token {
            TokenTree::Punct(punct) => self.note_punct(punct.as_char()),
            TokenTree::Ident(word) => self.set_last(KEYWORDS.iter().any(|keyword| word == keyword), false),
            TokenTree::Group(_) | TokenTree::Literal(_) => self.set_last(false, false),
        }
    }

    fn note_punct(&mut self, punct: char) {
        match punct {
            ';' => self.close(),
            ',' => self.run = self.open,
            '<' => self.open += 1,
            '>' if !self.in_arrow => self.open = self.open.saturating_sub(1),
            '|' if self.before_operand => self.open += 1,
            _ => {}
        }
        self.set_last(punct != '?', matches!(punct, '-' | '='));
    }

    fn set_last(&mut self, before_operand: bool, in_arrow: bool) {
        self.before_operand = before_operand;
        self.in_arrow = in_arrow;
    }

    fn close(&mut self) {
        self.run = 0;
        self.open = 0;
    }
}

/// Words after which an expression begins.
const KEYWORDS: [&str; 9] = ["move", "return", "break", "async", "static", "else", "in", "match", "if"];

/// Whether a token after a block goes on with what the block ended.
fn continues(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(word) => word == "else" || word == "as",
        TokenTree::Punct(punct) => punct.as_char() != '#',
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(source: &str) -> usize {
        greatest_depth(source.parse().unwrap())
    }

    #[test]
    fn separators_end_a_run() {
        let statement = "let a = b + c;";
        assert_eq!(depth(statement), depth(&statement.repeat(1_000)));
        let function = "pub fn f(a: u8) -> u8 { a }";
        assert_eq!(depth(function), depth(&function.repeat(1_000)));
        let table = "A | B, C, x->y, (a, b), ";
        assert_eq!(depth(table), depth(&table.repeat(1_000)));
        assert_eq!(depth(""), 0);
    }

    #[test]
    fn what_nests_is_counted() {
        for (unit, end) in [
            ("!", "a"),
            ("a + ", "a"),
            ("A<", ""),
            (".b()", ""),
            ("{} else ", "{}"),
            ("|a| ", "a"),
            ("&", "a"),
            ("A<B, ", ""),
            ("|a, b| ", "a"),
            ("move |a, b| ", "a"),
        ] {
            assert!(depth(&(unit.repeat(500) + end)) >= 500, "{unit}");
        }
        assert!(depth(&("(".repeat(500) + &")".repeat(500))) >= 500);
        assert!(depth(&("{".repeat(500) + &"}".repeat(500))) >= 500);
    }

    #[test]
    fn the_measure_itself_does_not_recurse() {
        let levels = 200_000;
        assert!(depth(&("[".repeat(levels) + &"]".repeat(levels))) >= levels);
    }
}
