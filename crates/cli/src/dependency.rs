//! A dependency as the command line says it, `ID,condition=failed,on-failure=fail,name=draft,result=/score>=0.8`, and as
//! `task show` writes it.

use callboard::v1::{Dependency, DependencyCondition, DependencyFailureAction, ResultComparison, ResultCondition};
use serde::de::IgnoredAny;

use crate::output::names;

/// What `--help` says of it, in lines that an indentation of ten leaves whole.
pub const HELP: &str = "\
A task that must end first. May be repeated.

ID is its id or short id. It must complete, unless more is said behind it, in any order:

  condition=HOW      how it must end: completed, failed, not-completed (failed, cancelled
                     or skipped), ended (in any way)
  result=WHAT        what its result must be besides, when it must complete: a JSON
                     Pointer, one of = != < <= > >=, and a JSON value: /score>=0.8,
                     /lang=\"en\", =\"yes\" (all of it); or /draft: there is a value;
                     !/draft: there is none
  on-failure=ACTION  what becomes of this task when it ends otherwise: skip (the
                     default), fail
  name=NAME          what this task's handler calls it: its result comes with this name

Quote it, for < and > and \" mean something to a shell:

  --depends-on '0aabbccd,name=review,result=/score>=0.8,on-failure=fail'

ID:fail is short for ID,on-failure=fail. A pointer can't have any of ,=!<> here.";

const PARTS: &str = "`condition=…`, `result=…`, `on-failure=…` or `name=…`";

const CONDITIONS: [(&str, DependencyCondition); 4] = [
    ("completed", DependencyCondition::Completed),
    ("failed", DependencyCondition::Failed),
    ("not-completed", DependencyCondition::NotCompleted),
    ("ended", DependencyCondition::Ended),
];

const ACTIONS: [(&str, DependencyFailureAction); 2] =
    [("skip", DependencyFailureAction::Skip), ("fail", DependencyFailureAction::Fail)];

/// Those that begin with another stand before it.
const COMPARISONS: [(&str, ResultComparison); 7] = [
    ("!=", ResultComparison::NotEqual),
    ("<=", ResultComparison::LessOrEqual),
    (">=", ResultComparison::GreaterOrEqual),
    ("==", ResultComparison::Equal),
    ("=", ResultComparison::Equal),
    ("<", ResultComparison::Less),
    (">", ResultComparison::Greater),
];

/// A value, and what follows behind its comma, if there is one.
type Read<'a, T> = (T, Option<&'a str>);

/// Parses it; the id is as it was given, whole or short.
pub fn parse(text: &str) -> Result<Dependency, String> {
    let (task, mut rest) = up_to_comma(text);
    let mut dependency = parse_task(task)?;
    while let Some(part) = rest {
        rest = parse_part(&mut dependency, part)?;
    }
    Ok(dependency)
}

/// `ID`, `ID:skip` or `ID:fail`.
fn parse_task(text: &str) -> Result<Dependency, String> {
    let (id, action) = match text.split_once(':') {
        Some((id, action)) => (id, one_of(&ACTIONS, "the word behind `ID:`", action)?),
        None => (text, DependencyFailureAction::Unspecified),
    };
    if id.is_empty() {
        return Err("the task's id is missing: write `ID`, `ID:fail` or `ID,condition=failed`".to_owned());
    }
    Ok(Dependency { task_id: id.to_owned(), on_failure: action.into(), ..Dependency::default() })
}

/// Takes one part in; what follows is given back.
fn parse_part<'a>(dependency: &mut Dependency, text: &'a str) -> Result<Option<&'a str>, String> {
    let (part, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is none of the parts: write {PARTS} behind the id"))?;
    let part = part.trim();
    let said_before = match part {
        "condition" => dependency.condition != 0,
        "on-failure" => dependency.on_failure != 0,
        "name" => !dependency.name.is_empty(),
        "result" => dependency.result.is_some(),
        _ => return Err(format!("there is no `{part}`: write {PARTS} behind the id")),
    };
    if said_before {
        return Err(format!("`{part}` is said twice: say it once"));
    }
    if part == "result" {
        let (condition, rest) = parse_result(value)?;
        dependency.result = Some(condition);
        return Ok(rest);
    }
    let (value, rest) = up_to_comma(value);
    match part {
        "condition" => dependency.condition = one_of(&CONDITIONS, "`condition`", value)?.into(),
        "on-failure" => dependency.on_failure = one_of(&ACTIONS, "`on-failure`", value)?.into(),
        _ if value.is_empty() => return Err("`name` is empty: give a name, or leave it out".to_owned()),
        _ => value.clone_into(&mut dependency.name),
    }
    Ok(rest)
}

