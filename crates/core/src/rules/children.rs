//! Children: tasks that a handler creates for its own run, and what becomes of them when that ends.
//!
//! A child is told from others by its key, as a step is: a later attempt that asks for it gets the one that is there. The key is a
//! row of the parent's run; whose child a task is stands in its own spec.

use super::{Ruled, Step};
use crate::command::{Fence, Reply, Reporter, TaskReceipt};
use crate::limits::{MAX_CHILD_DEPTH, MAX_CHILDREN, MAX_HEADER_BYTES, MAX_HEADERS};
use crate::model::{
    EventKind, NewChild, NewTask, OnParentEnd, ParentLink, Task, TaskChild, TaskId, WorkflowLink, WorkflowTask,
};
use crate::rejection::{Reason, Rejection};
use crate::rules::end::Ending;
use crate::rules::transition::Move;
use std::collections::VecDeque;

/// Why children are cancelled, for people.
const PARENT_ENDED: &str = "its parent ended";

impl Step<'_, '_> {
    /// Creates a child of a leased task, or answers with the one that is there.
    pub(super) fn create_child(&mut self, fence: Fence, new: &NewChild) -> Ruled<Reply> {
        let mut parent = self.task(fence.task)?;
        self.check_fence(&parent, fence, Reporter::Token)?;
        // Of a run that has none the store need not be asked.
        if parent.has_children
            && let Some(child) = self.ws.child((parent.namespace, parent.id, parent.run), &new.key)?
        {
            self.accept(&mut parent)?;
            return self.existing_child(&parent, child, new).map(answer);
        }
        let task = self.new_child(&parent, new)?;
        self.want_all(std::slice::from_ref(&task))?;
        self.check_conditions(task.dependencies.iter())?;
        self.check_fallbacks(std::slice::from_ref(&task))?;
        self.check_deadlock(&parent, &task)?;
        let receipt = self.create_in_workflow(&task)?;
        self.add_child(fence, new, &receipt)?;
        Ok(answer(receipt))
    }

    /// Creates a child, which joins the workflow of its parent before it can end.
    fn create_in_workflow(&mut self, new: &NewTask) -> Ruled<TaskReceipt> {
        let Some(link) = new.spec.workflow.as_deref() else { return self.create_task(new, 0) };
        let ordinal = self.join_workflow(link)?;
        let receipt = self.create_task(new, 0)?;
        if receipt.existing {
            self.leave_workflow(link)?;
            return Ok(receipt);
        }
        self.ws.add_workflow_task(WorkflowTask {
            namespace: self.namespace.id,
            workflow: link.workflow,
            ordinal,
            task: receipt.task,
            name: None,
        });
        Ok(receipt)
    }

    /// Whatever else is asked for now: an earlier attempt may have had its result already.
    fn existing_child(&self, parent: &Task, child: TaskId, new: &NewChild) -> Ruled<TaskReceipt> {
        let NewChild { key, task, .. } = new;
        let called = format!("child {:?} (occurrence {}) of run {}", key.name, key.occurrence, parent.run);
        // A live task's children are kept; a version that knows none may have forgotten this one.
        let Some(child) = self.ws.task((parent.namespace, child))? else {
            let message = format!("task_id: {called} of task {}, task {child}, was forgotten", parent.id);
            return Err(Rejection::new(Reason::TaskNotFound, message).into());
        };
        if child.spec.task_type != task.spec.task_type {
            let message = format!(
                "name: {called} of task {} is of type {}, not {}; name the child otherwise",
                parent.id, child.spec.task_type, task.spec.task_type
            );
            return Err(Rejection::new(Reason::ChildExists, message).into());
        }
        Ok(TaskReceipt { existing: true, ..TaskReceipt::of(child) })
    }

