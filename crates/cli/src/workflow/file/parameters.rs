//! Parameters of a file: `${{ name }}` in a text stands for a value that the file or the command line gives.
//!
//! That is all there is of templates. A text that is nothing but one parameter becomes its value, with its type; in a longer one
//! the value is written out. What a value says is not looked at again. `$${{` stands for `${{` itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fault::Fault;

/// The most bytes that parameters may make of a file.
const MAX_EXPANDED: usize = 16 << 20;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const FORM: &str = "letters, digits, `_` and `-`, a letter first";

/// Takes the declarations out of `document` and puts values in place of what names them.
pub fn apply(document: &mut Value, set: &[(String, String)]) -> Result<(), Vec<Fault>> {
    let Some(document) = document.as_object_mut() else { return Ok(()) };
    let declared = document.remove("parameters");
    let mut faults = Vec::new();
    let declared = declarations(declared.as_ref(), &mut faults);
    let values = values(&declared, set, &mut faults);
    let mut filling = Filling { declared: &declared, values, used: BTreeSet::new(), left: Some(MAX_EXPANDED), faults };
    for (key, value) in document.iter_mut() {
        filling.fill(value, key);
    }
    filling.complain_of_unused(set);
    if filling.faults.is_empty() { Ok(()) } else { Err(filling.faults) }
}

/// The defaults by name; nothing for those that must be given.
type Declared = BTreeMap<String, Option<Value>>;

fn declarations(declared: Option<&Value>, faults: &mut Vec<Fault>) -> Declared {
    let map = match declared {
        None | Some(Value::Null) => return Declared::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            faults.push(Fault::at("parameters", "is no mapping: write `name: {default: …, description: …}`"));
            return Declared::new();
        }
    };
    let mut found = Declared::new();
    for (name, declaration) in map {
        let path = format!("parameters.{name}");
        if !is_name(name) {
            faults.push(Fault::at(&path, format!("is no name of a parameter: {FORM}")));
        }
        found.insert(name.clone(), default(declaration, &path, faults));
    }
    found
}

fn default(declaration: &Value, path: &str, faults: &mut Vec<Fault>) -> Option<Value> {
    let empty = Map::new();
    let fields = match declaration {
        Value::Null => &empty,
        Value::Object(fields) => fields,
        _ => {
            faults.push(Fault::at(path, "is no mapping: write `{default: …, description: …}`, either or none of them"));
            return None;
        }
    };
    for (field, value) in fields {
        match field.as_str() {
            "default" => {}
            "description" if value.is_string() => {}
            "description" => faults.push(Fault::at(format!("{path}.description"), "is no text")),
            _ => faults.push(Fault::at(
                format!("{path}.{field}"),
                format!("unknown field `{field}`, expected `default` or `description`"),
            )),
        }
    }
    fields.get("default").cloned()
}

