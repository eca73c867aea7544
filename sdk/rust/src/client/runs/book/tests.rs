use std::time::Duration;

use tonic_types::{ErrorDetails, StatusExt};

use super::*;

/// A book whose callers are numbers.
struct Desk {
    book: Book<u32>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        Self { book: Book::default(), now: Instant::now() }
    }

    fn ask(&mut self, id: &str, caller: u32) -> Result<u64, Box<v1::TaskSpec>> {
        self.book.ask(self.now, &id.into(), spec(id), caller)
    }

    fn ask_all(&mut self, callers: impl IntoIterator<Item = u32>) {
        for caller in callers {
            self.ask(&format!("r{caller}"), caller).unwrap();
        }
    }

    /// The ids of the runs and of the forgotten ones in the next frame.
    fn frame(&mut self) -> Option<(Vec<String>, Vec<String>)> {
        let frame = self.book.next_frame()?;
        assert!(frame.runs.iter().all(|run| run.task.as_ref().is_some_and(|task| task.r#type == run.request_id)));
        Some((frame.runs.into_iter().map(|run| run.request_id).collect(), frame.forgotten_ids))
    }

    /// How many runs, and how many forgotten ones, each frame has until there is none.
    fn frames(&mut self) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| self.frame()).map(|(runs, forgotten)| (runs.len(), forgotten.len())).collect()
    }

    fn end(&mut self, id: &str) -> Option<(u32, Answer)> {
        self.outcome(id, Some(Outcome::Task(v1::Task { id: format!("task of {id}"), ..Default::default() })))
    }

    fn outcome(&mut self, id: &str, outcome: Option<Outcome>) -> Option<(u32, Answer)> {
        self.book.take(self.now, v1::TaskOutcome { request_id: id.to_owned(), outcome })
    }
}

