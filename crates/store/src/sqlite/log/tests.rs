//! Logs that SQLite wrote as the store has it write them: what a power cut can leave of them is never refused, and a changed byte in
//! what was committed always is.

use super::format::{FRAME_HEADER, HEADER, Header, place};
use super::{Damage, index_of, make_ready, read};
use crate::Error;
use crate::sqlite::open::{close, connect};
use crate::sqlite::writer::log_of;
use crate::sqlite::{SqliteOptions, SqliteStore};
use proptest::prelude::*;
use sqlx::{Executor, SqliteConnection};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PAGE: usize = 4096;
const FRAME: usize = PAGE + FRAME_HEADER;

/// The files of a store at one moment.
#[derive(Clone, Debug, Default)]
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
    index: Vec<u8>,
}

impl Files {
    fn of(database: &Path) -> Self {
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        Self { database: read(database.into()), log: read(log_of(database)), index: read(index_of(database)) }
    }

    fn write(&self, database: &Path) {
        fs::write(database, &self.database).unwrap();
        fs::write(log_of(database), &self.log).unwrap();
        if self.index.is_empty() {
            let _ = fs::remove_file(index_of(database));
        } else {
            fs::write(index_of(database), &self.index).unwrap();
        }
    }

    fn damage(&self, folder: &TempDir) -> Option<Damage> {
        let database = folder.path().join("damaged.db");
        self.write(&database);
        read(&database, &log_of(&database)).unwrap().err()
    }

    fn without_index(&self) -> Self {
        Self { index: Vec::new(), ..self.clone() }
    }

    /// How many frames are committed: the index's first word on it.
    fn committed(&self) -> usize {
        self.index.get(16..20).map_or(0, |four| u32::from_ne_bytes(four.try_into().unwrap()) as usize)
    }

    /// Frames that end a transaction, up to the last one.
    fn commits(&self) -> Vec<usize> {
        let ends = |frame: &usize| self.log[HEADER + (frame - 1) * FRAME + 4..][..4] != [0; 4];
        (1..=self.committed()).filter(ends).collect()
    }
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    /// So many rows of so many bytes are committed.
    Commit { rows: u8, bytes: u16 },
    /// So much is written that it doesn't fit the cache, and rolled back.
    RollBack,
    /// The log is copied into the file; what is committed next begins it anew.
    Copy,
    /// The machine loses power in the next commit. The seed says what survives.
    PowerCut { seed: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..6_u8, 1..9_000_u16).prop_map(|(rows, bytes)| Step::Commit { rows, bytes }),
        1 => Just(Step::Commit { rows: 60, bytes: 4_000 }),
        1 => Just(Step::RollBack),
        1 => Just(Step::Copy),
        3 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
    ];
    prop::collection::vec(step, 1..14)
}

/// A store's file and its writing connection.
struct Written {
    folder: TempDir,
    path: PathBuf,
    connection: SqliteConnection,
    /// As it was behind each of the last commits.
    synced: Vec<Files>,
}

fn options() -> SqliteOptions {
    // A small cache: large transactions are written to the log before they are committed.
    SqliteOptions { cache_kib: 64, ..SqliteOptions::default() }
}

