//! What a program says on descriptor 3: progress and checkpoints, as JSON lines.

use serde_json::{Map, Value};

/// The longest line that is taken: the most that a payload may have.
pub const MAX_LINE: usize = callboard_proto::MAX_PAYLOAD_BYTES;

/// The most that a phase may have, in bytes, and a message.
const MAX_PHASE: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// One line, understood. A line may be both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// How far it is.
    pub progress: Option<Progress>,
    /// What the next attempt is to begin from.
    pub checkpoint: Option<Value>,
}

/// How far a program is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: Option<f64>,
    /// What it is doing.
    pub phase: String,
    /// For people.
    pub message: String,
}

/// Why a line was ignored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is no JSON object.
    #[error("not a JSON object: write {{\"progress\": 0.5}} or {{\"checkpoint\": …}}")]
    NotAnObject,
    /// A field has a value that it may not have.
    #[error("`{0}` {1}")]
    Field(&'static str, &'static str),
    /// It says nothing.
    #[error("none of `progress`, `phase`, `message` and `checkpoint` in it")]
    Nothing,
}

/// Understands a line. Fields that are not known are left alone.
pub fn parse(line: &[u8]) -> Result<Control, BadLine> {
    let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(|_| BadLine::NotAnObject)?;
    let checkpoint = object.remove("checkpoint");
    let fraction = object.get("progress").map(fraction).transpose()?;
    let phase = text(&object, "phase", MAX_PHASE)?;
    let message = text(&object, "message", MAX_MESSAGE)?;
    let says_progress = fraction.is_some() || phase.is_some() || message.is_some();
    if !says_progress && checkpoint.is_none() {
        return Err(BadLine::Nothing);
    }
    let progress = says_progress.then(|| Progress {
        fraction,
        phase: phase.unwrap_or_default(),
        message: message.unwrap_or_default(),
    });
    Ok(Control { progress, checkpoint })
}

fn fraction(value: &Value) -> Result<f64, BadLine> {
    match value.as_f64() {
        Some(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err(BadLine::Field("progress", "must be a number from 0 to 1")),
    }
}

/// A text field, cut to what the server takes: a message too long is no reason to lose it.
fn text(object: &Map<String, Value>, field: &'static str, max: usize) -> Result<Option<String>, BadLine> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text[..text.floor_char_boundary(max)].to_owned())),
        Some(_) => Err(BadLine::Field(field, "must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_has_any_of_its_fields() {
        let line = br#"{"progress": 0.5, "phase": "executing", "message": "half way", "extra": 1}"#;
        let progress = Progress { fraction: Some(0.5), phase: "executing".into(), message: "half way".into() };
        assert_eq!(parse(line), Ok(Control { progress: Some(progress), checkpoint: None }));
        let only_message = parse(br#"{"message": "hello"}"#).unwrap().progress.unwrap();
        assert_eq!((only_message.fraction, only_message.message.as_str()), (None, "hello"));
    }

    #[test]
    fn a_checkpoint_is_any_json_null_included() {
        assert_eq!(parse(br#"{"checkpoint": {"page": 3}}"#).unwrap().checkpoint, Some(json!({"page": 3})));
        assert_eq!(parse(br#"{"checkpoint": null}"#).unwrap().checkpoint, Some(Value::Null));
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        for line in [&b"half way"[..], b"[1]", b"", b"{", b"\xff"] {
            assert_eq!(parse(line), Err(BadLine::NotAnObject));
        }
        assert_eq!(parse(b"{}"), Err(BadLine::Nothing));
        for line in [&br#"{"progress": 2}"#[..], br#"{"progress": "half"}"#, br#"{"progress": null}"#] {
            assert!(parse(line).unwrap_err().to_string().contains("from 0 to 1"));
        }
        assert!(parse(br#"{"phase": 1}"#).unwrap_err().to_string().contains("must be a string"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let line = json!({"phase": "é".repeat(100)}).to_string();
        let phase = parse(line.as_bytes()).unwrap().progress.unwrap().phase;
        assert_eq!(phase.len(), 128);
    }
}
