//! `TaskService`.

use super::{Answer, Host, check, open, receipts, refuse};
use crate::convert::{dependency, event, frame, step, task, task_id, time};
use crate::{caller, digest, page, status};
use callboard_core::command::{Command, Envelope, TaskUpdate};
use callboard_core::limits::{MAX_BATCH, MAX_REASON};
use callboard_core::model::{NamespaceId, NewTask, Span, StateName, TaskId};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::{DependencyOutcome, Error};
use callboard_proto::v1::task_service_server::TaskService;
use callboard_proto::{MAX_FRAME_BYTES, v1};
use callboard_store::{TaskFilter, TaskView};
use prost::Message;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// How long a call waits when it doesn't say, and at most.
const WAIT: Span = Span::seconds(30);
pub(super) const MAX_WAIT: Span = Span::seconds(300);
/// How many bytes of results of dependencies, or of steps, a page has.
const RESULT_BYTES: usize = 2 << 20;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(pub Host);

/// A namespace by name and id.
pub(super) type Named = (Arc<str>, NamespaceId);

/// Who commands, and where, taken from the request.
struct OnTask {
    principal: Arc<str>,
    namespace: String,
    token: Option<callboard_core::command::RequestToken>,
}

impl Tasks {
    async fn on_task(&self, on: OnTask, command: Command) -> Result<Option<v1::TaskReceipt>, Status> {
        let reply = self.0.command(on.principal, &on.namespace, on.token, command).await?;
        Ok(receipts(reply)?.first().map(task::to_receipt))
    }

    /// Reads tasks to create.
    pub(super) async fn new_tasks(
        &self,
        namespace: &str,
        specs: Vec<(String, Option<v1::TaskSpec>)>,
    ) -> Result<Vec<NewTask>, Status> {
        let namespace = caller::namespace(namespace);
        let settings = self.0.engine.settings(&namespace).await.map_err(status::of_engine)?;
        let now = self.0.engine.now();
        let mut faults = Faults::default();
        let new = specs.into_iter().map(|(at, spec)| {
            if spec.is_none() {
                faults.add(&at, "is missing; give at least its type");
                // Nothing more is to be said of what isn't there.
                return task::new_task(&at, spec, &settings, now, &mut Faults::default());
            }
            task::new_task(&at, spec, &settings, now, &mut faults)
        });
        let new = new.collect();
        check(faults)?;
        Ok(new)
    }

    pub(super) async fn namespace(&self, name: &str) -> Result<Named, Status> {
        let name = caller::namespace(name);
        let id = self.0.engine.namespace(&name).await.map_err(status::of_engine)?;
        Ok((name, id))
    }

    async fn view(&self, namespace: NamespaceId, task: TaskId) -> Result<TaskView, Status> {
        let view = self.0.engine.store().task((namespace, task)).await.map_err(status::of_store)?;
        view.ok_or_else(|| status::of_rejection(Rejection::task_not_found(task)))
    }

    /// Waits for a task's end; gives the task as far as it came, and whether it ended.
    pub(super) async fn wait(
        &self,
        namespace: Named,
        task: TaskId,
        wait: Duration,
    ) -> Result<(v1::Task, bool), Status> {
        // Registered before it is read: an end in between is not missed.
        let end = self.0.engine.wait((namespace.1, task)).map_err(status::of_engine)?;
        let view = self.view(namespace.1, task).await?;
        if !view.task.is_live() || wait.is_zero() {
            return Ok((task::to_full_task(&view, &namespace.0, false), !view.task.is_live()));
        }
        match self.0.drain.unless(tokio::time::timeout(wait, end)).await? {
            Ok(Ok(ended)) => Ok((super::run::ended_task(&ended, &namespace.0), true)),
            _ => {
                let view = self.view(namespace.1, task).await?;
                Ok((task::to_full_task(&view, &namespace.0, false), !view.task.is_live()))
            }
        }
    }
}

