//! Generates code from `proto/`, or checks that what is committed is what would be generated.

use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Writes the generated files, or with `check` compares them.
pub fn run(check: bool) -> Result<()> {
    let fresh = tempfile::tempdir()?;
    rust(fresh.path())?;
    install(fresh.path(), &root().join("crates/proto/src/generated"), check)
}

fn protos() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("proto/callboard/v1"))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    files.sort();
    Ok(files)
}

fn rust(out: &Path) -> Result<()> {
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

fn install(fresh: &Path, committed: &Path, check: bool) -> Result<()> {
    for entry in fs::read_dir(fresh)? {
        let entry = entry?;
        let new = fs::read(entry.path())?;
        let target = committed.join(entry.file_name());
        if fs::read(&target).is_ok_and(|old| old == new) {
            continue;
        }
        if check {
            return Err(format!("{} is stale: run `cargo xtask generate`", target.display()).into());
        }
        fs::create_dir_all(committed)?;
        fs::write(&target, new)?;
        println!("wrote {}", target.display());
    }
    Ok(())
}
