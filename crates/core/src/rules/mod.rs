//! What commands do. One file for each part of a task's and an agent's life.

mod agents;
mod attempt;
mod children;
mod claim;
mod conditions;
mod create;
mod cycle;
mod deadlock;
mod depend;
mod dependencies;
mod end;
mod fallback;
mod grow;
mod hold;
mod limits;
mod messages;
mod namespaces;
mod output;
mod pausing;
mod placement;
mod report;
mod retry;
mod retry_workflow;
mod session;
mod steer;
mod steps;
pub mod transition;
mod wake;
mod workflows;

use crate::command::{Command, Effect, Envelope, Outcome, Reply};
use crate::decide::{Context, Stop};
use crate::dispatch;
use crate::model::{Event, EventKind, Namespace, Task, TaskId};
use crate::rejection::{Reason, Rejection};
use crate::working_set::WorkingSet;
pub(crate) use attempt::Given;
use limits::Counts;
use std::sync::Arc;
use transition::Move;

/// What a rule gives, or why it stopped.
pub(crate) type Ruled<T> = Result<T, Stop>;

/// A command at work: the rows, the surroundings, who asks, and what is to be done after the commit.
pub(crate) struct Step<'a, 'b> {
    pub ws: &'a mut WorkingSet,
    pub cx: &'a mut Context<'b>,
    pub namespace: Namespace,
    pub principal: Arc<str>,
    pub effects: Vec<Effect>,
}

/// Applies a command.
pub(crate) fn apply(ws: &mut WorkingSet, envelope: &Envelope, cx: &mut Context<'_>) -> Ruled<Outcome> {
    if let Command::CreateNamespace { settings } = &envelope.command {
        return namespaces::create(ws, &envelope.namespace, settings, cx);
    }
    if let Command::Dispatch { lanes } = &envelope.command {
        return dispatch::dispatch(ws, lanes, cx);
    }
    let Some(namespace) = ws.namespace(&envelope.namespace)?.cloned() else {
        return Err(Rejection::namespace_not_found(&envelope.namespace).into());
    };
    let principal = envelope.principal.clone();
    let mut step = Step { ws, cx, namespace, principal, effects: Vec::new() };
    let reply = step.apply(&envelope.command)?;
    step.give_freed_slots()?;
    Ok(Outcome { reply, effects: step.effects, replayed: false })
}

impl Step<'_, '_> {
    fn apply(&mut self, command: &Command) -> Ruled<Reply> {
        match command {
            Command::CreateNamespace { .. } | Command::Dispatch { .. } => Ok(Reply::Done),
            Command::UpdateNamespace { settings } => Ok(self.update_namespace(settings)),
            Command::ForgetLimits { keys } => self.forget_limits(keys),
            Command::CreateTasks { tasks } => self.create_tasks(tasks),
            Command::CreateWorkflow { workflow } => self.create_workflow(workflow),
            Command::CancelWorkflow { workflow, reason } => self.cancel_workflow(*workflow, reason),
            Command::RetryWorkflow { workflow } => self.retry_workflow(*workflow),
            Command::AddWorkflowTasks { workflow, added } => self.add_workflow_tasks(*workflow, added),
            Command::HoldWorkflow { workflow, reason } => self.hold_workflow(*workflow, reason),
            Command::ReleaseWorkflow { workflow } => self.release_workflow(*workflow),
            Command::GoOnWalking { workflow } => self.walk_on(*workflow).map(|()| Reply::Done),
            Command::CreateChild { fence, child } => self.create_child(*fence, child),
            Command::CancelTask { task, reason } => self.cancel_task(*task, reason),
            Command::RetryTask { task } => self.retry_task(*task),
            Command::HoldTask { task, reason } => self.hold_task(*task, reason),
            Command::ReleaseTask { task } => self.release_task(*task),
            Command::UpdateTask { task, update } => self.update_task(*task, update),
            Command::AddDependencies { task, dependencies } => self.add_dependencies(*task, dependencies),
            Command::Attach { name, profile, held, previous_epoch, instance } => {
                self.attach(session::Hello { name, profile, held, previous_epoch: *previous_epoch, instance })
            }
            Command::BreakSession { agent, epoch } => self.break_session(*agent, *epoch),
            Command::AdoptSession { agent, epoch, from } => self.adopt_session(*agent, *epoch, from),
            Command::EndSession { agent, epoch, reason } => self.end_session(*agent, *epoch, reason),
            Command::SetSlots { agent, epoch, slots } => self.set_slots(*agent, *epoch, *slots),
            Command::DrainSession { agent, epoch } => self.drain_session(*agent, *epoch),
            Command::Claim { name, profile, max, lease } => self.claim(name, profile, *max, *lease),
            Command::Report { fence, reporter, report } => self.report(*fence, *reporter, report),
            Command::Heartbeat { fence, lease, progress, checkpoint, steps, output } => self.heartbeat(
                *fence,
                *lease,
                report::Said {
                    progress: progress.as_ref(),
                    checkpoint: checkpoint.as_ref(),
                    steps,
                    output: output.as_ref(),
                },
            ),
            Command::DirectReport { task, agent, report } => self.direct_report(*task, agent, report),
            Command::Cordon { name, cordoned } => self.cordon(name, *cordoned),
            Command::RemoveAgent { name } => self.remove_agent(name),
            Command::ForgetAgent { name, before } => self.forget_agent(name, *before),
            Command::SendMessage { from, message } => self.send_message(*from, message),
            Command::AcknowledgeMessages { agent, epoch, messages } => {
                self.acknowledge_messages(*agent, *epoch, messages)
            }
            Command::ExpireMessages { agent, messages } => self.expire_messages(*agent, messages),
            Command::Wake { task } => self.wake(*task),
            Command::TellResumed { task } => self.tell_resumed(*task),
        }
    }

