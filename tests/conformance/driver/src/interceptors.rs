//! The interceptors of DRIVER.md: they leave their names behind.

use crate::value::Any;
use callboard::{BoxFuture, Context, HandleNext, Interceptor, NewTask, Result, SubmitNext, Submitted, TaskError, v1};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The header that interceptors append their names to.
const PATH: &str = "x-path";

/// An interceptor as an instruction describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    name: String,
    submit: Option<Submit>,
    #[serde(default)]
    handle: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Interceptor for Named {
    fn submit<'a>(&'a self, mut task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        if let Some(submit) = &self.submit {
            task = submit.headers.iter().fold(task, |task, (name, value)| task.header(name, value));
            let path = match task.spec().headers.get(PATH) {
                Some(path) => format!("{path},{}", self.name),
                None => self.name.clone(),
            };
            task = task.header(PATH, path);
        }
        next.run(task)
    }

    fn handle<'a>(
        &'a self,
        _: &'a Context,
        input: v1::Payload,
        next: HandleNext<'a>,
    ) -> BoxFuture<'a, Result<v1::Payload, TaskError>> {
        Box::pin(async move {
            let result = next.run(input).await?;
            if !self.handle {
                return Ok(result);
            }
            match Any::of_payload(Some(&result))? {
                Any::Json(Value::Object(mut fields)) => {
                    let path = fields.entry("path").or_insert_with(|| Value::Array(Vec::new()));
                    path.as_array_mut().into_iter().for_each(|path| path.push(self.name.clone().into()));
                    Ok(Any::Json(Value::Object(fields)).to_payload()?)
                }
                _ => Ok(result),
            }
        })
    }
}
