//! Workflows as files (`file`) and as drawings (`graph`). What is done with them on a server is in `commands::workflow`.

pub mod file;
pub mod graph;
