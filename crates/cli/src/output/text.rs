//! Text from others, made safe for a terminal.

/// One line of at most `max` characters: white space folded, control characters (escape sequences) made visible.
pub fn one_line(text: &str, max: usize) -> String {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = visible(&folded);
    if let Some((cut, _)) = shown.char_indices().nth(max) {
        let keep = shown[..cut].char_indices().next_back().map_or(0, |(last, _)| last);
        shown.truncate(keep);
        shown.push('…');
    }
    shown
}

/// Lines and tabs stay; other control characters are made visible: what an agent wrote must not steer the reader's
/// terminal.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            // Overrides of the direction of text can make it read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(one_line("a b\n\nc", 10), "a b c");
        assert_eq!(one_line("äöüäöü", 4), "äöü…");
        assert_eq!(one_line("äöüä", 4), "äöüä");
        assert_eq!(one_line("", 4), "");
    }

    #[test]
    fn escape_sequences_are_disarmed() {
        assert_eq!(visible("\u{1b}[31mred\nnext\u{9b}"), "\u{fffd}[31mred\nnext\u{fffd}");
        assert_eq!(visible("user\u{202e}txt.exe"), "user\u{fffd}txt.exe");
    }
}
