//! How the tasks ended that a handler's task depends on.

use callboard_proto::v1;
use serde::de::DeserializeOwned;

use super::Context;
use crate::{Error, Result, payload};

/// How a task that another depends on ended.
#[derive(Debug, Clone)]
pub struct Dependency {
    result: v1::DependencyResult,
}

impl Context {
    /// How the tasks that this one depends on ended, in their order.
    ///
    /// # Errors
    ///
    /// What every call may give, when the results did not fit into the assignment and have to be fetched.
    pub async fn dependencies(&self) -> Result<Vec<Dependency>> {
        let assignment = self.assignment();
        let results = if assignment.dependencies_truncated {
            self.client().dependency_results(self.task_id()).await?
        } else {
            assignment.dependencies.clone()
        };
        Ok(results.into_iter().map(|result| Dependency { result }).collect())
    }

    /// How the dependency of this name ended: see [`crate::NewDependency::named`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when no dependency has the name; and what [`Context::dependencies`] may give.
    pub async fn dependency(&self, name: &str) -> Result<Dependency> {
        let mut dependencies = self.dependencies().await?;
        match dependencies.iter().position(|one| !name.is_empty() && one.name() == name) {
            Some(at) => Ok(dependencies.swap_remove(at)),
            None => Err(unknown(name, &dependencies)),
        }
    }
}

impl Dependency {
    /// Its id.
    pub fn task_id(&self) -> &str {
        &self.result.task_id
    }

    /// Its type.
    pub fn task_type(&self) -> &str {
        &self.result.r#type
    }

    /// Its key; empty when it has none.
    pub fn key(&self) -> &str {
        &self.result.key
    }

    /// What the dependent calls it; empty when it has no name.
    pub fn name(&self) -> &str {
        &self.result.name
    }

    /// Its state.
    pub fn state(&self) -> v1::TaskState {
        self.result.state()
    }

    /// What it gave, decoded.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the result is no `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        payload::from_optional(self.result.result.as_ref())
    }

    /// What it gave, as it came.
    pub fn payload(&self) -> Option<&v1::Payload> {
        self.result.result.as_ref()
    }

    /// How it failed, when it did.
    pub fn failure(&self) -> Option<&v1::Failure> {
        self.result.failure.as_ref()
    }
}

fn unknown(name: &str, dependencies: &[Dependency]) -> Error {
    let names: Vec<&str> = dependencies.iter().map(Dependency::name).filter(|name| !name.is_empty()).collect();
    let there_are = match names.as_slice() {
        [] => "none has a name".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    Error::invalid("name", format!("no dependency is named {name:?}: {there_are}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(names: &[&str]) -> Context {
        let result = |name: &&str| v1::DependencyResult {
            task_id: format!("id of {name}"),
            name: (*name).to_owned(),
            ..v1::DependencyResult::default()
        };
        let dependencies = names.iter().map(result).collect();
        Context::for_tests(v1::Assignment { dependencies, ..v1::Assignment::default() })
    }

    #[tokio::test]
    async fn a_dependency_is_found_by_its_name() {
        let context = context(&["", "draft", "review"]);
        let found = context.dependency("review").await.unwrap();
        assert_eq!((found.name(), found.task_id()), ("review", "id of review"));
    }

    #[tokio::test]
    async fn an_unknown_name_is_answered_with_those_that_there_are() {
        let error = context(&["draft", "", "review"]).dependency("Draft").await.unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)));
        assert_eq!(error.to_string(), r#"no dependency is named "Draft": there are draft, review"#);
        for nobody in ["", "draft"] {
            let error = context(&[""]).dependency(nobody).await.unwrap_err();
            assert!(error.to_string().ends_with("none has a name"), "{error}");
        }
    }
}
