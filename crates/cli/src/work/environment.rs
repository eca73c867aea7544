//! What a program learns from its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What is known of an attempt. Everything that a program may learn of it is here.
#[derive(Debug, Default)]
pub struct Attempt {
    /// Where the server is.
    pub address: String,
    /// The namespace.
    pub namespace: String,
    /// The task's id.
    pub task_id: String,
    /// The task's type.
    pub task_type: String,
    /// The run.
    pub run: i32,
    /// The attempt's number.
    pub attempt: i32,
    /// When the attempt times out, RFC 3339.
    pub deadline: Option<String>,
    /// The media type of the input.
    pub input_type: String,
    /// A file with the last attempt's checkpoint.
    pub checkpoint_file: Option<OsString>,
    /// A file with the results of the dependencies.
    pub dependencies_file: Option<OsString>,
    /// The task's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The task's headers.
    pub headers: BTreeMap<String, String>,
}

/// Headers that have a variable of their own: W3C Trace Context.
const TRACE_HEADERS: [(&str, &str); 2] = [("traceparent", "TRACEPARENT"), ("tracestate", "TRACESTATE")];

/// Variables to set, or (`None`) to take away, so that nothing of an outer task shines through.
pub fn variables(attempt: Attempt) -> Vec<(String, Option<OsString>)> {
    let headers = &attempt.headers;
    let mut variables: Vec<(String, Option<OsString>)> = vec![
        ("CALLBOARD_ADDRESS".into(), Some(attempt.address.into())),
        ("CALLBOARD_NAMESPACE".into(), Some(attempt.namespace.into())),
        ("CALLBOARD_TASK_ID".into(), Some(attempt.task_id.into())),
        ("CALLBOARD_TASK_TYPE".into(), Some(attempt.task_type.into())),
        ("CALLBOARD_RUN".into(), Some(attempt.run.to_string().into())),
        ("CALLBOARD_ATTEMPT".into(), Some(attempt.attempt.to_string().into())),
        ("CALLBOARD_DEADLINE".into(), attempt.deadline.map(Into::into)),
        ("CALLBOARD_INPUT_TYPE".into(), Some(attempt.input_type.into())),
        ("CALLBOARD_CHECKPOINT_FILE".into(), attempt.checkpoint_file),
        ("CALLBOARD_DEPENDENCIES_FILE".into(), attempt.dependencies_file),
    ];
    for (header, variable) in TRACE_HEADERS {
        variables.push((variable.into(), headers.get(header).and_then(|value| storable(header, value))));
    }
    for (key, value) in &attempt.metadata {
        if let Some(value) = storable(key, value) {
            variables.push((metadata_variable(key), Some(value)));
        }
    }
    variables
}

/// `due date` is `CALLBOARD_METADATA_DUE_DATE`.
fn metadata_variable(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("CALLBOARD_METADATA_{name}")
}

/// The environment takes anything but NUL.
fn storable(key: &str, value: &str) -> Option<OsString> {
    if value.contains('\0') {
        tracing::warn!(key, "a value with a NUL in it can't be in the environment, and was left out");
        return None;
    }
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(variables: &'a [(String, Option<OsString>)], name: &str) -> Option<&'a Option<OsString>> {
        variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value)
    }

    #[test]
    fn what_is_known_is_set_and_the_rest_is_taken_away() {
        let variables = variables(Attempt { task_id: "t".into(), attempt: 2, ..Attempt::default() });
        assert_eq!(get(&variables, "CALLBOARD_TASK_ID"), Some(&Some("t".into())));
        assert_eq!(get(&variables, "CALLBOARD_ATTEMPT"), Some(&Some("2".into())));
        assert_eq!(get(&variables, "CALLBOARD_CHECKPOINT_FILE"), Some(&None));
        assert_eq!(get(&variables, "TRACEPARENT"), Some(&None));
    }

    #[test]
    fn metadata_and_trace_context_are_there() {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let variables = variables(Attempt {
            metadata: pairs(&[("due-date é", "soon"), ("bad", "\0")]),
            headers: pairs(&[("traceparent", "00-ab")]),
            ..Attempt::default()
        });
        assert_eq!(get(&variables, "CALLBOARD_METADATA_DUE_DATE__"), Some(&Some("soon".into())));
        assert_eq!(get(&variables, "CALLBOARD_METADATA_BAD"), None);
        assert_eq!(get(&variables, "TRACEPARENT"), Some(&Some("00-ab".into())));
    }
}