/// Why a single task was refused. The rules know only batches; the caller has one field, `task`.
pub(super) fn of_single(error: Error) -> Status {
    with_paths(error, |path| path.strip_prefix("tasks[0].").map(|rest| format!("task.{rest}")))
}

/// Why a workflow was refused. The rules know only its tasks.
pub(super) fn of_workflow(error: Error) -> Status {
    with_paths(error, |path| {
        let (place, rest) = path.strip_prefix("tasks[")?.split_once("].")?;
        Some(format!("workflow.tasks[{place}].task.{rest}"))
    })
}

/// A refusal, with fields called as the request has them.
pub(super) fn with_paths(mut error: Error, renamed: impl Fn(&str) -> Option<String>) -> Status {
    if let Error::Rejected(rejection) = &mut error {
        let fields = rejection.fields.iter_mut().map(|violation| &mut violation.field);
        for path in fields.chain([&mut rejection.message]) {
            if let Some(renamed) = renamed(path) {
                *path = renamed;
            }
        }
    }
    status::of_engine(error)
}

/// How long a call waits.
pub(super) fn waiting_time(wait: Option<prost_types::Duration>, faults: &mut Faults) -> Duration {
    let span = time::span("wait", wait, faults).unwrap_or(WAIT);
    faults.span("wait", span, Span(0), MAX_WAIT);
    span.to_std()
}

pub(super) fn reason(reason: &str, faults: &mut Faults) {
    faults.text("reason", reason, MAX_REASON);
}

