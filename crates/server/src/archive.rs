//! What retention hands on before it forgets, as messages of the protocol.

use crate::convert;
use callboard_core::model::Event;
use callboard_engine::ArchivedTask;
use callboard_proto::v1;

/// A task as `GetTask` gives it.
pub fn task(archived: &ArchivedTask) -> v1::Task {
    convert::task::to_whole_task(&archived.view, &archived.dependencies, &archived.namespace)
}

/// An event of a task.
pub fn event(event: &Event) -> v1::Event {
    convert::event::to_event(event)
}
