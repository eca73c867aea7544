//! The state of one task with one agent, told independently of the rules.

use crate::support::make::*;
use crate::support::{Mode, World};
use callboard_core::Command;
use callboard_core::command::Report;
use callboard_core::model::{Failure, Span, StateName, TaskId};
use proptest::prelude::*;

const MAX_ATTEMPTS: u32 = 4;
const POISON_LIMIT: u32 = 5;

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Attach,
    Lose,
    Dispatch,
    Accept,
    Checkpoint,
    Pause,
    Resume,
    Complete,
    Fail,
    FailForGood,
    HandBack,
    Cancel,
    Hold,
    Release,
    Retry,
    Later,
}

/// Any of them.
pub fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let all = [Attach, Lose, Dispatch, Dispatch, Accept, Checkpoint, Complete, Fail, FailForGood, HandBack, Cancel];
    let more = [Pause, Pause, Resume, Hold, Release, Retry, Retry, Later, Later];
    prop::sample::select([all.as_slice(), more.as_slice()].concat())
}

/// What the model knows.
#[derive(Clone, Copy, Debug)]
struct Model {
    state: StateName,
    attached: bool,
    held: bool,
    delayed: bool,
    cancelling: bool,
    used: u32,
    lost: u32,
    handed_back_before: bool,
}

impl Model {
    fn new() -> Self {
        let state = StateName::Ready;
        let (attached, held, delayed, cancelling) = (false, false, false, false);
        Self { state, attached, held, delayed, cancelling, used: 0, lost: 0, handed_back_before: false }
    }

    fn leased(&self) -> bool {
        matches!(self.state, StateName::Assigned | StateName::Running | StateName::Paused)
    }

    fn take(&mut self, step: Step) {
        use StateName::{Assigned, Cancelled, Completed, Failed, Paused, Ready, Running, Skipped, Waiting};
        let leased = self.leased();
        match step {
            Step::Attach => {
                // Without what it held: that is lost. What it never accepted may never have come.
                if self.state == Assigned {
                    self.hand_back()
                } else {
                    self.lose()
                }
                self.attached = true;
            }
            Step::Lose => {
                self.lose();
                self.attached = false;
            }
            Step::Dispatch if self.state == Ready && self.attached => self.state = Assigned,
            Step::Accept | Step::Checkpoint if leased && self.state != Paused => self.state = Running,
            Step::Pause if leased => self.state = Paused,
            // Its agent has nothing else: there is a slot.
            Step::Resume if leased => self.state = Running,
            Step::Complete if leased => self.state = if self.cancelling { Cancelled } else { Completed },
            Step::Fail if leased => self.fail(),
            Step::FailForGood if leased => self.state = if self.cancelling { Cancelled } else { Failed },
            Step::HandBack if leased => self.hand_back(),
            Step::Cancel => match self.state {
                Waiting | Ready | Assigned => self.state = Cancelled,
                Running | Paused => self.cancelling = true,
                _ => {}
            },
            Step::Hold if matches!(self.state, Waiting | Ready) => {
                self.held = true;
                self.state = Waiting;
            }
            Step::Release if self.state == Waiting => {
                self.held = false;
                self.wait_or_go();
            }
            Step::Retry if matches!(self.state, Failed | Cancelled | Skipped) => {
                *self = Self { attached: self.attached, ..Self::new() };
            }
            Step::Later => match self.state {
                Waiting => {
                    self.delayed = false;
                    self.wait_or_go();
                }
                Assigned => self.hand_back(),
                Running | Paused if self.cancelling => self.state = Cancelled,
                _ => {}
            },
            _ => {}
        }
    }

    fn wait_or_go(&mut self) {
        self.state = if self.held || self.delayed { StateName::Waiting } else { StateName::Ready };
    }

    fn fail(&mut self) {
        (self.used, self.lost) = (self.used + 1, 0);
        self.state = match () {
            () if self.cancelling => StateName::Cancelled,
            () if self.used == MAX_ATTEMPTS => StateName::Failed,
            () => StateName::Waiting,
        };
        self.delayed = self.state == StateName::Waiting;
    }

    fn lose(&mut self) {
        match self.state {
            StateName::Assigned => {
                self.lost += 1;
                if self.lost == POISON_LIMIT { self.state = StateName::Failed } else { self.hand_back() }
            }
            StateName::Running | StateName::Paused if self.cancelling => self.state = StateName::Cancelled,
            StateName::Running | StateName::Paused => {
                (self.used, self.lost) = (self.used + 1, self.lost + 1);
                let given_up = self.used == MAX_ATTEMPTS || self.lost >= MAX_ATTEMPTS.min(POISON_LIMIT);
                self.state = if given_up { StateName::Failed } else { StateName::Ready };
            }
            _ => {}
        }
    }

    fn hand_back(&mut self) {
        self.delayed = self.handed_back_before;
        self.handed_back_before = true;
        self.state = match () {
            () if self.cancelling => StateName::Cancelled,
            () if self.delayed => StateName::Waiting,
            () => StateName::Ready,
        };
    }
}

/// Runs the steps beside the model.
pub fn check(steps: &[Step]) {
    let mut world = World::new(Mode::Exclusive);
    let id = world.create(task_with("work", |new| {
        new.spec.retry_policy.max_attempts = MAX_ATTEMPTS;
        new.spec.timeouts.start_to_close = Span::seconds(1_000_000);
    }));
    let mut model = Model::new();
    for (index, step) in steps.iter().enumerate() {
        run(&mut world, id, *step);
        model.take(*step);
        assert_eq!(world.state(id), model.state, "behind {:?}: {}", &steps[..=index], world.history(id));
    }
}

fn run(w: &mut World, id: TaskId, step: Step) {
    let report = match step {
        Step::Accept => Some(Report::Accepted),
        Step::Checkpoint => Some(Report::Checkpoint(checkpoint("here"))),
        Step::Pause => Some(Report::Pause),
        Step::Resume => Some(Report::Resume),
        Step::Complete => Some(completed("done")),
        Step::Fail => Some(failed("Flaky")),
        Step::FailForGood => Some(failed_with(Failure { retryable: false, ..failure("Broken") })),
        Step::HandBack => Some(rejected()),
        _ => None,
    };
    if let Some(report) = report {
        if w.has(id).is_some() {
            w.report(id, report).expect("the holder's report is taken");
        }
        return;
    }
    // What the state does not allow is refused, and the model stays as it is.
    let _ = match step {
        Step::Attach => w.run(Hello::new("worker", profile(1)).command()),
        Step::Lose => match w.tables.agent("worker").map(|agent| (agent.id, agent.epoch)) {
            Some((agent, epoch)) => w.run(Command::EndSession { agent, epoch, reason: "it was silent" }),
            None => return,
        },
        Step::Dispatch => w.run(Command::Dispatch { lanes: w.tables.ready_lanes() }),
        Step::Cancel => w.run(Command::CancelTask { task: id, reason: String::new() }),
        Step::Hold => w.run(Command::HoldTask { task: id, reason: String::new() }),
        Step::Release => w.run(Command::ReleaseTask { task: id }),
        Step::Retry => w.run(Command::RetryTask { task: id }),
        _ => {
            w.sleep(Span::seconds(61));
            w.wake_due();
            return;
        }
    };
}
