//! Between messages and the model. Reading collects every fault; writing can't fail.

pub(crate) mod agent;
pub(crate) mod assignment;
pub(crate) mod child;
pub(crate) mod dependency;
pub(crate) mod ends;
pub(crate) mod event;
mod fallback;
pub(crate) mod forecast;
pub(crate) mod frame;
mod limit;
pub(crate) mod message;
pub(crate) mod namespace;
pub(crate) mod output;
pub(crate) mod payload;
pub(crate) mod step;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod workflow;

use callboard_core::model::TaskId;
use callboard_core::rejection::readable;
use callboard_core::validate::Faults;
use std::fmt::Display;
use uuid::Uuid;

/// An id as text; one that isn't a UUID is a fault.
pub(crate) fn task_id(field: impl Display + Copy, text: &str, faults: &mut Faults) -> TaskId {
    match Uuid::try_parse(text) {
        Ok(id) => TaskId(id),
        Err(_) if text.is_empty() => {
            faults.add(field, "is empty; give the task's id");
            TaskId(Uuid::nil())
        }
        Err(_) => {
            faults.add(field, format!("{:?} is not a UUID; give the task's full id", shorten(text)));
            TaskId(Uuid::nil())
        }
    }
}

/// A count that may not be negative; a negative one is a fault, and counts as `instead`.
pub(crate) fn count(field: impl Display + Copy, count: i32, range: &str, instead: u32, faults: &mut Faults) -> u32 {
    u32::try_from(count).unwrap_or_else(|_| {
        faults.add(field, format!("is {count}; must be {range}"));
        instead
    })
}

/// A text that may be absent.
pub(crate) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A text for an error message: not longer than it helps.
pub(crate) fn shorten(text: &str) -> String {
    readable(text, 64)
}

/// Cuts a text to so many bytes, at a character's end.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
