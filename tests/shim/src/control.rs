//! The control file, as the harness sees it. It is written and read as a file: on Linux that is the same memory as the map
//! that the programs have of it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// As in `c/shim.h`.
const BYTES: usize = 4096;
const ROOT_AT: usize = 1024;
const ONLY_AT: usize = 2048;
const WORD: u64 = 8;

/// What can be made to fail. As in `c/shim.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// 1: changes are journalled.
    Journal = 1,
    /// 1: a sync says yes and does nothing.
    FakeSync = 2,
    /// So many writes fail with EIO.
    FailWrites = 3,
    /// So many syncs fail with EIO, and are not done.
    FailSyncs = 4,
    /// 1: files can't grow (ENOSPC).
    Full = 5,
    /// Microseconds that each sync takes longer.
    SyncDelay = 6,
    /// So many of a thousand syncs are done, and then said to have failed (EIO).
    LatePerMille = 8,
    /// Decides which.
    Seed = 9,
}

/// What the shim has seen or done. As in `c/shim.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Writes to watched files.
    Writes = 20,
    /// Syncs of them.
    Syncs = 21,
    /// Syncs that did nothing.
    FakedSyncs = 22,
    /// Writes that failed.
    FailedWrites = 23,
    /// Syncs that failed.
    FailedSyncs = 24,
    /// Writes that a full disk refused.
    RefusedGrowth = 25,
    /// Syncs that took longer.
    DelayedSyncs = 26,
    /// Looks at a clock that was off.
    ShiftedClocks = 27,
    /// Syncs that were done and said to have failed.
    LateSyncs = 28,
    /// Processes that were started with the shim.
    Processes = 29,
}

const POWER_OFF: u64 = 0;
const CLOCK_OFFSET: u64 = 7;
const BROKEN: u64 = 30;

/// A shim for the programs that work in one folder.
#[derive(Debug)]
pub struct Shim {
    file: File,
    path: PathBuf,
    root: PathBuf,
    library: PathBuf,
}

impl Shim {
    /// Makes the control file and what belongs to it in `place`, for programs that work in `root`. Both must be on the same file
    /// system, and `place` not inside `root`. Every user may write to it: PostgreSQL runs as another.
    ///
    /// # Panics
    ///
    /// Elsewhere than on Linux, and when the folder can't be written to.
    pub fn new(place: &Path, root: &Path) -> Self {
        if cfg!(not(target_os = "linux")) {
            panic!("faults of the disk are made by LD_PRELOAD and Linux's system calls");
        }
        let (place, root) = (place.canonicalize().expect("a folder"), root.canonicalize().expect("a folder"));
        let path = place.join("shim");
        let library = place.join("libcallboard_shim.so");
        fs::copy(env!("CALLBOARD_SHIM_LIBRARY"), &library).expect("the shim was built");
        let mut page = vec![0; BYTES];
        let name = root.as_os_str().as_encoded_bytes();
        page[ROOT_AT..ROOT_AT + name.len()].copy_from_slice(name);
        fs::write(&path, &page).expect("a control file");
        fs::write(with(&path, ".journal"), "").expect("a journal");
        fs::create_dir(with(&path, ".graves")).expect("a folder");
        let open_to_all = [(&path, 0o666), (&with(&path, ".journal"), 0o666), (&with(&path, ".graves"), 0o777)];
        for (path, mode) in open_to_all.into_iter().chain([(&library, 0o755)]) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its permissions can be set");
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("the control file");
        Self { file, path, root, library }
    }

    /// What a program is to have in its environment.
    pub fn environment(&self) -> [(String, String); 2] {
        [
            ("LD_PRELOAD".to_owned(), self.library.display().to_string()),
            ("FAULT_SHIM".to_owned(), self.path.display().to_string()),
        ]
    }

    /// Sets a switch.
    pub fn set(&self, switch: Switch, value: u64) {
        self.put(switch as u64, value);
    }

    /// What is left of a switch that counts down.
    pub fn left(&self, switch: Switch) -> u64 {
        self.word(switch as u64)
    }

    /// Errors and delays are only for files with this in their path; empty for all.
    pub fn only(&self, part: &str) {
        let mut text = vec![0; 256];
        text[..part.len()].copy_from_slice(part.as_bytes());
        self.file.write_all_at(&text, ONLY_AT as u64).expect("the control file can be written");
    }

    /// Sets the programs' time of day off by so many seconds.
    pub fn shift_clock(&self, seconds: i64) {
        self.put(CLOCK_OFFSET, (seconds * 1_000_000).cast_unsigned());
    }

    /// What was seen and done since the beginning.
    pub fn count(&self, counter: Counter) -> u64 {
        self.word(counter as u64)
    }

    /// Cuts the power: whatever touches a watched file from now on dies before it does. Programs that don't are to be killed.
    pub fn cut_power(&self) {
        self.put(POWER_OFF, 1);
    }

    /// The processes that were started with the shim and live, their children among them. Ours is none.
    pub fn processes(&self) -> Vec<u32> {
        let all = fs::read_dir("/proc").expect("processes can be listed").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != std::process::id() && self.is_held_by(*pid)).collect()
    }

    fn is_held_by(&self, pid: u32) -> bool {
        // One that has gone, or is another user's, has nothing to be seen.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|path| path == self.path))
    }

    /// Waits until the last program of the shim, and the last of its children, has ended.
    pub fn wait_for_the_end(&self) {
        self.file.lock().expect("the control file can be locked");
        self.file.unlock().expect("it can be unlocked");
    }

    /// The power is back.
    pub(crate) fn restore_power(&self) {
        self.put(POWER_OFF, 0);
    }

    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.word(BROKEN), 0, "the shim could not write its journal: this run is worth nothing");
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn journal(&self) -> PathBuf {
        with(&self.path, ".journal")
    }

    pub(crate) fn graves(&self) -> PathBuf {
        with(&self.path, ".graves")
    }

    fn word(&self, word: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word * WORD).expect("the control file can be read");
        u64::from_ne_bytes(bytes)
    }

    fn put(&self, word: u64, value: u64) {
        self.file.write_all_at(&value.to_ne_bytes(), word * WORD).expect("the control file can be written");
    }
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