    /// Refuses what another replica would not understand: which field asks for it, and what the other would do.
    fn check_all_current(&self, field: &str, harm: &str) -> Ruled<()> {
        if self.cx.all_current {
            return Ok(());
        }
        let message = format!(
            "{field}: a server of an older version shares the store and {harm}; finish the upgrade, then repeat"
        );
        Err(Rejection::new(Reason::UpgradeUnfinished, message).into())
    }

    /// A task that must exist.
    pub(crate) fn task(&self, id: TaskId) -> Ruled<Task> {
        match self.ws.task((self.namespace.id, id))? {
            Some(task) => Ok(task.clone()),
            None => Err(Rejection::task_not_found(id).into()),
        }
    }

    /// Moves a task to its next state, tells what happened, and writes it. The only way to change a task's state.
    fn go(&mut self, task: &mut Task, to: Move, kind: EventKind) -> Ruled<()> {
        self.step_state(task, to)?;
        self.tell(task, kind);
        self.write(task);
        Ok(())
    }

    /// Moves a task to its next state without an event: for what is not a fact of its history. The caller writes it.
    fn step_state(&mut self, task: &mut Task, to: Move) -> Ruled<()> {
        let was_ready = task.rank().is_some();
        let had = task.state.slot();
        let next = transition::next(&task.state, to.clone()).map_err(|illegal| {
            let remedy = format!("it can't be {} now; read it again", illegal.attempted);
            Rejection::task_state(task.id, illegal.from, &remedy)
        })?;
        if let Some(counts) = Counts::of(&task.state, &to, &next) {
            self.count_for_limits(task, counts)?;
        }
        task.state = next;
        if !was_ready && task.rank().is_some() {
            self.effects.push(Effect::LaneReady { namespace: task.namespace, lane: task.lane });
        }
        if let Some((agent, slot)) = had {
            // Less than it had, or nothing at all any more.
            if task.state.slot().map(|(_, slot)| slot) < Some(slot) {
                self.effects.push(Effect::SlotFreed { agent });
            }
        }
        Ok(())
    }

    /// Adds an event to a task; the caller writes the task.
    fn tell(&mut self, task: &mut Task, kind: EventKind) {
        task.last_event += 1;
        self.ws.add_event(Event {
            namespace: task.namespace,
            task: task.id,
            sequence: task.last_event,
            at: self.cx.now,
            principal: self.principal.clone(),
            state: task.state.name(),
            run: task.run,
            attempt: task.attempt,
            kind,
        });
    }

    /// Writes a task, and takes over its new version.
    fn write(&mut self, task: &mut Task) {
        self.ws.put_task(task.clone());
        task.version += 1;
    }
}
