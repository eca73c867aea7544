//! Writes the seeds of `fuzz/corpus/requests`: one for each method, by the descriptors.

#![allow(clippy::expect_used, reason = "a tool for developers")]

use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/requests");
    for (method, input) in callboard_fuzz::seeds() {
        std::fs::write(folder.join(method), input).expect("the corpus can be written");
    }
}
