//! From a program's standard output to a payload.

use callboard_proto::v1::{Payload, payload::Content};
use serde::de::IgnoredAny;

use crate::args::work::OutputType;

/// The output is not what `--output-type` says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("standard output is not valid {0}, as --output-type says")]
pub struct NotOfType(&'static str);

/// The payload of an output. `Auto` looks at it: JSON when it parses as JSON and begins with `{` or `[` (a bare number
/// or word is more often text), else text when it is UTF-8, else bytes. Text is kept as it came, its last newline too.
pub fn payload(output: Vec<u8>, kind: OutputType) -> Result<Payload, NotOfType> {
    match kind {
        OutputType::Auto => Ok(auto(output)),
        OutputType::Binary => Ok(binary(output)),
        OutputType::Text => String::from_utf8(output).map(text).map_err(|_| NotOfType("UTF-8")),
        OutputType::Json => match String::from_utf8(output) {
            Ok(output) if is_json(&output) => Ok(json(output)),
            _ => Err(NotOfType("JSON")),
        },
    }
}

fn auto(output: Vec<u8>) -> Payload {
    match String::from_utf8(output) {
        Err(error) => binary(error.into_bytes()),
        Ok(output) if output.trim_start().starts_with(['{', '[']) && is_json(&output) => json(output),
        Ok(output) => text(output),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn json(text: String) -> Payload {
    of("application/json", Content::Text(text))
}

fn text(text: String) -> Payload {
    of("text/plain", Content::Text(text))
}

fn binary(bytes: Vec<u8>) -> Payload {
    of("application/octet-stream", Content::Binary(bytes.into()))
}

fn of(content_type: &str, content: Content) -> Payload {
    Payload { content_type: content_type.to_owned(), content: Some(content), ..Payload::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content_type(output: &[u8]) -> String {
        payload(output.to_vec(), OutputType::Auto).unwrap().content_type
    }

    #[test]
    fn objects_and_arrays_are_json() {
        for output in [&b"{\"a\": 1}\n"[..], b" [1, 2]", b"[]", b"\n{}\n"] {
            assert_eq!(content_type(output), "application/json");
        }
    }

    #[test]
    fn other_utf8_is_text() {
        for output in [&b""[..], b"42\n", b"true", b"\"quoted\"", b"{oops", b"[1] and more", "Grüße".as_bytes()] {
            assert_eq!(content_type(output), "text/plain");
        }
    }

    #[test]
    fn the_rest_is_bytes() {
        assert_eq!(content_type(b"\xff\xfe{}"), "application/octet-stream");
    }

    #[test]
    fn a_type_that_was_asked_for_is_checked() {
        assert_eq!(payload(b"42".to_vec(), OutputType::Json).unwrap().content_type, "application/json");
        assert_eq!(payload(b"{oops".to_vec(), OutputType::Json), Err(NotOfType("JSON")));
        assert_eq!(payload(b"\xff".to_vec(), OutputType::Text), Err(NotOfType("UTF-8")));
        assert_eq!(payload(b"{}".to_vec(), OutputType::Text).unwrap().content_type, "text/plain");
        assert_eq!(payload(b"{}".to_vec(), OutputType::Binary).unwrap().content_type, "application/octet-stream");
    }
}
