//! New tasks.

use super::dependencies::Dependencies;
use super::retry::all_loaded;
use super::{Ruled, Step};
use crate::command::{Effect, Reply, StopReason, TaskReceipt};
use crate::limits;
use crate::model::{
    EventKind, KeyConflict, Lane, LaneId, LaneKey, NewTask, NotBefore, Progress, Span, Task, TaskId, TaskState, Waiting,
};
use crate::planted::Bug;
use crate::rejection::{Reason, Rejection};
use crate::rules::end::Ending;
use crate::validate::Faults;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Step<'_, '_> {
    /// Creates tasks, all or none.
    pub(super) fn create_tasks(&mut self, tasks: &[NewTask]) -> Ruled<Reply> {
        self.want_all(tasks)?;
        self.check_conditions(tasks.iter().flat_map(|new| &new.dependencies))?;
        self.check_fallbacks(tasks)?;
        let mut receipts = Vec::with_capacity(tasks.len());
        for (index, new) in tasks.iter().enumerate() {
            receipts.push(self.create_task(new, index)?);
        }
        Ok(Reply::Tasks(receipts))
    }

    /// Asks for all rows that the tasks need, in one go.
    pub(super) fn want_all(&self, tasks: &[NewTask]) -> Ruled<()> {
        let namespace = self.namespace.id;
        let keys = tasks.iter().filter_map(|new| new.spec.key.clone()).map(|key| (namespace, key));
        let lanes = tasks.iter().map(|new| LaneKey::of(&new.spec).id());
        let rows = self.want_sources(keys, tasks.iter().flat_map(|new| &new.dependencies));
        all_loaded([rows, self.ws.want_room(namespace, lanes)].into_iter()).map(drop)
    }

    pub(super) fn create_task(&mut self, new: &NewTask, index: usize) -> Ruled<TaskReceipt> {
        if let Some(existing) = self.resolve_key(new, index)? {
            return Ok(existing);
        }
        self.check_room()?;
        self.check_resources(&new.spec)?;
        self.check_fairness(&new.spec)?;
        self.check_limit_keys(&new.spec)?;
        let lane = self.lane_of(LaneKey::of(&new.spec))?;
        let mut faults = Faults::default();
        let at = format_args!("tasks[{index}].dependencies");
        let dependencies = self.examine_dependencies(at, &new.dependencies, &mut faults)?;
        faults.finish()?;
        let mut task = self.insert(new, lane, &dependencies);
        self.connect(task.id, 0, &dependencies)?;
        if let Some(ending) = dependencies.ending {
            self.end(&mut task, ending)?;
        }
        Ok(TaskReceipt::of(&task))
    }

    /// Whether the namespace may have one more live task.
    pub(super) fn check_room(&self) -> Ruled<()> {
        self.check_room_for(1)
    }

    /// Whether it may have so many more.
    pub(super) fn check_room_for(&self, more: usize) -> Ruled<()> {
        let limit = self.namespace.settings.max_live_tasks;
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        if self.ws.live_count(self.namespace.id)?.saturating_add(more) > limit {
            let remedy = "wait for live tasks to end, or raise it in the namespace's settings";
            return Err(Rejection::limit("max_live_tasks", limit, remedy).into());
        }
        Ok(())
    }

    /// What the key's conflict policy says: answer with the live task, refuse, or make way.
    fn resolve_key(&mut self, new: &NewTask, index: usize) -> Ruled<Option<TaskReceipt>> {
        let Some(key) = &new.spec.key else { return Ok(None) };
        let Some(holder) = self.ws.task_by_key(&(self.namespace.id, key.clone()))? else { return Ok(None) };
        let mut task = self.task(holder)?;
        match new.on_key_conflict {
            KeyConflict::UseExisting => Ok(Some(TaskReceipt { existing: true, ..TaskReceipt::of(&task) })),
            KeyConflict::Fail => {
                let message = format!(
                    "tasks[{index}].key: {key:?} is the key of live task {holder}; use another key, or another conflict policy"
                );
                Err(Rejection::new(Reason::KeyExists, message).into())
            }
            KeyConflict::Replace => {
                let reason = format!("replaced by a new task with the key {key:?}");
                self.stop_attempt(&task, StopReason::LeaseLost, &reason);
                self.end(&mut task, Ending::Cancelled { reason })?;
                Ok(None)
            }
        }
    }

    /// The lane of a key; a new one if there is room.
    pub(super) fn lane_of(&mut self, key: LaneKey) -> Ruled<LaneId> {
        let id = key.id();
        let at = (self.namespace.id, id);
        if self.ws.lane(at).is_some() {
            return Ok(id);
        }
        let known = self.ws.lanes(self.namespace.id)?.count();
        if known >= self.namespace.settings.max_lanes as usize {
            self.make_room_for_lane()?;
        }
        self.ws.add_lane(Lane { namespace: self.namespace.id, id, key });
        Ok(id)
    }

    fn make_room_for_lane(&mut self) -> Ruled<()> {
        let used = self.ws.lanes_in_use(self.namespace.id)?;
        let lanes: Vec<_> = self.ws.lanes(self.namespace.id)?.map(|lane| (lane.namespace, lane.id)).collect();
        let idle: Vec<_> = lanes.iter().filter(|lane| !used.contains(lane)).copied().collect();
        let limit = self.namespace.settings.max_lanes;
        if lanes.len() - idle.len() >= limit as usize {
            let remedy = "use fewer distinct combinations of type, assignee, role, skills, tools and keys, \
                          or raise it in the namespace's settings";
            return Err(Rejection::limit("max_lanes", limit, remedy).into());
        }
        for lane in idle {
            self.ws.remove_lane(lane);
        }
        Ok(())
    }

    fn insert(&mut self, new: &NewTask, lane: LaneId, dependencies: &Dependencies<'_>) -> Task {
        let now = self.cx.now;
        let waiting = Waiting {
            unmet: dependencies.unmet,
            held: new.hold,
            not_before: new.start_at.filter(|at| *at > now).map(NotBefore::Start),
        };
        let ready = waiting.over() && dependencies.ending.is_none();
        let since = match self.cx.settings.planted.has(Bug::LetLowStarve) {
            false => now,
            true => now + Span::seconds(-10_000 * new.spec.priority.weight()),
        };
        let mut task = Task {
            namespace: self.namespace.id,
            id: TaskId(self.cx.entropy.uuid_v7(now)),
            spec: Arc::new(new.spec.clone()),
            lane,
            state: if ready { TaskState::Ready { since } } else { TaskState::Waiting(waiting) },
            run: 1,
            run_opened_at: now,
            attempt: 0,
            attempts_used: 0,
            lost_in_row: 0,
            handed_back: 0,
            avoid: None,
            failed_at: None,
            fallback: 0,
            fallbacks_anew: None,
            agent_name: None,
            dependency_agents: BTreeMap::new(),
            progress: Progress::default(),
            closed: None,
            has_checkpoint: false,
            last_checkpoint: None,
            dependencies: u32::try_from(new.dependencies.len()).unwrap_or(u32::MAX),
            has_dependents: false,
            has_children: false,
            releasing: false,
            created_by: self.principal.clone(),
            created_at: now,
            started_at: None,
            last_event: 0,
            version: 0,
            input: (new.input.len() <= limits::SMALL_INPUT).then(|| new.input.clone()),
        };
        self.remember_agents(&mut task, dependencies);
        self.tell(&mut task, EventKind::Created);
        if ready {
            self.effects.push(Effect::LaneReady { namespace: task.namespace, lane });
        }
        if let Some(key) = &task.spec.key {
            self.ws.put_key((task.namespace, key.clone()), Some(task.id));
        }
        self.ws.add_task(task.clone(), new.input.clone());
        task.version += 1;
        task
    }
}
