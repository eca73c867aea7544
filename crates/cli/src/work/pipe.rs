//! Reading what a program writes, also when something that it started has escaped and keeps the pipe open.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long after the program's end its pipes are still waited for.
const GRACE: Duration = Duration::from_secs(2);

/// Tells the pipes of a program that it has ended.
pub struct Exit(watch::Sender<Option<Instant>>);

impl Exit {
    /// The program runs.
    pub fn new() -> Self {
        Self(watch::channel(None).0)
    }

    /// The program has ended: its pipes end, too, or are given up after a grace.
    pub fn announce(&self) {
        self.0.send_replace(Some(Instant::now() + GRACE));
    }

    /// Returns when the program has ended.
    pub async fn announced(&self) {
        // The sender is `self`: it can't be gone.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// One of the program's pipes. After the grace at most `late` more bytes are taken, from what is there at once: for
    /// a reader that is slower than the program was.
    pub fn pipe<R>(&self, source: R, late: usize) -> ProgramPipe<R> {
        ProgramPipe { source, give_up_at: self.0.subscribe(), late }
    }
}

/// A pipe that ends at the latest a grace after its program has.
pub struct ProgramPipe<R> {
    source: R,
    give_up_at: watch::Receiver<Option<Instant>>,
    late: usize,
}

impl<R: AsyncRead + Unpin> ProgramPipe<R> {
    /// Reads what is there; 0 bytes at the end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let late = self.give_up_at.borrow().is_some_and(|at| at <= Instant::now());
        if late && self.late == 0 {
            return Ok(0);
        }
        tokio::select! {
            biased;
            count = self.source.read(buffer) => {
                let count = count?;
                if late {
                    self.late = self.late.saturating_sub(count);
                }
                Ok(count)
            }
            () = given_up(&mut self.give_up_at) => Ok(0),
        }
    }
}

async fn given_up(at: &mut watch::Receiver<Option<Instant>>) {
    let deadline = match at.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        Err(_) => None,
    };
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        // The program was dropped without an end; so will this be.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pipe_kept_open_is_given_up_after_the_grace() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let exit = Exit::new();
        let mut pipe = exit.pipe(reader, 0);
        writer.write_all(b"x").await.unwrap();
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 1);
        exit.announce();
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_still_gets_what_was_written() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let exit = Exit::new();
        let mut pipe = exit.pipe(reader, 4);
        writer.write_all(b"late").await.unwrap();
        exit.announce();
        tokio::time::sleep(GRACE * 2).await;
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 4);
        writer.write_all(b"too late").await.unwrap();
        assert_eq!(pipe.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
