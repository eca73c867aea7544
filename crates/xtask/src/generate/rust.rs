//! Generates the protocol crate's code, and the descriptors that gRPC reflection serves. No protoc is needed.

use super::protos;
use crate::Result;
use crate::workspace::root;
use prost::Message;
use std::fs;
use std::path::Path;

/// Writes `callboard.v1.rs` and `descriptors.bin` into `out`.
pub fn generate(out: &Path) -> Result<()> {
    let include = root().join("proto");
    let mut descriptors = protox::compile(protos()?, [include])?;
    tonic_prost_build::configure()
        .bytes(".")
        // Sorted maps, so that equal requests have equal bytes and equal digests.
        .btree_map(".")
        .out_dir(out)
        .compile_fds(descriptors.clone())?;
    // Reflection needs no comments, and they are two thirds of the bytes.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
