//! Values from PostgreSQL's columns, and values for its statements: an array for each column of rows.

use super::error::pg_error;
use super::text::{escaped, unescaped};
use crate::codec::metadata_json;
use crate::columns::Columns;
use crate::{Error, Result};
use callboard_core::model::{Content, Payload};
use sqlx::postgres::{PgArguments, PgBindIterExt, PgHasArrayType, PgRow};
use sqlx::{Arguments, Decode, Encode, Postgres, Row, Type, ValueRef};
use std::borrow::Cow;
use uuid::Uuid;

/// A column's value.
pub fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(row: &'r PgRow, column: usize) -> Result<T> {
    row.try_get(column).map_err(pg_error)
}

impl Columns for PgRow {
    const PAYLOAD: usize = 4;

    fn number(&self, column: usize) -> Result<i64> {
        self.number_or_null(column)?.ok_or_else(|| Error::Corrupt(format!("column {column} has no number")))
    }

    /// Of 16, 32 or 64 bits.
    fn number_or_null(&self, column: usize) -> Result<Option<i64>> {
        let raw = self.try_get_raw(column).map_err(pg_error)?;
        if raw.is_null() {
            return Ok(None);
        }
        let bytes = raw.as_bytes().map_err(|error| Error::Corrupt(error.to_string()))?;
        let number = match *bytes {
            [a, b] => i64::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(Error::Corrupt(format!("column {column} is no number: it has {} bytes", bytes.len()))),
        };
        Ok(Some(number))
    }

    fn flag(&self, column: usize) -> Result<bool> {
        get::<Option<bool>>(self, column).map(Option::unwrap_or_default)
    }

    fn text_or_null(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        get::<Option<&str>>(self, column)?.map(unescaped).transpose()
    }

    fn json_or_null(&self, column: usize) -> Result<Option<&str>> {
        get(self, column)
    }

    fn bytes(&self, column: usize) -> Result<&[u8]> {
        get(self, column)
    }

    fn uuid(&self, column: usize) -> Result<Uuid> {
        get(self, column)
    }

    /// Bytes, and behind them whether they are text.
    fn content(&self, column: usize) -> Result<Option<Content>> {
        let Some(bytes) = get::<Option<&[u8]>>(self, column)? else { return Ok(None) };
        if !self.flag(column + 1)? {
            return Ok(Some(Content::Binary(bytes.into())));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Corrupt(format!("text of a payload: {error}")))?;
        Ok(Some(Content::Text(text.into())))
    }
}

/// The values of a statement, in their order. A fault shows when they are taken.
#[derive(Default)]
pub struct Values {
    arguments: PgArguments,
    fault: Option<Error>,
}

impl Values {
    /// One value.
    pub fn one<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Err(error) = self.arguments.add(value) {
            self.fault.get_or_insert_with(|| Error::Data(error.to_string()));
        }
        self
    }

    /// Free text.
    pub fn text(self, text: &str) -> Self {
        self.one(&*escaped(text))
    }

    /// Free text, or nothing.
    pub fn text_or_null(self, text: Option<&str>) -> Self {
        self.one(text.map(escaped))
    }

    /// A column of rows.
    pub fn each<'a, R, T>(self, rows: &'a [R], value: impl Fn(&'a R) -> T) -> Self
    where
        T: Encode<'a, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        self.one(rows.iter().map(value).bind_iter())
    }

    /// A column of free text.
    pub fn each_text<'a, R>(self, rows: &'a [R], text: impl Fn(&'a R) -> &'a str) -> Self {
        self.one(rows.iter().map(|row| escaped(text(row))).bind_iter())
    }

    /// A column of free text, or nothing.
    pub fn each_text_or_null<'a, R>(self, rows: &'a [R], text: impl Fn(&'a R) -> Option<&'a str>) -> Self {
        self.one(rows.iter().map(|row| text(row).map(escaped)).bind_iter())
    }

    /// A column that may fail to be made: JSON.
    pub fn each_made<'a, R, T>(mut self, rows: &'a [R], make: impl Fn(&'a R) -> Result<T>) -> Self
    where
        T: for<'t> Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        match rows.iter().map(make).collect::<Result<Vec<T>>>() {
            Ok(made) => self.one(made.into_iter().bind_iter()),
            Err(error) => {
                self.fault.get_or_insert(error);
                self
            }
        }
    }

    /// The four columns of payloads: type, metadata, content, whether it is text.
    pub fn payloads<'a, R>(self, rows: &'a [R], payload: impl Fn(&'a R) -> &'a Payload) -> Self {
        self.each_text(rows, |row| &payload(row).content_type)
            .each_made(rows, |row| metadata_json(&payload(row).metadata))
            .each(rows, |row| payload(row).content.bytes())
            .each(rows, |row| matches!(payload(row).content, Content::Text(_)))
    }

    /// What the driver takes.
    pub fn into_arguments(self) -> Result<PgArguments> {
        match self.fault {
            None => Ok(self.arguments),
            Some(fault) => Err(fault),
        }
    }
}
