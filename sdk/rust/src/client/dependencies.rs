//! Adding dependencies to a task that waits.

use std::future::IntoFuture;

use callboard_proto::v1;

use super::{Client, Receipt};
use crate::interceptor::BoxFuture;
use crate::{Error, NewDependency, Result};

/// Dependencies for a task that waits, which are added when it is awaited: see [`Client::add_dependencies`].
#[derive(Debug, Clone)]
#[must_use = "nothing is added unless it is awaited"]
pub struct AddDependencies {
    client: Client,
    request: v1::AddDependenciesRequest,
}

impl AddDependencies {
    /// Your own id of this addition, at most 128 characters: repeating it with the same id adds nothing more, for 24 hours. A
    /// handler that may run again makes one of its task's id and run. By default a random one is made for each call.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request.request_id = request_id.into();
        self
    }

    async fn add(self) -> Result<Receipt> {
        self.client.call(self.request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }
}

impl IntoFuture for AddDependencies {
    type Output = Result<Receipt>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.add())
    }
}

impl Client {
    /// Makes a WAITING task wait for more, all or none: a plan that changes while it is carried out. None may be one that it has
    /// already, and with those that it has there are at most 1,000. They stand behind those. When one of them has ended otherwise
    /// than it must, the task has ended with it: the receipt's state tells.
    ///
    /// ```no_run
    /// # use callboard::{Context, NewDependency, NewTask, TaskError};
    /// // A supervisor has a work checked once more before it is published.
    /// async fn review(ctx: Context, publish: String) -> Result<(), TaskError> {
    ///     let check = ctx.client().create(NewTask::new("check").key(format!("check/{publish}"))).await?;
    ///     // It may not begin meanwhile.
    ///     ctx.client().hold(&publish, "is checked").await?;
    ///     let added = ctx.client().add_dependencies(&publish, [NewDependency::on(&check).or_fail()]);
    ///     // An attempt that runs again adds it once.
    ///     added.request_id(format!("check/{}/{}", ctx.task_id(), ctx.run())).await?;
    ///     ctx.client().release(&publish).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the task is not WAITING: hold it, or its workflow, first; [`Error::InvalidArgument`]
    /// when a dependency is not as it may be, or a task would wait for itself: the path is told. And as [`Client::get`].
    pub fn add_dependencies<D: Into<NewDependency>>(
        &self,
        id: &str,
        dependencies: impl IntoIterator<Item = D>,
    ) -> AddDependencies {
        let dependencies = dependencies.into_iter().map(|one| one.into().dependency).collect();
        let request = v1::AddDependenciesRequest { task_id: id.to_owned(), dependencies, ..Default::default() };
        AddDependencies { client: self.clone(), request }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResultCondition;

    #[test]
    fn what_is_added_is_in_the_request() {
        let client = Client::connect("http://localhost").unwrap();
        let request = client.add_dependencies("t", ["a"]).request;
        let bare = v1::Dependency { task_id: "a".into(), ..Default::default() };
        let said =
            v1::AddDependenciesRequest { task_id: "t".into(), dependencies: vec![bare.clone()], ..Default::default() };
        assert_eq!(request, said);

        let more = NewDependency::on("b").result(ResultCondition::exists("/score")).named("draft").or_fail();
        let request = client.add_dependencies("t", [NewDependency::on("a"), more.clone()]).request_id("mine").request;
        assert_eq!(request.dependencies, [bare, more.dependency]);
        assert_eq!(request.request_id, "mine");
    }
}
