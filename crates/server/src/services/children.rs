//! Children: what `AgentService` creates and `TaskService` lists.

use super::tasks::of_single;
use super::{Host, check, receipts};
use crate::convert::{child, frame, task, task_id};
use crate::{caller, digest, page, status};
use callboard_core::command::{Command, Envelope, RequestToken};
use callboard_core::model::NewChild;
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_proto::v1;
use std::sync::Arc;
use tonic::Status;

/// Creates a child of a leased task, or answers with the one that is there.
pub(super) async fn create(
    host: &Host,
    principal: Arc<str>,
    mut request: v1::CreateChildRequest,
) -> Result<v1::CreateChildResponse, Status> {
    let request_id = std::mem::take(&mut request.request_id);
    let token = digest::token("CreateChild", &request_id, &request)?.map(|token| of_attempt(token, &request));
    let namespace = caller::namespace(&request.namespace);
    let settings = host.engine.settings(&namespace).await.map_err(status::of_engine)?;
    let mut faults = Faults::default();
    let fence = frame::fence("parent", request.parent, &mut faults);
    let key = child::key(request.name, request.occurrence, &mut faults);
    let on_parent_end = child::on_parent_end("on_parent_end", request.on_parent_end, &mut faults);
    if request.task.is_none() {
        faults.add("task", "is missing; give at least its type");
        check(std::mem::take(&mut faults))?;
    }
    let task = task::new_task("task", request.task, &settings, host.engine.now(), &mut faults);
    check(faults)?;
    let child = Box::new(NewChild { key, task, on_parent_end });
    let command = Command::CreateChild { fence, child };
    let envelope = Envelope { namespace, principal, request: token, command };
    let reply = host.engine.submit(envelope).await.map_err(of_single)?;
    let receipt = receipts(reply)?.first().map(task::to_receipt);
    Ok(v1::CreateChildResponse { receipt })
}

/// A child's request id is the same in every attempt of the run, as its key is: so what is remembered under it is of one attempt. A
/// later one has another lease, and is told of the child as it is then.
fn of_attempt(token: RequestToken, request: &v1::CreateChildRequest) -> RequestToken {
    let attempt = request.parent.as_ref().map_or(0, |parent| parent.attempt);
    RequestToken { id: format!("{attempt}/{}", token.id), ..token }
}

/// Lists a run's children.
pub(super) async fn list(
    host: &Host,
    mut request: v1::ListChildrenRequest,
) -> Result<v1::ListChildrenResponse, Status> {
    let size = page::size(std::mem::take(&mut request.page_size))?;
    let token = std::mem::take(&mut request.page_token);
    let query = page::Query::of("ListChildren", &request);
    // The run too: a task that lives again meanwhile has another latest one.
    let place: Option<(u32, u32)> = query.place("page_token", &token)?;
    let mut faults = Faults::default();
    let id = task_id("task_id", &request.task_id, &mut faults);
    let asked =
        crate::convert::count("run", request.run, "a run's number, from 1, or 0 for the latest", 0, &mut faults);
    check(faults)?;
    let name = caller::namespace(&request.namespace);
    let namespace = host.engine.namespace(&name).await.map_err(status::of_engine)?;
    let store = host.engine.store();
    let (run, after) = match place {
        Some(place) => place,
        None => {
            let found = store.task((namespace, id)).await.map_err(status::of_store)?;
            let found = found.ok_or_else(|| status::of_rejection(Rejection::task_not_found(id)))?;
            (if asked == 0 { found.task.run } else { asked }, 0)
        }
    };
    // One more tells whether there are more.
    let found = store.children((namespace, id, run), after, size + 1).await.map_err(status::of_store)?;
    let mut room = page::Room::new();
    let children: Vec<_> = found
        .iter()
        .take(size)
        .map(|(row, task)| child::to_child(row, task.as_ref(), &name))
        .take_while(|child| room.takes(child))
        .collect();
    let last = children.len().checked_sub(1).filter(|last| last + 1 < found.len());
    let next_page_token = last.map(|last| query.token(&(run, found[last].0.ordinal))).unwrap_or_default();
    Ok(v1::ListChildrenResponse { children, next_page_token })
}