impl Written {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut connection = connect(&path, &options()).await.unwrap();
        connection.execute("CREATE TABLE t (x BLOB)").await.unwrap();
        let synced = vec![Files::of(&path)];
        Self { folder, path, connection, synced }
    }

    async fn insert(&mut self, rows: u32, bytes: u32) {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
             INSERT INTO t SELECT randomblob(?) FROM n";
        sqlx::query(sql).bind(rows).bind(bytes).execute(&mut self.connection).await.unwrap();
    }

    async fn run(&mut self, step: &Step) {
        match step {
            Step::Commit { rows, bytes } => {
                self.insert((*rows).into(), (*bytes).into()).await;
                self.synced.push(Files::of(&self.path));
            }
            Step::RollBack => {
                self.connection.execute("BEGIN IMMEDIATE").await.unwrap();
                self.insert(60, 4_000).await;
                self.connection.execute("ROLLBACK").await.unwrap();
            }
            Step::Copy => {
                self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").await.unwrap();
            }
            Step::PowerCut { seed } => self.lose_power(*seed).await,
        }
    }

    /// Cuts the power in a commit, in a few ways; goes on with what the last of them left.
    async fn lose_power(&mut self, seed: u64) {
        let before = Files::of(&self.path);
        self.insert(1 + (seed % 40) as u32, 1 + (seed % 5_000) as u32).await;
        let after = Files::of(&self.path);
        let indexes: Vec<Vec<u8>> = self.synced.iter().map(|files| files.index.clone()).chain([Vec::new()]).collect();
        let mut chance = Chance(seed);
        let mut left = before.clone();
        for _ in 0..16 {
            let log = torn(&before.log, &after.log, &mut chance);
            // The index is never synced: it is gone, or as it was at any time before.
            let index = indexes[chance.below(indexes.len())].clone();
            left = Files { database: after.database.clone(), log, index };
            assert_eq!(left.damage(&self.folder), None, "a power cut is taken for damage");
        }
        let path = self.folder.path().join(format!("{seed}-{}.db", self.synced.len()));
        left.write(&path);
        make_ready(&path).unwrap();
        let connection = connect(&path, &options()).await.unwrap();
        close(std::mem::replace(&mut self.connection, connection)).await;
        self.path = path;
        self.insert(1, 10).await;
        self.synced = vec![Files::of(&self.path)];
    }
}

/// Small and good enough.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed >> 33) as usize) % limit
    }
}