    /// What is to be created, if the parent may have one more child.
    fn new_child(&self, parent: &Task, new: &NewChild) -> Ruled<NewTask> {
        if self.ws.child_count((parent.namespace, parent.id, parent.run)) >= MAX_CHILDREN {
            let remedy = "give each child more of the work, or let children create children";
            return Err(Rejection::limit("children of a run", MAX_CHILDREN, remedy).into());
        }
        let depth = parent.parent().map_or(0, |link| link.depth) + 1;
        if depth > MAX_CHILD_DEPTH {
            let remedy = "let a task further up create it, or create it as a task of its own";
            return Err(Rejection::limit("depth of children", MAX_CHILD_DEPTH, remedy).into());
        }
        let mut task = new.task.clone();
        inherit_headers(parent, &mut task)?;
        let link = ParentLink { task: parent.id, run: parent.run, key: new.key.clone(), depth };
        task.spec.parent = Some(Box::new(link));
        let joins = parent.spec.workflow.as_deref().filter(|_| new.on_parent_end == OnParentEnd::Cancel);
        task.spec.workflow = joins.map(|link| Box::new(WorkflowLink::of_child(link.workflow)));
        Ok(task)
    }

    fn add_child(&mut self, fence: Fence, new: &NewChild, receipt: &TaskReceipt) -> Ruled<()> {
        // Read again: what the new task replaced may have changed it.
        let mut parent = self.task(fence.task)?;
        self.check_fence(&parent, fence, Reporter::Token)?;
        self.accept(&mut parent)?;
        self.step_state(&mut parent, Move::Hear(self.cx.now))?;
        let run = (parent.namespace, parent.id, parent.run);
        // Its end is to be told, also by a version that knows dependents alone.
        parent.has_dependents = true;
        parent.has_children = true;
        self.tell(&mut parent, EventKind::Checkpointed { step: None, child: Some(receipt.task) });
        self.write(&mut parent);
        // Who has the key already is not this run's, and does not end with it.
        let on_parent_end = if receipt.existing { OnParentEnd::Detach } else { new.on_parent_end };
        if receipt.existing {
            self.existing_child(&parent, receipt.task, new)?;
        }
        self.ws.add_child(TaskChild {
            namespace: parent.namespace,
            parent: parent.id,
            run: parent.run,
            ordinal: self.ws.child_count(run) + 1,
            key: new.key.clone(),
            child: receipt.task,
            on_parent_end,
        });
        Ok(())
    }

    /// Cancels children of a run that has ended, as many as the budget allows. Those that end by it and have others to tell are
    /// added to `ended`. True when there may be more.
    ///
    /// What was told is seen from the children themselves, so that a death between two steps loses nothing.
    pub(super) fn cancel_children(
        &mut self,
        parent: &Task,
        budget: &mut usize,
        ended: &mut VecDeque<TaskId>,
    ) -> Ruled<bool> {
        if !parent.has_children {
            return Ok(false);
        }
        for id in self.ws.run_children((parent.namespace, parent.id, parent.run))? {
            let Some(mut child) = self.ws.loaded_task(id).cloned() else { continue };
            if *budget == 0 {
                return Ok(true);
            }
            let before = child.version;
            if self.ask_to_cancel(&mut child, PARENT_ENDED)? {
                self.end_one(&mut child, Ending::Cancelled { reason: PARENT_ENDED.to_owned() })?;
                ended.extend(child.releasing.then_some(id));
            }
            *budget -= usize::from(child.version != before);
        }
        Ok(false)
    }
}

/// Copies the headers of the parent that the child doesn't name.
fn inherit_headers(parent: &Task, task: &mut NewTask) -> Ruled<()> {
    let headers = &mut task.spec.headers;
    for (name, value) in &parent.spec.headers {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let fault = format!(
            "has, with those of its parent, {} entries and {bytes} bytes; at most {MAX_HEADERS} and {MAX_HEADER_BYTES}: \
             give fewer, or under the parent's names",
            headers.len()
        );
        return Err(Rejection::field("tasks[0].headers", fault).into());
    }
    Ok(())
}

fn answer(receipt: TaskReceipt) -> Reply {
    Reply::Tasks(vec![receipt])
}
