//! What a value is when it is serialized: a string, bytes, or something else. Walks the whole value, because serde_json
//! writes NaN and infinity as `null` without a word, and a payload must not lose a number.

use serde::ser::{self, Error as _, Serialize, Serializer};
use serde_json::Error;

pub(super) enum Shape {
    Text(String),
    Bytes(Vec<u8>),
    Other,
}

pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Shape, Error> {
    value.serialize(Probe)
}

#[derive(Clone, Copy)]
struct Probe;

fn finite(number: f64) -> Result<Shape, Error> {
    if number.is_finite() { Ok(Shape::Other) } else { Err(Error::custom("JSON has no NaN and no infinity")) }
}

macro_rules! others {
    ($($method:ident($kind:ty)),* $(,)?) => {
        $(fn $method(self, _: $kind) -> Result<Shape, Error> { Ok(Shape::Other) })*
    };
}

impl Serializer for Probe {
    type Ok = Shape;
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    others! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, number: f32) -> Result<Shape, Error> {
        finite(number.into())
    }
    fn serialize_f64(self, number: f64) -> Result<Shape, Error> {
        finite(number)
    }
    fn serialize_char(self, character: char) -> Result<Shape, Error> {
        Ok(Shape::Text(character.to_string()))
    }
    fn serialize_str(self, text: &str) -> Result<Shape, Error> {
        Ok(Shape::Text(text.to_owned()))
    }
    fn serialize_bytes(self, bytes: &[u8]) -> Result<Shape, Error> {
        Ok(Shape::Bytes(bytes.to_vec()))
    }
    fn serialize_none(self) -> Result<Shape, Error> {
        Ok(Shape::Other)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Shape, Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Shape, Error> {
        Ok(Shape::Other)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Shape, Error> {
        Ok(Shape::Text(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Shape, Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Shape, Error> {
        value.serialize(self).map(|_| Shape::Other)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }
}

macro_rules! walk_elements {
    ($($compound:ident::$method:ident),*) => {$(
        impl ser::$compound for Probe {
            type Ok = Shape;
            type Error = Error;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(*self).map(|_| ())
            }
            fn end(self) -> Result<Shape, Error> {
                Ok(Shape::Other)
            }
        }
    )*};
}

walk_elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! walk_fields {
    ($($compound:ident),*) => {$(
        impl ser::$compound for Probe {
            type Ok = Shape;
            type Error = Error;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Error> {
                value.serialize(*self).map(|_| ())
            }
            fn end(self) -> Result<Shape, Error> {
                Ok(Shape::Other)
            }
        }
    )*};
}

walk_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Probe {
    type Ok = Shape;
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(*self).map(|_| ())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(*self).map(|_| ())
    }
    fn end(self) -> Result<Shape, Error> {
        Ok(Shape::Other)
    }
}
