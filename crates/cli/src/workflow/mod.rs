//! Workflows as files (`file`), as drawings (`graph`) and as timelines (`timeline`). What is done with them on a server is in `commands::workflow`.

pub mod file;
pub mod graph;
pub mod timeline;
