//! Generates the Python SDK's protocol code, by the one version of grpcio-tools that it is pinned to.

use super::{names, protos};
use crate::workspace::{root, target};
use crate::{Result, command, venv};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Its code loads on protobuf 5.29 to 7; a newer one's would not load on 5.29.
const GRPCIO_TOOLS: &str = "grpcio-tools==1.71.2";

/// grpcio-tools imports `pkg_resources`, which setuptools 82 has no more.
const SETUPTOOLS: &str = "setuptools<82";

/// Where the generated modules live in the SDK. protoc knows them as `callboard.v1`.
const PACKAGE: &str = "callboard._gen.callboard.v1";

/// Begins the line that gives messages the name of their module.
const BUILD_CALL: &str = "_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, 'callboard.v1.";

/// Writes the modules and their stubs into `out`, side by side, an `__init__.py` among them.
pub fn generate(out: &Path) -> Result<()> {
    let fresh = tempfile::tempdir()?;
    let requirements = [GRPCIO_TOOLS.to_owned(), SETUPTOOLS.to_owned()];
    protoc(&venv::make(&target().join("venv-generate"), &requirements, "")?, fresh.path())?;
    let modules = fresh.path().join("callboard/v1");
    for name in names(&modules)? {
        fs::write(out.join(&name), fix_imports(&fs::read_to_string(modules.join(&name))?))?;
    }
    fs::write(out.join("__init__.py"), "")?;
    Ok(())
}

fn protoc(python: &Path, out: &Path) -> Result<()> {
    let mut command = Command::new(python);
    command.args(["-m", "grpc_tools.protoc"]).arg(format!("-I{}", root().join("proto").display()));
    for plugin in ["python_out", "pyi_out", "grpc_python_out"] {
        command.arg(format!("--{plugin}={}", out.display()));
    }
    command::output(command.args(protos()?)).map(|_| ())
}

/// protoc writes for a top-level package `callboard.v1`, which does not exist at run time: its imports are changed, and
/// the module name that messages carry (pickle imports by it). The serialized descriptors name files, and stay.
fn fix_imports(source: &str) -> String {
    let mut fixed = String::with_capacity(source.len());
    for line in source.split_inclusive('\n') {
        let head = ["from callboard.v1 import ", BUILD_CALL].into_iter().find(|head| line.starts_with(head));
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

#[cfg(test)]
mod tests {
    use super::fix_imports;

    #[test]
    fn only_import_lines_of_our_package_are_changed() {
        let source =
            "from callboard.v1 import task_pb2 as t\nfrom google.protobuf import x\n# from callboard.v1 import y\n";
        let fixed = source.replacen("callboard.v1", "callboard._gen.callboard.v1", 1);
        assert_eq!(fix_imports(source), fixed);
    }
}
