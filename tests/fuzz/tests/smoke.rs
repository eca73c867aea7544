//! The fuzz targets with the committed corpus, and with what chance makes of it.
//!
//! `CALLBOARD_SEED` makes the same choices again; `CALLBOARD_FUZZ_SECONDS` goes on for so long instead of a few hundred inputs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_fuzz::mutate::mutate;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many inputs are made up of the corpus.
const INPUTS: usize = 400;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

// A test has nobody to be given its randomness and its time by.
#[allow(clippy::disallowed_methods)]
fn smoke(target: &str, run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let given = std::env::var("CALLBOARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    let until = std::env::var("CALLBOARD_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let until = until.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    println!("{target}: the same choices again: CALLBOARD_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut corpus = corpus(target);
    corpus.iter().for_each(|input| run(input));
    let mut tried = 0;
    while until.map_or(tried < INPUTS, |until| Instant::now() < until) {
        let made = mutate(corpus.choose(&mut random).unwrap(), corpus.choose(&mut random).unwrap(), &mut random);
        let ran = std::panic::catch_unwind(|| run(&made));
        if let Err(fault) = ran {
            println!("{target} fails with {} bytes: {made:?}", made.len());
            std::panic::resume_unwind(fault);
        }
        tried += 1;
        // What came of chance is where the next goes on from, now and then.
        if tried % 16 == 0 && corpus.len() < 256 {
            corpus.push(made);
        }
    }
    println!("{target}: {tried} inputs");
}

#[test]
fn every_method_has_its_seed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/requests");
    for (method, input) in callboard_fuzz::seeds() {
        let written = std::fs::read(folder.join(&method)).unwrap_or_default();
        assert!(
            written == input,
            "{method}: run `cargo run -p callboard-fuzz --example seeds`, and commit what it writes"
        );
    }
}

#[test]
fn any_bytes_as_requests_break_nothing() {
    smoke("requests", callboard_fuzz::requests);
}

#[test]
fn any_bytes_as_an_agent_break_nothing() {
    smoke("stream", |input| drop(callboard_fuzz::stream(input)));
}

/// A corpus that reaches nothing finds nothing.
#[test]
fn the_corpus_reaches_every_state_of_a_task() {
    let reached: BTreeSet<_> = corpus("stream").iter().flat_map(|input| callboard_fuzz::stream(input)).collect();
    let states =
        ["READY", "ASSIGNED", "RUNNING", "PAUSED", "WAITING", "COMPLETED", "FAILED", "CANCELLED", "another attempt"];
    assert!(states.iter().all(|state| reached.contains(state)), "{reached:?}");
}
