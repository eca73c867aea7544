//! Scenarios as they stand in files: `scenarios/*.yaml`, each a theme with its scenarios.

use crate::stage::Store;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// What is written once, and run for every SDK.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// As it is called in the table: words with hyphens.
    pub name: String,
    /// What every SDK does here, in a sentence.
    pub about: String,
    /// Arguments of the server, beside those that all have.
    #[serde(default)]
    pub server: Vec<String>,
    /// A server that nobody else uses: it will be killed.
    #[serde(default)]
    pub own_server: bool,
    /// How many servers, 1 or 2; two are nobody else's, and have one PostgreSQL between them.
    #[serde(default = "one")]
    pub servers: usize,
    /// It does little but wait, for an SDK's own limit: it takes no place of those that are played beside each other.
    #[serde(default)]
    pub waits: bool,
    /// It does more than the others: it is given longer before it is given up.
    #[serde(default)]
    pub long: bool,
    /// What happens, one after the other.
    pub steps: Vec<Map<String, Value>>,
}

fn one() -> usize {
    1
}

impl Scenario {
    /// Whether it can be played there: two servers can't have one SQLite file.
    pub fn is_for(&self, store: Store) -> bool {
        self.servers == 1 || store == Store::Postgres
    }
}

/// One step: what is done, and what its answer must be.
#[derive(Clone, Debug)]
pub struct Step {
    /// `client.create`, `wait`, `fault`, `check`, …
    pub verb: String,
    /// Its arguments.
    pub args: Value,
    /// The name by which later steps know the answer.
    pub name: Option<String>,
    /// How the answer must be.
    pub expect: Option<Value>,
    /// How the error must be, that is the answer.
    pub error: Option<Value>,
    /// The answer is not waited for: `wait: {answer: NAME}` does.
    pub background: bool,
    /// The driver's process, `main` if unsaid; another name is a process of the scenario's own.
    pub process: String,
}

impl Step {
    /// Reads a step.
    ///
    /// # Errors
    ///
    /// When it has no verb, or two, or a field has another form.
    pub fn read(fields: &Map<String, Value>) -> Result<Self, String> {
        let mut step = Self {
            verb: String::new(),
            args: Value::Null,
            name: None,
            expect: None,
            error: None,
            background: false,
            process: "main".to_owned(),
        };
        for (name, value) in fields {
            let text = || value.as_str().map(str::to_owned).ok_or_else(|| format!("`{name}` is no text"));
            match name.as_str() {
                "as" => step.name = Some(text()?),
                "in" => step.process = text()?,
                "expect" => step.expect = Some(value.clone()),
                "error" => step.error = Some(value.clone()),
                "background" => step.background = value == &Value::Bool(true),
                verb if step.verb.is_empty() => {
                    verb.clone_into(&mut step.verb);
                    step.args = value.clone();
                }
                second => return Err(format!("a step does one thing, not `{}` and `{second}`", step.verb)),
            }
        }
        if step.verb.is_empty() { Err("a step without a verb".to_owned()) } else { Ok(step) }
    }
}

/// All scenarios, by file and in their order there.
///
/// # Errors
///
/// When a file can't be read as scenarios, or two have the same name.
pub fn read_all(folder: &Path) -> Result<Vec<Scenario>, String> {
    let listing = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut all: Vec<Scenario> = Vec::new();
    for file in files {
        let fault = |error: String| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| fault(error.to_string()))?;
        for scenario in read(&text).map_err(fault)? {
            if all.iter().any(|known| known.name == scenario.name) {
                return Err(fault(format!("there are two scenarios `{}`", scenario.name)));
            }
            all.push(scenario);
        }
    }
    Ok(all)
}

fn read(text: &str) -> Result<Vec<Scenario>, String> {
    let scenarios: Vec<Scenario> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    for scenario in &scenarios {
        if !(1..=2).contains(&scenario.servers) {
            return Err(format!("{}: {} servers", scenario.name, scenario.servers));
        }
        for (number, step) in (1..).zip(&scenario.steps) {
            Step::read(step).map_err(|fault| format!("{}, step {number}: {fault}", scenario.name))?;
        }
    }
    Ok(scenarios)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scenario_is_read() {
        let text = "- name: hello\n  about: It greets.\n  steps:\n    - client.get: {task_id: $t.task_id}\n      expect: {state: COMPLETED, run: 1}\n";
        let scenarios = read(text).unwrap();
        let step = Step::read(&scenarios[0].steps[0]).unwrap();
        assert_eq!((step.verb.as_str(), step.args), ("client.get", json!({ "task_id": "$t.task_id" })));
        assert_eq!(step.expect, Some(json!({ "state": "COMPLETED", "run": 1 })));
        assert!(read("- name: x\n  about: y\n  steps:\n    - {as: t}\n").is_err());
        assert!(read("- name: x\n  about: y\n  stepps: []\n").is_err());
    }
}
