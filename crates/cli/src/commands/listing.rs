//! Lists: tables in pages, JSON as one document that is written as it comes. Memory holds a page, however long the list
//! is.

use std::pin::pin;

use comfy_table::Table;
use futures::{Stream, TryStreamExt};
use jiff::Timestamp;
use serde_json::Value;

use crate::args::Limit;
use crate::error::Error;
use crate::output::table::Style;
use crate::output::{Output, note};
use crate::values;

/// How many rows are laid out together.
const PAGE: usize = 1000;

/// What is listed.
pub struct Listing<T> {
    /// Its name, of several: `tasks`.
    pub plural: &'static str,
    /// As JSON.
    pub json: fn(&T) -> Value,
    /// As rows.
    pub table: fn(&[T], Style, Timestamp) -> Table,
}

/// The page size to ask the server for.
pub fn page_size(limit: &Limit) -> i32 {
    // One more than asked for says whether there is more, in the same call.
    let wanted = limit.rows().map_or(PAGE, |rows| rows.saturating_add(1).min(PAGE));
    i32::try_from(wanted).unwrap_or(i32::MAX)
}

impl<T> Listing<T> {
    /// Writes `items`, as many as `limit` allows.
    pub async fn write(
        &self,
        output: &Output,
        limit: &Limit,
        items: impl Stream<Item = callboard::Result<T>>,
    ) -> Result<(), Error> {
        let mut items = pin!(items);
        let most = limit.rows().unwrap_or(usize::MAX);
        let mut page = Vec::new();
        let mut written = 0;
        while written + page.len() < most {
            let Some(item) = items.try_next().await? else { break };
            page.push(item);
            if page.len() == PAGE {
                self.write_page(output, &page, written == 0)?;
                written += page.len();
                page.clear();
            }
        }
        let more = written + page.len() >= most && items.try_next().await?.is_some();
        self.write_page(output, &page, written == 0)?;
        self.finish(output, written + page.len(), more)
    }

    fn write_page(&self, output: &Output, page: &[T], first: bool) -> Result<(), Error> {
        if !output.is_json() {
            return if page.is_empty() {
                Ok(())
            } else {
                output.table(&(self.table)(page, output.style, values::now()))
            };
        }
        if first {
            output.piece(&format!("{{\"{}\": [", self.plural))?;
        }
        for (index, item) in page.iter().enumerate() {
            let comma = if first && index == 0 { "" } else { "," };
            output.piece(&format!("{comma}\n  {}", (self.json)(item)))?;
        }
        Ok(())
    }

    fn finish(&self, output: &Output, written: usize, more: bool) -> Result<(), Error> {
        if output.is_json() {
            return output.line(&format!("\n], \"more\": {more}}}"));
        }
        if written == 0 {
            note(&format!("no {}", self.plural));
        }
        if more {
            note(&format!("there are more {}: see --limit and --all", self.plural));
        }
        Ok(())
    }
}
