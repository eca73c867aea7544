//! The bytes of a workflow file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::fault::Fault;

/// The largest file. A workflow has at most 3 MiB when it is sent, and a file has more white space.
const MAX_BYTES: u64 = 4 << 20;

/// What a file is called in errors.
pub fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads a file, or `stdin` for `-`.
pub fn read(path: &Path, stdin: impl Read) -> Result<String, Fault> {
    let bytes = if is_stdin(path) { read_bounded(stdin) } else { File::open(path).and_then(read_bounded) };
    let bytes = bytes.map_err(|error| Fault::whole(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Fault::whole(
            "has more than 4 MiB: put large inputs elsewhere and pass where they are, or split the workflow",
        ));
    }
    String::from_utf8(bytes).map_err(|_| Fault::whole("is not UTF-8: save it as UTF-8"))
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// One byte more than the limit at most, so that an endless input can't fill the memory.
fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