/// `/score>=0.8`, `/draft` or `!/draft`.
fn parse_result(text: &str) -> Result<Read<'_, ResultCondition>, String> {
    let end = text.find([',', '=', '!', '<', '>']).unwrap_or(text.len());
    let (before, behind) = text.split_at(end);
    let compared = COMPARISONS.iter().find_map(|(sign, comparison)| Some((comparison, behind.strip_prefix(sign)?)));
    if let Some((comparison, text)) = compared {
        let (value, rest) = parse_value(text)?;
        return Ok((condition(before.trim(), *comparison, value)?, rest));
    }
    let (whole, rest) = up_to_comma(text);
    let (pointer, comparison) = match whole.strip_prefix('!') {
        Some(pointer) => (pointer, ResultComparison::NotExists),
        None => (whole, ResultComparison::Exists),
    };
    if pointer.is_empty() || pointer.contains(['=', '!', '<', '>']) {
        return Err(format!("`result={whole}` says nothing of a result: write `/score>=0.8`, `/draft` or `!/draft`"));
    }
    Ok((condition(pointer, comparison, "")?, rest))
}

fn condition(pointer: &str, comparison: ResultComparison, value: &str) -> Result<ResultCondition, String> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(format!("`{pointer}` is no JSON Pointer: write `/{pointer}`"));
    }
    Ok(ResultCondition { pointer: pointer.to_owned(), comparison: comparison.into(), value: value.to_owned() })
}

/// A JSON value, which may have commas itself. It stays as it is written, so that no number loses a digit.
fn parse_value(text: &str) -> Result<Read<'_, &str>, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    if !matches!(values.next(), Some(Ok(_))) {
        return Err(format!(
            "`{text}` does not begin with a JSON value: write a number, true, false, null, or a text in \"double \
             quotes\", and the whole option in 'single quotes', which keep the shell from taking those away"
        ));
    }
    let (value, behind) = text.split_at(values.byte_offset());
    match behind.trim_start() {
        "" => Ok((value.trim(), None)),
        behind => match behind.strip_prefix(',') {
            Some(rest) => Ok((value.trim(), Some(rest))),
            None => Err(format!("`{behind}` stands behind the value `{}`: put a comma between them", value.trim())),
        },
    }
}

fn up_to_comma(text: &str) -> Read<'_, &str> {
    match text.split_once(',') {
        Some((before, rest)) => (before.trim(), Some(rest)),
        None => (text.trim(), None),
    }
}

fn one_of<T: Copy>(known: &[(&str, T)], what: &str, name: &str) -> Result<T, String> {
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("{what} is `{name}`: write one of {}", names.join(", "))
    })
}

/// Writes it as [`parse`] reads it, without what goes without saying.
pub fn written(dependency: &Dependency) -> String {
    let mut text = dependency.task_id.clone();
    if dependency.condition > DependencyCondition::Completed.into() {
        text.push_str(&format!(",condition={}", names::dependency_condition(dependency.condition).replace('_', "-")));
    }
    if dependency.on_failure() == DependencyFailureAction::Fail {
        text.push_str(",on-failure=fail");
    }
    if !dependency.name.is_empty() {
        text.push_str(&format!(",name={}", dependency.name));
    }
    if let Some(condition) = &dependency.result {
        text.push_str(&format!(",result={}", written_result(condition)));
    }
    text
}

