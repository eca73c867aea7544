//! Generates the Go SDK's protocol code: `buf` runs the plugins that `sdk/go/tools/go.mod` pins.

use crate::golang::{ensure_tools, tool};
use crate::workspace::root;
use crate::{Result, buf, command};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The module, whose path the generated files begin with.
const MODULE: &str = "module=callboard.dev/sdk/go";

/// Writes the package `callboardv1` into `out`.
pub fn generate(out: &Path) -> Result<()> {
    let tools = ensure_tools()?;
    let plugins = ["protoc-gen-go", "protoc-gen-go-grpc"]
        .map(|name| json!({ "local": tool(&tools, name), "out": ".", "opt": [MODULE] }));
    let template = json!({ "version": "v2", "plugins": plugins }).to_string();
    let fresh = tempfile::tempdir()?;
    let mut buf = Command::new(buf::ensure()?);
    buf.current_dir(root()).args(["generate", "--template", &template, "--output"]).arg(fresh.path());
    command::output(&mut buf)?;
    for entry in fs::read_dir(fresh.path().join("callboardv1"))? {
        let entry = entry?;
        fs::copy(entry.path(), out.join(entry.file_name()))?;
    }
    Ok(())
}
