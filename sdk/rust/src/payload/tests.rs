use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::*;

fn text(payload: &v1::Payload) -> &str {
    match &payload.content {
        Some(Content::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn of(content_type: &str, content: Option<Content>) -> v1::Payload {
    v1::Payload { content_type: content_type.into(), content, ..v1::Payload::default() }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    label: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Custom(String),
}

#[test]
fn strings_are_text() {
    for (payload, expected) in [
        (to_payload("hello"), "hello"),
        (to_payload(""), ""),
        (to_payload(&Some("some")), "some"),
        (to_payload(&Wrapped("inner".into())), "inner"),
        (to_payload(&Colour::Red), "Red"),
        (to_payload(&json!("a json string")), "a json string"),
        (to_payload(&'c'), "c"),
    ] {
        let payload = payload.unwrap();
        assert_eq!((payload.content_type.as_str(), text(&payload)), (TEXT, expected));
    }
}

#[test]
fn bytes_are_binary() {
    let payload = to_payload(&Bytes(vec![0, 255])).unwrap();
    assert_eq!(payload.content_type, BINARY);
    assert_eq!(from_payload::<Bytes>(&payload).unwrap(), Bytes(vec![0, 255]));
    assert_eq!(from_payload::<Vec<u8>>(&payload).unwrap(), [0, 255]);
}

#[test]
fn everything_else_is_json() {
    for (payload, expected) in [
        (to_payload(&42), "42"),
        (to_payload(&Option::<String>::None), "null"),
        (to_payload(&()), "null"),
        (to_payload(&vec!["a"]), r#"["a"]"#),
        (to_payload(&Colour::Custom("x".into())), r#"{"Custom":"x"}"#),
        (to_payload(&Point { x: 0.5, label: None }), r#"{"x":0.5,"label":null}"#),
        (to_payload(&u64::MAX), "18446744073709551615"),
    ] {
        let payload = payload.unwrap();
        assert_eq!((payload.content_type.as_str(), text(&payload)), (JSON, expected));
    }
}

#[test]
fn numbers_that_json_lacks_are_refused() {
    let nested = HashMap::from([("deep", vec![Point { x: f64::NAN, label: None }])]);
    assert!(matches!(to_payload(&nested), Err(Error::InvalidArgument(_))));
    assert!(to_payload(&f64::INFINITY).is_err());
    assert!(to_payload(&f32::NAN).is_err());
}

#[test]
fn more_than_a_mebibyte_is_refused() {
    assert!(to_payload(&"x".repeat(MAX_PAYLOAD_BYTES)).is_ok());
    let error = to_payload(&"x".repeat(MAX_PAYLOAD_BYTES + 1)).unwrap_err();
    assert_eq!(error.reason(), "PAYLOAD_TOO_LARGE");
    assert!(to_payload(&Bytes(vec![0; MAX_PAYLOAD_BYTES + 1])).is_err());
}

#[test]
fn values_come_back() {
    let point = Point { x: 1.0, label: Some("p".into()) };
    assert_eq!(from_payload::<Point>(&to_payload(&point).unwrap()).unwrap(), point);
    assert_eq!(from_payload::<Colour>(&to_payload(&Colour::Red).unwrap()).unwrap(), Colour::Red);
    assert_eq!(from_payload::<Wrapped>(&to_payload("w").unwrap()).unwrap(), Wrapped("w".into()));
    assert_eq!(from_payload::<Value>(&to_payload(&json!({"a": [1, null]})).unwrap()).unwrap(), json!({"a": [1, null]}));
    let map = BTreeMap::from([("k".to_owned(), 1.25_f64)]);
    assert_eq!(from_payload::<BTreeMap<String, f64>>(&to_payload(&map).unwrap()).unwrap(), map);
}

#[test]
fn the_content_type_says_how_it_is_read() {
    let json_text = || Some(Content::Text("[1]".into()));
    assert_eq!(from_payload::<Value>(&of("application/json", json_text())).unwrap(), json!([1]));
    assert_eq!(from_payload::<Value>(&of("application/problem+json; x=y", json_text())).unwrap(), json!([1]));
    assert_eq!(from_payload::<Value>(&of("text/csv", json_text())).unwrap(), json!("[1]"));
    assert_eq!(from_payload::<Value>(&of("application/x-own", json_text())).unwrap(), json!("[1]"));
    assert_eq!(from_payload::<Value>(&of("", json_text())).unwrap(), json!("[1]"));
    let binary = |bytes: &'static [u8]| Some(Content::Binary(bytes.into()));
    assert_eq!(from_payload::<Value>(&of("application/json", binary(b"[1]"))).unwrap(), json!([1]));
    assert_eq!(from_payload::<String>(&of("text/plain", binary(b"abc"))).unwrap(), "abc");
    assert_eq!(from_payload::<Bytes>(&of("", binary(&[9]))).unwrap(), Bytes(vec![9]));
    assert!(from_payload::<String>(&of("text/plain", binary(&[0xff]))).is_err());
}

#[test]
fn an_unset_payload_is_the_empty_string() {
    assert_eq!(from_optional::<String>(None).unwrap(), "");
    from_optional::<()>(None).unwrap();
    assert_eq!(from_payload::<Value>(&v1::Payload::default()).unwrap(), json!(""));
}

#[test]
fn a_wrong_type_is_explained() {
    let error = from_payload::<Vec<Point>>(&to_payload("text").unwrap()).unwrap_err();
    assert!(error.to_string().contains("a text can't be read as Vec<Point>"), "{error}");
    assert!(from_payload::<u32>(&of(JSON, None)).is_err());
    assert!(from_payload::<()>(&to_payload("x").unwrap()).is_err());
}
