//! Between values and payloads: strings are `text/plain`, bytes `application/octet-stream`, everything else JSON.

mod read;
mod shape;

use callboard_proto::{MAX_PAYLOAD_BYTES, v1};
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tonic::Code;
use v1::payload::Content;

use crate::error::CallError;
use crate::{Error, Result};
use shape::Shape;

pub(crate) const TEXT: &str = "text/plain";
pub(crate) const BINARY: &str = "application/octet-stream";
pub(crate) const JSON: &str = "application/json";

/// Makes a payload of a value: of what serializes as a string a text, of [`Bytes`] a binary, of everything else JSON.
///
/// # Errors
///
/// [`Error::InvalidArgument`] when the value can't be JSON (NaN, infinity, a map with keys that are no strings), or is
/// larger than 1 MiB.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<v1::Payload> {
    let (content_type, content) = match shape::of(value).map_err(not_json)? {
        Shape::Text(text) => (TEXT, Content::Text(text)),
        Shape::Bytes(bytes) => (BINARY, Content::Binary(bytes.into())),
        Shape::Other => (JSON, Content::Text(serde_json::to_string(value).map_err(not_json)?)),
    };
    let payload =
        v1::Payload { content_type: content_type.to_owned(), content: Some(content), ..v1::Payload::default() };
    check("payload", &payload)?;
    Ok(payload)
}

/// JSON of a value, also of a string; bytes have none.
pub(crate) fn to_json<T: Serialize + ?Sized>(field: &str, value: &T) -> Result<String> {
    let json = match shape::of(value) {
        Ok(Shape::Bytes(_)) => Err(serde_json::Error::custom("JSON has no bytes")),
        Ok(Shape::Text(_) | Shape::Other) => serde_json::to_string(value),
        Err(error) => Err(error),
    };
    json.map_err(|error| Error::invalid(field, format!("{field} can't be made of this value: {error}")))
}

/// Reads a payload as a value: `text/*` is a string, JSON is parsed, anything else is bytes (or a string when it came as
/// text).
///
/// # Errors
///
/// [`Error::Decode`] when the payload does not have the form of `T`.
pub fn from_payload<T: DeserializeOwned>(payload: &v1::Payload) -> Result<T> {
    read::value(payload).map_err(Error::Decode)
}

/// A payload that was not set is the empty string.
pub(crate) fn from_optional<T: DeserializeOwned>(payload: Option<&v1::Payload>) -> Result<T> {
    match payload {
        Some(payload) => from_payload(payload),
        None => from_payload(&v1::Payload::default()),
    }
}

/// Refuses a payload that the server would refuse, before it is sent.
pub(crate) fn check(field: &str, payload: &v1::Payload) -> Result<()> {
    let size = size(payload);
    if size <= MAX_PAYLOAD_BYTES {
        return Ok(());
    }
    let message = format!(
        "{field} has {size} bytes, more than the {MAX_PAYLOAD_BYTES} of a payload: store it elsewhere and give its address"
    );
    Err(CallError::local(Code::InvalidArgument, v1::ErrorReason::PayloadTooLarge, message).into())
}

/// How many bytes of content it has.
pub(crate) fn size(payload: &v1::Payload) -> usize {
    match &payload.content {
        Some(Content::Text(text)) => text.len(),
        Some(Content::Binary(bytes)) => bytes.len(),
        None => 0,
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::invalid("payload", format!("payload can't be made of this value: {error}"))
}

/// Bytes that are to be a binary payload. (Serde takes a `Vec<u8>` for a list of numbers, and so does JSON.)
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = items.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests;
