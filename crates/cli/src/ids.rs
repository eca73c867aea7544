//! Ids of tasks and workflows, and the short ids that tables show.

use callboard::Client;
use callboard::v1::{ListTasksRequest, ListWorkflowsRequest};
use uuid::Uuid;

use crate::error::Error;

/// How many digits a short id has. They are the last: a UUIDv7's first are a clock, the same for all tasks of a minute.
const SHORT: usize = 8;

/// The fewest digits that are taken.
const FEWEST: usize = 6;

/// How many candidates are named when a short id is ambiguous.
const CANDIDATES: i32 = 5;

/// The short id of a task.
pub fn short(id: &str) -> &str {
    let start = id.len().saturating_sub(SHORT);
    id.get(start..).unwrap_or(id)
}

/// What was given for an id.
#[derive(Debug, PartialEq, Eq)]
enum Given {
    Whole(String),
    Suffix(String),
}

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A task.
    Task,
    /// A workflow.
    Workflow,
}

impl Noun {
    /// Its name, which is also that of its commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Workflow => "workflow",
        }
    }
}

/// The id of the task that is meant by an id or its last digits.
pub async fn resolve(client: &Client, given: &str) -> Result<String, Error> {
    match parse(Noun::Task, given)? {
        Given::Whole(id) => Ok(id),
        Given::Suffix(suffix) => look_up_task(client, suffix).await,
    }
}

/// The same for workflows.
pub async fn resolve_workflow(client: &Client, given: &str) -> Result<String, Error> {
    match parse(Noun::Workflow, given)? {
        Given::Whole(id) => Ok(id),
        Given::Suffix(suffix) => look_up_workflow(client, suffix).await,
    }
}

/// Several of them.
pub async fn resolve_all(client: &Client, given: &[String]) -> Result<Vec<String>, Error> {
    let mut ids = Vec::with_capacity(given.len());
    for given in given {
        ids.push(resolve(client, given).await?);
    }
    Ok(ids)
}

fn parse(noun: Noun, given: &str) -> Result<Given, Error> {
    if let Ok(id) = Uuid::try_parse(given) {
        return Ok(Given::Whole(id.hyphenated().to_string()));
    }
    let digits: String = given.chars().filter(|&c| c != '-').collect::<String>().to_ascii_lowercase();
    let is_suffix = (FEWEST..32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_suffix {
        return Ok(Given::Suffix(digits));
    }
    Err(Error::Usage(format!(
        "`{given}` is no {} id: give the whole id, or its last {FEWEST} or more hexadecimal digits",
        noun.name()
    )))
}

async fn look_up_task(client: &Client, suffix: String) -> Result<String, Error> {
    let request = ListTasksRequest { id_suffix: suffix.clone(), page_size: CANDIDATES, ..ListTasksRequest::default() };
    let candidates: Vec<String> = client.list_page(request).await?.tasks.into_iter().map(|task| task.id).collect();
    choose(Noun::Task, suffix, candidates, client.namespace())
}

async fn look_up_workflow(client: &Client, suffix: String) -> Result<String, Error> {
    let request =
        ListWorkflowsRequest { id_suffix: suffix.clone(), page_size: CANDIDATES, ..ListWorkflowsRequest::default() };
    let candidates = client.call(request).await?.workflows.into_iter().map(|workflow| workflow.id).collect();
    choose(Noun::Workflow, suffix, candidates, client.namespace())
}

fn choose(noun: Noun, suffix: String, mut candidates: Vec<String>, namespace: &str) -> Result<String, Error> {
    match (candidates.pop(), candidates.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            candidates.push(last);
            Err(Error::AmbiguousId { noun, suffix, candidates })
        }
        (None, _) => Err(Error::UnknownId { noun, suffix, namespace: namespace.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01989b0e-3c1a-7000-8000-0000aabbccdd";

    #[test]
    fn a_short_id_is_the_end_of_the_whole() {
        assert_eq!(short(ID), "aabbccdd");
        assert_eq!(short("abc"), "abc");
    }

    #[test]
    fn whole_ids_and_suffixes_are_taken() {
        assert_eq!(parse(Noun::Task, ID).unwrap(), Given::Whole(ID.into()));
        assert_eq!(parse(Noun::Task, &ID.to_uppercase()).unwrap(), Given::Whole(ID.into()));
        assert_eq!(parse(Noun::Task, "AABBCCDD").unwrap(), Given::Suffix("aabbccdd".into()));
        assert_eq!(parse(Noun::Task, "8000-0000aabbccdd").unwrap(), Given::Suffix("80000000aabbccdd".into()));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_taken() {
        for given in ["", "abcde", "not-hex", "aabbccdg"] {
            let error = parse(Noun::Task, given).unwrap_err();
            assert!(error.to_string().contains("6 or more hexadecimal digits"), "{error}");
        }
    }

    #[test]
    fn a_suffix_must_mean_one_task() {
        assert_eq!(choose(Noun::Task, "aabbcc".into(), vec![ID.into()], "n").unwrap(), ID);
        let unknown = choose(Noun::Task, "aabbcc".into(), vec![], "n").unwrap_err();
        assert_eq!(unknown.to_string(), "no task's id ends in `aabbcc` in namespace `n`");
        let ambiguous = choose(Noun::Task, "aabbcc".into(), vec!["a".into(), "b".into()], "n").unwrap_err();
        assert_eq!(ambiguous.to_string(), "the ids of several tasks end in `aabbcc`: a, b");
    }
}
