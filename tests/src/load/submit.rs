//! Those who ask for tasks.

use super::Worker;
use super::answer::{Answer, classify, once, until_answered};
use super::history::{MARKER, Recorder};
use super::work::random_spec;
use super::workflows;
use callboard::{Error, v1};
use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};
use tonic::Code;

/// Keys that submitters quarrel for.
const KEYS: usize = 20;

/// How many live tasks there may be, and after how many requests a submitter looks how many there are.
const MOST_LIVE: i32 = 400;
const LOOK: u32 = 16;

/// A task with a key that is taken may be refused.
const MAY_BE_REFUSED: [Code; 1] = [Code::AlreadyExists];

/// Asks for tasks until the load is to stop.
pub(super) async fn submit(mut worker: Worker) {
    let mut count = 0_u32;
    while !worker.stop.is_cancelled() {
        count += 1;
        let marker = format!("{}-{count}", worker.name);
        if worker.size.workflows && worker.random.random_bool(0.15) {
            match worker.random.random_bool(0.6) {
                true => workflows::create(&mut worker, &marker).await,
                false => workflows::grow(&mut worker, &marker).await,
            }
            worker.pause(5..40).await;
            continue;
        }
        match worker.random.random_range(0..10) {
            0..=3 => create(&mut worker, &marker, true).await,
            4..=6 => create(&mut worker, &marker, false).await,
            7..=8 => create_batch(&mut worker, &marker, true).await,
            _ => create_batch(&mut worker, &marker, false).await,
        }
        worker.pause(5..40).await;
        if count.is_multiple_of(LOOK) {
            wait_for_room(&mut worker).await;
        }
    }
}

/// The agents must have a chance to do it all.
async fn wait_for_room(worker: &mut Worker) {
    while !worker.stop.is_cancelled() {
        let page_size = MOST_LIVE;
        let states = super::LIVE.map(i32::from).into();
        let request = v1::ListTasksRequest { states, page_size, ..Default::default() };
        let answer = once(&worker.recorder, &worker.client, request, &[]).await;
        match answer {
            Answer::Done(page) if page.tasks.len() >= MOST_LIVE as usize => worker.pause(50..200).await,
            _ => return,
        }
    }
}

/// Asks for one task: with a request id as often as it takes, without one once.
async fn create(worker: &mut Worker, marker: &str, with_request_id: bool) {
    let spec = marked(any_spec(worker), marker);
    let index = worker.recorder.creation(marker, std::slice::from_ref(&spec), with_request_id);
    let request = v1::CreateTaskRequest { task: Some(spec), request_id: marker.to_owned(), ..Default::default() };
    let answer = if with_request_id {
        let Worker { recorder, client, give_up, .. } = &*worker;
        until_answered(recorder, client, request.clone(), &MAY_BE_REFUSED, give_up).await
    } else {
        let request = v1::CreateTaskRequest { request_id: String::new(), ..request.clone() };
        let answer = worker.client.tasks().create_task(request).await;
        answered(&worker.recorder, "CreateTask", answer)
    };
    note(&worker.recorder, index, answer.map(|response| response.receipt.into_iter().collect()));
    if with_request_id && worker.random.random_bool(0.1) {
        let again = once(&worker.recorder, &worker.client, request, &MAY_BE_REFUSED).await;
        note(&worker.recorder, index, again.map(|response| response.receipt.into_iter().collect()));
    }
}

/// Asks for several tasks, all or none.
async fn create_batch(worker: &mut Worker, marker: &str, with_request_id: bool) {
    let count = worker.random.random_range(2..7);
    let tasks: Vec<_> = (0..count).map(|_| marked(any_spec(worker), marker)).collect();
    let index = worker.recorder.creation(marker, &tasks, with_request_id);
    let request = v1::BatchCreateTasksRequest { tasks, request_id: marker.to_owned(), ..Default::default() };
    let answer = if with_request_id {
        let Worker { recorder, client, give_up, .. } = &*worker;
        until_answered(recorder, client, request.clone(), &MAY_BE_REFUSED, give_up).await
    } else {
        let request = v1::BatchCreateTasksRequest { request_id: String::new(), ..request };
        let answer = worker.client.tasks().batch_create_tasks(request).await;
        answered(&worker.recorder, "BatchCreateTasks", answer)
    };
    note(&worker.recorder, index, answer.map(|response| response.receipts));
}

fn answered<T>(recorder: &Recorder, what: &str, answer: Result<tonic::Response<T>, tonic::Status>) -> Answer<T> {
    match answer {
        Ok(response) => Answer::Done(response.into_inner()),
        Err(status) => classify(recorder, what, false, Error::from(status), &MAY_BE_REFUSED),
    }
}

fn note(recorder: &Recorder, index: usize, answer: Answer<Vec<v1::TaskReceipt>>) {
    let mut history = recorder.history();
    let creation = &mut history.creations[index];
    match answer {
        Answer::Done(receipts) => creation.answers.push(receipts),
        Answer::Refused(why) => creation.refused = Some(why),
        Answer::Unknown => {}
    }
}

/// A task of any type; some have a key, some depend on tasks that were acknowledged.
fn any_spec(worker: &mut Worker) -> v1::TaskSpec {
    let mut spec = random_spec(&mut worker.random, &worker.size);
    if worker.random.random_bool(0.15) {
        spec.key = format!("key-{}", worker.random.random_range(0..KEYS));
        spec.key_conflict_policy = worker.random.random_range(0..4);
    }
    if worker.random.random_bool(0.25) {
        spec.dependencies = some_dependencies(worker);
    }
    spec
}

fn some_dependencies(worker: &mut Worker) -> Vec<v1::Dependency> {
    let recent: Vec<String> = {
        let history = worker.recorder.history();
        let acknowledged: Vec<&str> = history.acknowledged().collect();
        acknowledged.iter().rev().take(40).map(|id| (*id).to_owned()).collect()
    };
    let count = worker.random.random_range(1..4);
    let mut chosen = recent.iter().choose_multiple(&mut worker.random, count);
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|task_id| dependency_on(task_id, worker)).collect()
}

/// Most wait for a result; some for whatever else may become of a task.
fn dependency_on(task_id: &str, worker: &mut Worker) -> v1::Dependency {
    use v1::DependencyCondition as C;
    let actions = [v1::DependencyFailureAction::Skip, v1::DependencyFailureAction::Fail];
    let on_failure = actions.choose(&mut worker.random).copied().unwrap_or_default().into();
    let condition = match worker.size.conditions && worker.random.random_bool(0.4) {
        true => [C::Failed, C::NotCompleted, C::Ended].choose(&mut worker.random).copied().unwrap_or_default(),
        false => C::Completed,
    };
    let task_id = task_id.to_owned();
    v1::Dependency { task_id, on_failure, condition: condition.into(), ..v1::Dependency::default() }
}

pub(super) fn marked(mut spec: v1::TaskSpec, marker: &str) -> v1::TaskSpec {
    spec.metadata.insert(MARKER.to_owned(), marker.to_owned());
    spec
}

impl<T> Answer<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Done(value) => Answer::Done(change(value)),
            Self::Refused(why) => Answer::Refused(why),
            Self::Unknown => Answer::Unknown,
        }
    }
}
