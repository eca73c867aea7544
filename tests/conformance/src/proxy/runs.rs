//! The frames of `RunTasks`: what is recorded of them, and what the rules do to them. Every item says its `place` in its frame, from 0, so
//! that frames can be counted.

use super::calls::try_later;
use super::record::{Item, Record, Way, bare};
use super::rules::{Action, Fate, Passed, Rules, retain, withheld};
use bytes::Bytes;
use callboard_proto::v1;
use callboard_proto::v1::task_outcome::Outcome;
use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

/// What becomes of a client's frame. One of which nothing is left goes on empty: the first names the namespace of the stream.
pub fn pass_up(
    rules: &Rules,
    stream: u32,
    mut frame: v1::RunTasksRequest,
    record: &Record,
) -> Passed<v1::RunTasksRequest> {
    let mut fate = Fate::default();
    let items = items_up(&frame);
    let keep: Vec<bool> = items.iter().map(|item| fate.see(&rules.actions(Way::Up, stream, item))).collect();
    let (runs, forgotten) = keep.split_at(frame.runs.len());
    retain(&mut frame.runs, runs);
    retain(&mut frame.forgotten_ids, forgotten);
    for (item, kept) in items.into_iter().zip(&keep) {
        record.add(Way::Up, stream, if *kept { item } else { withheld(item) });
    }
    fate.of(frame, &[])
}

/// What becomes of a frame of the server. What is left of it is recorded as it goes on.
pub fn pass_down(
    rules: &Rules,
    stream: u32,
    mut frame: v1::RunTasksResponse,
    record: &Record,
) -> Passed<v1::RunTasksResponse> {
    let mut fate = Fate::default();
    let mut keep = Vec::new();
    for (place, item) in items_down(&frame).into_iter().enumerate() {
        let actions = rules.actions(Way::Down, stream, &item);
        keep.push(fate.see(&actions));
        if let (Some(outcome), Some(status)) = (frame.outcomes.get_mut(place), actions.iter().find_map(refusal)) {
            outcome.outcome = Some(Outcome::Status(status));
            fate.changed = true;
        }
        if keep.last() == Some(&false) {
            record.add(Way::Down, stream, withheld(item));
        }
    }
    retain(&mut frame.outcomes, &keep);
    let left = fate.of(frame, &keep);
    if let Some(frame) = &left.frame {
        items_down(frame).into_iter().for_each(|item| record.add(Way::Down, stream, item));
    }
    left
}

/// The status that an outcome gets.
fn refusal(action: &Action) -> Option<Bytes> {
    let status = match action {
        Action::TryLater(milliseconds) => try_later(*milliseconds),
        Action::LoseAnswer => tonic::Status::with_error_details(
            Code::Unavailable,
            "the outcome was lost by the proxy",
            ErrorDetails::new(),
        ),
        _ => return None,
    };
    Some(Bytes::copy_from_slice(status.details()))
}

fn items_up(frame: &v1::RunTasksRequest) -> Vec<Item> {
    let runs = frame.runs.iter().enumerate().map(|(place, run)| {
        let kind = run.task.as_ref().map(|task| task.r#type.as_str()).unwrap_or_default();
        ("run", json!({ "request_id": run.request_id, "type": kind, "place": place }))
    });
    let forgotten = frame.forgotten_ids.iter().enumerate();
    let forgotten = forgotten.map(|(place, id)| ("forgotten", json!({ "request_id": id, "place": place })));
    sign_of_life_if_none(runs.chain(forgotten).collect())
}

fn items_down(frame: &v1::RunTasksResponse) -> Vec<Item> {
    sign_of_life_if_none(frame.outcomes.iter().enumerate().map(outcome_item).collect())
}

fn outcome_item((place, outcome): (usize, &v1::TaskOutcome)) -> Item {
    let mut said = json!({ "request_id": outcome.request_id, "place": place, "code": "OK" });
    match &outcome.outcome {
        Some(Outcome::Task(task)) => {
            said["task_id"] = task.id.clone().into();
            said["state"] = bare(task.state().as_str_name(), "TASK_STATE_").into();
        }
        Some(Outcome::Status(status)) => {
            let status = tonic_types::pb::Status::decode(status.clone()).unwrap_or_default();
            said["code"] = format!("{:?}", Code::from_i32(status.code)).into();
            said["message"] = status.message.into();
        }
        None => said["code"] = "".into(),
    }
    ("outcome", said)
}

fn sign_of_life_if_none(items: Vec<Item>) -> Vec<Item> {
    if items.is_empty() { vec![("sign_of_life", json!({ "method": "RunTasks" }))] } else { items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn rules(rule: Value) -> Rules {
        let rules = Rules::default();
        rules.add(serde_json::from_value(rule).unwrap());
        rules
    }

    fn frame(ids: &[&str]) -> v1::RunTasksRequest {
        let run = |id: &&str| v1::TaskRun { request_id: (*id).to_owned(), task: None };
        v1::RunTasksRequest { namespace: "n".into(), runs: ids.iter().map(run).collect(), forgotten_ids: vec![] }
    }

    #[test]
    fn a_frame_of_which_all_is_withheld_still_names_its_namespace() {
        let record = Record::default();
        let rules = rules(json!({ "on": { "kind": "run" }, "do": "withhold" }));
        let passed = pass_up(&rules, 1, frame(&["a", "b"]), &record);
        let left = passed.frame.unwrap();
        assert_eq!((left.namespace.as_str(), left.runs.len(), passed.changed), ("n", 0, true));
        let said: Vec<Value> = record.entries().into_iter().map(|entry| entry.said["what"].clone()).collect();
        assert_eq!(said, ["run", "run"]);
    }

    #[test]
    fn frames_are_counted_by_what_stands_first_in_them() {
        let record = Record::default();
        pass_up(&Rules::default(), 1, frame(&["a", "b"]), &record);
        pass_up(&Rules::default(), 1, frame(&["c"]), &record);
        let first = record.entries().into_iter().filter(|entry| entry.said["place"] == 0).count();
        assert_eq!((record.entries().len(), first), (3, 2));
    }

    #[test]
    fn an_outcome_says_to_try_again_in_place_of_what_it_said() {
        let record = Record::default();
        let rules = rules(json!({ "on": { "kind": "outcome", "request_id": "a" }, "do": { "try_later": 300 } }));
        let outcome = |id: &str| v1::TaskOutcome {
            request_id: id.to_owned(),
            outcome: Some(Outcome::Task(v1::Task { id: "t".into(), ..Default::default() })),
        };
        let frame = v1::RunTasksResponse { outcomes: vec![outcome("a"), outcome("b")] };
        let left = pass_down(&rules, 1, frame, &record).frame.unwrap();
        let codes: Vec<Value> = record.entries().into_iter().map(|entry| entry.said["code"].clone()).collect();
        assert_eq!(codes, ["ResourceExhausted", "OK"]);
        assert!(matches!(&left.outcomes[0].outcome, Some(Outcome::Status(_))));
        assert!(matches!(&left.outcomes[1].outcome, Some(Outcome::Task(_))));
    }
}
