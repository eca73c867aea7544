//! What SQLite writes into its write-ahead log, gathered: it writes the head of each frame and its page by themselves, some sixty
//! small writes for a commit of thirty tasks. Here frames that follow one another wait for one large write.
//!
//! **Nothing of a commit waits**: the frame that completes one is due with its page, together with all that wait before it. What
//! still waits belongs to a transaction that has not ended, and whoever reads the log, syncs it, or asks how long it is has it
//! written first.

use crate::page::SIZE;

/// The head of a frame.
const HEAD: usize = 24;
/// So many frames are written at once: the layer below writes less than 128 KiB in a call.
const MOST: usize = 31;

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where they go.
    start: i64,
    /// The last one completes a transaction.
    commits: bool,
    /// The log was read since the last write: SQLite may be about to correct heads, which no page follows.
    read: bool,
}

/// What is to be done with a piece that SQLite wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits.
    Waits,
    /// It waits, and all that waits is to be written now.
    Due,
    /// It isn't of a frame that waits, and is to be written by itself.
    Other,
}

impl Frames {
    /// What waits, and where it goes, if anything does. It waits no more, whatever becomes of it: if it can't be written, SQLite gives
    /// the transaction up.
    pub fn take(&mut self) -> Option<(Vec<u8>, i64)> {
        self.commits = false;
        (!self.bytes.is_empty()).then(|| (std::mem::take(&mut self.bytes), self.start))
    }

    /// Gives the room of what was taken back, for the next.
    pub fn give_back(&mut self, mut room: Vec<u8>) {
        room.clear();
        self.bytes = room;
    }

    /// Notes that the log is read.
    pub fn read(&mut self) {
        self.read = true;
    }

    /// Whether a piece is what comes behind what waits. If not, what waits is to be written before it.
    pub fn go_on(&self, piece: &[u8], offset: i64) -> bool {
        let ends = self.start.checked_add_unsigned(self.bytes.len() as u64);
        let awaited = if self.in_frame() { SIZE } else { HEAD };
        self.bytes.is_empty() || (ends == Some(offset) && piece.len() == awaited)
    }

    /// Takes a piece that goes on.
    pub fn add(&mut self, piece: &[u8], offset: i64) -> Verdict {
        let read = std::mem::take(&mut self.read);
        match piece.len() {
            HEAD if !read => {
                if self.bytes.is_empty() {
                    self.start = offset;
                }
                // The size of the database behind the commit, or nothing.
                self.commits = piece[4..8] != [0; 4];
                self.keep(piece);
                Verdict::Waits
            }
            SIZE if self.in_frame() => {
                self.keep(piece);
                let full = self.bytes.len() >= MOST * (HEAD + SIZE);
                if self.commits || full { Verdict::Due } else { Verdict::Waits }
            }
            _ => Verdict::Other,
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        self.bytes.reserve_exact(if self.bytes.is_empty() { MOST * (HEAD + SIZE) } else { 0 });
        self.bytes.extend_from_slice(piece);
    }

    /// Whether the last piece was a head, whose page is still to come.
    fn in_frame(&self) -> bool {
        self.bytes.len() % (HEAD + SIZE) == HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = (HEAD + SIZE) as i64;
    const PAGE: [u8; SIZE] = [7; SIZE];

    fn head(database: u8) -> [u8; HEAD] {
        let mut head = [1; HEAD];
        head[4..8].copy_from_slice(&[0, 0, 0, database]);
        head
    }

    /// A frame as SQLite writes it.
    fn add(frames: &mut Frames, database: u8, offset: i64) -> [Verdict; 2] {
        assert!(frames.go_on(&head(database), offset));
        let of_head = frames.add(&head(database), offset);
        let behind = offset + HEAD as i64;
        assert!(frames.go_on(&PAGE, behind));
        [of_head, frames.add(&PAGE, behind)]
    }

    #[test]
    fn frames_wait_until_one_commits_and_go_together() {
        let mut frames = Frames::default();
        assert_eq!(add(&mut frames, 0, 32), [Verdict::Waits, Verdict::Waits]);
        assert_eq!(add(&mut frames, 0, 32 + FRAME), [Verdict::Waits, Verdict::Waits]);
        assert_eq!(add(&mut frames, 9, 32 + 2 * FRAME), [Verdict::Waits, Verdict::Due]);
        let (bytes, start) = frames.take().unwrap();
        assert_eq!((bytes.len() as i64, start), (3 * FRAME, 32));
        assert_eq!(bytes[..HEAD], head(0));
        assert_eq!(bytes[bytes.len() - SIZE..], PAGE);
        assert_eq!(frames.take(), None);
    }

    #[test]
    fn no_more_wait_than_can_be_written_at_once() {
        let mut frames = Frames::default();
        let due = (0..).position(|n| add(&mut frames, 0, 32 + n * FRAME)[1] == Verdict::Due).unwrap();
        let (bytes, _) = frames.take().unwrap();
        assert_eq!(due + 1, MOST);
        assert!(bytes.len() < 128 << 10);
    }

    #[test]
    fn what_is_elsewhere_or_of_another_size_does_not_go_on() {
        let mut frames = Frames::default();
        add(&mut frames, 0, 32);
        assert!(!frames.go_on(&head(0), 32));
        assert!(!frames.go_on(&PAGE, 32 + FRAME));
        assert!(!frames.go_on(&[0; 32], 32 + FRAME));
        frames.add(&head(0), 32 + FRAME);
        assert!(!frames.go_on(&head(0), 32 + FRAME + HEAD as i64));
    }

    #[test]
    fn what_is_no_frame_is_written_by_itself() {
        let mut frames = Frames::default();
        assert_eq!(frames.add(&[0; 32], 0), Verdict::Other);
        assert_eq!(frames.add(&PAGE, 32 + HEAD as i64), Verdict::Other);
        assert_eq!(frames.take(), None);
    }

    #[test]
    fn a_head_that_is_corrected_does_not_wait() {
        let mut frames = Frames::default();
        frames.read();
        assert_eq!(frames.add(&head(9), 32), Verdict::Other);
        assert_eq!(add(&mut frames, 0, 32 + FRAME), [Verdict::Waits, Verdict::Waits]);
    }

    #[test]
    fn the_room_is_used_again() {
        let mut frames = Frames::default();
        add(&mut frames, 9, 32);
        let (bytes, _) = frames.take().unwrap();
        let room = bytes.as_ptr();
        frames.give_back(bytes);
        assert_eq!(frames.take(), None);
        add(&mut frames, 9, 32);
        assert_eq!(frames.take().unwrap().0.as_ptr(), room);
    }
}