fn spec(task_type: &str) -> Box<v1::TaskSpec> {
    Box::new(v1::TaskSpec { r#type: task_type.to_owned(), ..Default::default() })
}

fn strings(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_asked_meanwhile_goes_in_one_frame_and_each_is_answered_once() {
    let mut desk = Desk::new();
    assert_eq!(desk.frame(), None);
    desk.ask_all([2, 1, 3]);
    assert_eq!(desk.frame(), Some((strings(&["r2", "r1", "r3"]), vec![])), "in the order in which they were asked");
    assert_eq!(desk.frame(), None, "they were sent");
    assert!(matches!(desk.end("r1"), Some((1, Answer::Ended(task))) if task.id == "task of r1"));
    assert!(desk.end("r1").is_none(), "once");
    assert!(desk.end("unknown").is_none());
    assert!(desk.book.empty_since().is_none() && !desk.book.is_empty());
    desk.end("r2").unwrap();
    desk.end("r3").unwrap();
    assert_eq!((desk.book.empty_since(), desk.book.is_empty()), (Some(desk.now), true));
    desk.ask_all([4]);
    assert_eq!(desk.book.empty_since(), None);
}

#[test]
fn a_break_sends_again_what_has_no_outcome_and_in_the_old_order() {
    let mut desk = Desk::new();
    desk.ask_all(1..=4);
    desk.frame().unwrap();
    desk.ask_all([5]);
    desk.end("r2").unwrap();
    desk.book.send_again();
    desk.ask_all([6]);
    assert_eq!(desk.frame().unwrap().0, strings(&["r1", "r3", "r4", "r5", "r6"]));
    assert_eq!(desk.frame(), None);
}

#[test]
fn a_frame_has_at_most_a_thousand_runs_and_a_stream_4096() {
    let mut desk = Desk::new();
    desk.ask_all(0..5_000);
    assert_eq!(desk.frames(), [(1000, 0), (1000, 0), (1000, 0), (1000, 0), (96, 0)]);
    assert!(desk.book.has_unsent());
    (0..10).for_each(|n| drop(desk.end(&format!("r{n}")).unwrap()));
    assert_eq!(desk.frames(), [(10, 0)], "what goes makes room");
}

#[test]
fn a_frame_ends_before_a_mebibyte_and_one_run_always_fits() {
    let mut desk = Desk::new();
    for (id, kibibytes) in [("a", 600), ("b", 500), ("c", 300), ("d", 2048), ("e", 1)] {
        let mut task = spec(id);
        task.description = "x".repeat(kibibytes << 10);
        desk.book.ask(desk.now, &id.into(), task, 0).unwrap();
    }
    let frames: Vec<_> = std::iter::from_fn(|| desk.frame()).map(|(runs, _)| runs).collect();
    assert_eq!(frames, [strings(&["a"]), strings(&["b", "c"]), strings(&["d"]), strings(&["e"])]);
}

#[test]
fn what_a_stream_can_not_have_is_given_back() {
    let mut desk = Desk::new();
    desk.ask("same", 1).unwrap();
    assert_eq!(desk.ask("same", 2).unwrap_err().r#type, "same", "whose would the outcome be?");
    assert!(desk.ask(&"é".repeat(128), 3).is_ok(), "characters, not bytes");
    for refused in ["", &"x".repeat(129)] {
        assert!(desk.ask(refused, 4).is_err(), "the server would end the stream of all");
    }
    let mut task = spec("large");
    task.description = "x".repeat(MAX_FRAME_BYTES);
    assert!(desk.book.ask(desk.now, &"large".into(), task, 5).is_err(), "no frame could have it");
    assert_eq!(desk.frame().unwrap().0.len(), 2);
}

#[test]
fn a_run_that_was_given_up_is_forgotten_when_the_server_has_it() {
    let mut desk = Desk::new();
    let id: Arc<str> = "r1".into();
    let number = desk.ask(&id, 1).unwrap();
    desk.book.forget(desk.now, &id, number);
    assert_eq!(desk.frame(), None, "it was never sent");
    assert!(desk.book.is_empty());

    let number = desk.ask(&id, 2).unwrap();
    desk.frame().unwrap();
    desk.book.forget(desk.now, &id, number);
    assert!(desk.end("r1").is_none(), "nobody waits for it");
    assert!(desk.ask(&id, 3).is_err(), "the server doesn't know yet which is meant");
    assert_eq!(desk.frame(), Some((vec![], strings(&["r1"]))));

    let newer = desk.ask(&id, 4).unwrap();
    desk.book.forget(desk.now, &id, number);
    assert_eq!(desk.frame(), Some((strings(&["r1"]), vec![])), "the newer of the same id is another's");
    desk.book.forget(desk.now, &id, newer);
    desk.book.send_again();
    assert_eq!(desk.frame(), None, "a new stream has nothing to forget");
}

#[test]
fn forgotten_runs_keep_their_place_on_the_stream_until_the_server_knows() {
    let mut desk = Desk::new();
    let numbers: Vec<(Arc<str>, u64)> = (0..4_096).map(|n| (Arc::from(format!("r{n}")), n + 1)).collect();
    desk.ask_all(0..4_096);
    desk.frames();
    desk.ask_all(4_096..4_100);
    numbers[..1_500].iter().for_each(|(id, number)| desk.book.forget(desk.now, id, *number));
    assert_eq!(desk.frames(), [(0, 1000), (4, 500)]);
}

#[test]
fn a_refusal_says_what_a_call_would_and_the_task_comes_back() {
    let mut desk = Desk::new();
    desk.ask_all([1, 2, 3]);
    desk.frame();
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("task.type", "is empty: name a task type");
    details.set_retry_info(Some(Duration::from_millis(250)));
    let status = Status::with_error_details(Code::InvalidArgument, "task.type is empty", details);
    let bytes = status.details().to_vec();
    let Some((1, Answer::Refused(refused, task))) = desk.outcome("r1", Some(Outcome::Status(bytes.into()))) else {
        panic!("not refused")
    };
    assert_eq!((refused.code, refused.message.as_str()), (Code::InvalidArgument, "task.type is empty"));
    assert_eq!(refused.violations[0].field, "task.type");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(250)));
    assert_eq!(task.r#type, "r1");
    desk.ask("r1", 4).unwrap();

    let nonsense = Outcome::Status(vec![0xff; 3].into());
    assert!(
        matches!(desk.outcome("r2", Some(nonsense)), Some((2, Answer::Refused(refused, _))) if refused.code == Code::Internal)
    );
    assert!(matches!(desk.outcome("r3", None), Some((3, Answer::Failed(_)))), "of a newer protocol");
}

#[test]
fn runs_are_taken_out_by_when_they_were_asked() {
    let mut desk = Desk::new();
    let began = desk.now;
    desk.ask_all([1]);
    desk.now += Duration::from_secs(1);
    desk.ask_all([2]);
    let taken = desk.book.take_asked(desk.now, |at| at <= began);
    assert_eq!(taken.iter().map(|(caller, task)| (*caller, task.r#type.as_str())).collect::<Vec<_>>(), [(1, "r1")]);
    assert_eq!(desk.frame().unwrap().0, strings(&["r2"]));
}
