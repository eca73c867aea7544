//! Values from the columns of a row, whichever database gave it: so that what rows mean ([`crate::rows`]) is said once.

use crate::{Error, Result};
use callboard_core::model::{AgentId, Content, NamespaceId, TaskId, Timestamp};
use std::borrow::Cow;
use uuid::Uuid;

/// A row.
pub trait Columns {
    /// How many columns a payload takes: its type, its metadata, and what [`Columns::content`] reads.
    const PAYLOAD: usize;

    /// A number.
    fn number(&self, column: usize) -> Result<i64>;

    /// A number, or NULL.
    fn number_or_null(&self, column: usize) -> Result<Option<i64>>;

    /// Yes or no; NULL is no.
    fn flag(&self, column: usize) -> Result<bool>;

    /// Free text.
    fn text(&self, column: usize) -> Result<Cow<'_, str>> {
        self.text_or_null(column)?.ok_or_else(|| missing(column))
    }

    /// Free text, or NULL.
    fn text_or_null(&self, column: usize) -> Result<Option<Cow<'_, str>>>;

    /// JSON.
    fn json(&self, column: usize) -> Result<&str> {
        self.json_or_null(column)?.ok_or_else(|| missing(column))
    }

    /// JSON, or NULL.
    fn json_or_null(&self, column: usize) -> Result<Option<&str>>;

    /// Bytes.
    fn bytes(&self, column: usize) -> Result<&[u8]>;

    /// An id.
    fn uuid(&self, column: usize) -> Result<Uuid>;

    /// What a payload holds, from this column on: text or bytes. `None` for NULL.
    fn content(&self, column: usize) -> Result<Option<Content>>;

    /// A number that is 32 bits here.
    fn small(&self, column: usize) -> Result<u32> {
        let number = self.number(column)?;
        u32::try_from(number).map_err(|_| Error::Corrupt(format!("{number} is not within 0 and 4294967295")))
    }

    /// A time.
    fn time(&self, column: usize) -> Result<Timestamp> {
        self.number(column).map(Timestamp)
    }

    /// A namespace's id.
    fn namespace_id(&self, column: usize) -> Result<NamespaceId> {
        self.number(column).map(NamespaceId)
    }

    /// A task's id.
    fn task_id(&self, column: usize) -> Result<TaskId> {
        self.uuid(column).map(TaskId)
    }

    /// An agent's id.
    fn agent_id(&self, column: usize) -> Result<AgentId> {
        self.uuid(column).map(AgentId)
    }
}

fn missing(column: usize) -> Error {
    Error::Corrupt(format!("column {column} has nothing in it"))
}
