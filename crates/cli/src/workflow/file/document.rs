//! A file's text as a value, with the line of each of its parts.
//!
//! JSON is read by a parser of JSON: YAML's, which should do as well, has other escapes. Both keep every digit of a number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error as YamlError, Location, Options, Spanned};

use super::fault::Fault;

/// The most nodes of a document, those that aliases repeat included: room for 10,000 tasks of 25 fields.
const MAX_NODES: usize = 500_000;

/// The most aliases. What each repeats is at most the file, so that this also bounds memory.
const MAX_ALIASES: usize = 500;

/// The most bytes that aliases may make of a document.
const MAX_EXPANDED: usize = 16 << 20;

/// What a file says.
#[derive(Debug)]
pub struct Document {
    /// All of it.
    pub value: Value,
    /// Where its parts are.
    pub lines: Lines,
}

/// The lines of a document's parts, by their paths; nothing of JSON.
#[derive(Debug, Default)]
pub struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// The fault with its line: that of the part, or of the nearest part around it that is in the file. What is about the whole has none.
    pub fn locate(&self, fault: Fault) -> Fault {
        if fault.path.is_empty() {
            return fault;
        }
        let mut path = fault.path.as_str();
        let line = loop {
            match self.0.get(path) {
                Some(line) => break Some(*line),
                None => match path.rfind(['.', '[']) {
                    Some(end) => path = &path[..end],
                    None => break None,
                },
            }
        };
        Fault { line: fault.line.or(line), ..fault }
    }
}

/// Parses a text: JSON if it begins with `{`, else YAML.
pub fn parse(text: &str) -> Result<Document, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_start() {
        "" => Err(Fault::whole("is empty: write a workflow, as `callboard workflow schema` describes it")),
        json if json.starts_with('{') => parse_json(text),
        _ => parse_yaml(text),
    }
}

fn parse_json(text: &str) -> Result<Document, Fault> {
    let fault = |error: serde_json::Error| Fault {
        line: u64::try_from(error.line()).ok(),
        path: String::new(),
        message: format!("not valid JSON: {}", without_place(&error.to_string())),
    };
    serde_json::from_str::<NoKeyTwice>(text).map_err(fault)?;
    let value = serde_json::from_str(text).map_err(fault)?;
    Ok(Document { value, lines: Lines::default() })
}

/// Any JSON in which no object has a key twice: a parser alone would take the last.
struct NoKeyTwice;

impl<'de> Deserialize<'de> for NoKeyTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoKeyTwiceVisitor)
    }
}

struct NoKeyTwiceVisitor;

impl<'de> Visitor<'de> for NoKeyTwiceVisitor {
    type Value = NoKeyTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_unit<E>(self) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoKeyTwice, E> {
        Ok(NoKeyTwice)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NoKeyTwice, A::Error> {
        while list.next_element::<NoKeyTwice>()?.is_some() {}
        Ok(NoKeyTwice)
    }

    // A number comes as an object, too, with one key.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoKeyTwice, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(serde::de::Error::custom(format_args!("the key `{key}` stands here twice: say it once")));
            }
            keys.insert(key);
            map.next_value::<NoKeyTwice>()?;
        }
        Ok(NoKeyTwice)
    }
}

fn parse_yaml(text: &str) -> Result<Document, Fault> {
    let node = serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
        let said = error.to_string();
        let said = without_place(&said);
        let fault = match is_too_large(error) {
            true => "larger or deeper than a workflow file may be, with what its aliases repeat",
            false => "not valid YAML",
        };
        let message = format!("{fault}: {said}");
        Fault { line, path: String::new(), message }
    })?;
    let mut reading = Reading { text, lines: Lines::default(), left: MAX_EXPANDED };
    match reading.value(node, String::new()) {
        Ok(value) => Ok(Document { value, lines: reading.lines }),
        Err(fault) => Err(reading.lines.locate(fault)),
    }
}

fn is_too_large(error: &YamlError) -> bool {
    match error {
        YamlError::AliasError { error, .. } => is_too_large(error),
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => true,
        _ => false,
    }
}

/// What a parser says, without its "at line 3": that is told before.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(said, _)| said)
}

/// As YAML 1.2 has it, with what could fill the memory bounded.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_total_scalar_bytes: MAX_EXPANDED,
            max_recorded_anchor_bytes: MAX_EXPANDED,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES / 10,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
    }
}

/// A value as the parser of YAML gives it.
enum Node {
    Null,
    Bool(bool),
    /// What the parser took it for; its digits are in the text.
    Number(Option<Number>),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(Some(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(Some(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Number(Number::from_i128(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Number(Number::from_u128(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(Number::from_f64(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

/// Makes values of nodes, and notes their lines.
struct Reading<'a> {
    text: &'a str,
    lines: Lines,
    /// How many bytes of texts may still come.
    left: usize,
}

impl Reading<'_> {
    fn value(&mut self, node: Spanned<Node>, path: String) -> Result<Value, Fault> {
        let line = node.referenced.line();
        self.lines.0.entry(path.clone()).or_insert(line);
        match node.value {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(value)),
            Node::Number(taken_for) => self.number(taken_for, node.defined, &path),
            Node::Text(text) => {
                self.spend(text.len())?;
                Ok(Value::String(text))
            }
            Node::List(nodes) => nodes
                .into_iter()
                .enumerate()
                .map(|(index, node)| self.value(node, format!("{path}[{index}]")))
                .collect(),
            Node::Map(entries) => self.map(entries, &path),
        }
    }

    fn map(&mut self, entries: Vec<(Spanned<String>, Spanned<Node>)>, path: &str) -> Result<Value, Fault> {
        let mut map = Map::new();
        for (key, node) in entries {
            self.spend(key.value.len())?;
            let within = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
            // A value that stands below its key is told with the key's line.
            self.lines.0.insert(within.clone(), key.referenced.line());
            map.insert(key.value, self.value(node, within)?);
        }
        Ok(Value::Object(map))
    }

    /// The number with all of its digits, where it is written as JSON has it.
    fn number(&self, taken_for: Option<Number>, at: Location, path: &str) -> Result<Value, Fault> {
        let written = at.span().byte_offset().zip(at.span().byte_len()).and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.text.get(start..end)?.trim().parse::<Number>().ok()
        });
        written
            .or(taken_for)
            .map(Value::Number)
            .ok_or_else(|| Fault::at(path, "is no number that JSON has: put it into quotes, if it is a text"))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| Fault::whole("has more than 16 MiB with what its aliases repeat: repeat less"))?;
        Ok(())
    }
}
