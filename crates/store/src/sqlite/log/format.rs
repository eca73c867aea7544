//! The write-ahead log as bytes: its header, its frames and their checksums.
//!
//! As SQLite documents it: <https://www.sqlite.org/fileformat2.html#walformat>. Numbers are big-endian. A frame's checksum goes on
//! from that of the frame before it, the first one's from the header's.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

/// Bytes of the header.
pub const HEADER: usize = 32;
/// Bytes of a frame before its page.
pub const FRAME_HEADER: usize = 24;
/// The first number of a header; its lowest bit is the order of bytes in what is summed up.
const MAGIC: u32 = 0x377f_0682;
/// How much is read at once.
const PIECE: usize = 1 << 20;

/// A checksum.
pub type Sum = [u32; 2];
/// What all frames of a generation have: between two beginnings of the log.
pub type Salts = [u8; 8];

/// How the numbers that are summed up are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

impl Order {
    /// That of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// Goes on from a checksum; the bytes are a multiple of eight.
    pub fn sum(self, from: Sum, bytes: &[u8]) -> Sum {
        let number = match self {
            Self::Little => u32::from_le_bytes,
            Self::Big => u32::from_be_bytes,
        };
        let mut sum = from;
        for eight in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *eight;
            sum[0] = sum[0].wrapping_add(number([a, b, c, d])).wrapping_add(sum[1]);
            sum[1] = sum[1].wrapping_add(number([e, f, g, h])).wrapping_add(sum[0]);
        }
        sum
    }
}

/// The number at a place.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn salts(bytes: &[u8], at: usize) -> Salts {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).unwrap_or_default()
}

/// What the log begins with.
#[derive(Debug)]
pub struct Header {
    /// Of what is summed up.
    pub order: Order,
    /// Bytes of a page.
    pub page_size: usize,
    /// Of the frames that count.
    pub salts: Salts,
    /// Its own checksum.
    pub sum: Sum,
}

impl Header {
    /// `None` when SQLite would take no notice of the log.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let order = order_of(bytes)?;
        let page_size = page_size(number(bytes, 8))?;
        let sum = [number(bytes, 24), number(bytes, 28)];
        let whole = order.sum([0, 0], &bytes[..24]) == sum;
        whole.then(|| Self { order, page_size, salts: salts(bytes, 16), sum })
    }
}

/// Which order a header names, if it is one.
fn order_of(header: &[u8; HEADER]) -> Option<Order> {
    match number(header, 0) {
        MAGIC => Some(Order::Little),
        number if number == MAGIC | 1 => Some(Order::Big),
        _ => None,
    }
}

/// A size that a page may have.
pub fn page_size(bytes: u32) -> Option<usize> {
    (bytes.is_power_of_two() && (512..=65_536).contains(&bytes)).then_some(bytes as usize)
}

/// A page as a transaction left it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Counted from one.
    pub number: u64,
    /// Which page it is.
    pub page: u32,
    /// The last frame of a transaction has the number of pages of the database behind it; others have 0.
    pub pages: u32,
    /// Which generation it is of.
    pub salts: Salts,
    /// The checksum that is written in it.
    pub sum: Sum,
    bytes: &'a [u8],
}

impl Frame<'_> {
    /// Whether it is the last of its transaction.
    pub fn commits(&self) -> bool {
        self.pages != 0
    }

    /// What its checksum must be behind another.
    pub fn sum_behind(&self, before: Sum, order: Order) -> Sum {
        order.sum(order.sum(before, &self.bytes[..8]), self.content())
    }

    /// Whether it is as it was written behind a frame with this checksum.
    pub fn is_behind(&self, before: Sum, order: Order) -> bool {
        self.page != 0 && self.sum_behind(before, order) == self.sum
    }

    /// The page.
    pub fn content(&self) -> &[u8] {
        &self.bytes[FRAME_HEADER..]
    }
}

/// Reads a log frame by frame.
pub struct Frames {
    file: BufReader<File>,
    next: u64,
    buffer: Vec<u8>,
}

impl Frames {
    /// From the first frame.
    pub fn new(file: File, page_size: usize) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(PIECE, file);
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Self { file, next: 1, buffer: vec![0; FRAME_HEADER + page_size] })
    }

    /// The next one; `None` behind the last that is there as a whole.
    pub fn read(&mut self) -> io::Result<Option<Frame<'_>>> {
        match self.file.read_exact(&mut self.buffer) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let bytes = &self.buffer[..];
        let frame = Frame {
            number: self.next,
            page: number(bytes, 0),
            pages: number(bytes, 4),
            salts: salts(bytes, 8),
            sum: [number(bytes, 16), number(bytes, 20)],
            bytes,
        };
        self.next += 1;
        Ok(Some(frame))
    }

    /// Goes to a frame.
    pub fn seek(&mut self, frame: u64) -> io::Result<()> {
        self.next = frame;
        self.file.seek(SeekFrom::Start(place(frame, self.buffer.len()))).map(|_| ())
    }
}

/// Where a frame begins; its length is that of its header and a page.
pub fn place(frame: u64, length: usize) -> u64 {
    HEADER as u64 + frame.saturating_sub(1) * length as u64
}
