//! Pauses: a handler that waits has no slot, gets one back before anything new does, and its attempt's times stand still.

use crate::support::{World, in_every_mode, make::*};
use callboard_core::command::{Fence, Report, Reporter};
use callboard_core::model::{NewTask, Progress, Slot, Span, StateName, TaskId};
use callboard_core::{Command, Effect, Reason};

fn say(w: &mut World, id: TaskId, report: Report) -> StateName {
    w.report(id, report).expect("the holder's report is taken")
}

fn paused(w: &mut World, new: NewTask) -> TaskId {
    let id = w.run_task(new);
    assert_eq!(say(w, id, Report::Pause), StateName::Paused);
    w.dispatch();
    id
}

/// Which attempts an agent was told have a slot again.
fn resumed(w: &mut World) -> Vec<TaskId> {
    let told = w.take_effects().into_iter().filter_map(|effect| match effect {
        Effect::Resumed { task, .. } => Some(task.id),
        _ => None,
    });
    told.collect()
}

fn slot(w: &World, id: TaskId) -> Option<Slot> {
    w.task(id).state.slot().map(|(_, slot)| slot)
}

#[test]
fn a_pause_lets_the_next_task_in() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let parent = w.run_task(task("work"));
        let child = w.start(task("work"));
        assert_eq!(w.state(child), StateName::Ready);
        assert_eq!(say(&mut w, parent, Report::Pause), StateName::Paused);
        w.dispatch();
        assert_eq!((w.state(parent), w.state(child)), (StateName::Paused, StateName::Assigned));
        assert_eq!(w.history(parent), "created assigned started paused");
        let before = w.tables.clone();
        assert_eq!(say(&mut w, parent, Report::Pause), StateName::Paused);
        assert!(w.tables == before, "another pause changes nothing");
    });
}

#[test]
fn with_a_free_slot_a_handler_goes_on_at_once() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        w.take_effects();
        assert_eq!(say(&mut w, id, Report::Resume), StateName::Running);
        assert_eq!(w.history(id), "created assigned started paused resumed");
        assert_eq!(resumed(&mut w), [], "its receipt says so");
        let before = w.tables.clone();
        assert_eq!(say(&mut w, id, Report::Resume), StateName::Running);
        assert!(w.tables == before, "one that runs goes on");
        assert_eq!(say(&mut w, id, completed("done")), StateName::Completed);
    });
}

#[test]
fn a_freed_slot_goes_to_whoever_waits_for_it_and_not_to_a_new_task() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let parent = paused(&mut w, task("work"));
        let child = w.run_task(task("work"));
        assert_eq!(say(&mut w, parent, Report::Resume), StateName::Paused);
        assert_eq!(slot(&w, parent), Some(Slot::Awaited));
        let new = w.start(task("work"));
        w.take_effects();
        say(&mut w, child, completed("done"));
        assert_eq!(w.state(parent), StateName::Running, "in the same commit");
        w.dispatch();
        assert_eq!(w.state(new), StateName::Ready);
        assert_eq!(resumed(&mut w), [parent]);
        say(&mut w, parent, completed("done"));
        w.dispatch();
        assert_eq!(w.state(new), StateName::Assigned);
    });
}

#[test]
fn who_asked_first_is_first_and_keeps_its_place() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let parents: Vec<TaskId> = (0..3).map(|_| paused(&mut w, task("work"))).collect();
        let child = w.run_task(task("work"));
        for parent in [2, 0, 1, 2] {
            assert_eq!(say(&mut w, parents[parent], Report::Resume), StateName::Paused);
            w.pass(Span::seconds(1));
        }
        // One that pauses again is no more in the queue.
        assert_eq!(say(&mut w, parents[0], Report::Pause), StateName::Paused);
        w.take_effects();
        say(&mut w, child, completed("done"));
        assert_eq!(resumed(&mut w), [parents[2]]);
        say(&mut w, parents[2], Report::Pause);
        assert_eq!(resumed(&mut w), [parents[1]], "another's pause frees a slot as well");
        say(&mut w, parents[1], failed("Flaky"));
        assert_eq!(resumed(&mut w), []);
        assert_eq!(slot(&w, parents[0]), Some(Slot::Free));
    });
}

