//! Free text as PostgreSQL takes it: its text has no NUL, and ours may.
//!
//! NUL becomes two characters 1, and 1 becomes 1 and 2. Everything else stays as it is, so that rows can be read by people; and
//! escaped text sorts as the text itself does.

use crate::{Error, Result};
use std::borrow::Cow;

const MARK: char = '\u{1}';

/// Text to be written.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte < 2) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => escaped.push_str("\u{1}\u{1}"),
            MARK => escaped.push_str("\u{1}\u{2}"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// Text as it was before it was written.
pub fn unescaped(text: &str) -> Result<Cow<'_, str>> {
    if !text.contains(MARK) {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            MARK => plain.push(match characters.next() {
                Some('\u{1}') => '\0',
                Some('\u{2}') => MARK,
                other => return Err(Error::Corrupt(format!("text has the character 1 before {other:?}"))),
            }),
            other => plain.push(other),
        }
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_comes_back_and_sorts_as_it_did(a in "[\0-\u{3}a-bé]{0,6}", b in "[\0-\u{3}a-bé]{0,6}") {
            prop_assert!(!escaped(&a).contains('\0'));
            prop_assert_eq!(unescaped(&escaped(&a)).unwrap().into_owned(), a.clone());
            prop_assert_eq!(escaped(&a).as_bytes().cmp(escaped(&b).as_bytes()), a.cmp(&b));
        }
    }

    #[test]
    fn what_nobody_wrote_is_corrupt() {
        assert!(unescaped("a\u{1}").is_err() && unescaped("\u{1}x").is_err());
    }
}
