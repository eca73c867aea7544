//! The rules on children, pauses and output.

use super::*;

pub(super) const AGENT: &str = "sdk-9";
const SLOTS: i32 = 1;
const GIVEN: &str = "piece 0;piece 1;";

/// `parent` gave output, created `child`, and paused until that had ended. One agent with one slot did both.
pub(super) fn family() -> World {
    let mut world = World::good();
    world.history.watches.clear();
    world.create("family", &["parent"]);
    let input = Some(payload("application/json", r#"{"children": 1, "output": 2}"#));
    world.history.creations[2].specs[0].input = input.clone();
    world.task("parent").task.spec.as_mut().unwrap().input = input;
    world.observed.tasks.insert("child".to_owned(), Seen::default());
    world.task("child").task =
        v1::Task { id: "child".to_owned(), run: 1, parent: Some(link(1, 0)), ..v1::Task::default() };
    let began = [(E::Created, 0), (E::Assigned, 1), (E::Started, 1)];
    world.tell("parent", &began);
    world.tell("parent", &[(E::Paused, 1), (E::Resumed, 1), (E::Completed, 1)]);
    world.tell("child", &began);
    world.tell("child", &[(E::Completed, 1)]);
    for (id, times) in [("parent", &[1, 2, 3, 4, 10, 11][..]), ("child", &[3, 4, 5, 10][..])] {
        for (event, seconds) in world.task(id).events.iter_mut().zip(times) {
            event.agent = AGENT.to_owned();
            event.at = Some(prost_types::Timestamp { seconds: *seconds, nanos: 0 });
        }
    }
    world.history.slots.insert(AGENT.to_owned(), SLOTS);
    world.ran("parent", 1, Said::Completed("result of parent".into()));
    world.history.runs.last_mut().unwrap().output = GIVEN.to_owned();
    world.ran("child", 1, Said::Completed("result of child".into()));
    let (parent, task_id) = ("parent".to_owned(), "child".to_owned());
    world.history.children.push(crate::load::history::Child { parent, run: 1, occurrence: 0, task_id });
    world.task("parent").output = vec![chunk(0, 1, "piece 0;"), chunk(8, 1, "piece 1;")];
    world
}

fn link(run: i32, occurrence: i32) -> v1::ParentLink {
    v1::ParentLink { task_id: "parent".to_owned(), run, name: "load.sdk".to_owned(), occurrence, depth: 1 }
}

fn chunk(offset: i64, attempt: i32, text: &str) -> callboard::OutputChunk {
    v1::OutputChunk { offset, attempt, data: Some(payload("text/plain", text)), given_at: None }.into()
}

#[track_caller]
fn red(rule: Rule, break_it: impl FnOnce(&mut World)) {
    let mut world = family();
    break_it(&mut world);
    let broken = world.broken();
    assert!(broken.contains(&rule), "{rule:?} did not notice; noticed by {broken:?}");
}

#[test]
fn a_good_family_is_green() {
    let world = family();
    assert_eq!(check(&world.history, &world.observed), []);
}

#[test]
fn two_children_of_one_key_or_another_than_the_handler_was_given() {
    red(Rule::ChildOfOneKey, |world| {
        let twin = world.task("child").clone();
        world.observed.tasks.insert("twin".to_owned(), twin);
    });
    red(Rule::ChildOfOneKey, |world| world.task("child").task.parent = Some(link(2, 0)));
    red(Rule::ChildOfOneKey, |world| drop(world.observed.tasks.remove("child")));
    red(Rule::NothingInvented, |world| world.task("child").task.parent = Some(link(1, 1)));
}

#[test]
fn a_child_that_went_on_behind_its_parent() {
    red(Rule::ChildrenEnd, |world| world.task("child").events[3].at.as_mut().unwrap().seconds = 12);
}

#[test]
fn a_child_that_somebody_retried_behind_its_parent_goes_on() {
    let mut world = family();
    let events = &mut world.task("child").events;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let opened = v1::Event { r#type: E::RunOpened.into(), run: 2, at: at(12), ..events[3].clone() };
    (events[3].run, events[3].at) = (2, at(13));
    events.insert(3, opened);
    assert!(!world.broken().contains(&Rule::ChildrenEnd));
    world.task("child").events[3].at = at(10);
    assert!(
        world.broken().contains(&Rule::ChildrenEnd),
        "a run that was open when the parent ended had to end with it"
    );
}

#[test]
fn a_pause_in_a_pause_and_a_resumption_of_what_ran() {
    red(Rule::PausesAlternate, |world| world.task("parent").events[4].r#type = E::Paused.into());
    red(Rule::PausesAlternate, |world| world.task("parent").events[3].r#type = E::Resumed.into());
    red(Rule::PausesAlternate, |world| world.task("parent").events[3].attempt = 2);
}

#[test]
fn output_with_a_gap_or_that_nobody_gave_or_not_all_of_it() {
    red(Rule::OutputWhole, |world| drop(world.task("parent").output.remove(0)));
    red(Rule::OutputWhole, |world| drop(world.task("parent").output.pop()));
    red(Rule::OutputWhole, |world| world.task("parent").output[1] = chunk(8, 1, "piece 0;"));
    red(Rule::OutputWhole, |world| world.task("parent").output.push(chunk(16, 2, "piece 2;")));
}
