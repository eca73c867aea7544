//! Values from columns.

use super::error::sqlite_error;
use crate::{Error, Result};
use callboard_core::model::{AgentId, Content, NamespaceId, TaskId, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type, TypeInfo, ValueRef};
use uuid::Uuid;

/// A column's value.
pub fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: usize) -> Result<T> {
    row.try_get(column).map_err(sqlite_error)
}

/// An id's column.
pub fn uuid(row: &SqliteRow, column: usize) -> Result<Uuid> {
    let bytes: &[u8] = get(row, column)?;
    Uuid::from_slice(bytes).map_err(|_| Error::Corrupt(format!("an id has {} bytes, and must have 16", bytes.len())))
}

/// A task's id.
pub fn task_id(row: &SqliteRow, column: usize) -> Result<TaskId> {
    uuid(row, column).map(TaskId)
}

/// An agent's id.
pub fn agent_id(row: &SqliteRow, column: usize) -> Result<AgentId> {
    uuid(row, column).map(AgentId)
}

/// A namespace's id.
pub fn namespace_id(row: &SqliteRow, column: usize) -> Result<NamespaceId> {
    get(row, column).map(NamespaceId)
}

/// A time.
pub fn time(row: &SqliteRow, column: usize) -> Result<Timestamp> {
    get(row, column).map(Timestamp)
}

/// A number that is 32 bits here.
pub fn small(row: &SqliteRow, column: usize) -> Result<u32> {
    let number: i64 = get(row, column)?;
    u32::try_from(number).map_err(|_| Error::Corrupt(format!("{number} is not within 0 and 4294967295")))
}

/// What a payload holds: text or bytes, as the column has it. `None` for NULL.
pub fn content(row: &SqliteRow, column: usize) -> Result<Option<Content>> {
    let raw = row.try_get_raw(column).map_err(sqlite_error)?;
    if raw.is_null() {
        return Ok(None);
    }
    let is_text = raw.type_info().name() == "TEXT";
    if is_text {
        let text: &str = row.try_get_unchecked(column).map_err(sqlite_error)?;
        Ok(Some(Content::Text(text.into())))
    } else {
        let bytes: &[u8] = row.try_get_unchecked(column).map_err(sqlite_error)?;
        Ok(Some(Content::Binary(bytes.into())))
    }
}
