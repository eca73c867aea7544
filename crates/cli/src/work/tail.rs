//! The end of what a program wrote to standard error.

use std::collections::VecDeque;

/// How much is kept, in bytes.
const KEPT: usize = 4 * 1024;

/// The last lines, at most 4 KiB.
#[derive(Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.extend(line.iter().chain(b"\n"));
        let surplus = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..surplus);
    }

    /// What is kept, as text, without a character cut in two at its beginning.
    pub fn text(mut self) -> String {
        let bytes = self.bytes.make_contiguous();
        let cut = if bytes.len() < KEPT { 0 } else { bytes.iter().take_while(|&&byte| is_continuation(byte)).count() };
        String::from_utf8_lossy(&bytes[cut..]).trim_end().to_owned()
    }
}

/// Whether a byte goes on with a character of UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_kept_whole() {
        let mut tail = Tail::default();
        tail.push(b"one");
        tail.push(b"two");
        assert_eq!(tail.text(), "one\ntwo");
    }

    #[test]
    fn long_texts_lose_their_beginning_between_characters() {
        let mut tail = Tail::default();
        tail.push("é".repeat(5000).as_bytes());
        let text = tail.text();
        assert!(text.len() <= KEPT && text.chars().all(|c| c == 'é'), "{text}");
    }
}
