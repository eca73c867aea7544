//! Tokens: 256 random bits. Whoever has one is its principal, so nothing here prints one unless asked to reveal it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What every token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "callboard_";

/// A secret token: `callboard_` and 43 characters of base64url.
pub struct Token(String);

impl Token {
    /// Of 256 bits from a cryptographically secure generator.
    pub fn from_bits(bits: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the server keeps of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token's text. A salt would add nothing: nobody guesses 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of a token's text.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Of 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // A sign would be taken by `from_str_radix`.
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The first eight hexadecimal digits: enough to tell tokens apart, and of no use to anybody else.
    pub fn id(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest({}…)", self.id())
    }
}

/// Whether a text looks like a token rather than like anything else.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.contains(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_bits_and_shows_none_of_them() {
        let token = Token::from_bits([0xab; 32]);
        assert_eq!(token.reveal().len(), PREFIX.len() + 43);
        assert!(!format!("{token:?}").contains(&token.reveal()[PREFIX.len()..PREFIX.len() + 8]));
        assert_ne!(token.digest(), Token::from_bits([0xac; 32]).digest());
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = TokenDigest::of("abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let again = TokenDigest::parse(&digest.to_string()).unwrap();
        assert!(again.matches(&digest) && !again.matches(&TokenDigest::of("abd")));
        assert_eq!(digest.id(), "ba7816bf");
        for wrong in ["", "ba78", &"é".repeat(32), &"+1".repeat(32), &digest.to_string().replace('b', "g")] {
            assert_eq!(TokenDigest::parse(wrong), None, "{wrong}");
        }
    }
}
