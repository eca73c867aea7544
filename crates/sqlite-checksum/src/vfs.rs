//! The layer between SQLite and its own layer for the operating system ("VFS" in SQLite's words).
//!
//! A file that it opens is a file of the layer below, which gets it in every call: only the table of its methods is another, in which
//! reading and writing are ours and the rest is as it was. The table, and the one below, lie behind the file, in room that SQLite
//! allocates with it. So it is with databases, whose pages get checksums, and with write-ahead logs, whose frames are gathered.

mod log;

use crate::frames::Frames;
use crate::page::{self, Page, RESERVED, RESERVED_AT, SIZE, Verdict};
use libsqlite3_sys as ffi;
use sqlx::sqlite::LockedSqliteHandle;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const NAME: &CStr = c"callboard";

/// The name of the layer, for whoever opens a file. It is registered with SQLite when it is asked for the first time.
pub fn vfs() -> &'static str {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    if *REGISTERED.get_or_init(register) != ffi::SQLITE_OK {
        // Whoever opens a file is told that there is no such layer.
        tracing::error!("SQLite has no layer for this operating system, or refuses ours");
    }
    "callboard"
}

/// Has SQLite leave room for checksums in a file that is empty so far. In one that is not it does so with its next `VACUUM`.
/// False when SQLite doesn't know how.
pub fn reserve(connection: &mut LockedSqliteHandle<'_>) -> bool {
    let mut bytes = RESERVED as c_int;
    let connection = connection.as_raw_handle().as_ptr();
    let argument = (&raw mut bytes).cast();
    // SAFETY: the connection is open, and ours alone while its handle is locked; the argument of this operation is an int.
    let code =
        unsafe { ffi::sqlite3_file_control(connection, c"main".as_ptr(), ffi::SQLITE_FCNTL_RESERVE_BYTES, argument) };
    code == ffi::SQLITE_OK
}

/// What lies behind a file.
#[repr(C)]
struct Behind {
    /// First, so that a file's pointer to its methods leads here.
    methods: ffi::sqlite3_io_methods,
    below: *const ffi::sqlite3_io_methods,
    name: *const c_char,
    /// Of a log.
    frames: Frames,
}

/// Where it lies: so many bytes behind the beginning of a file. Set before the first file is opened.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

fn register() -> c_int {
    // SAFETY: SQLite initializes itself; what it gives lives as long as the process.
    let below = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()).as_mut() };
    let Some(below) = below else { return ffi::SQLITE_ERROR };
    let offset = usize::try_from(below.szOsFile).unwrap_or(0).next_multiple_of(align_of::<Behind>());
    let Ok(size) = c_int::try_from(offset + size_of::<Behind>()) else { return ffi::SQLITE_ERROR };
    OFFSET.store(offset, Ordering::Release);
    // Of the other methods none uses the layer that it is called with; SQLite's own need theirs to open a file alone.
    let ours = ffi::sqlite3_vfs {
        szOsFile: size,
        zName: NAME.as_ptr(),
        pAppData: std::ptr::from_mut(below).cast(),
        xOpen: Some(open),
        ..*below
    };
    // SAFETY: it is never freed, as SQLite demands.
    unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0) }
}

/// Opens a file by the layer below, and puts our methods in front if it is a database or a write-ahead log.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with the layer that we registered, whose data is the one below, and with room for a file of ours.
    unsafe {
        let below = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        let Some(open) = (*below).xOpen else { return ffi::SQLITE_CANTOPEN };
        let code = open(below, name, file, flags, flags_out);
        if code != ffi::SQLITE_OK || flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL) == 0 {
            return code;
        }
        let below = (*file).pMethods;
        let methods = match flags & ffi::SQLITE_OPEN_WAL {
            0 => of_database(&*below),
            _ => log::methods(&*below),
        };
        let behind = file.cast::<u8>().add(OFFSET.load(Ordering::Acquire)).cast::<Behind>();
        behind.write(Behind { methods, below, name, frames: Frames::default() });
        (*file).pMethods = &raw const (*behind).methods;
        ffi::SQLITE_OK
    }
}

fn of_database(below: &ffi::sqlite3_io_methods) -> ffi::sqlite3_io_methods {
    ffi::sqlite3_io_methods {
        xRead: Some(read),
        xWrite: Some(write),
        xDeviceCharacteristics: Some(characteristics),
        xFetch: Some(fetch),
        ..*below
    }
}