/// The values by name: what is set, else the default.
fn values(declared: &Declared, set: &[(String, String)], faults: &mut Vec<Fault>) -> BTreeMap<String, Value> {
    let mut given = BTreeMap::new();
    for (name, text) in set {
        match declared.get(name) {
            None => faults.push(Fault::whole(format!("--set {name}: there is no such parameter; {}", known(declared)))),
            Some(default) => {
                if given.insert(name.clone(), read(text, default.as_ref())).is_some() {
                    faults.push(Fault::whole(format!("--set {name} stands here twice: give it once")));
                }
            }
        }
    }
    let missing: Vec<&str> = declared
        .iter()
        .filter(|(name, default)| default.is_none() && !given.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    for name in missing {
        faults.push(Fault::at(format!("parameters.{name}"), format!("has no value: give it one with --set {name}=…")));
    }
    for (name, default) in declared {
        if let Some(default) = default {
            given.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    given
}

/// A value of the command line: JSON, if it is that and the default is no text; else the text as it stands.
fn read(text: &str, default: Option<&Value>) -> Value {
    if default.is_some_and(Value::is_string) {
        return Value::from(text);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn known(declared: &Declared) -> String {
    if declared.is_empty() {
        return "the file declares none under `parameters`".to_owned();
    }
    let names: Vec<&str> = declared.keys().map(String::as_str).collect();
    format!("the file declares {}", names.join(", "))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

/// Puts values in, and notes which.
struct Filling<'a> {
    declared: &'a Declared,
    values: BTreeMap<String, Value>,
    used: BTreeSet<String>,
    /// How many bytes may still come; nothing once it was told that they are too many.
    left: Option<usize>,
    faults: Vec<Fault>,
}

impl Filling<'_> {
    fn fill(&mut self, value: &mut Value, path: &str) {
        match value {
            Value::String(text) if text.contains(OPEN) => {
                if let Some(filled) = self.filled(text, path) {
                    *value = filled;
                }
            }
            Value::Array(list) => {
                list.iter_mut().enumerate().for_each(|(index, value)| self.fill(value, &format!("{path}[{index}]")));
            }
            Value::Object(map) => {
                map.iter_mut().for_each(|(key, value)| self.fill(value, &format!("{path}.{key}")));
            }
            _ => {}
        }
    }

    fn filled(&mut self, text: &str, path: &str) -> Option<Value> {
        if let Some(name) = alone(text) {
            let value = self.value(name, path)?;
            self.spend(written(&value).len(), path)?;
            return Some(value);
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(OPEN) {
            let (before, behind) = (&rest[..start], &rest[start + OPEN.len()..]);
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str(OPEN);
                rest = behind;
                continue;
            }
            let Some((name, behind)) = behind.split_once(CLOSE) else {
                self.faults
                    .push(Fault::at(path, "`${{` is not closed: write `${{ name }}`, or `$${{` for `${{` itself"));
                return None;
            };
            let value = written(&self.value(name.trim(), path)?);
            self.spend(before.len() + value.len(), path)?;
            filled.push_str(before);
            filled.push_str(&value);
            rest = behind;
        }
        filled.push_str(rest);
        Some(Value::String(filled))
    }

    fn value(&mut self, name: &str, path: &str) -> Option<Value> {
        if !self.declared.contains_key(name) {
            let fault = format!("`${{{{ {name} }}}}`: there is no such parameter; {}", known(self.declared));
            self.faults.push(Fault::at(path, fault));
            return None;
        }
        self.used.insert(name.to_owned());
        self.values.get(name).cloned()
    }

    fn spend(&mut self, bytes: usize, path: &str) -> Option<()> {
        let left = self.left?;
        self.left = left.checked_sub(bytes);
        if self.left.is_none() {
            self.faults.push(Fault::at(path, "parameters make more than 16 MiB of this file: use fewer"));
        }
        self.left.map(drop)
    }

    /// Who sets a parameter means to change something.
    fn complain_of_unused(&mut self, set: &[(String, String)]) {
        for (name, _) in set {
            if self.declared.contains_key(name) && !self.used.contains(name) {
                let fault = format!(
                    "--set {name}: the file uses this parameter nowhere; write `${{{{ {name} }}}}` where it belongs"
                );
                self.faults.push(Fault::whole(fault));
            }
        }
    }
}

/// The name, if the text is one parameter and nothing else.
fn alone(text: &str) -> Option<&str> {
    let name = text.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.trim();
    is_name(name).then_some(name)
}

/// A value as a text has it: texts as they are, anything else as JSON.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(mut document: Value, set: &[(&str, &str)]) -> Result<Value, Vec<String>> {
        let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match apply(&mut document, &set) {
            Ok(()) => Ok(document),
            Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_text_that_is_one_parameter_becomes_its_value() {
        let document = json!({
            "parameters": {"depth": {"default": 3}, "who": {"default": "ann"}, "big": null},
            "a": "${{ depth }}",
            "b": ["${{who}}", "for ${{ who }}, ${{ depth }} deep, $${{ who }}"],
            "c": {"big": "${{ big }}"},
        });
        let set = [("big", r#"{"n": 12345678901234567890.5}"#)];
        let filled = filled(document, &set).unwrap();
        assert_eq!(
            filled.to_string(),
            r#"{"a":3,"b":["ann","for ann, 3 deep, ${{ who }}"],"c":{"big":{"n":12345678901234567890.5}}}"#
        );
    }

    #[test]
    fn what_is_set_has_the_type_of_a_text_where_the_default_is_one() {
        let document =
            json!({"parameters": {"version": {"default": ""}, "n": {}}, "a": "${{ version }}", "b": "${{ n }}"});
        let filled = filled(document, &[("version", "1.10"), ("n", "1.10")]).unwrap();
        assert_eq!(filled.to_string(), r#"{"a":"1.10","b":1.10}"#);
        let text = json!({"parameters": {"n": {}}, "a": "${{ n }}"});
        assert_eq!(self::filled(text, &[("n", "two words")]).unwrap()["a"], "two words");
    }

    #[test]
    fn what_a_value_says_is_not_looked_at_again() {
        let document = json!({"parameters": {"a": {"default": "${{ a }}"}}, "x": "${{ a }}!"});
        assert_eq!(filled(document, &[]).unwrap()["x"], "${{ a }}!");
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let document = json!({
            "parameters": {"must": {}, "idle": {"default": 1}, "1x": {}, "odd": {"defualt": 1}, "bare": 3},
            "a": ["${{ nobody }}", "${{ must", "${{ not a name }}!"],
        });
        let faults = filled(document, &[("idle", "2"), ("ghost", "1"), ("bare", "1"), ("bare", "2")]).unwrap_err();
        let expected = [
            "parameters.1x: is no name of a parameter: letters, digits",
            "parameters.bare: is no mapping: write `{default",
            "parameters.odd.defualt: unknown field `defualt`, expected `default` or `description`",
            "--set ghost: there is no such parameter; the file declares 1x, bare, idle, must, odd",
            "--set bare stands here twice",
            "parameters.1x: has no value",
            "parameters.must: has no value: give it one with --set must=…",
            "parameters.odd: has no value",
            "a[0]: `${{ nobody }}`: there is no such parameter; the file declares 1x",
            "a[1]: `${{` is not closed: write `${{ name }}`",
            "a[2]: `${{ not a name }}`: there is no such parameter",
            "--set idle: the file uses this parameter nowhere",
            "--set bare: the file uses this parameter nowhere",
            "--set bare: the file uses this parameter nowhere",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault} / {expected}");
        }
    }

    #[test]
    fn what_parameters_make_of_a_file_is_bounded() {
        let large = "x".repeat(1 << 20);
        let uses: Vec<&str> = vec!["${{ large }}"; 100];
        let document = json!({"parameters": {"large": {"default": large}}, "a": uses});
        let faults = filled(document, &[]).err().unwrap();
        assert_eq!(faults.len(), 1, "{}", faults.len());
        assert!(faults[0].contains("more than 16 MiB"), "{}", faults[0]);
    }
}
