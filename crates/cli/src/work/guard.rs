//! The guard: a small process that outlives `work` by a moment, and kills the programs of a `work` that was killed
//! itself.
//!
//! `work` writes `+GROUP` to it when a program starts and `-GROUP` when it has ended. When the pipe ends, `work` is
//! gone, however it went, and what is left is killed. (A parent-death signal would reach only the program itself, not
//! what it started, and exists on Linux alone.)

use std::collections::HashSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;

use super::group;

/// The hidden subcommand that is the guard.
pub const COMMAND: &str = "__guard";

/// A guard that runs. Dropped, it ends, and kills what was not unregistered.
pub struct Guard {
    child: Child,
    /// `None` once dropped.
    orders: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// Starts one, from this very program, in a process group of its own: a Ctrl-C in the terminal is not meant for it.
    pub fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = Mutex::new(child.stdin.take());
        Ok(Self { child, orders })
    }

    /// A program has started.
    pub fn register(&self, group: Pid) {
        self.order('+', group);
    }

    /// A program has ended.
    pub fn unregister(&self, group: Pid) {
        self.order('-', group);
    }

    fn order(&self, sign: char, group: Pid) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = orders.as_mut() else { return };
        // A line is far below the size up to which writes to a pipe are atomic, and the guard does nothing but read.
        if let Err(error) = pipe.write_all(format!("{sign}{}\n", group.as_raw_nonzero()).as_bytes()) {
            tracing::debug!(%error, "the guard is gone: programs would outlive a kill of this process");
            *orders = None;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.child.wait();
    }
}

/// What the guard does: follows orders until they end, then kills what is left. Lines that are no orders are ignored.
pub fn run(orders: impl BufRead) {
    for left in follow(orders) {
        group::kill(left);
    }
}

fn follow(orders: impl BufRead) -> HashSet<Pid> {
    let mut groups = HashSet::new();
    for line in orders.lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", group)) => groups.extend(parse(group)),
            Some(("-", group)) => {
                parse(group).map(|group| groups.remove(&group));
            }
            _ => {}
        }
    }
    groups
}

/// Never 0 or 1: signals to those would reach the guard's own group, or everyone.
fn parse(group: &str) -> Option<Pid> {
    group.parse().ok().filter(|&raw: &i32| raw > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(orders: &str) -> Vec<i32> {
        follow(orders.as_bytes()).into_iter().map(|group| group.as_raw_nonzero().get()).collect()
    }

    #[test]
    fn what_was_not_unregistered_is_left() {
        assert_eq!(left("+100\n+200\n-100\n"), [200]);
        assert!(left("").is_empty());
    }

    #[test]
    fn nonsense_and_dangerous_groups_are_ignored() {
        assert!(left("+0\n+1\n+-5\n+x\n\nhello\n+\n").is_empty());
    }
}