/// What lies behind a file that `open` opened.
///
/// # Safety
///
/// It must be one, and still open.
unsafe fn behind<'a>(file: *mut ffi::sqlite3_file) -> &'a Behind {
    // SAFETY: `open` let the pointer lead there; SQLite moves no file.
    unsafe { &*(*file).pMethods.cast() }
}

/// What SQLite wants to read or write.
enum Part {
    /// Some fields at the file's beginning. What follows from them is verified with the first page.
    Header,
    Page(u32),
    /// Nothing that we know: SQLite takes pages to have another size, which a damaged header would make it.
    Other,
}

impl Part {
    fn of(bytes: c_int, offset: i64) -> Self {
        const PAGE: i64 = SIZE as i64;
        match (i64::from(bytes), offset) {
            (PAGE, offset) if offset % PAGE == 0 => u32::try_from(offset / PAGE + 1).map_or(Self::Other, Self::Page),
            (bytes, offset) if bytes + offset <= 100 => Self::Header,
            _ => Self::Other,
        }
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: the file is ours, and the room as large as SQLite says.
    unsafe {
        let behind = behind(file);
        let Some(read) = (*behind.below).xRead else { return ffi::SQLITE_IOERR_READ };
        let code = read(file, to, bytes, offset);
        match Part::of(bytes, offset) {
            Part::Header => code,
            // The file ends before: SQLite reads no page that was never written.
            Part::Page(number) if code == ffi::SQLITE_IOERR_SHORT_READ => damaged(behind, number, "it is not there"),
            Part::Page(_) if code != ffi::SQLITE_OK => code,
            Part::Page(number) => verified(behind, number, &mut *to.cast::<Page>()),
            Part::Other => damaged(behind, 1, "its header asks for pages of another size"),
        }
    }
}

fn verified(behind: &Behind, number: u32, page: &mut Page) -> c_int {
    match page::verify(number, page) {
        Verdict::Whole => {
            page::unseal(page);
            ffi::SQLITE_OK
        }
        Verdict::Damaged => damaged(behind, number, "its checksum is another"),
        Verdict::Unsealed => {
            let fault = "it has no checksum: unless another program wrote it (sqlite3, say, which `VACUUM` would mend)";
            damaged(behind, number, fault)
        }
    }
}

/// Says so in the log, once for one that is read again and again.
fn damaged(behind: &Behind, number: u32, fault: &str) -> c_int {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    if TOLD.swap(number, Ordering::Relaxed) != number {
        let file = match behind.name.is_null() {
            true => String::new(),
            // SAFETY: SQLite keeps the name for as long as the file is open.
            false => unsafe { CStr::from_ptr(behind.name) }.to_string_lossy().into_owned(),
        };
        tracing::error!(file, page = number, "a page of the database is damaged: {fault}");
    }
    ffi::SQLITE_IOERR_DATA
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: the file is ours, and there is as much as SQLite says.
    unsafe {
        let Some(write) = (*behind(file).below).xWrite else { return ffi::SQLITE_IOERR_WRITE };
        let Part::Page(number) = Part::of(bytes, offset) else { return ffi::SQLITE_IOERR_WRITE };
        // A copy: what SQLite has in memory stays as it is.
        let mut page = *from.cast::<Page>();
        if number == 1 && page[RESERVED_AT] != RESERVED as u8 {
            tracing::error!("a database without room for checksums must not be written to by this layer");
            return ffi::SQLITE_IOERR_WRITE;
        }
        page::seal(number, &mut page);
        write(file, page.as_ptr().cast(), bytes, offset)
    }
}

/// SQLite must not read parts of pages by itself: they could not be verified.
unsafe extern "C" fn characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is ours.
    let found = unsafe { (*behind(file).below).xDeviceCharacteristics.map_or(0, |of| of(file)) };
    found & !ffi::SQLITE_IOCAP_SUBPAGE_READ
}

/// Nor by a map of the file.
unsafe extern "C" fn fetch(_: *mut ffi::sqlite3_file, _: i64, _: c_int, to: *mut *mut c_void) -> c_int {
    // SAFETY: SQLite takes a null pointer to say that it must read.
    unsafe { *to = std::ptr::null_mut() };
    ffi::SQLITE_OK
}
