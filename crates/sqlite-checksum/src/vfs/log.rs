//! The methods of a write-ahead log: its frames are gathered ([`crate::frames`]), and all else has them written first.

use super::Behind;
use crate::frames::Verdict;
use libsqlite3_sys as ffi;
use std::ffi::{c_int, c_void};

pub(super) fn methods(below: &ffi::sqlite3_io_methods) -> ffi::sqlite3_io_methods {
    ffi::sqlite3_io_methods {
        xClose: Some(close),
        xRead: Some(read),
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xFileSize: Some(size),
        ..*below
    }
}

/// What lies behind a log that `open` opened.
///
/// # Safety
///
/// It must be one, still open, and nothing else may have it meanwhile.
unsafe fn behind<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Behind {
    // SAFETY: `open` let the pointer lead there, into room that is the file's alone; SQLite moves no file, and has one thread at it.
    unsafe { &mut *(*file).pMethods.cast::<Behind>().cast_mut() }
}

/// Writes what waits.
///
/// # Safety
///
/// As of [`behind`].
unsafe fn flush(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: as it is asked for; what waits is as long as it says.
    unsafe {
        let behind = behind(file);
        let Some((bytes, start)) = behind.frames.take() else { return ffi::SQLITE_OK };
        let Some(write) = (*behind.below).xWrite else { return ffi::SQLITE_IOERR_WRITE };
        let Ok(length) = c_int::try_from(bytes.len()) else { return ffi::SQLITE_IOERR_WRITE };
        let code = write(file, bytes.as_ptr().cast(), length, start);
        behind.frames.give_back(bytes);
        code
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: the file is ours, and there is as much as SQLite says.
    unsafe {
        let Ok(length) = usize::try_from(bytes) else { return ffi::SQLITE_IOERR_WRITE };
        let piece = std::slice::from_raw_parts(from.cast::<u8>(), length);
        if !behind(file).frames.go_on(piece, offset) {
            let code = flush(file);
            if code != ffi::SQLITE_OK {
                return code;
            }
        }
        match behind(file).frames.add(piece, offset) {
            Verdict::Waits => ffi::SQLITE_OK,
            Verdict::Due => flush(file),
            Verdict::Other => match (*behind(file).below).xWrite {
                Some(write) => write(file, from, bytes, offset),
                None => ffi::SQLITE_IOERR_WRITE,
            },
        }
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    // SAFETY: the file is ours, and the room as large as SQLite says.
    unsafe {
        behind(file).frames.read();
        match (flush(file), (*behind(file).below).xRead) {
            (ffi::SQLITE_OK, Some(read)) => read(file, to, bytes, offset),
            (ffi::SQLITE_OK, None) => ffi::SQLITE_IOERR_READ,
            (code, _) => code,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, to: i64) -> c_int {
    // SAFETY: the file is ours.
    unsafe {
        match (flush(file), (*behind(file).below).xTruncate) {
            (ffi::SQLITE_OK, Some(truncate)) => truncate(file, to),
            (ffi::SQLITE_OK, None) => ffi::SQLITE_IOERR_TRUNCATE,
            (code, _) => code,
        }
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is ours.
    unsafe {
        match (flush(file), (*behind(file).below).xSync) {
            (ffi::SQLITE_OK, Some(sync)) => sync(file, flags),
            (ffi::SQLITE_OK, None) => ffi::SQLITE_IOERR_FSYNC,
            (code, _) => code,
        }
    }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, to: *mut i64) -> c_int {
    // SAFETY: the file is ours, and there is room for a number.
    unsafe {
        match (flush(file), (*behind(file).below).xFileSize) {
            (ffi::SQLITE_OK, Some(size)) => size(file, to),
            (ffi::SQLITE_OK, None) => ffi::SQLITE_IOERR_FSTAT,
            (code, _) => code,
        }
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is ours, and SQLite closes it once. What lies behind it has its room from us, which goes with it.
    unsafe {
        let written = flush(file);
        let below = behind(file).below;
        std::ptr::drop_in_place(&raw mut behind(file).frames);
        match (*below).xClose {
            Some(close) => match close(file) {
                ffi::SQLITE_OK => written,
                code => code,
            },
            None => ffi::SQLITE_IOERR_CLOSE,
        }
    }
}
