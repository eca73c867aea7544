//! The Go SDK's tools, checks and tests. Its tools are built from pinned versions (`sdk/go/tools/go.mod`) into the target directory.

use crate::command::{output, quiet, watched};
use crate::steps::Steps;
use crate::workspace::{root, target};
use crate::{Result, tools};
use std::env;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the language is written in: the oldest release that the SDK supports.
const OLDEST: (u32, u32) = (1, 26);

/// The SDK's folder.
fn sdk() -> PathBuf {
    root().join("sdk/go")
}

/// The SDK's modules: itself, and beside it what needs more than most users want to have.
fn modules() -> [PathBuf; 2] {
    [sdk(), sdk().join("otelcallboard")]
}

/// `go`, in the SDK, without settings of the developer's own.
fn go() -> Command {
    go_in(&sdk())
}

/// The same in a module.
fn go_in(module: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(module);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CALLBOARD_") {
            go.env_remove(name);
        }
    }
    go
}

/// Whether there is a Go that is new enough; says how to get one.
pub fn check() -> Result<()> {
    let version = output(go().current_dir(root()).args(["env", "GOVERSION"]))?;
    if is_new_enough(version.trim()) {
        return Ok(());
    }
    let (major, minor) = OLDEST;
    Err(format!("Go is {}: install {major}.{minor} or newer (https://go.dev/dl)", version.trim()).into())
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.trim_start_matches("go").split(['.', 'r', 'b', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST
}

/// Builds the driver of the conformance suite, to where its runner looks for it.
pub fn driver() -> Result<()> {
    for (name, tags) in [("driver-go", ""), ("driver-go-defects", "callboard_defects")] {
        let program = target().join(format!("conformance/{name}{}", env::consts::EXE_SUFFIX));
        quiet(go().args(["build", "-tags", tags, "-o"]).arg(program).arg("./internal/conformance"))?;
    }
    Ok(())
}

/// Builds the program that measures the SDK.
pub fn throughput() -> Result<PathBuf> {
    let program = target().join(format!("callboard-go-throughput{}", env::consts::EXE_SUFFIX));
    quiet(go().args(["build", "-o"]).arg(&program).arg("./internal/throughput"))?;
    Ok(program)
}

/// The folder of the SDK's tools: protoc-gen-go, protoc-gen-go-grpc and staticcheck, built where they are missing or out of date.
pub fn ensure_tools() -> Result<PathBuf> {
    check()?;
    let place = target().join("go-tools");
    quiet(go().current_dir(sdk().join("tools")).args(["install", "tool"]).env("GOBIN", &place))?;
    Ok(place)
}

/// A tool in that folder.
pub fn tool(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Runs the steps of `lint` among others. Gives the folder of the tools.
pub fn lint(steps: &mut Steps) -> Option<PathBuf> {
    let place = steps.run("go tools", ensure_tools);
    steps.run_with(place.as_ref(), "gofmt", |_| formatted());
    steps.run_with(place.as_ref(), "go vet", |_| {
        each(|module| quiet(go_in(module).args(["vet", "./..."])))?;
        quiet(go().args(["vet", "-tags", "callboard_defects", "./..."]))
    });
    steps.run_with(place.as_ref(), "go mod tidy", |_| {
        each(|module| quiet(go_in(module).args(["mod", "tidy", "-diff"])))
    });
    steps.run_with(place.as_ref(), "staticcheck", |place| {
        let staticcheck = tool(place, "staticcheck");
        each(|module| quiet(Command::new(&staticcheck).current_dir(module).args(["-checks=all,-ST1000", "./..."])))
    });
    place
}

/// Does something in each module, up to the first that fails.
fn each(check: impl Fn(&Path) -> Result<()>) -> Result<()> {
    modules().iter().try_for_each(|module| check(module))
}

/// gofmt lists what it would change, and succeeds.
fn formatted() -> Result<()> {
    let listing = output(Command::new("gofmt").current_dir(sdk()).args(["-l", "."]))?;
    if listing.is_empty() { Ok(()) } else { Err(format!("not formatted, run `gofmt -w sdk/go`:\n{listing}").into()) }
}

/// The SDK's own tests, some of them against the real server. With the race detector where there is cgo. Says how they ran.
pub fn test(binary: &Path) -> Result<String> {
    let has_cgo = output(go().args(["env", "CGO_ENABLED"]))?.trim() == "1" && tools::has("cc");
    let (mut passed, mut succeeded) = (0, true);
    for module in modules() {
        let mut command = go_in(&module);
        command.args(["test", "-count=1"]).args(has_cgo.then_some("-race")).arg("./...").env("CALLBOARD_BIN", binary);
        let mut here = 0;
        succeeded &= watched(&mut command, stdout(), |line| here += usize::from(line.starts_with("ok ")))? && here > 0;
        passed += here;
    }
    let how = if has_cgo { "with the race detector" } else { "without the race detector: there is no cgo" };
    if succeeded {
        Ok(format!("{passed} packages passed, {how}"))
    } else {
        Err(format!("go test failed, {how}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn versions_are_compared_by_number() {
        for version in ["go1.26", "go1.26.8", "go1.27rc1", "go1.100.2", "go2.0"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["go1.25.9", "go1.9", "devel", ""] {
            assert!(!is_new_enough(version), "{version}");
        }
    }
}
