//! Bytes of a stopped server's file, or of the log of a killed one, are flipped, or its end is cut off: the server says so, or what
//! it answers is right. Of a file, it says so of everything but free pages.

use crate::fault::{Fault, Goal, Plan};
use crate::report::Report;
use crate::stage::{Healed, SETTINGS, Servers, Stage};
use async_trait::async_trait;
use callboard_tests::checker::{self, Observed};
use callboard_tests::load::Size;
use callboard_tests::server::Server;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// Words of a server that says that its file is damaged, or is none.
const SAYS_SO: [&str; 6] = ["corrupt", "damage", "malformed", "not an SQLite file", "not a database", "restore"];
/// How long everything may take to be read.
const READING: Duration = Duration::from_secs(60);

/// The fault.
pub struct FlippedBytes;

#[async_trait]
impl Fault for FlippedBytes {
    fn name(&self) -> &'static str {
        "flipped-bytes"
    }

    fn what(&self) -> &'static str {
        "flipped bytes, and ends that are cut off, in the file of a stopped server"
    }

    fn goals(&self) -> &'static [Goal] {
        const { &[Goal::sqlite(100)] }
    }

    fn short_rounds(&self) -> u32 {
        4
    }

    fn part(&self) -> u32 {
        25
    }

    async fn run(&self, plan: &Plan, report: &Report) {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let originals =
            [Original::make(plan, End::Orderly, report).await, Original::make(plan, End::Killed, report).await];
        for (_, original) in (0..plan.rounds).zip(originals.iter().cycle()) {
            let folder = tempfile::tempdir().expect("a folder");
            original.copy_to(folder.path());
            let damage = Damage::random(original, &mut random);
            damage.do_to(folder.path());
            let unused = original.is_unused(folder.path());
            report.fired(damage.name());
            report.saw(original.end.damaged(), 1);
            let database = format!("sqlite://{}", folder.path().join("callboard.db").display());
            match Server::builder().args(SETTINGS).database(database).try_start().await {
                Err(log) => {
                    report.saw("refused at the start", 1);
                    report.demand(says_so(&log), || format!("{damage:?}: the server did not start, and said {log:?}"));
                }
                Ok(server) => original.compare(server, &damage, unused, report).await,
            }
        }
    }
}

fn says_so(log: &str) -> bool {
    SAYS_SO.iter().any(|words| log.contains(words))
}

/// How the server ended whose files are damaged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It copied its log into the file: there is none.
    Orderly,
    /// Most of what it committed is in the log, and the index beside it says how far.
    Killed,
}

impl End {
    fn damaged(self) -> &'static str {
        match self {
            Self::Orderly => "in the file of a stopped server",
            Self::Killed => "in the log of a killed server",
        }
    }

    /// What is damaged.
    fn target(self) -> &'static str {
        match self {
            Self::Orderly => "callboard.db",
            Self::Killed => "callboard.db-wal",
        }
    }
}

/// A store that a server has left, and what it said of it.
struct Original {
    end: End,
    folder: TempDir,
    /// Its files, and how long they are.
    files: Vec<(String, u64)>,
    observed: Observed,
}

