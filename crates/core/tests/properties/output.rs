//! The arithmetic of offsets: whatever is repeated, cut or left out, no byte is lost and none is there twice.

use crate::support::make::*;
use crate::support::{Mode, World};
use callboard_core::command::Report;
use callboard_core::model::{OutputBatch, Payload, StateName, TaskId};
use callboard_core::{Command, Reason};
use proptest::prelude::*;
use std::sync::Arc;

/// What an agent does with its output.
#[derive(Clone, Debug)]
pub enum Give {
    /// It goes on with chunks of these sizes; from so many chunks before the end, what is there is repeated first.
    Chunks { back: usize, sizes: Vec<usize> },
    /// It begins so many bytes beside where it may: a gap, or in the middle of what is there.
    Beside { by: i64, size: usize },
    /// It sends what it sent last once more.
    Again,
    /// The attempt fails, and the next begins anew.
    Fail,
}

/// Any of them.
pub fn give() -> impl Strategy<Value = Give> {
    let sizes = prop::collection::vec(1..6_usize, 0..4);
    prop_oneof![
        6 => (0..4_usize, sizes).prop_map(|(back, sizes)| Give::Chunks { back, sizes }),
        2 => (-4..4_i64, 1..6_usize).prop_map(|(by, size)| Give::Beside { by, size }),
        2 => Just(Give::Again),
        1 => Just(Give::Fail),
    ]
}

/// What the agent knows: the chunks that its attempt gave, and what the run has.
#[derive(Default)]
struct Model {
    attempt: Vec<Vec<u8>>,
    run: Vec<u8>,
    /// How many bytes were made up: each is unlike its neighbours.
    made: usize,
    last: Option<OutputBatch>,
}

fn length(chunks: &[Vec<u8>]) -> usize {
    chunks.iter().map(Vec::len).sum()
}

fn batch(offset: usize, chunks: &[Vec<u8>]) -> OutputBatch {
    let payload = |bytes: &Vec<u8>| {
        let content = callboard_core::model::Content::Binary(bytes.as_slice().into());
        Arc::new(Payload { content, ..Payload::default() })
    };
    OutputBatch { offset: offset as u64, chunks: chunks.iter().map(payload).collect() }
}

impl Model {
    fn make(&mut self, size: usize) -> Vec<u8> {
        self.made += size;
        (self.made - size..self.made).map(|n| (n % 251) as u8).collect()
    }

    fn take(&mut self, w: &mut World, id: TaskId, give: &Give) {
        match give {
            Give::Chunks { back, sizes } => self.go_on(w, id, *back, sizes),
            Give::Beside { by, size } => self.beside(w, id, *by, *size),
            Give::Again => {
                if let Some(last) = self.last.clone() {
                    w.report(id, Report::Output(last)).expect("a repetition is taken");
                }
            }
            Give::Fail => {
                w.report(id, Report::Accepted).expect("it begins");
                w.report(id, failed("Flaky")).expect("it fails");
                w.pass_delay(id);
                (self.attempt, self.last) = (Vec::new(), None);
            }
        }
    }

    fn go_on(&mut self, w: &mut World, id: TaskId, back: usize, sizes: &[usize]) {
        let kept = self.attempt.len().saturating_sub(back);
        let offset = length(&self.attempt[..kept]);
        for size in sizes {
            let chunk = self.make(*size);
            self.run.extend(&chunk);
            self.attempt.push(chunk);
        }
        let batch = batch(offset, &self.attempt[kept..]);
        if !batch.chunks.is_empty() {
            self.last = Some(batch.clone());
            w.report(id, Report::Output(batch)).expect("it is taken");
        }
    }

    fn beside(&mut self, w: &mut World, id: TaskId, by: i64, size: usize) {
        let given = length(&self.attempt);
        let Some(offset) = given.checked_add_signed(by as isize) else { return };
        // It may end where what is there ends, or before: then it is a repetition.
        let taken = offset + size <= given || offset == given;
        let chunk = if offset == given { self.make(size) } else { vec![0; size] };
        let (fence, reporter) = (w.fence(id), w.holder(id));
        let report = Report::Output(batch(offset, std::slice::from_ref(&chunk)));
        let answer = w.run(Command::Report { fence, reporter, report });
        assert_eq!(
            answer.map(drop).map_err(|rejection| rejection.reason),
            if taken { Ok(()) } else { Err(Reason::InvalidField) }
        );
        if offset == given {
            self.run.extend(&chunk);
            self.attempt.push(chunk);
        }
    }
}

/// Gives output beside the model.
pub fn check(mode: Mode, gives: &[Give]) {
    let mut w = World::new(mode);
    w.attach("worker", 1);
    let id = w.start(task_with("work", |new| new.spec.retry_policy.max_attempts = u32::MAX));
    let mut model = Model::default();
    for give in gives {
        model.take(&mut w, id, give);
        assert!(matches!(w.state(id), StateName::Assigned | StateName::Running));
        let task = w.task(id);
        let chunks = w.tables.output.get(&(task.namespace, id, task.run)).map_or(&[][..], Vec::as_slice);
        let there: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.content.bytes().to_vec()).collect();
        assert_eq!(there, model.run);
    }
}
