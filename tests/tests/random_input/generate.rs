//! Requests made up from the descriptors: most are sane and then spoiled in a place or two, some are nonsense all over.
//!
//! Sane values come from what the server has answered so far (a `task_id` from any answer that had one), so that generated
//! requests reach tasks, leases and pages that exist. A new RPC or field needs nothing here.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::HashMap;

/// How deep messages nest.
const DEPTH: usize = 6;
/// How many values are remembered for a name.
const REMEMBERED: usize = 32;

/// Values where something changes: limits, one beyond them, and the ends of what the wire can carry.
const NUMBERS: [i64; 22] = [
    0,
    1,
    -1,
    2,
    3,
    50,
    100,
    101,
    301,
    1_000,
    1_001,
    10_001,
    86_401,
    999_999_999,
    1_000_000_000,
    3_155_760_000,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
    253_402_300_799,
    -62_135_596_801,
];
const FLOATS: [f64; 12] =
    [0.0, -0.0, 0.5, 1.0, 1.0000001, -1.0, 100.0, 1e308, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
const LENGTHS: [usize; 14] = [1, 63, 64, 65, 128, 129, 256, 257, 1_024, 1_025, 4_097, 16_385, 65_537, 1_048_577];
const TEXTS: [&str; 16] = [
    "",
    " ",
    "t",
    "*",
    "a b",
    "\0",
    "a\0b",
    "\r\n",
    "\u{1b}[31m",
    "é",
    "𝄞\u{202e}\u{feff}",
    "../../etc/passwd",
    "'; DROP TABLE task; --",
    "%s%n{}",
    "00000000-0000-0000-0000-000000000000",
    "$(reboot)",
];
/// What a name or word may be, so that a request can be accepted.
const WORDS: [&str; 4] = ["t", "ann", "bob", "other"];

/// Makes requests.
pub struct Generator {
    pub random: StdRng,
    /// By the name of a field: values that the server answered.
    learned: HashMap<String, Vec<Value>>,
}

impl Generator {
    pub fn new(random: StdRng) -> Self {
        Self { random, learned: HashMap::new() }
    }

    fn chance(&mut self, of_ten: u32) -> bool {
        self.random.random_ratio(of_ten, 10)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.random).cloned().expect("something to pick from")
    }

    /// A request of a type.
    pub fn request(&mut self, descriptor: &MessageDescriptor) -> DynamicMessage {
        let mut message = if self.chance(1) { self.wild(descriptor, 0) } else { self.sane(descriptor, 0) };
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2]) {
            self.spoil(&mut message, 0);
        }
        keep_short(&mut message);
        message
    }

    /// A message in which each field is likely to be what it should be.
    pub fn sane(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let needed = depth == 0 || field.name() == "type" || field.name() == "name" || field.name() == "handles";
            let wanted = match field.name() {
                // Seldom of this very query, and seldom new.
                "page_token" | "cursor" | "request_id" => 1,
                _ if needed => 9,
                _ => 3,
            };
            if depth < DEPTH && self.chance(wanted) && (needed || field.containing_oneof().is_none() || self.chance(5))
            {
                let value = self.sane_value(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn sane_value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        if field.is_map() {
            let count = self.pick(&[0, 1, 2]);
            return self.map(field, count, depth, false);
        }
        if field.is_list() {
            let count = self.pick(&[1, 1, 2]);
            return Value::List((0..count).map(|_| self.sane_one(field, depth)).collect());
        }
        self.sane_one(field, depth)
    }

    fn sane_one(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let name = field.name();
        if name == "namespace" && self.chance(7) {
            return Value::String(String::new());
        }
        if self.chance(9)
            && let Some(known) = self.learned.get(name.trim_end_matches('s')).or_else(|| self.learned.get(name))
        {
            let known = known.choose(&mut self.random).expect("what is learned is not empty").clone();
            // A task's `task` and a request's are of different types.
            let of_type = known.as_message().is_none_or(|known| field.kind().as_message() == Some(&known.descriptor()));
            if of_type && known.is_valid(&field.kind()) {
                return known;
            }
        }
        match field.kind() {
            Kind::Message(of) if of.full_name() == "google.protobuf.FieldMask" => {
                let paths = self.pick(&["priority", "assignee", "deadline", "tags"]);
                let mut mask = DynamicMessage::new(of);
                mask.set_field_by_name("paths", Value::List(vec![Value::String(paths.into())]));
                Value::Message(mask)
            }
            Kind::Message(of) if of.full_name() == "google.protobuf.Timestamp" => {
                let in_an_hour = callboard_tests::stamp(Some(callboard_tests::now().into())) as i64 + 3_600;
                let mut time = DynamicMessage::new(of);
                time.set_field_by_name("seconds", Value::I64(in_an_hour));
                Value::Message(time)
            }
            Kind::Message(of) if of.full_name() == "google.protobuf.Duration" => {
                let mut span = DynamicMessage::new(of);
                span.set_field_by_name("seconds", Value::I64(self.pick(&[1, 30, 60])));
                Value::Message(span)
            }
            Kind::Message(of) => Value::Message(self.sane(&of, depth + 1)),
            Kind::Enum(of) => Value::EnumNumber(self.pick(&of.values().map(|v| v.number()).collect::<Vec<_>>())),
            Kind::String => Value::String(self.pick(&WORDS).into()),
            Kind::Bytes => Value::Bytes("bytes".into()),
            Kind::Double => Value::F64(1.0),
            Kind::Float => Value::F32(1.0),
            Kind::Bool => Value::Bool(self.chance(5)),
            kind => number(&kind, self.pick(&[1, 2, 10])),
        }
    }

    /// A message in which every field may be anything.
    fn wild(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if depth < DEPTH && self.chance(5) {
                let value = self.wild_value(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn wild_value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let many = if depth > 1 { 3 } else { 1_001 };
        let count = self.pick(&[0, 1, 2, 33, 65, many]);
        if field.is_map() {
            return self.map(field, count, depth, true);
        }
        if field.is_list() {
            let one = self.wild_one(field, depth);
            // Many of a large one would be no request, but a flood.
            let count = if one_is_large(&one) { 1 } else { count };
            let rest: Vec<_> = (1..count.min(33)).map(|_| self.wild_one(field, depth)).collect();
            let copies = std::iter::repeat_n(one, count.max(1) - rest.len().min(count.max(1) - 1));
            return Value::List(copies.chain(rest).collect());
        }
        self.wild_one(field, depth)
    }

    fn wild_one(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::Message(of) if of.full_name().starts_with("google.protobuf.") => {
                let mut message = DynamicMessage::new(of.clone());
                for field in of.fields().filter(|field| !field.is_list()) {
                    let value = number(&field.kind(), self.pick(&NUMBERS));
                    message.set_field(&field, value);
                }
                Value::Message(message)
            }
            Kind::Message(of) => Value::Message(self.wild(&of, depth + 1)),
            Kind::Enum(of) => {
                let known = of.values().map(|value| value.number()).chain([-1, 99, i32::MAX, i32::MIN]);
                Value::EnumNumber(self.pick(&known.collect::<Vec<_>>()))
            }
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.text().into_bytes().into()),
            Kind::Double => Value::F64(self.pick(&FLOATS)),
            Kind::Float => Value::F32(self.pick(&FLOATS) as f32),
            Kind::Bool => Value::Bool(self.chance(5)),
            kind => number(&kind, self.pick(&NUMBERS)),
        }
    }

    fn text(&mut self) -> String {
        if self.chance(5) {
            return self.pick(&TEXTS).into();
        }
        // The largest are rare: they take long.
        let lengths = if self.chance(1) { &LENGTHS[..] } else { &LENGTHS[..11] };
        let length = self.pick(lengths);
        self.pick(&["x", "é", "0"]).repeat(length)
    }

    fn map(&mut self, field: &FieldDescriptor, count: usize, depth: usize, wild: bool) -> Value {
        let Kind::Message(entry) = field.kind() else { unreachable!("a map has entries") };
        let value_field = entry.map_entry_value_field();
        let odd = if wild { self.text() } else { "k".into() };
        let mut map = HashMap::new();
        for n in 0..count {
            let value = if wild && n < 3 {
                self.wild_one(&value_field, depth + 1)
            } else {
                self.sane_one(&value_field, depth + 1)
            };
            let key = if n == 0 { odd.clone() } else { format!("k{n}") };
            map.insert(MapKey::String(key), value);
        }
        Value::Map(map)
    }

    /// Makes one place of a message wild.
    fn spoil(&mut self, message: &mut DynamicMessage, depth: usize) {
        let fields: Vec<_> = message.descriptor().fields().collect();
        if fields.is_empty() {
            return;
        }
        let field = self.pick(&fields);
        if let Kind::Message(_) = field.kind()
            && !field.is_list()
            && !field.is_map()
            && message.has_field(&field)
            && self.chance(8)
            && let Some(inner) = message.get_field_mut(&field).as_message_mut()
        {
            return self.spoil(inner, depth + 1);
        }
        let value = self.wild_value(&field, depth);
        message.set_field(&field, value);
    }

    /// Remembers what an answer has, for later requests.
    pub fn learn(&mut self, answer: &DynamicMessage) {
        let owner = answer.descriptor().name().to_lowercase();
        for (field, value) in answer.fields() {
            let values = match value {
                Value::List(values) => values.iter().take(8).collect(),
                value => vec![value],
            };
            for value in values {
                match (field.name(), value) {
                    (_, Value::Message(inner)) => {
                        self.learn(inner);
                        self.remember(field.name(), value);
                    }
                    ("id", value) => self.remember(&format!("{owner}_id"), value),
                    ("next_page_token", value) => self.remember("page_token", value),
                    (name, Value::String(_)) => self.remember(name, value),
                    _ => {}
                }
            }
        }
    }

    fn remember(&mut self, name: &str, value: &Value) {
        let known = self.learned.entry(name.to_owned()).or_default();
        if known.len() == REMEMBERED {
            let at = self.random.random_range(0..REMEMBERED);
            known.swap_remove(at);
        }
        known.push(value.clone());
    }
}

fn one_is_large(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > 4_097,
        Value::Message(message) => prost_reflect::prost::Message::encoded_len(message) > 4_097,
        _ => false,
    }
}

/// A whole number of a kind, as near as it can be.
fn number(kind: &Kind, number: i64) -> Value {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(number.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::try_from(number).unwrap_or(u32::MAX)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::try_from(number).unwrap_or(u64::MAX)),
        other => panic!("{other:?} is no whole number"),
    }
}

/// A call that may wait would wait for long: where the time is within its limits, it is made short.
fn keep_short(message: &mut DynamicMessage) {
    let Some(field) = message.descriptor().get_field_by_name("wait") else { return };
    let Kind::Message(span) = field.kind() else { return };
    let seconds = message.get_field(&field).as_message().and_then(|span| span.get_field_by_name("seconds")?.as_i64());
    if !message.has_field(&field) || seconds.is_none_or(|seconds| (0..400).contains(&seconds)) {
        let mut short = DynamicMessage::new(span);
        short.set_field_by_name("nanos", Value::I32(5_000_000));
        message.set_field(&field, Value::Message(short));
    }
}
