//! Those who write letters to each other: messages, sent by calls and over streams, read and acknowledged over streams.

use super::Worker;
use super::answer::{Answer, explains_an_end, until_answered};
use super::history::{Delivery, Letter};
use crate::mail::{mail_hello, message};
use callboard::v1;
use callboard::v1::attach_request::Frame as Saying;
use callboard::v1::attach_response::Frame;
use rand::Rng;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// How often a reader of a load that is not slow looks whether there is something to write, to acknowledge, or to say.
const BEAT: Duration = Duration::from_millis(50);
/// How many frames may wait.
const OUTGOING: usize = 256;
/// How many messages a reader leaves unacknowledged for a while.
const WINDOW: i32 = 8;

/// The name of a reader.
pub(super) fn reader(index: u64) -> String {
    format!("reader-{index}")
}

/// Writes to readers by calls, one letter after the other, until it is to stop.
pub(super) async fn write(mut worker: Worker) {
    let mut number = 0;
    while !worker.stop.is_cancelled() {
        number += 1;
        let to = reader(worker.random.random_range(0..worker.size.readers));
        let letter = Letter::new(&worker.name, number, &to);
        let request = v1::SendMessageRequest {
            message: Some(message(&to, &letter.text())),
            request_id: letter.text(),
            ..Default::default()
        };
        let index = worker.recorder.letter(letter);
        // A reader that has not attached yet is not known.
        let expected = [tonic::Code::NotFound];
        for _ in 0..worker.random.random_range(1..3) {
            let Worker { recorder, client, give_up, .. } = &worker;
            let answer = until_answered(recorder, client, request.clone(), &expected, give_up).await;
            if let Answer::Done(response) = answer {
                worker.recorder.history().letters[index].answers.extend(response.receipt);
            }
        }
        worker.pause(5..60).await;
    }
}

/// A reader, beyond its streams.
struct Reader {
    worker: Worker,
    /// Nothing new is to be written.
    asking: CancellationToken,
    streams: u32,
    epoch: i64,
    number: u32,
    /// What it wrote and has no receipt yet, by its place in the history.
    writing: Option<(usize, v1::MessageSend)>,
    /// Delivered, and to be acknowledged.
    unacknowledged: BTreeSet<String>,
    /// Those whose acknowledgement has its receipt: they must never come again.
    acknowledged: BTreeSet<String>,
    voice: Voice,
}

/// When a reader said something on its stream. Told when the server took it for silent: then one of the two is wrong.
struct Voice {
    /// When the last frame was given to the stream.
    last: Instant,
    /// The longest time between two.
    gap: Duration,
    /// The longest time that the stream did not take one.
    blocked: Duration,
    /// For how long it may say nothing.
    lease: Duration,
}

impl Voice {
    fn new() -> Self {
        Self { last: Instant::now(), gap: Duration::ZERO, blocked: Duration::ZERO, lease: Duration::MAX }
    }

    /// Whether it said nothing for so long that a server may end its session, though the stream would have taken something: on a
    /// machine that is too busy a reader may stand still for that long.
    fn was_silent(&self, now: Instant) -> bool {
        self.gap.max(now - self.last).saturating_sub(self.blocked) > self.lease
    }

    /// A stream that is gone says so when it is read.
    async fn say(&mut self, outgoing: &mpsc::Sender<v1::AttachRequest>, frame: Saying) {
        let began = Instant::now();
        let _ = outgoing.send(said(frame)).await;
        self.blocked = self.blocked.max(began.elapsed());
        self.gap = self.gap.max(self.last.elapsed());
        self.last = Instant::now();
    }
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, gap, blocked, .. } = self;
        let silent = last.elapsed();
        write!(f, "it said something {silent:?} before, every {gap:?} at least, and waited {blocked:?} for it at most")
    }
}

/// Attaches, reads and writes, and attaches again when its stream breaks, until it is to stop.
pub(super) async fn read(worker: Worker, asking: CancellationToken) {
    let mut reader = Reader {
        worker,
        asking,
        streams: 0,
        epoch: 0,
        number: 0,
        writing: None,
        unacknowledged: BTreeSet::new(),
        acknowledged: BTreeSet::new(),
        voice: Voice::new(),
    };
    while !reader.worker.stop.is_cancelled() {
        if let Err(status) = reader.attached().await
            && !explains_an_end(&status, reader.worker.size.cut_off || reader.voice.was_silent(Instant::now()))
        {
            let (name, voice) = (&reader.worker.name, &reader.voice);
            reader.worker.recorder.surprise(format!("the stream of {name} ended, {voice}: {status:?}"));
        }
        reader.worker.pause(20..120).await;
    }
}

