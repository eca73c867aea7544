//! Generates the TypeScript SDK's protocol code, by buf and the protoc-gen-es that the SDK's lock file pins.

use super::names;
use crate::command;
use crate::workspace::root;
use crate::{Result, buf, typescript};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where the plugin writes below the folder that it is given.
const PACKAGE: &str = "_gen/callboard/v1";

/// Writes the modules into `out`, side by side.
pub fn generate(out: &Path) -> Result<()> {
    let sdk = typescript::install()?;
    let fresh = tempfile::tempdir()?;
    let plugin = sdk.join("node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es");
    let template = format!(
        "version: v2\nplugins:\n  - local: [node, {}]\n    out: _gen\n    opt: [target=ts, import_extension=js]\n",
        serde_json::to_string(&plugin.display().to_string())?
    );
    let mut buf = Command::new(buf::ensure()?);
    buf.args(["generate", "--template", &template, "--output"]).arg(fresh.path()).arg("proto");
    command::output(buf.current_dir(root()))?;
    let modules = fresh.path().join(PACKAGE);
    for name in names(&modules)? {
        fs::copy(modules.join(&name), out.join(&name))?;
    }
    Ok(())
}