/// Writes what a result must be as [`parse`] reads it.
pub fn written_result(condition: &ResultCondition) -> String {
    let ResultCondition { pointer, value, .. } = condition;
    match condition.comparison() {
        ResultComparison::Exists => pointer.clone(),
        ResultComparison::NotExists => format!("!{pointer}"),
        comparison => {
            let sign = COMPARISONS.iter().rfind(|(_, known)| *known == comparison).map_or("?", |(sign, _)| sign);
            format!("{pointer}{sign}{value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(text: &str) -> (String, ResultComparison, String) {
        let dependency = parse(&format!("abc,result={text}")).unwrap();
        let condition = dependency.result.unwrap();
        (condition.pointer.clone(), condition.comparison(), condition.value)
    }

    #[test]
    fn the_help_is_not_wrapped() {
        assert!(HELP.lines().all(|line| line.chars().count() <= 90), "{HELP}");
    }

    #[test]
    fn an_id_alone_asks_for_nothing_more() {
        assert_eq!(parse("abc").unwrap(), Dependency { task_id: "abc".into(), ..Dependency::default() });
        assert_eq!(parse("abc:fail").unwrap(), parse("abc,on-failure=fail").unwrap());
        assert_eq!(parse("abc:skip").unwrap().on_failure(), DependencyFailureAction::Skip);
    }

    #[test]
    fn all_of_it_can_be_said_in_any_order() {
        let said = parse("abc,result=/score>=0.8,name=draft,condition=completed,on-failure=fail").unwrap();
        assert_eq!(said.condition(), DependencyCondition::Completed);
        assert_eq!(said.on_failure(), DependencyFailureAction::Fail);
        assert_eq!(said.name, "draft");
        assert_eq!(said, parse("abc:fail, condition=completed, name = draft, result = /score >= 0.8").unwrap());
        for (name, condition) in CONDITIONS {
            assert_eq!(parse(&format!("abc,condition={name}")).unwrap().condition(), condition);
        }
    }

    #[test]
    fn a_result_is_compared_in_every_way() {
        for (text, pointer, comparison, value) in [
            ("/a=1", "/a", ResultComparison::Equal, "1"),
            ("/a==1", "/a", ResultComparison::Equal, "1"),
            ("/a!=null", "/a", ResultComparison::NotEqual, "null"),
            ("/a<1", "/a", ResultComparison::Less, "1"),
            ("/a<=-1.50", "/a", ResultComparison::LessOrEqual, "-1.50"),
            ("/a/0>12345678901234567890", "/a/0", ResultComparison::Greater, "12345678901234567890"),
            ("/a>=\"x\"", "/a", ResultComparison::GreaterOrEqual, "\"x\""),
            ("=\"yes\"", "", ResultComparison::Equal, "\"yes\""),
            ("!=\"no\"", "", ResultComparison::NotEqual, "\"no\""),
            ("/a", "/a", ResultComparison::Exists, ""),
            ("!/a", "/a", ResultComparison::NotExists, ""),
        ] {
            assert_eq!(result_of(text), (pointer.into(), comparison, value.into()), "{text}");
        }
    }

    #[test]
    fn values_may_have_commas() {
        for value in [r#"[1,"a,b=c"]"#, r#"{"a":1,"name":"x"}"#, r#"",name=\"x\"""#, "7", "null"] {
            let said = parse(&format!("abc,result=/a={value},name=draft")).unwrap();
            assert_eq!((said.result.unwrap().value.as_str(), said.name.as_str()), (value, "draft"));
        }
        assert_eq!(parse("abc,result=/a,name=draft").unwrap().name, "draft");
        assert_eq!(parse("abc,result=!/a,name=draft").unwrap().name, "draft");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_right() {
        for (text, told) in [
            ("", "the task's id is missing: write `ID`"),
            (":fail", "the task's id is missing"),
            (",name=x", "the task's id is missing"),
            ("abc:explode", "is `explode`: write one of skip, fail"),
            ("abc,", "`` is none of the parts: write `condition=…`"),
            ("abc,failed", "`failed` is none of the parts: write `condition=…`"),
            ("abc,conditions=failed", "there is no `conditions`: write `condition=…`"),
            ("abc,condition=done", "`condition` is `done`: write one of completed, failed, not-completed, ended"),
            ("abc,on-failure=", "`on-failure` is ``: write one of skip, fail"),
            ("abc:fail,on-failure=fail", "`on-failure` is said twice"),
            ("abc,name=x,name=y", "`name` is said twice"),
            ("abc,name=", "`name` is empty"),
            ("abc,result=", "`result=` says nothing of a result: write `/score>=0.8`"),
            ("abc,result=!", "says nothing of a result"),
            ("abc,result=/a!b", "says nothing of a result"),
            ("abc,result=!/a=1", "says nothing of a result"),
            ("abc,result=score>1", "`score` is no JSON Pointer: write `/score`"),
            ("abc,result=score", "`score` is no JSON Pointer: write `/score`"),
            ("abc,result=/a=", "does not begin with a JSON value"),
            ("abc,result=/lang=en", "`en` does not begin with a JSON value"),
            ("abc,result=/a=1 2", "`2` stands behind the value `1`: put a comma"),
            ("abc,result=/a=\"x\"name=y", "`name=y` stands behind the value `\"x\"`: put a comma"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in [
            "abc",
            "abc,condition=not-completed",
            "abc,condition=failed,on-failure=fail,name=draft",
            "abc,name=draft,result=/score>=0.8",
            "abc,result=/a=[1,2]",
            "abc,result==\"yes\"",
            "abc,result=!=\"no\"",
            "abc,result=/draft",
            "abc,result=!/draft",
        ] {
            assert_eq!(written(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn what_goes_without_saying_and_what_is_newer_than_this_version() {
        let usual = Dependency {
            task_id: "abc".into(),
            condition: DependencyCondition::Completed.into(),
            on_failure: DependencyFailureAction::Skip.into(),
            ..Dependency::default()
        };
        assert_eq!(written(&usual), "abc");
        let newer = ResultCondition { pointer: "/a".into(), comparison: 99, value: "1".into() };
        let newer = Dependency { condition: 99, result: Some(newer), ..usual };
        assert_eq!(written(&newer), "abc,condition=99,result=/a?1");
    }
}
