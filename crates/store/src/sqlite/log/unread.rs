//! A log whose header is not whole: SQLite takes no notice of it.
//!
//! That is right when the header was torn while the log was begun anew, since all of it is in the file by then. So the file is
//! compared with the log: what was committed and is not there would be lost.

use super::format::{Frames, Order, Salts, Sum, number, page_size};
use callboard_sqlite_checksum::page::RESERVED;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// The first salt is counted up whenever the log is begun anew: a frame that is ahead by no more is of a newer generation.
const GENERATIONS: u32 = 1 << 16;

/// Whether the log has commits that are not in the file.
pub fn lost(database: &Path, log: File) -> io::Result<bool> {
    let mut database = File::open(database)?;
    let Some(size) = page_size_of(&mut database)? else { return Ok(false) };
    let mut frames = Frames::new(log, size)?;
    let Some(pages) = committed(&mut frames)? else { return Ok(false) };
    let mut content = vec![0; size];
    for (page, frame) in pages {
        frames.seek(frame)?;
        let Some(frame) = frames.read()? else { return Ok(false) };
        if !is_there(&mut database, page, frame.content(), &mut content)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The page size that the file names: <https://www.sqlite.org/fileformat2.html#page_size>.
fn page_size_of(database: &mut File) -> io::Result<Option<usize>> {
    let mut start = [0; 18];
    match database.read_exact(&mut start) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(match u16::from_be_bytes([start[16], start[17]]) {
        1 => Some(65_536),
        bytes => page_size(u32::from(bytes)),
    })
}

/// Which frame has each page that was committed, in the order of the log. `None` when nothing was for certain: when nobody went on
/// behind a commit, or the generation can't be told.
fn committed(frames: &mut Frames) -> io::Result<Option<Vec<(u32, u64)>>> {
    let Some(first) = frames.read()?.map(|frame| (frame.salts, frame.sum)) else { return Ok(None) };
    let mut chain: Option<(Salts, Sum, bool)> = None;
    let mut pages: HashMap<u32, u64> = HashMap::new();
    let mut transaction = Vec::new();
    let (mut certain, mut size) = (false, 0);
    while let Some(frame) = frames.read()? {
        match chain {
            None if is_newer(first.0, frame.salts) => return Ok(None),
            None if frame.salts == first.0 && frame.is_behind(first.1, Order::NATIVE) => {
                transaction.push((frame.page, 2))
            }
            // The first frame is broken, too: what the second one is behind can't be told.
            None => {}
            Some((salts, before, commits)) => {
                if frame.salts != salts || !frame.is_behind(before, Order::NATIVE) {
                    break;
                }
                certain |= commits;
                transaction.push((frame.page, frame.number));
            }
        }
        if frame.commits() {
            pages.extend(transaction.drain(..));
            size = frame.pages;
        }
        chain = Some((frame.salts, frame.sum, frame.commits()));
    }
    // What a later commit cut off the end is not in the file any more.
    let mut pages: Vec<_> = pages.into_iter().filter(|(page, _)| *page <= size).collect();
    pages.sort_by_key(|(_, frame)| *frame);
    Ok(certain.then_some(pages))
}

fn is_newer(salts: Salts, than: Salts) -> bool {
    (1..=GENERATIONS).contains(&number(&salts, 0).wrapping_sub(number(&than, 0)))
}

/// Whether a page of the file is as it was committed. Its checksum came when it was copied: the log has none.
fn is_there(database: &mut File, page: u32, committed: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
    database.seek(SeekFrom::Start(u64::from(page.saturating_sub(1)) * committed.len() as u64))?;
    match database.read_exact(buffer) {
        Ok(()) => {
            let content = committed.len().saturating_sub(RESERVED);
            Ok(buffer[..content] == committed[..content])
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
