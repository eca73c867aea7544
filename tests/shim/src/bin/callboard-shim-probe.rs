//! Does what its arguments say, one after the other: a program for the shim's own tests. An argument is a word and what belongs to
//! it, separated by colons: `write:FILE:OFFSET:TEXT`, `sync:FILE`, `cut:FILE:LENGTH`, `rename:FROM:TO`, `remove:FILE`, `syncdir`,
//! `time`, `hang`. It says of each how it ended, in a line.

use std::fs::{self, File, OpenOptions};
use std::io::{Result, Write};
use std::os::unix::fs::FileExt;

// A test's program tells what clock it has.
#[allow(clippy::disallowed_methods)]
fn seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn open(name: &str) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(name)
}

fn run(step: &str) -> Result<String> {
    let words: Vec<&str> = step.split(':').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or_default();
    match words.as_slice() {
        ["write", name, _, text] => open(name)?.write_all_at(text.as_bytes(), number(2))?,
        ["sync", name] => open(name)?.sync_data()?,
        ["cut", name, _] => open(name)?.set_len(number(2))?,
        ["rename", from, to] => fs::rename(from, to)?,
        ["remove", name] => fs::remove_file(name)?,
        ["syncdir"] => File::open(".")?.sync_all()?,
        ["time"] => return Ok(seconds().to_string()),
        ["hang"] => loop {
            std::thread::park();
        },
        _ => return Ok("unknown".to_owned()),
    }
    Ok("ok".to_owned())
}

fn main() -> Result<()> {
    let mut out = std::io::stdout();
    for step in std::env::args().skip(1) {
        if step == "hang" {
            writeln!(out, "hangs")?;
        }
        let said = run(&step).unwrap_or_else(|error| error.raw_os_error().unwrap_or_default().to_string());
        writeln!(out, "{said}")?;
    }
    Ok(())
}
