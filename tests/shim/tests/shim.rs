//! The shim does what it says to a program that is not made for it.
#![cfg(target_os = "linux")]
// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used)]

use callboard_shim::{Counter, Loss, Shim, Survivors, Switch};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const EIO: &str = "5";
const ENOSPC: &str = "28";

struct Stage {
    folder: TempDir,
    shim: Shim,
    random: StdRng,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let shim = Shim::new(folder.path(), &folder.path().join("data"));
        shim.set(Switch::Journal, 1);
        Self { folder, shim, random: StdRng::seed_from_u64(1) }
    }

    fn command(&self, steps: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callboard-shim-probe"));
        command.args(steps).envs(self.shim.environment()).current_dir(self.folder.path().join("data"));
        command
    }

    /// What the program says of each step.
    fn run(&self, steps: &[&str]) -> Vec<String> {
        let output = self.command(steps).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn ok(&self, steps: &[&str]) {
        assert_eq!(self.run(steps), vec!["ok"; steps.len()]);
    }

    fn lose(&mut self, survivors: Survivors) -> Loss {
        self.shim.wait_for_the_end();
        self.shim.lose(survivors, &mut self.random)
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("data").join(name)).ok()
    }
}

#[test]
fn what_is_synced_is_kept_and_what_is_not_is_lost() {
    let mut stage = Stage::new();
    stage.ok(&["write:a:0:kept", "sync:a", "syncdir", "write:a:0:lost", "write:a:4: and more"]);
    assert_eq!(stage.read("a").as_deref(), Some("lost and more"));
    let loss = stage.lose(Survivors::None);
    assert_eq!(stage.read("a").as_deref(), Some("kept"));
    assert_eq!((loss.unsynced, loss.lost, loss.names), (2, 2, 0));
    // The next round begins with what is there.
    stage.ok(&["write:a:2:eps", "sync:a", "cut:a:1"]);
    stage.lose(Survivors::None);
    assert_eq!(stage.read("a").as_deref(), Some("keeps"));
}

#[test]
fn a_sync_that_does_nothing_makes_nothing_durable() {
    let mut stage = Stage::new();
    stage.ok(&["write:a:0:kept", "sync:a", "syncdir"]);
    stage.shim.set(Switch::FakeSync, 1);
    stage.ok(&["write:a:0:lost", "sync:a"]);
    stage.lose(Survivors::None);
    assert_eq!(stage.read("a").as_deref(), Some("kept"));
    assert_eq!(stage.shim.count(Counter::FakedSyncs), 1);
}

#[test]
fn any_sectors_of_what_is_not_synced_may_survive() {
    let (new, old) = ("n".repeat(512), "o".repeat(512));
    let mut seen = std::collections::BTreeSet::new();
    let mut stage = Stage::new();
    for _ in 0..40 {
        stage.ok(&[&format!("write:a:0:{}", old.repeat(2)), "sync:a", "syncdir"]);
        stage.ok(&[&format!("write:a:0:{}", new.repeat(2))]);
        stage.lose(Survivors::Sectors { size: 512, chance: 0.5 });
        seen.insert(stage.read("a").unwrap());
    }
    let all: std::collections::BTreeSet<String> =
        [(&old, &old), (&old, &new), (&new, &old), (&new, &new)].map(|(a, b)| format!("{a}{b}")).into();
    assert_eq!(seen, all);
}

#[test]
fn names_are_durable_when_their_folder_is() {
    let mut stage = Stage::new();
    stage.ok(&["write:a:0:one", "sync:a", "write:b:0:two", "sync:b", "syncdir"]);
    stage.ok(&["rename:a:b", "write:c:0:three", "sync:c", "write:d:0:four", "sync:d", "remove:d"]);
    assert_eq!(stage.lose(Survivors::None).names, 4);
    assert_eq!(stage.read("a").as_deref(), Some("one"));
    assert_eq!(stage.read("b").as_deref(), Some("two"));
    assert!(stage.read("c").is_none() && stage.read("d").is_none());
    stage.ok(&["rename:a:b", "syncdir", "remove:b"]);
    stage.lose(Survivors::None);
    assert_eq!((stage.read("a"), stage.read("b").as_deref()), (None, Some("one")));
}

#[test]
fn errors_come_as_often_as_they_were_ordered_and_where() {
    let stage = Stage::new();
    stage.shim.set(Switch::FailWrites, 1);
    stage.shim.set(Switch::FailSyncs, 1);
    stage.shim.only("/data/b");
    let said = stage.run(&["write:a:0:x", "write:b:0:x", "write:b:0:x", "sync:a", "sync:b", "sync:b"]);
    assert_eq!(said, ["ok", EIO, "ok", "ok", EIO, "ok"]);
    assert_eq!((stage.shim.count(Counter::FailedWrites), stage.shim.count(Counter::FailedSyncs)), (1, 1));
    stage.shim.set(Switch::Full, 1);
    assert_eq!(stage.run(&["write:b:0:y", "write:b:1:y", "cut:b:9", "write:a:1:y"]), ["ok", ENOSPC, ENOSPC, "ok"]);
    assert_eq!(stage.shim.count(Counter::RefusedGrowth), 2);
    stage.shim.set(Switch::Full, 0);
    stage.shim.set(Switch::LatePerMille, 1_000);
    assert_eq!(stage.run(&["write:b:1:y", "sync:b"]), ["ok", EIO]);
    assert_eq!(stage.shim.count(Counter::LateSyncs), 1);
}

#[test]
fn a_sync_that_failed_makes_nothing_durable_and_one_that_only_says_so_does() {
    let mut stage = Stage::new();
    stage.ok(&["write:a:0:one", "sync:a", "syncdir"]);
    stage.shim.set(Switch::FailSyncs, 1);
    assert_eq!(stage.run(&["write:a:0:two", "sync:a"]), ["ok", EIO]);
    stage.lose(Survivors::None);
    assert_eq!(stage.read("a").as_deref(), Some("one"));
    stage.shim.set(Switch::LatePerMille, 1_000);
    assert_eq!(stage.run(&["write:a:0:two", "sync:a"]), ["ok", EIO]);
    stage.lose(Survivors::None);
    assert_eq!(stage.read("a").as_deref(), Some("two"));
}

#[test]
fn the_clock_is_off_by_what_was_set() {
    let stage = Stage::new();
    let time = |stage: &Stage| stage.run(&["time"])[0].parse::<i64>().unwrap();
    let now = time(&stage);
    stage.shim.shift_clock(-3_600);
    assert!((now - 3_600..now - 3_500).contains(&time(&stage)));
    stage.shim.shift_clock(3_600);
    assert!((now + 3_600..now + 3_700).contains(&time(&stage)));
    assert!(stage.shim.count(Counter::ShiftedClocks) >= 2);
}

#[test]
fn who_writes_when_the_power_is_off_dies() {
    let stage = Stage::new();
    stage.shim.cut_power();
    let output = stage.command(&["time", "write:a:0:x", "time"]).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
    assert!(stage.read("a").is_none());
}

#[test]
fn the_end_of_the_last_program_is_waited_for() {
    let stage = Stage::new();
    let mut child = stage.command(&["hang"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(stage.shim.count(Counter::Processes), 1);
    assert_eq!(stage.shim.processes(), [child.id()]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.shim.wait_for_the_end());
        assert!(!waiting.is_finished());
        child.kill().unwrap();
        child.wait().unwrap();
        waiting.join().unwrap();
    });
}
