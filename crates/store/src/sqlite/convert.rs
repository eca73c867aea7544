//! Values from SQLite's columns.

use super::error::sqlite_error;
use crate::columns::Columns;
use crate::{Error, Result};
use callboard_core::model::Content;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type, TypeInfo, ValueRef};
use std::borrow::Cow;
use uuid::Uuid;

/// A column's value.
pub fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: usize) -> Result<T> {
    row.try_get(column).map_err(sqlite_error)
}

impl Columns for SqliteRow {
    const PAYLOAD: usize = 3;

    fn number(&self, column: usize) -> Result<i64> {
        get(self, column)
    }

    fn number_or_null(&self, column: usize) -> Result<Option<i64>> {
        get(self, column)
    }

    fn flag(&self, column: usize) -> Result<bool> {
        get::<Option<bool>>(self, column).map(Option::unwrap_or_default)
    }

    fn text_or_null(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        self.json_or_null(column).map(|text| text.map(Cow::Borrowed))
    }

    fn json_or_null(&self, column: usize) -> Result<Option<&str>> {
        get(self, column)
    }

    fn bytes(&self, column: usize) -> Result<&[u8]> {
        get(self, column)
    }

    fn uuid(&self, column: usize) -> Result<Uuid> {
        let bytes: &[u8] = get(self, column)?;
        Uuid::from_slice(bytes)
            .map_err(|_| Error::Corrupt(format!("an id has {} bytes, and must have 16", bytes.len())))
    }

    /// Text or bytes, as the column has it.
    fn content(&self, column: usize) -> Result<Option<Content>> {
        let raw = self.try_get_raw(column).map_err(sqlite_error)?;
        if raw.is_null() {
            return Ok(None);
        }
        let is_text = raw.type_info().name() == "TEXT";
        if is_text {
            let text: &str = self.try_get_unchecked(column).map_err(sqlite_error)?;
            Ok(Some(Content::Text(text.into())))
        } else {
            let bytes: &[u8] = self.try_get_unchecked(column).map_err(sqlite_error)?;
            Ok(Some(Content::Binary(bytes.into())))
        }
    }
}