impl Original {
    async fn make(plan: &Plan, end: End, report: &Report) -> Self {
        let server = Server::builder().args(SETTINGS).start().await;
        let mut stage = Stage::on(plan, Servers { servers: vec![server], cluster: None }, Size::default());
        stage.works(u64::from(plan.rounds) * 10 + 400).await;
        let Healed { mut system, history, observed } = stage.heal(report).await;
        for violation in checker::check(&history, &observed) {
            report.broken(format!("before anything was damaged: {violation}"));
        }
        let server = &mut system.servers[0];
        match end {
            End::Orderly => assert!(server.terminate().await.success(), "the server ends in an orderly way"),
            End::Killed => server.kill_9().await,
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Vec::new();
        for name in ["callboard.db", "callboard.db-wal", "callboard.db-shm"] {
            let from = server.database().with_file_name(name);
            if let Ok(size) = fs::copy(from, folder.path().join(name))
                && size > 0
            {
                files.push((name.to_owned(), size));
            }
        }
        assert!(files.iter().any(|(name, _)| name == end.target()), "{} is not there", end.target());
        Self { end, folder, files, observed }
    }

    fn copy_to(&self, folder: &Path) {
        for (name, _) in &self.files {
            fs::copy(self.folder.path().join(name), folder.join(name)).expect("a file can be copied");
        }
    }

    /// Whether what differs in a folder's copy of the file is nothing that a server needs.
    fn is_unused(&self, folder: &Path) -> bool {
        let read = |folder: &Path| fs::read(folder.join("callboard.db")).expect("a file can be read");
        let (before, after) = (read(self.folder.path()), read(folder));
        let free = free_pages(&before);
        before.len() == after.len()
            && (0..before.len()).filter(|at| before[*at] != after[*at]).all(|at| {
                let unused = UNUSED.iter().any(|field| field.contains(&at));
                unused || free.contains(&(at / PAGE + 1))
            })
    }

    /// What a server on a damaged file says of everything.
    async fn compare(&self, mut server: Server, damage: &Damage, unused: bool, report: &Report) {
        let read = timeout(READING, Observed::read(&server.client())).await;
        match read {
            Ok(Ok(observed)) if observed == self.observed => {
                report.saw("harmless", 1);
                report.demand(unused || self.end == End::Killed, || format!("{damage:?}: nobody noticed"));
            }
            Ok(Ok(observed)) => {
                let differ = self.observed.tasks.iter().find(|(id, seen)| observed.tasks.get(*id) != Some(seen));
                let told = differ.map(|(id, seen)| format!("{id}: {seen:?} became {:?}", observed.tasks.get(id)));
                report.saw("wrong answers", 1);
                report.broken(format!("{damage:?}: the server answers what is not so: {}", told.unwrap_or_default()));
            }
            Ok(Err(error)) => {
                report.saw("refused when it was read", 1);
                let said = format!("{error:?}{}", server.logs());
                report.demand(says_so(&said), || format!("{damage:?}: nobody says that the file is damaged: {said}"));
            }
            Err(_) => report.broken(format!("{damage:?}: the server did not answer in {READING:?}")),
        }
        if server.is_running() {
            server.kill_9().await;
        }
    }
}

const PAGE: usize = 4096;
/// Fields of SQLite's header that say when what was changed: wrong ones make it read again what it knows.
const UNUSED: [Range<usize>; 3] = [24..28, 40..44, 92..100];

/// The pages of an SQLite file in which nothing is: the leaves of its list of free pages.
fn free_pages(file: &[u8]) -> BTreeSet<usize> {
    let number = |at: usize| u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
    let mut free = BTreeSet::new();
    let mut trunk = number(32);
    while trunk > 0 {
        let start = (trunk - 1) * PAGE;
        free.extend((0..number(start + 4)).map(|n| number(start + 8 + n * 4)));
        trunk = number(start);
    }
    free
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// Bytes are changed: where, and which bits.
    Flipped { file: String, bytes: Vec<(u64, u8)> },
    /// A sector has something else.
    Overwritten { file: String, sector: u64, with: u8 },
    /// The end is gone.
    Cut { file: String, length: u64 },
}

const SECTOR: u64 = 512;
/// A log without its header can't be told from one that was emptied.
const LOG_HEADER: u64 = 32;

impl Damage {
    fn random(original: &Original, random: &mut StdRng) -> Self {
        let file = original.end.target().to_owned();
        let size = original.files.iter().find(|(name, _)| *name == file).map_or(0, |(_, size)| *size);
        match random.random_range(0..10) {
            0..=6 => {
                let count = random.random_range(1..=8);
                let bytes = (0..count).map(|_| (random.random_range(0..size), random.random_range(1..=255)));
                Self::Flipped { file, bytes: bytes.collect() }
            }
            7 | 8 => {
                let sector = random.random_range(0..size.div_ceil(SECTOR));
                Self::Overwritten { file, sector, with: random.random() }
            }
            _ => {
                let least = if original.end == End::Killed { LOG_HEADER } else { 0 };
                Self::Cut { file, length: random.random_range(least..size) }
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Flipped { .. } => "files with flipped bytes",
            Self::Overwritten { .. } => "files with a sector of something else",
            Self::Cut { .. } => "files without their end",
        }
    }

    fn do_to(&self, folder: &Path) {
        let (Self::Flipped { file: name, .. } | Self::Overwritten { file: name, .. } | Self::Cut { file: name, .. }) =
            self;
        let path: PathBuf = folder.join(name);
        let file = OpenOptions::new().read(true).write(true).open(path).expect("a file");
        match self {
            Self::Flipped { bytes, .. } => {
                for (at, bits) in bytes {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, *at).expect("a byte");
                    file.write_all_at(&[byte[0] ^ bits], *at).expect("a byte can be written");
                }
            }
            Self::Overwritten { sector, with, .. } => {
                file.write_all_at(&[*with; SECTOR as usize], sector * SECTOR).expect("a sector can be written");
            }
            Self::Cut { length, .. } => file.set_len(*length).expect("a file can be cut"),
        }
    }
}
