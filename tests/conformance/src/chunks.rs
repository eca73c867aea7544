//! Output, put together: how a handler's output was divided into chunks is of no matter, what it is when they are joined is.

use crate::value::short;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Chunks as they came, joined where that may be: text to text and bytes to bytes, of the same attempt.
///
/// # Errors
///
/// When a chunk does not begin where the one before it ends: something is missing, or came twice.
pub fn joined(chunks: &[Value]) -> Result<Vec<Value>, String> {
    let mut pieces: Vec<Value> = Vec::new();
    let mut end = None;
    for chunk in chunks {
        let offset = chunk["offset"].as_u64().ok_or_else(|| format!("a chunk has no offset: {}", short(chunk)))?;
        if end.is_some_and(|end| end != offset) {
            return Err(format!("has a chunk at {offset} behind what ends at {}", end.unwrap_or_default()));
        }
        let length = length(chunk);
        end = length.map(|length| offset + length);
        match pieces.last_mut().filter(|last| may_join(last, chunk)) {
            Some(last) => {
                append(&mut last["value"], &chunk["value"]);
                last["bytes"] = json!(last["bytes"].as_u64().unwrap_or_default() + length.unwrap_or_default());
            }
            None => {
                let mut piece = chunk.clone();
                piece["bytes"] = json!(length);
                pieces.push(piece);
            }
        }
    }
    Ok(pieces)
}

/// How many bytes of content a chunk has. Of a driver's JSON nobody knows: each language writes it in its own way.
fn length(chunk: &Value) -> Option<u64> {
    let value = &chunk["value"];
    chunk["bytes"].as_u64().or_else(|| match value.as_str() {
        Some(text) => Some(text.len() as u64),
        None => Some(bytes(value)?.len() as u64),
    })
}

/// Whether both chunks may be one.
fn may_join(last: &Value, next: &Value) -> bool {
    let is_json = next["content_type"] == "application/json";
    let are_alike = last["attempt"] == next["attempt"] && last["content_type"] == next["content_type"];
    let (last, next) = (&last["value"], &next["value"]);
    let are_joined = last.is_string() && next.is_string() || bytes(last).is_some() && bytes(next).is_some();
    !is_json && are_alike && are_joined
}

/// Adds to a text or to bytes. In place: of 16 MiB in 250 chunks, copying what there is each time takes seconds, in which a thread of the
/// runtime does nothing else.
fn append(whole: &mut Value, more: &Value) {
    if let (Value::String(whole), Some(more)) = (&mut *whole, more.as_str()) {
        whole.push_str(more);
    } else if let (Some(mut all), Some(more)) = (bytes(whole), bytes(more)) {
        all.extend(more);
        *whole = json!({ "$bytes": BASE64_STANDARD.encode(all) });
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value.get("$bytes")?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_joined_and_json_stays_apart() {
        let chunks = [
            json!({ "offset": 3, "attempt": 1, "value": "ä" }),
            json!({ "offset": 5, "attempt": 1, "value": "b" }),
            json!({ "offset": 6, "attempt": 1, "value": { "$bytes": "AP8=" } }),
            json!({ "offset": 8, "attempt": 1, "value": { "$bytes": "EA==" } }),
            json!({ "offset": 9, "attempt": 1, "value": [1] }),
            json!({ "offset": 12, "attempt": 1, "value": [1] }),
            json!({ "offset": 15, "attempt": 2, "value": "c" }),
        ];
        let values: Vec<Value> = joined(&chunks).unwrap().into_iter().map(|piece| piece["value"].clone()).collect();
        assert_eq!(json!(values), json!(["äb", { "$bytes": "AP8Q" }, [1], [1], "c"]));
    }

    #[test]
    fn what_is_missing_or_twice_is_noticed() {
        let chunk = |offset: u64| json!({ "offset": offset, "attempt": 1, "value": "ab" });
        assert!(joined(&[chunk(0), chunk(2)]).is_ok());
        assert!(joined(&[chunk(0), chunk(0)]).is_err());
        assert!(joined(&[chunk(0), chunk(3)]).is_err());
    }
}
