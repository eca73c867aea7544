//! Lines from a pipe, bounded: what never ends in a newline can't fill the memory.

use std::io;

use tokio::io::AsyncRead;

use super::pipe::ProgramPipe;

/// How much is read at once.
const CHUNK: usize = 8 * 1024;

/// A line without its newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// Its first bytes, as many as allowed; the rest comes as the next lines, or is skipped with [`Lines::skip_rest`].
    Cut(Vec<u8>),
}

/// Splits what a program writes into lines of at most `max` bytes.
pub struct Lines<R> {
    source: ProgramPipe<R>,
    pending: Vec<u8>,
    /// How much of `pending` is known to have no newline.
    searched: usize,
    max: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of `source`.
    pub fn new(source: ProgramPipe<R>, max: usize) -> Self {
        Self { source, pending: Vec::new(), searched: 0, max, ended: false }
    }

    /// The next line; `None` at the end. A last line needs no newline.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_buffered() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Drops what is left of a line that was cut. Returns at its newline, or at the end.
    pub async fn skip_rest(&mut self) -> io::Result<()> {
        while let Some(Line::Cut(_)) = self.next().await? {}
        Ok(())
    }

    fn take_buffered(&mut self) -> Option<Line> {
        if let Some(offset) = self.pending[self.searched..].iter().position(|&byte| byte == b'\n') {
            let end = self.searched + offset;
            if end <= self.max {
                let line = self.take(end);
                self.take(1);
                return Some(Line::Whole(line));
            }
            return Some(Line::Cut(self.take(self.max)));
        }
        self.searched = self.pending.len();
        if self.pending.len() > self.max {
            return Some(Line::Cut(self.take(self.max)));
        }
        (self.ended && !self.pending.is_empty()).then(|| Line::Whole(self.take(self.pending.len())))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.searched = 0;
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.source.read(&mut chunk).await? {
            0 => self.ended = true,
            count => self.pending.extend_from_slice(&chunk[..count]),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::pipe::Exit;

    async fn all(text: &[u8], max: usize) -> Vec<Line> {
        let exit = Exit::new();
        let mut lines = Lines::new(exit.pipe(text, 0), max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    fn cut(text: &str) -> Line {
        Line::Cut(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_end_at_newlines_and_at_the_end() {
        assert_eq!(all(b"a\n\nbc\nd", 10).await, [whole("a"), whole(""), whole("bc"), whole("d")]);
        assert_eq!(all(b"", 10).await, []);
    }

    #[tokio::test]
    async fn long_lines_come_in_pieces() {
        assert_eq!(all(b"abcdefg\nh\n", 3).await, [cut("abc"), cut("def"), whole("g"), whole("h")]);
        assert_eq!(all(b"abc\n", 3).await, [whole("abc")]);
    }

    #[tokio::test]
    async fn the_rest_of_a_long_line_can_be_skipped() {
        let exit = Exit::new();
        let mut lines = Lines::new(exit.pipe(&b"abcdefg\nnext\n"[..], 0), 4);
        assert_eq!(lines.next().await.unwrap(), Some(cut("abcd")));
        lines.skip_rest().await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(whole("next")));
    }
}