#[test]
fn more_slots_are_given_to_those_that_wait() {
    in_every_mode(|mut w| {
        let worker = w.attach("worker", 1);
        let parent = paused(&mut w, task("work"));
        w.run_task(task("work"));
        say(&mut w, parent, Report::Resume);
        w.take_effects();
        let (agent, epoch) = (worker.agent, worker.epoch);
        w.run(Command::SetSlots { agent, epoch, slots: 2 }).unwrap();
        assert_eq!(resumed(&mut w), [parent]);
        w.run(Command::SetSlots { agent, epoch, slots: 0 }).unwrap();
        say(&mut w, parent, Report::Pause);
        assert_eq!(say(&mut w, parent, Report::Resume), StateName::Paused, "there are too many as it is");
    });
}

/// Another replica gave it its slot; the one that has the stream tells the agent, as the task is by then.
#[test]
fn who_has_the_stream_tells_of_a_slot_that_another_gave() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        let tell = |w: &mut World| {
            w.take_effects();
            let before = w.tables.clone();
            w.run(Command::TellResumed { task: id }).unwrap();
            assert!(w.tables == before);
            resumed(w)
        };
        assert_eq!(tell(&mut w), []);
        let other = w.run_task(task("work"));
        say(&mut w, id, Report::Resume);
        assert_eq!(tell(&mut w), [], "it still waits for a slot");
        w.replica = "elsewhere";
        say(&mut w, other, completed("done"));
        assert_eq!(slot(&w, id), Some(Slot::Taken));
        assert_eq!(tell(&mut w), [], "its stream is not here");
        w.replica = "replica";
        assert_eq!(tell(&mut w), [id]);
        say(&mut w, id, Report::Pause);
        assert_eq!(tell(&mut w), [], "it waits again by now");
        say(&mut w, id, completed("done"));
        assert_eq!(tell(&mut w), []);
        w.run(Command::TellResumed { task: TaskId(Default::default()) }).unwrap();
    });
}

#[test]
fn who_drains_or_is_cordoned_still_goes_on_with_what_it_has() {
    in_every_mode(|mut w| {
        let worker = w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        w.run(Command::DrainSession { agent: worker.agent, epoch: worker.epoch }).unwrap();
        w.run(Command::Cordon { name: "worker".into(), cordoned: true }).unwrap();
        assert_eq!(say(&mut w, id, Report::Resume), StateName::Running);
    });
}

#[test]
fn the_attempts_times_stand_still_and_the_runs_do_not() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let new = task_with("work", |new| {
            new.spec.timeouts.start_to_close = Span::seconds(10);
            new.spec.timeouts.heartbeat = Some(Span::seconds(5));
            new.spec.timeouts.schedule_to_close = Some(Span::seconds(1_000));
        });
        let id = w.run_task(new);
        w.pass(Span::seconds(4));
        say(&mut w, id, Report::Pause);
        w.pass(Span::seconds(600));
        assert_eq!(say(&mut w, id, Report::Resume), StateName::Running);
        w.pass(Span(4_999_999));
        say(&mut w, id, Report::Progress(Progress::default()));
        assert_eq!(w.state(id), StateName::Running, "silence counts from when it went on");
        w.pass(Span(1_000_001));
        assert_eq!(w.failure(id), "callboard.start_to_close_timeout", "4 s and 6 s are 10 s");
    });
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let new = task_with("work", |new| new.spec.timeouts.schedule_to_close = Some(Span::seconds(60)));
        let id = paused(&mut w, new);
        w.pass(Span::seconds(60));
        assert_eq!((w.state(id), w.failure(id).as_str()), (StateName::Failed, "callboard.schedule_to_close_timeout"));
    });
}

#[test]
fn what_a_handler_says_beside_its_wait_is_taken_and_it_waits_on() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        let told = [
            Report::Progress(Progress { fraction: 0.5, ..Progress::default() }),
            Report::Checkpoint(checkpoint("here")),
            Report::Step(step("fetch", 0, "page")),
            Report::Accepted,
        ];
        for report in told {
            assert_eq!(say(&mut w, id, report), StateName::Paused);
        }
        assert_eq!(w.task(id).progress.fraction, 0.5);
        assert_eq!(w.history(id), "created assigned started paused checkpointed step_recorded");
        assert!(w.events(id)[4..].iter().all(|event| event.state == StateName::Paused));
    });
}

