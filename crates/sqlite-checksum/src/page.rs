//! What stands at the end of a page.

use std::ops::Range;
use twox_hash::XxHash3_64;

/// The size of a page: SQLite's default, and the only one that is supported.
pub const SIZE: usize = 4096;
/// So many bytes at its end are the checksum, little-endian; zero: it has none.
pub const RESERVED: usize = 8;
const CONTENT: usize = SIZE - RESERVED;

/// Where the first page says how many bytes are reserved at the end of each.
pub const RESERVED_AT: usize = 20;
/// Fields of the first page that are not covered: the change counter, the schema's cookie, and who wrote when. SQLite's means of
/// copying change them. Wrong ones make SQLite read again what it knows, and nothing else.
const UNCOVERED: [Range<usize>; 3] = [24..28, 40..44, 92..100];

/// A page as it stands in the file.
pub type Page = [u8; SIZE];

/// What the end of a page says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was written, where it was written.
    Whole,
    /// It has no checksum: another program wrote it.
    Unsealed,
    /// It isn't what was written.
    Damaged,
}

/// Compares a page with its checksum. Pages are counted from 1.
pub fn verify(number: u32, page: &Page) -> Verdict {
    match &page[CONTENT..] {
        found if found == checksum(number, page) => Verdict::Whole,
        found if found == [0; RESERVED] => Verdict::Unsealed,
        _ => Verdict::Damaged,
    }
}

/// Writes its checksum into a page.
pub fn seal(number: u32, page: &mut Page) {
    let checksum = checksum(number, page);
    page[CONTENT..].copy_from_slice(&checksum);
}

/// Takes the checksum out of a page: as SQLite is to see it.
pub fn unseal(page: &mut Page) {
    page[CONTENT..].fill(0);
}

/// XXH3 (64 bits) of the content, with the page's number as its seed: a page in another's place is damage. Never 0.
pub fn checksum(number: u32, page: &Page) -> [u8; RESERVED] {
    let hash = |content: &[u8]| XxHash3_64::oneshot_with_seed(u64::from(number), content).max(1).to_le_bytes();
    if number != 1 {
        return hash(&page[..CONTENT]);
    }
    let mut page = *page;
    for field in UNCOVERED {
        page[field].fill(0);
    }
    hash(&page[..CONTENT])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(number: u32) -> Page {
        let mut page = [0; SIZE];
        for (n, byte) in page[..CONTENT].iter_mut().enumerate() {
            *byte = (n * 31 + n / 256) as u8;
        }
        seal(number, &mut page);
        page
    }

    #[test]
    fn any_changed_byte_is_damage_and_so_is_another_place() {
        for number in [1, 2, u32::MAX] {
            let page = sealed(number);
            assert_eq!(verify(number, &page), Verdict::Whole);
            assert_eq!(verify(number - 1, &page), Verdict::Damaged);
            for at in 0..SIZE {
                let mut damaged = page;
                damaged[at] ^= 1 << (at % 8);
                let uncovered = number == 1 && UNCOVERED.iter().any(|field| field.contains(&at));
                let expected = if uncovered { Verdict::Whole } else { Verdict::Damaged };
                assert_eq!(verify(number, &damaged), expected, "byte {at} of page {number}");
            }
        }
    }

    #[test]
    fn a_page_without_a_checksum_is_told_from_damage() {
        let mut page = sealed(7);
        unseal(&mut page);
        assert_eq!(verify(7, &page), Verdict::Unsealed);
        assert_eq!(verify(7, &[0; SIZE]), Verdict::Unsealed);
    }

    /// What stands in files that are there must be read by every later version.
    #[test]
    fn the_checksum_stays_as_it_is() {
        assert_eq!(u64::from_le_bytes(checksum(2, &[0; SIZE])), XxHash3_64::oneshot_with_seed(2, &[0; CONTENT]));
        assert_eq!(u64::from_le_bytes(checksum(2, &sealed(2))), GOLDEN);
    }

    const GOLDEN: u64 = 17_040_089_363_055_776_051;
}