#[tonic::async_trait]
impl TaskService for Tasks {
    async fn create_task(&self, request: Request<v1::CreateTaskRequest>) -> Answer<v1::CreateTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CreateTask", &request_id, &request)?;
        let tasks = self.new_tasks(&request.namespace, vec![("task".into(), request.task)]).await?;
        let envelope = Envelope {
            namespace: caller::namespace(&request.namespace),
            principal,
            request: token,
            command: Command::CreateTasks { tasks },
        };
        let reply = self.0.engine.submit(envelope).await.map_err(of_single)?;
        let receipt = receipts(reply)?.first().map(task::to_receipt);
        Ok(Response::new(v1::CreateTaskResponse { receipt }))
    }

    async fn batch_create_tasks(
        &self,
        request: Request<v1::BatchCreateTasksRequest>,
    ) -> Answer<v1::BatchCreateTasksResponse> {
        let (principal, mut request) = open(request)?;
        let count = request.tasks.len();
        if !(1..=MAX_BATCH).contains(&count) {
            return refuse("tasks", format!("has {count} entries; give 1 to {MAX_BATCH}, and more in another call"));
        }
        let bytes = request.encoded_len();
        if bytes > MAX_FRAME_BYTES {
            let mut faults = Faults::default();
            let remedy = "send the others in another call";
            faults.too_large(
                "tasks",
                format!("have {bytes} bytes; at most {MAX_FRAME_BYTES} (3 MiB) together: {remedy}"),
            );
            check(faults)?;
        }
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("BatchCreateTasks", &request_id, &request)?;
        let specs = request.tasks.into_iter().enumerate();
        let specs = specs.map(|(index, spec)| (format!("tasks[{index}]"), Some(spec))).collect();
        let tasks = self.new_tasks(&request.namespace, specs).await?;
        let command = Command::CreateTasks { tasks };
        let reply = self.0.command(principal, &request.namespace, token, command).await?;
        let receipts = receipts(reply)?.iter().map(task::to_receipt).collect();
        Ok(Response::new(v1::BatchCreateTasksResponse { receipts }))
    }

    async fn run_task(&self, request: Request<v1::RunTaskRequest>) -> Answer<v1::RunTaskResponse> {
        let (principal, mut request) = open(request)?;
        let mut faults = Faults::default();
        let wait = waiting_time(request.wait.take(), &mut faults);
        check(faults)?;
        let request_id = std::mem::take(&mut request.request_id);
        let namespace = self.namespace(&request.namespace).await?;
        let created = super::run::create(self, principal, namespace, request_id, request).await?;
        let (task, ended) = self.0.drain.unless(created.ended_within(self, wait)).await??;
        Ok(Response::new(v1::RunTaskResponse { task: Some(task), ended }))
    }

    type RunTasksStream = super::runs::Outcomes;

    async fn run_tasks(&self, request: Request<Streaming<v1::RunTasksRequest>>) -> Answer<Self::RunTasksStream> {
        super::runs::run(self, request).await.map(Response::new)
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Answer<v1::GetTaskResponse> {
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        let id = task_id("task_id", &request.task_id, &mut faults);
        check(faults)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let view = self.view(namespace, id).await?;
        let dependencies = match view.task.dependencies {
            0 => Vec::new(),
            _ => self.0.engine.store().dependencies((namespace, id)).await.map_err(status::of_store)?,
        };
        let message = task::to_whole_task(&view, &dependencies, &name);
        Ok(Response::new(v1::GetTaskResponse { task: Some(message) }))
    }

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListTasks", &request);
        let mut before: Option<TaskId> = query.place("page_token", &token)?;
        let (name, namespace) = self.namespace(&request.namespace).await?;
        let filter = task_filter(request)?;
        let mut tasks: Vec<v1::Task> = Vec::new();
        let mut room = page::Room::new();
        // A read ends after so many rows, fitting or not; a few of them make a page.
        'reads: for _ in 0..16 {
            let left = size - tasks.len();
            let page = self.0.engine.store().tasks(namespace, &filter, before, left).await.map_err(status::of_store)?;
            for row in &page.tasks {
                let message = task::to_task(row, &name);
                if !room.takes(&message) {
                    break 'reads;
                }
                before = Some(row.id);
                tasks.push(message);
            }
            before = page.next;
            if before.is_none() || tasks.len() >= size {
                break;
            }
        }
        let next_page_token = before.map(|before| query.token(&before)).unwrap_or_default();
        Ok(Response::new(v1::ListTasksResponse { tasks, next_page_token }))
    }

    async fn wait_task(&self, request: Request<v1::WaitTaskRequest>) -> Answer<v1::WaitTaskResponse> {
        let (_, request) = open(request)?;
        let mut faults = Faults::default();
        let id = task_id("task_id", &request.task_id, &mut faults);
        let wait = waiting_time(request.wait, &mut faults);
        check(faults)?;
        let namespace = self.namespace(&request.namespace).await?;
        let (task, ended) = self.wait(namespace, id, wait).await?;
        Ok(Response::new(v1::WaitTaskResponse { task: Some(task), ended }))
    }

    async fn cancel_task(&self, request: Request<v1::CancelTaskRequest>) -> Answer<v1::CancelTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CancelTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        reason(&request.reason, &mut faults);
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::CancelTask { task, reason: request.reason }).await?;
        Ok(Response::new(v1::CancelTaskResponse { receipt }))
    }

    async fn retry_task(&self, request: Request<v1::RetryTaskRequest>) -> Answer<v1::RetryTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("RetryTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::RetryTask { task }).await?;
        Ok(Response::new(v1::RetryTaskResponse { receipt }))
    }

    async fn hold_task(&self, request: Request<v1::HoldTaskRequest>) -> Answer<v1::HoldTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("HoldTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        reason(&request.reason, &mut faults);
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::HoldTask { task, reason: request.reason }).await?;
        Ok(Response::new(v1::HoldTaskResponse { receipt }))
    }

    async fn release_task(&self, request: Request<v1::ReleaseTaskRequest>) -> Answer<v1::ReleaseTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("ReleaseTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::ReleaseTask { task }).await?;
        Ok(Response::new(v1::ReleaseTaskResponse { receipt }))
    }

    async fn add_dependencies(
        &self,
        request: Request<v1::AddDependenciesRequest>,
    ) -> Answer<v1::AddDependenciesResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("AddDependencies", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        let dependencies = dependency::added("dependencies", request.dependencies, &mut faults);
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::AddDependencies { task, dependencies }).await?;
        Ok(Response::new(v1::AddDependenciesResponse { receipt }))
    }

    async fn explain_assignment(
        &self,
        request: Request<v1::ExplainAssignmentRequest>,
    ) -> Answer<v1::ExplainAssignmentResponse> {
        let (_, request) = open(request)?;
        super::explain::explain(self, request).await.map(Response::new)
    }

    async fn update_task(&self, request: Request<v1::UpdateTaskRequest>) -> Answer<v1::UpdateTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("UpdateTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let task = task_id("task_id", &request.task_id, &mut faults);
        let update = task_update(&request, &mut faults);
        faults.update(&update, self.0.engine.now());
        check(faults)?;
        let on = OnTask { principal, namespace: request.namespace, token };
        let receipt = self.on_task(on, Command::UpdateTask { task, update }).await?;
        Ok(Response::new(v1::UpdateTaskResponse { receipt }))
    }

    async fn list_task_events(
        &self,
        request: Request<v1::ListTaskEventsRequest>,
    ) -> Answer<v1::ListTaskEventsResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListTaskEvents", &request);
        let after: i64 = query.place("page_token", &token)?.unwrap_or(0);
        let mut faults = Faults::default();
        let id = task_id("task_id", &request.task_id, &mut faults);
        check(faults)?;
        let (_, namespace) = self.namespace(&request.namespace).await?;
        let events = self.0.engine.store().task_events((namespace, id), after, size).await.map_err(status::of_store)?;
        if events.is_empty() && after == 0 {
            // A task has at least one event.
            self.view(namespace, id).await?;
        }
        let full = events.len() == size;
        let mut room = page::Room::new();
        let page: Vec<_> = events.iter().map(event::to_event).take_while(|event| room.takes(event)).collect();
        let more = full || page.len() < events.len();
        let next = page.last().filter(|_| more).map(|last| query.token(&last.sequence));
        let next_page_token = next.unwrap_or_default();
        Ok(Response::new(v1::ListTaskEventsResponse { events: page, next_page_token }))
    }

    async fn list_dependency_results(
        &self,
        request: Request<v1::ListDependencyResultsRequest>,
    ) -> Answer<v1::ListDependencyResultsResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListDependencyResults", &request);
        let after: Option<u32> = query.place("page_token", &token)?;
        let mut faults = Faults::default();
        let id = task_id("task_id", &request.task_id, &mut faults);
        check(faults)?;
        let (_, namespace) = self.namespace(&request.namespace).await?;
        let total = self.view(namespace, id).await?.task.dependencies;
        let store = self.0.engine.store();
        let found =
            store.dependency_results((namespace, id), after, size, RESULT_BYTES).await.map_err(status::of_store)?;
        let last = found.last().map(|one| one.ordinal).filter(|ordinal| ordinal + 1 < total);
        let results = found.into_iter().map(DependencyOutcome::from).map(|outcome| frame::to_dependency(&outcome));
        Ok(Response::new(v1::ListDependencyResultsResponse {
            results: results.collect(),
            next_page_token: last.map(|ordinal| query.token(&ordinal)).unwrap_or_default(),
        }))
    }

    async fn list_steps(&self, request: Request<v1::ListStepsRequest>) -> Answer<v1::ListStepsResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListSteps", &request);
        // The run too: a task that lives again meanwhile has another latest one.
        let place: Option<(u32, u32)> = query.place("page_token", &token)?;
        let mut faults = Faults::default();
        let id = task_id("task_id", &request.task_id, &mut faults);
        let asked = u32::try_from(request.run).unwrap_or_else(|_| {
            faults.add("run", format!("is {}; give a run's number, from 1, or 0 for the latest", request.run));
            0
        });
        check(faults)?;
        let (_, namespace) = self.namespace(&request.namespace).await?;
        let (run, after) = match place {
            Some(place) => place,
            None => {
                let latest = self.view(namespace, id).await?.task.run;
                (if asked == 0 { latest } else { asked }, 0)
            }
        };
        let store = self.0.engine.store();
        let found = store.steps((namespace, id, run), after, size, RESULT_BYTES).await.map_err(status::of_store)?;
        let mut room = page::Room::new();
        let steps: Vec<_> = found.steps.iter().map(step::to_step).take_while(|step| room.takes(step)).collect();
        let last = steps.len().checked_sub(1).map(|last| found.steps[last].ordinal);
        let last = last.filter(|ordinal| *ordinal < found.count);
        let next_page_token = last.map(|ordinal| query.token(&(run, ordinal))).unwrap_or_default();
        Ok(Response::new(v1::ListStepsResponse { steps, next_page_token }))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchEventsResponse, Status>> + Send>>;

    async fn watch_events(&self, request: Request<v1::WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let (_, request) = open(request)?;
        super::watch::watch(&self.0, request).await.map(Response::new)
    }

    async fn list_children(&self, request: Request<v1::ListChildrenRequest>) -> Answer<v1::ListChildrenResponse> {
        let (_, request) = open(request)?;
        super::children::list(&self.0, request).await.map(Response::new)
    }

    async fn list_output(&self, request: Request<v1::ListOutputRequest>) -> Answer<v1::ListOutputResponse> {
        let (_, request) = open(request)?;
        super::output::list(&self.0, request).await
    }

    type WatchOutputStream = Pin<Box<dyn Stream<Item = Result<v1::WatchOutputResponse, Status>> + Send>>;

    async fn watch_output(&self, request: Request<v1::WatchOutputRequest>) -> Answer<Self::WatchOutputStream> {
        let (_, request) = open(request)?;
        super::output::watch(&self.0, request).await.map(Response::new)
    }
}

