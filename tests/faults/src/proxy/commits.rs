//! Finds in what PostgreSQL says that a transaction was committed: a message of type `C` with the tag `COMMIT`.

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::watch;

/// What is at the beginning of the message.
const TAG: &[u8] = b"COMMIT\0";
/// The type and the length.
const HEAD: usize = 5;

/// Reads what the server says, byte by byte, as it comes.
pub struct Commits {
    per_mille: watch::Receiver<u32>,
    /// Of the message that is being read: its beginning, and how many bytes of it are still to come.
    begun: Vec<u8>,
    left: usize,
}

impl Commits {
    /// Of a thousand commits so many are to be noticed.
    pub fn new(per_mille: watch::Receiver<u32>) -> Self {
        Self { per_mille, begun: Vec::new(), left: 0 }
    }

    /// Whether an answer to a commit is among these bytes that chance has chosen.
    pub fn chosen(&mut self, bytes: &[u8], random: &mut StdRng) -> bool {
        let per_mille = *self.per_mille.borrow();
        let commits = self.read(bytes);
        (0..commits).any(|_| random.random_range(0..1_000) < per_mille)
    }

    /// How many answers to commits end in these bytes.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut commits = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.begun.len() < HEAD {
                self.begun.push(bytes[at]);
                at += 1;
                if self.begun.len() == HEAD {
                    let length = [self.begun[1], self.begun[2], self.begun[3], self.begun[4]];
                    self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                }
            } else {
                let here = self.left.min(bytes.len() - at);
                let wanted = (HEAD + TAG.len()).saturating_sub(self.begun.len()).min(here);
                self.begun.extend_from_slice(&bytes[at..at + wanted]);
                (at, self.left) = (at + here, self.left - here);
            }
            if self.begun.len() >= HEAD && self.left == 0 {
                commits += usize::from(self.begun[0] == b'C' && &self.begun[HEAD..] == TAG);
                self.begun.clear();
            }
        }
        commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    #[test]
    fn commits_are_found_however_the_bytes_come() {
        let all = [
            message(b'T', b"COMMIT\0"),
            message(b'C', b"BEGIN\0"),
            message(b'2', b""),
            message(b'C', b"COMMIT\0"),
            message(b'D', &[b'C'; 300]),
            message(b'C', b"COMMIT\0"),
            message(b'C', b"ROLLBACK\0"),
            message(b'Z', b"I"),
        ]
        .concat();
        for size in 1..all.len() {
            let (_, never) = watch::channel(0);
            let mut commits = Commits::new(never);
            assert_eq!(all.chunks(size).map(|chunk| commits.read(chunk)).sum::<usize>(), 2);
        }
        let (_, always) = watch::channel(1_000);
        assert!(Commits::new(always).chosen(&message(b'C', b"COMMIT\0"), &mut StdRng::seed_from_u64(1)));
    }
}