impl Reader {
    /// One stream, from hello to its end.
    async fn attached(&mut self) -> Result<(), tonic::Status> {
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let mut hello =
            v1::Hello { previous_epoch: self.epoch, message_window: WINDOW, ..mail_hello(&self.worker.name) };
        if let Some(profile) = &mut hello.profile {
            profile.handles[0].r#type = "nothing".to_owned();
        }
        self.streams += 1;
        self.voice = Voice::new();
        let _ = outgoing.try_send(said(Saying::Hello(hello)));
        let mut incoming = self.worker.client.agents().attach(ReceiverStream::new(frames)).await?.into_inner();
        let stop = self.worker.stop.clone();
        let mut beats = tokio::time::interval(BEAT * u32::try_from(self.worker.size.slowness).unwrap_or(1));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                heard = incoming.message() => match heard? {
                    // The server goes away: another is attached to.
                    Some(v1::AttachResponse { frame: Some(Frame::Drain(_)) }) | None => return Ok(()),
                    Some(response) => self.hear(response, &outgoing).await,
                },
                _ = beats.tick(), if self.epoch > 0 => self.beat(&outgoing).await,
            }
        }
    }

    async fn hear(&mut self, response: v1::AttachResponse, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        match response.frame {
            Some(Frame::Welcome(welcome)) => {
                self.epoch = welcome.session_epoch;
                if let Some(lease) = welcome.lease.and_then(|lease| Duration::try_from(lease).ok()) {
                    self.voice.lease = lease;
                }
                if let Some((_, send)) = &self.writing {
                    self.voice
                        .say(outgoing, Saying::Messages(v1::MessageSendBatch { messages: vec![send.clone()] }))
                        .await;
                }
            }
            Some(Frame::Messages(batch)) => batch.messages.into_iter().for_each(|message| self.delivered(message)),
            Some(Frame::MessageReceipts(batch)) => {
                for id in batch.acknowledged_ids {
                    self.unacknowledged.remove(&id);
                    self.worker.recorder.history().acknowledged.insert(id.clone());
                    self.acknowledged.insert(id);
                }
                for receipt in batch.sent {
                    self.written(receipt);
                }
            }
            _ => {}
        }
    }

    fn delivered(&mut self, message: v1::Message) {
        let delivery = Delivery {
            reader: self.worker.name.clone(),
            stream: self.streams,
            sequence: message.sequence,
            text: crate::text_of(message.payload.as_ref()),
            acknowledged: self.acknowledged.contains(&message.id),
            message_id: message.id.clone(),
        };
        self.worker.recorder.history().deliveries.push(delivery);
        self.unacknowledged.insert(message.id);
    }

    fn written(&mut self, receipt: v1::MessageSendReceipt) {
        let Some((index, send)) = self.writing.take() else { return };
        // The one that it writes to has not attached yet; or the receipt is of a repetition, and of another letter.
        if receipt.request_id != send.request_id || receipt.retry {
            self.writing = Some((index, send));
        } else if let Some(message) = receipt.message {
            self.worker.recorder.history().letters[index].answers.push(message);
        }
    }

    /// Acknowledges some of what was delivered, and writes to another reader.
    async fn beat(&mut self, outgoing: &mpsc::Sender<v1::AttachRequest>) {
        let random = &mut self.worker.random;
        let message_ids: Vec<String> =
            self.unacknowledged.iter().filter(|_| random.random_bool(0.6)).cloned().collect();
        if !message_ids.is_empty() {
            self.voice.say(outgoing, Saying::Acknowledgements(v1::MessageAcknowledgementBatch { message_ids })).await;
        }
        if self.writing.is_none() && !self.asking.is_cancelled() {
            self.number += 1;
            let to = reader(self.worker.random.random_range(0..self.worker.size.readers));
            let letter = Letter::new(&self.worker.name, self.number, &to);
            let send = v1::MessageSend { request_id: letter.text(), message: Some(message(&to, &letter.text())) };
            self.writing = Some((self.worker.recorder.letter(letter), send));
        }
        match &self.writing {
            // Also again: a repetition changes nothing.
            Some((_, send)) => {
                self.voice.say(outgoing, Saying::Messages(v1::MessageSendBatch { messages: vec![send.clone()] })).await;
            }
            None => self.voice.say(outgoing, Saying::Heartbeat(v1::Heartbeat {})).await,
        }
    }
}

fn said(frame: Saying) -> v1::AttachRequest {
    v1::AttachRequest { frame: Some(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_for_longer_than_the_lease_was_silent_and_who_waits_for_the_stream_was_not() {
        let seconds = Duration::from_secs;
        let last = Instant::now();
        let was_silent = |gap, blocked, since| {
            let voice = Voice { last, gap: seconds(gap), blocked: seconds(blocked), lease: seconds(5) };
            voice.was_silent(last + seconds(since))
        };
        assert!(!was_silent(5, 0, 5));
        assert!(was_silent(6, 0, 0));
        assert!(was_silent(1, 0, 6), "it has not spoken again");
        assert!(!was_silent(9, 9, 0));
    }
}
