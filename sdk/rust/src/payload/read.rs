//! Reading a payload as a value.

use callboard_proto::v1;
use serde::de::value::{SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use v1::payload::Content;

type Error = de::value::Error;

/// The value, or why the payload is none of this type.
pub(super) fn value<T: DeserializeOwned>(payload: &v1::Payload) -> Result<T, String> {
    let kind = Kind::of(payload);
    let fault = |fault: String| format!("{kind} can't be read as {}: {fault}", short_name::<T>(), kind = kind.name());
    match (&kind, payload.content.as_ref()) {
        (Kind::Json, None) => serde_json::from_str("").map_err(|error| fault(error.to_string())),
        (Kind::Json, Some(Content::Text(text))) => serde_json::from_str(text).map_err(|error| fault(error.to_string())),
        (Kind::Json, Some(Content::Binary(bytes))) => {
            serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))
        }
        (Kind::Text, Some(Content::Binary(bytes))) => match std::str::from_utf8(bytes) {
            Ok(text) => T::deserialize(Text(text.to_owned())).map_err(|error| fault(error.to_string())),
            Err(_) => Err(fault("it is not UTF-8".to_owned())),
        },
        (_, Some(Content::Text(text))) => T::deserialize(Text(text.clone())).map_err(|error| fault(error.to_string())),
        (Kind::Other, Some(Content::Binary(bytes))) => {
            T::deserialize(Binary(bytes.to_vec())).map_err(|error| fault(error.to_string()))
        }
        (_, None) => T::deserialize(Text(String::new())).map_err(|error| fault(error.to_string())),
    }
}

enum Kind {
    Text,
    Json,
    Other,
}

impl Kind {
    fn of(payload: &v1::Payload) -> Self {
        let media_type = payload.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "" if matches!(payload.content, Some(Content::Binary(_))) => Self::Other,
            "" => Self::Text,
            "application/json" => Self::Json,
            other if other.starts_with("text/") => Self::Text,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Json => "JSON",
            Self::Other => "a binary",
        }
    }
}

/// The name of a type as its author writes it: without the modules, with its parameters.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let full = std::any::type_name::<T>();
    let mut short = String::with_capacity(full.len());
    for part in full.split_inclusive(['<', '>', ',', ' ', '(', ')', '[', ']', '&', ';']) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

/// A text: a string, what is made of one (a character, an enum's variant), or nothing when it is empty.
struct Text(String);

impl<'de> Deserializer<'de> for Text {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_empty() { visitor.visit_unit() } else { Err(Error::custom("it is not empty")) }
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: StringDeserializer<Error> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Bytes: for [`super::Bytes`], and for lists of numbers.
struct Binary(Vec<u8>);

impl<'de> Deserializer<'de> for Binary {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_byte_buf(self.0)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter()))
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}
