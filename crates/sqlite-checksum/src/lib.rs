//! A checksum in each page of an SQLite file, so that damage is an error and never an answer.
//!
//! SQLite leaves room at the end of each page when it is asked to ([`reserve`]). Files that are opened by the file system layer
//! that [`vfs`] names have a checksum there ([`page`]): it is written whenever a page goes into the file, and verified whenever one
//! is read from it. A page that isn't what was written is `SQLITE_IOERR_DATA` to SQLite, and nothing of it is used. The layer lies on
//! SQLite's own for the operating system, which does all the rest.
//!
//! **The log and the pages in memory have no checksums**: their last bytes are zero. The log has checksums of its own. So what other
//! programs do with SQLite's own means can be told from damage: pages that they write (by `VACUUM`, or when they copy the log into the
//! file) have zeros there, and damage has not, but for one that hits just these eight bytes, and is refused too.

mod frames;
pub mod page;
mod vfs;

pub use vfs::{reserve, vfs};
