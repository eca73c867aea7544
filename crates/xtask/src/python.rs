//! Generates the Python SDK's protocol code, by the one version of grpcio-tools that it is pinned to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Its code loads on protobuf 5.29 to 7; a newer one's would not load on 5.29.
const GRPCIO_TOOLS: &str = "1.71.2";

/// Where the generated modules live in the SDK. protoc knows them as `callboard.v1`.
const PACKAGE: &str = "callboard._gen.callboard.v1";

/// Begins the line that gives messages the name of their module.
const BUILD_CALL: &str = "_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, 'callboard.v1.";

/// Writes the modules and their stubs into `out`, side by side, an `__init__.py` among them.
pub fn python(out: &Path) -> Result<()> {
    let fresh = tempfile::tempdir()?;
    protoc(&interpreter()?, fresh.path())?;
    let mut sources: Vec<PathBuf> = fs::read_dir(fresh.path().join("callboard/v1"))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    sources.sort();
    for source in sources {
        let name = source
            .file_name()
            .ok_or("protoc wrote a file without a name")?;
        fs::write(out.join(name), fix_imports(&fs::read_to_string(&source)?))?;
    }
    fs::write(out.join("__init__.py"), "")?;
    Ok(())
}

fn protoc(python: &Path, out: &Path) -> Result<()> {
    let include = crate::generate::root().join("proto");
    let mut command = Command::new(python);
    command
        .args(["-m", "grpc_tools.protoc"])
        .arg(format!("-I{}", include.display()));
    for plugin in ["python_out", "pyi_out", "grpc_python_out"] {
        command.arg(format!("--{plugin}={}", out.display()));
    }
    let mut protos: Vec<PathBuf> = fs::read_dir(include.join("callboard/v1"))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    protos.retain(|path| path.extension().is_some_and(|e| e == "proto"));
    protos.sort();
    run(command.args(protos))
}

/// protoc writes for a top-level package `callboard.v1`, which does not exist at run time: its imports are changed, and
/// the module name that messages carry (pickle imports by it). The serialized descriptors name files, and stay.
fn fix_imports(source: &str) -> String {
    let mut fixed = String::with_capacity(source.len());
    for line in source.split_inclusive('\n') {
        let head = ["from callboard.v1 import ", BUILD_CALL]
            .into_iter()
            .find(|head| line.starts_with(head));
        match head {
            Some(head) => {
                fixed.push_str(&head.replace("callboard.v1", PACKAGE));
                fixed.push_str(&line[head.len()..]);
            }
            None => fixed.push_str(line),
        }
    }
    fixed
}

/// The Python of an environment that has the pinned grpcio-tools; it is made when it's missing or has another version.
fn interpreter() -> Result<PathBuf> {
    let environment = crate::generate::root().join("target/venv-generate");
    let python = environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    if has_tools(&python) {
        return Ok(python);
    }
    run(Command::new(system_python()?)
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    // grpcio-tools needs setuptools for its own imports, and its protoc needs protobuf 5.29's runtime.
    let tools = format!("grpcio-tools=={GRPCIO_TOOLS}");
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args([&tools, "setuptools"]))?;
    Ok(python)
}

fn has_tools(python: &Path) -> bool {
    let check = format!(
        "import grpc_tools.protoc, importlib.metadata as m; assert m.version('grpcio-tools') == '{GRPCIO_TOOLS}'"
    );
    Command::new(python)
        .args(["-c", &check])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn system_python() -> Result<&'static str> {
    for name in ["python3", "python"] {
        match Command::new(name).arg("--version").output() {
            Ok(output) if output.status.success() => return Ok(name),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Err("python3 is not installed: install Python 3.10 or newer".into())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed ({}):\n{complaint}", output.status).into())
}

#[cfg(test)]
mod tests {
    use super::fix_imports;

    #[test]
    fn only_import_lines_of_our_package_are_changed() {
        let source = "from callboard.v1 import task_pb2 as t\nfrom google.protobuf import x\n# from callboard.v1 import y\n";
        let fixed = source.replacen("callboard.v1", "callboard._gen.callboard.v1", 1);
        assert_eq!(fix_imports(source), fixed);
    }
}