fn task_filter(request: v1::ListTasksRequest) -> Result<TaskFilter, Status> {
    let mut faults = Faults::default();
    let states: Vec<StateName> =
        request.states.iter().filter_map(|state| task::state("states", *state, &mut faults)).collect();
    if request.tags.len() > 8 {
        faults.add("tags", format!("has {} entries; at most 8", request.tags.len()));
    }
    let suffix = id_suffix(&request.id_suffix, &mut faults);
    let filter = TaskFilter {
        states,
        task_type: crate::convert::some(request.r#type),
        agent: crate::convert::some(request.agent),
        key: crate::convert::some(request.key),
        tags: request.tags,
        created_from: time::timestamp("created_after", request.created_after, &mut faults),
        created_before: time::timestamp("created_before", request.created_before, &mut faults),
        id_suffix: crate::convert::some(suffix),
    };
    check(faults)?;
    Ok(filter)
}

/// The end of an id, in small letters; empty means any.
pub(super) fn id_suffix(given: &str, faults: &mut Faults) -> String {
    let suffix = given.to_ascii_lowercase();
    let short_id = (6..=32).contains(&suffix.len()) && suffix.bytes().all(|b| b.is_ascii_hexdigit());
    if !suffix.is_empty() && !short_id {
        faults.add("id_suffix", "must be 6 to 32 hexadecimal digits: the end of an id, hyphens left out");
    }
    suffix
}

fn task_update(request: &v1::UpdateTaskRequest, faults: &mut Faults) -> TaskUpdate {
    let mut update = TaskUpdate::default();
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() {
        faults.add("update_mask", "is empty; name what is to change: priority, assignee, deadline, tags");
    }
    for path in paths {
        match path.as_str() {
            "priority" => update.priority = Some(task::priority("priority", request.priority, faults)),
            "assignee" => update.assignee = Some(crate::convert::some(request.assignee.clone())),
            "deadline" => update.deadline = Some(time::timestamp("deadline", request.deadline, faults)),
            "tags" => update.tags = Some(request.tags.iter().cloned().collect()),
            other => {
                let other = crate::convert::shorten(other);
                faults
                    .add("update_mask", format!("{other:?} can't be updated; use priority, assignee, deadline, tags"));
            }
        }
    }
    update
}
