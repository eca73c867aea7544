//! File names as text that every agent can read back: whatever bytes a name has.
//!
//! Bytes that are not UTF-8, control characters and the few characters that would end a line, a table cell or a code
//! span are written as `%XX`. Everything else stands as it is, so ordinary names stay readable.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Writes a path as one line of UTF-8 text.
pub fn encode(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_plain(character) {
                text.push(character);
            } else {
                let mut buffer = [0; 4];
                escape(character.encode_utf8(&mut buffer).as_bytes(), &mut text);
            }
        }
        escape(chunk.invalid(), &mut text);
    }
    text
}

/// Reads back what [`encode`] wrote. A `%` without two hexadecimal digits stands for itself.
pub fn decode(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match escaped_byte(&bytes[at..]) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(decoded))
}

fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str(&format!("%{byte:02X}"));
    }
}

fn is_plain(character: char) -> bool {
    !(is_misleading(character) || matches!(character, '%' | '`' | '\\' | '|' | '"'))
}

/// Control characters, and bidirectional marks and line separators, which could make a text look like another.
pub fn is_misleading(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn every_name_comes_back() {
        let names: [&[u8]; 8] = [
            b"src/main.rs",
            b"with space's \"quotes\"",
            b"new\nline\ttab\r",
            b"latin-1 \xe9\xff",
            "日本語/é".as_bytes(),
            b"100%.txt %41",
            b"`code`|cell\\",
            "\u{202e}txt.exe".as_bytes(),
        ];
        for name in names {
            let path = Path::new(OsStr::from_bytes(name));
            let text = encode(path);
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert_eq!(decode(&text), path, "{text:?}");
        }
    }

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(encode(Path::new("src/日本 語.rs")), "src/日本 語.rs");
        assert_eq!(encode(Path::new("a\nb%")), "a%0Ab%25");
    }
}
