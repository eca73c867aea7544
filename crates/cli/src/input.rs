//! The input of a task as given on the command line: `JSON`, `@file` or `-`.

use std::fs::File;
use std::io::{self, Read};

use callboard_proto::MAX_PAYLOAD_BYTES;
use callboard_proto::v1::{Payload, payload::Content};
use serde::de::IgnoredAny;

/// How the input's bytes are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// JSON, checked here and sent as it was written.
    Json,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// Why the input can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file or standard input could not be read.
    #[error("--input: cannot read {source_name}: {error}")]
    Read {
        /// The file's name, or `standard input`.
        source_name: String,
        /// What the system said.
        error: io::Error,
    },
    /// It is larger than the server takes.
    #[error("--input: more than 1 MiB (1048576 bytes): put the data elsewhere and pass where it is")]
    TooLarge,
    /// It is not JSON.
    #[error("--input: not valid JSON ({0}): quote it, or add --text if it is plain text")]
    NotJson(serde_json::Error),
    /// It is not text.
    #[error("--input: not valid UTF-8: add --binary to send bytes")]
    NotText,
}

/// Reads the input that `argument` names, and makes it a payload. `stdin` is read for `-`.
pub fn payload(argument: &str, kind: InputKind, stdin: impl Read) -> Result<Payload, InputError> {
    let bytes = match (argument, argument.strip_prefix('@')) {
        ("-", _) => read_bounded(stdin, "standard input")?,
        (_, Some(path)) => {
            let file = File::open(path).map_err(|error| InputError::Read { source_name: path.to_owned(), error })?;
            read_bounded(file, path)?
        }
        _ => argument.as_bytes().to_vec(),
    };
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(InputError::TooLarge);
    }
    as_payload(bytes, kind)
}

fn as_payload(bytes: Vec<u8>, kind: InputKind) -> Result<Payload, InputError> {
    let (content_type, content) = match kind {
        InputKind::Binary => ("application/octet-stream", Content::Binary(bytes.into())),
        InputKind::Text => ("text/plain", Content::Text(utf8(bytes)?)),
        InputKind::Json => {
            let text = utf8(bytes)?;
            serde_json::from_str::<IgnoredAny>(&text).map_err(InputError::NotJson)?;
            ("application/json", Content::Text(text))
        }
    };
    Ok(Payload { content_type: content_type.to_owned(), content: Some(content), ..Payload::default() })
}

fn utf8(bytes: Vec<u8>) -> Result<String, InputError> {
    String::from_utf8(bytes).map_err(|_| InputError::NotText)
}

/// Reads one byte more than the limit at most, so that an endless input can't fill the memory.
fn read_bounded(source: impl Read, name: &str) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    source
        .take(MAX_PAYLOAD_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| InputError::Read { source_name: name.to_owned(), error })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(payload: &Payload) -> &str {
        match &payload.content {
            Some(Content::Text(text)) => text,
            other => panic!("not text: {other:?}"),
        }
    }

    #[test]
    fn json_is_sent_as_it_was_written() {
        let big = r#"{"n": 12345678901234567890.123456789}"#;
        let payload = payload(big, InputKind::Json, io::empty()).unwrap();
        assert_eq!(payload.content_type, "application/json");
        assert_eq!(text(&payload), big);
    }

    #[test]
    fn a_file_and_standard_input_are_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "[1]").unwrap();
        let at = format!("@{}", file.path().display());
        assert_eq!(text(&payload(&at, InputKind::Json, io::empty()).unwrap()), "[1]");
        assert_eq!(text(&payload("-", InputKind::Text, &b"hello"[..]).unwrap()), "hello");
    }

    #[test]
    fn errors_name_the_field_the_fault_and_the_remedy() {
        let not_json = payload("{oops", InputKind::Json, io::empty()).unwrap_err().to_string();
        assert!(
            not_json.contains("--input") && not_json.contains("line 1") && not_json.contains("--text"),
            "{not_json}"
        );
        let missing = payload("@/no/such/file", InputKind::Json, io::empty()).unwrap_err().to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
        let not_text = payload("-", InputKind::Text, &b"\xff"[..]).unwrap_err().to_string();
        assert!(not_text.contains("--binary"), "{not_text}");
    }

    #[test]
    fn an_endless_input_is_refused() {
        assert!(matches!(payload("-", InputKind::Binary, io::repeat(0)), Err(InputError::TooLarge)));
    }

    #[test]
    fn bytes_stay_bytes() {
        let payload = payload("-", InputKind::Binary, &b"\xff\x00"[..]).unwrap();
        assert_eq!(payload.content, Some(Content::Binary(b"\xff\x00".to_vec().into())));
    }
}
