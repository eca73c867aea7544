//! What a handler gives as output, divided and joined to chunks, until it is reported.

use std::collections::VecDeque;

use callboard_proto::v1;
use v1::payload::Content;

use crate::payload;

/// The most chunks and bytes of content in a report, by the protocol.
const MAX_CHUNKS: usize = 64;
const MAX_REPORT_BYTES: usize = 1 << 20;

/// The most bytes of content in a chunk, by the protocol.
pub(in crate::agent) const MAX_CHUNK_BYTES: usize = 1 << 16;

/// What a handler gives at once.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) enum Piece {
    /// Divided between characters, joined to text before it.
    Text(String),
    /// Divided anywhere, joined to bytes before it.
    Bytes(Vec<u8>),
    /// A chunk by itself. It is not empty, and fits into one.
    Whole(v1::Payload),
}

impl Piece {
    pub(in crate::agent) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Whole(whole) => payload::size(whole),
        }
    }

    fn into_payload(self) -> v1::Payload {
        let (content_type, content) = match self {
            Self::Text(text) => (payload::TEXT, Content::Text(text)),
            Self::Bytes(bytes) => (payload::BINARY, Content::Binary(bytes.into())),
            Self::Whole(whole) => return whole,
        };
        v1::Payload { content_type: content_type.to_owned(), content: Some(content), ..Default::default() }
    }
}

/// Chunks in their order. Each of text or bytes has at most the size of a chunk.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    chunks: VecDeque<Piece>,
    bytes: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.bytes += piece.size();
        match piece {
            Piece::Text(text) => self.push_text(&text),
            Piece::Bytes(bytes) => self.push_bytes(&bytes),
            whole @ Piece::Whole(_) => self.chunks.push_back(whole),
        }
    }

    fn push_text(&mut self, text: &str) {
        let mut rest = text;
        if let Some(Piece::Text(last)) = self.chunks.back_mut() {
            let (fits, left) = rest.split_at(rest.floor_char_boundary(MAX_CHUNK_BYTES - last.len()));
            last.push_str(fits);
            rest = left;
        }
        while !rest.is_empty() {
            let (chunk, left) = rest.split_at(rest.floor_char_boundary(MAX_CHUNK_BYTES));
            self.chunks.push_back(Piece::Text(chunk.to_owned()));
            rest = left;
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Some(Piece::Bytes(last)) = self.chunks.back_mut() {
            let (fits, left) = rest.split_at(rest.len().min(MAX_CHUNK_BYTES - last.len()));
            last.extend_from_slice(fits);
            rest = left;
        }
        self.chunks.extend(rest.chunks(MAX_CHUNK_BYTES).map(|chunk| Piece::Bytes(chunk.to_vec())));
    }

    /// As many chunks as fit into a report, and how many bytes they have.
    pub(super) fn take_report(&mut self) -> (Vec<v1::Payload>, usize) {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while let Some(size) = self.chunks.front().map(Piece::size) {
            if chunks.len() == MAX_CHUNKS || bytes + size > MAX_REPORT_BYTES {
                break;
            }
            bytes += size;
            chunks.extend(self.chunks.pop_front().map(Piece::into_payload));
        }
        self.bytes -= bytes;
        (chunks, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(chunks: &[v1::Payload]) -> Vec<usize> {
        chunks.iter().map(payload::size).collect()
    }

    #[test]
    fn text_follows_text_in_one_chunk_as_far_as_it_has_room() {
        let mut buffer = Buffer::default();
        buffer.push(Piece::Text("x".repeat(MAX_CHUNK_BYTES - 1)));
        buffer.push(Piece::Text("é".into()));
        buffer.push(Piece::Text("y".into()));
        assert_eq!(buffer.bytes(), MAX_CHUNK_BYTES + 2);
        let (chunks, bytes) = buffer.take_report();
        assert_eq!((sizes(&chunks), bytes), (vec![MAX_CHUNK_BYTES - 1, 3], MAX_CHUNK_BYTES + 2));
        assert_eq!(chunks[1].content, Some(Content::Text("éy".into())));
        assert!(buffer.is_empty() && buffer.bytes() == 0);
    }

    #[test]
    fn bytes_follow_bytes_and_values_stay_apart() {
        let mut buffer = Buffer::default();
        let json = payload::to_payload(&1).unwrap();
        buffer.push(Piece::Bytes(vec![1, 2]));
        buffer.push(Piece::Bytes(vec![3]));
        buffer.push(Piece::Whole(json.clone()));
        buffer.push(Piece::Whole(json));
        buffer.push(Piece::Text("a".into()));
        buffer.push(Piece::Bytes(vec![4]));
        assert_eq!(sizes(&buffer.take_report().0), [3, 1, 1, 1, 1]);
    }

    #[test]
    fn a_report_has_at_most_sixty_four_chunks_and_a_mebibyte() {
        let mut buffer = Buffer::default();
        (0..70).for_each(|_| buffer.push(Piece::Whole(payload::to_payload(&1).unwrap())));
        assert_eq!((buffer.take_report().0.len(), buffer.take_report().0.len()), (64, 6));
        buffer.push(Piece::Bytes(vec![0; MAX_REPORT_BYTES + 1]));
        let (chunks, bytes) = buffer.take_report();
        assert_eq!((chunks.len(), bytes), (16, MAX_REPORT_BYTES));
        assert_eq!(sizes(&buffer.take_report().0), [1]);
    }
}
