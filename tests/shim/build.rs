//! Compiles the shim: a shared library, which cargo has no way to build beside a crate that uses it.

// A build that can't be done ends with its reason.
#![allow(clippy::expect_used, clippy::panic)]

use std::env;
use std::path::PathBuf;

const SOURCES: [&str; 3] = ["c/shim.c", "c/journal.c", "c/calls.c"];

fn main() {
    println!("cargo:rerun-if-changed=c");
    let library = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("libcallboard_shim.so");
    println!("cargo:rustc-env=CALLBOARD_SHIM_LIBRARY={}", library.display());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        // LD_PRELOAD and its system calls are Linux's; elsewhere whoever asks for the library is told.
        return;
    }
    let mut build = cc::Build::new();
    build.opt_level(2).pic(true).warnings(true).extra_warnings(true).cargo_metadata(false);
    let mut compiler = build.get_compiler().to_command();
    compiler.args(["-shared", "-fvisibility=hidden", "-fno-builtin", "-Werror", "-o"]).arg(&library).args(SOURCES);
    let status = compiler.arg("-ldl").status().expect("a C compiler, which SQLite needs too");
    assert!(status.success(), "the shim could not be compiled: {status}");
}
