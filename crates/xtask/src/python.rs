//! The Python SDK as its users install it: as a package, and on every protobuf that it allows.

use crate::Result;
use crate::command::output;
use crate::venv;
use crate::workspace::{root, target};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// The oldest protobuf that the generated code loads on, and the latest of each line that followed.
const PROTOBUFS: [&str; 3] = ["5.29", "6", "7"];

/// Loads the SDK, sees that it is with the protobuf that was meant, and takes a message through its bytes. It is the
/// SDK without its extras, too: nobody has to have pydantic.
const LOADS: &str = r#"
import sys, importlib.util
import google.protobuf
found = google.protobuf.__version__
assert found.startswith(sys.argv[1] + "."), f"protobuf {found} is installed"
from callboard import Agent, Client, Payload, text_payload
assert Payload.FromString(text_payload("a").SerializeToString()).text == "a"
assert importlib.util.find_spec("pydantic") is None
def greet(input: list[int]) -> str: ...
Agent("greeter").task("greet")(greet)
"#;

/// Installs the SDK into a place of its own, and imports it from there: an editable install would not notice a file
/// that is missing in the package.
pub fn installs(python: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--target"]);
    output(pip.arg(place.path()).arg(root().join("sdk/python")))?;
    let import = "import sys; sys.path.insert(0, sys.argv[1]); import callboard; from callboard import Agent, Client; \
                  assert callboard.__file__.startswith(sys.argv[1]), callboard.__file__";
    output(Command::new(python).args(["-I", "-c", import]).arg(place.path())).map(|_| ())
}

/// Loads the SDK on each protobuf, at the same time: what takes long is to fetch them.
pub fn loads_on_each_protobuf() -> Result<()> {
    let outcomes: Vec<_> = thread::scope(|scope| {
        let loading =
            PROTOBUFS.map(|version| scope.spawn(move || loads_on(version).map_err(|error| error.to_string())));
        loading.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("it panicked".into()))).collect()
    });
    let faults: Vec<String> = outcomes.into_iter().filter_map(std::result::Result::err).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// The environment is made anew when the SDK's requirements change; the SDK in it is that of the source tree.
fn loads_on(protobuf: &str) -> Result<()> {
    let sdk = root().join("sdk/python");
    let requirements = ["--editable".to_owned(), sdk.display().to_string(), format!("protobuf=={protobuf}.*")];
    let basis = fs::read_to_string(sdk.join("pyproject.toml"))?;
    let python = venv::make(&target().join(format!("venv-protobuf-{protobuf}")), &requirements, &basis)?;
    output(Command::new(python).args(["-I", "-W", "error", "-c", LOADS, protobuf])).map(|_| ())
}
