//! Values, as lines have them and as the SDK takes and gives them: see "Values" in DRIVER.md.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use callboard::v1;
use callboard::v1::payload::Content;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// What a user passes or gets.
#[derive(Clone, Debug)]
pub enum Any {
    /// A text, a number, a list, …
    Json(Value),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A payload, given as it is.
    Payload(v1::Payload),
}

impl Any {
    /// Reads a value from a line.
    pub fn read(value: Value) -> Result<Self, String> {
        if let Some(text) = value.get("$bytes") {
            return bytes(text).map(Self::Bytes);
        }
        let Some(payload) = value.get("$payload") else { return Ok(Self::Json(value)) };
        let content = match (payload.get("text").and_then(Value::as_str), payload.get("base64")) {
            (Some(text), None) => Content::Text(text.to_owned()),
            (None, Some(text)) => Content::Binary(bytes(text)?.into()),
            _ => return Err(format!("{payload} has neither text nor base64")),
        };
        let content_type = payload["content_type"].as_str().unwrap_or_default().to_owned();
        Ok(Self::Payload(v1::Payload { content_type, content: Some(content), ..Default::default() }))
    }

    /// As the SDK makes a payload of it.
    pub fn to_payload(&self) -> callboard::Result<v1::Payload> {
        match self {
            Self::Payload(payload) => Ok(payload.clone()),
            value => callboard::to_payload(value),
        }
    }

    /// As the SDK reads a payload.
    pub fn of_payload(payload: Option<&v1::Payload>) -> callboard::Result<Self> {
        callboard::from_payload(payload.unwrap_or(&v1::Payload::default()))
    }

    /// As lines have it.
    pub fn line(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Bytes(bytes) => json!({ "$bytes": BASE64_STANDARD.encode(bytes) }),
            Self::Payload(payload) => {
                let mut line = json!({ "content_type": payload.content_type });
                match &payload.content {
                    Some(Content::Binary(bytes)) => line["base64"] = BASE64_STANDARD.encode(bytes).into(),
                    Some(Content::Text(text)) => line["text"] = text.clone().into(),
                    None => {}
                }
                json!({ "$payload": line })
            }
        }
    }
}

fn bytes(text: &Value) -> Result<Vec<u8>, String> {
    let text = text.as_str().ok_or_else(|| format!("{text} is no base64"))?;
    BASE64_STANDARD.decode(text).map_err(|error| format!("{text:.40}: {error}"))
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Bytes(bytes) => callboard::Bytes(bytes.clone()).serialize(serializer),
            Self::Payload(_) => Err(serde::ser::Error::custom("a payload is given as it is")),
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Any, E> {
        Ok(Any::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Any, E> {
        Ok(Any::Bytes(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Any, E> {
        Ok(Any::Json(text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Any, E> {
        Ok(Any::Json(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Any, E> {
        Ok(Any::Json(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Any, E> {
        Ok(Any::Json(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Any, E> {
        Ok(Any::Json(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Any, E> {
        Value::deserialize(value.into_deserializer()).map(Any::Json)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Any, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(items)).map(Any::Json)
    }

    /// Also numbers, which keep all their digits in this way.
    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Any, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(fields)).map(Any::Json)
    }
}