#[test]
fn a_paused_attempt_ends_as_any_other() {
    let ends = [
        (completed("done"), StateName::Completed),
        (failed("Flaky"), StateName::Waiting),
        (rejected(), StateName::Ready),
    ];
    for (report, state) in ends {
        in_every_mode(|mut w| {
            w.attach("worker", 1);
            let id = paused(&mut w, task("work"));
            assert_eq!(say(&mut w, id, report.clone()), state);
        });
    }
    in_every_mode(|mut w| {
        let worker = w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        w.end_session(&worker);
        assert_eq!((w.state(id), w.task(id).attempts_used), (StateName::Ready, 1), "a loss counts");
    });
}

#[test]
fn a_cancelled_handler_is_told_while_it_waits_and_needs_no_slot_to_stop() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let (one, other) = (paused(&mut w, task("work")), paused(&mut w, task("work")));
        w.run_task(task("work"));
        w.take_effects();
        for id in [one, other] {
            w.cancel(id);
            assert_eq!(w.state(id), StateName::Paused);
        }
        let stops = w.take_effects().into_iter().filter(|effect| matches!(effect, Effect::Stop { .. }));
        assert_eq!(stops.count(), 2);
        assert_eq!(say(&mut w, one, failed("callboard.cancelled")), StateName::Cancelled);
        w.pass(Span::seconds(30));
        assert_eq!(w.state(other), StateName::Cancelled, "it had its time");
    });
}

#[test]
fn an_agent_that_comes_back_keeps_paused_attempts_and_their_places() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let (waits, wants) = (paused(&mut w, task("work")), paused(&mut w, task("work")));
        let runs = w.run_task(task("work"));
        say(&mut w, wants, Report::Resume);
        let mut held: Vec<Fence> = [waits, wants].map(|id| w.fence(id)).to_vec();
        held.sort_by_key(|fence| fence.task);
        w.take_effects();
        let hello = Hello { held: held.clone(), previous_epoch: 1, ..Hello::new("worker", profile(1)) };
        assert_eq!(w.hello(hello).unwrap().held, held);
        assert_eq!((w.state(waits), w.state(runs)), (StateName::Paused, StateName::Ready));
        assert_eq!(resumed(&mut w), [wants], "the slot of what it lost");
        let epoch = w.task(wants).state.lease().map(|lease| lease.epoch);
        assert_eq!(epoch, Some(2), "told to the new session");
    });
}

#[test]
fn only_the_holder_pauses_and_resumes() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        let (fence, reporter) = (w.fence(id), w.holder(id));
        let stale = Fence { attempt: 2, ..fence };
        for report in [Report::Pause, Report::Resume] {
            let refused = w.refused(Command::Report { fence: stale, reporter, report: report.clone() });
            assert_eq!(refused, Reason::StaleAttempt);
        }
        say(&mut w, id, completed("done"));
        for report in [Report::Pause, Report::Resume] {
            assert_eq!(w.report_as(fence, reporter, report), Ok(StateName::Completed), "it came before the end");
        }
    });
}

#[test]
fn a_claim_can_not_pause() {
    in_every_mode(|mut w| {
        w.create(task("work"));
        let fence = w.claim("script", 1, Span::seconds(60))[0];
        let pause = Command::Report { fence, reporter: Reporter::Token, report: Report::Pause };
        assert_eq!(w.refused(pause), Reason::AgentState);
    });
}

/// A remembered answer may be read by a version that knows no pauses.
#[test]
fn a_remembered_answer_says_running_and_paused_beside_it() {
    in_every_mode(|mut w| {
        w.attach("worker", 1);
        let id = paused(&mut w, task("work"));
        let command = Command::CancelTask { task: id, reason: String::new() };
        let once = w.run_as(crate::support::with_request(command.clone(), "once", 1)).unwrap();
        assert_eq!(crate::support::receipt(&once).state, StateName::Paused);
        let remembered = &w.tables.requests.values().next().unwrap().reply;
        assert!(remembered.contains(r#""state":"running""#), "{remembered}");
        let again = w.run_as(crate::support::with_request(command, "once", 1)).unwrap();
        assert_eq!(again.reply, once.reply);
    });
}