/// What a log can be while a commit is written: its header is synced before its frames are written, and those in any order.
fn torn(before: &[u8], after: &[u8], chance: &mut Chance) -> Vec<u8> {
    let anew = before.get(..HEADER) != after.get(..HEADER);
    let mut log = before.to_vec();
    if anew && chance.below(2) == 0 {
        // In the header itself.
        let torn = chance.below(HEADER + 1);
        log.resize(log.len().max(torn), 0);
        log[..torn].copy_from_slice(&after[..torn]);
        return log;
    }
    // An older and longer log stays as long as it was.
    log.resize(log.len().max(after.len()), 0);
    log[..HEADER].copy_from_slice(&after[..HEADER]);
    let whole = log.clone();
    match chance.below(3) {
        0 => {
            let until = HEADER + chance.below(after.len() - HEADER + 1);
            log[HEADER..until].copy_from_slice(&after[HEADER..until]);
        }
        kind => {
            let sector = if kind == 1 { 512 } else { 4_096 };
            let lost = 1 + chance.below(20);
            for (to, from) in log.chunks_mut(sector).zip(after.chunks(sector)) {
                if chance.below(20) >= lost {
                    to[..from.len()].copy_from_slice(from);
                }
            }
            log[..HEADER].copy_from_slice(&whole[..HEADER]);
        }
    }
    // What the file system had not yet made longer.
    if chance.below(3) == 0 {
        log.truncate(before.len().max(HEADER).max(HEADER + chance.below(log.len() - HEADER + 1)));
    }
    log
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Prefixes, lost sectors, torn headers, files that did not grow; logs begun anew, left by a rollback or by a crash before.
    #[test]
    fn what_a_power_cut_leaves_is_never_refused(steps in steps(), last in any::<u64>()) {
        run(async {
            let mut written = Written::new().await;
            for step in steps.iter().chain([&Step::PowerCut { seed: last }]) {
                written.run(step).await;
                prop_assert_eq!(Files::of(&written.path).damage(&written.folder), None, "behind {:?}", step);
            }
            Ok(())
        })?;
    }

    /// With the index that a killed server leaves: anywhere in what was committed. Without it: before the last frame of the last
    /// commit that another follows.
    #[test]
    fn a_changed_byte_in_what_was_committed_is_refused(
        steps in steps(),
        places in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 16),
    ) {
        run(async {
            let mut written = Written::new().await;
            for step in &steps {
                written.run(step).await;
            }
            for rows in [2, 3, 1] {
                written.run(&Step::Commit { rows, bytes: 3_000 }).await;
            }
            let whole = Files::of(&written.path);
            prop_assert_eq!(whole.damage(&written.folder), None);
            let commits = whole.commits();
            let followed = commits[commits.len() - 2] - 1;
            for (place, bits) in places {
                let mut damaged = whole.clone();
                let at = HEADER + place.index(whole.committed() * FRAME);
                damaged.log[at] ^= bits;
                let number = (1 + (at - HEADER) / FRAME) as u64;
                let found = damaged.damage(&written.folder);
                prop_assert!(matches!(found, Some(Damage::Frame { number: found, .. }) if found == number), "{at}: {found:?}");
                let at = HEADER + place.index(followed * FRAME);
                let mut damaged = whole.without_index();
                damaged.log[at] ^= bits;
                let found = damaged.damage(&written.folder);
                prop_assert!(matches!(found, Some(Damage::Frame { .. })), "{at} without the index: {found:?}");
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_header_is_missed_only_when_the_file_lacks_what_is_behind_it() {
    let mut written = Written::new().await;
    for rows in [1, 20, 3] {
        written.insert(rows, 3_000).await;
    }
    let uncopied = Files::of(&written.path);
    written.run(&Step::Copy).await;
    let copied = Files::of(&written.path);
    for at in 0..HEADER {
        let flipped = |files: &Files| {
            let mut files = files.without_index();
            files.log[at] ^= 1;
            files.damage(&written.folder)
        };
        assert_eq!(flipped(&uncopied), Some(Damage::Header), "byte {at}");
        assert_eq!(flipped(&copied), None, "byte {at}");
    }
    let mut overwritten = uncopied.clone();
    overwritten.log[..512].fill(0x55);
    assert_eq!(overwritten.damage(&written.folder), Some(Damage::Header));
}

/// SQLite takes the next generation's salts from a torn header: they may be those of the frames that stand behind it.
#[tokio::test]
async fn a_log_with_a_torn_header_is_emptied_before_it_is_used() {
    let mut written = Written::new().await;
    for rows in [3, 2, 4] {
        written.insert(rows, 3_000).await;
    }
    written.run(&Step::Copy).await;
    let mut torn = Files::of(&written.path);
    // It was to count up in this byte, and then to get other salts.
    torn.log[15] += 1;
    let path = written.folder.path().join("torn.db");
    torn.write(&path);
    make_ready(&path).unwrap();
    assert_eq!(fs::metadata(log_of(&path)).unwrap().len(), 0);
    let mut connection = connect(&path, &options()).await.unwrap();
    connection.execute("INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(Files::of(&path).damage(&written.folder), None);
}

#[tokio::test]
async fn an_end_that_was_committed_is_missed_while_the_index_knows() {
    let mut written = Written::new().await;
    written.insert(20, 3_000).await;
    let mut cut = Files::of(&written.path);
    let committed = cut.committed() as u64;
    cut.log.truncate(place(committed, FRAME) as usize + 100);
    assert_eq!(cut.damage(&written.folder), Some(Damage::Missing { whole: committed - 1, committed }));
    // Nobody can tell any more.
    assert_eq!(cut.without_index().damage(&written.folder), None);
}

/// What SQLite makes of it is why it has to be looked at before.
#[tokio::test]
async fn a_store_with_a_damaged_log_is_refused_at_its_start_and_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let name = path.to_str().unwrap();
    let store = SqliteStore::open(name, SqliteOptions::default()).await.unwrap();
    // The tables are in the log, by several commits.
    let mut killed = Files::of(&path);
    drop(store);
    let header = Header::parse(killed.log.first_chunk().unwrap()).unwrap();
    assert_eq!((header.page_size, killed.commits().len() > 2), (PAGE, true));
    killed.log[HEADER + FRAME + 1_000] ^= 1;
    let damaged = folder.path().join("b.db");
    killed.write(&damaged);
    let name = damaged.to_str().unwrap();
    let opened = SqliteStore::open(name, SqliteOptions::default()).await.map(drop);
    let inspected = SqliteStore::inspect(name).await.map(drop);
    for refused in [opened, inspected] {
        let Err(Error::Corrupt(text)) = refused else { panic!("{refused:?}") };
        let place = format!("frame 2, at byte {}", HEADER + FRAME);
        assert!(text.contains("b.db-wal is damaged") && text.contains(&place) && text.contains("backup"), "{text}");
    }
    assert_eq!(Files::of(&damaged).log, killed.log, "nothing was changed");
}
