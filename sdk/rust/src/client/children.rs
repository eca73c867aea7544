//! The children of a run, and creating one with the lease of a claimed task.

use callboard_proto::v1;

use super::{Client, Receipt};
use crate::interceptor::Submitted;
use crate::{Error, NewTask, Result};

impl Client {
    /// The children that a run of a task created, in the order in which they were created. Run 0 is the latest.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn children(&self, id: &str, run: i32) -> Result<Vec<v1::Child>> {
        let mut request =
            v1::ListChildrenRequest { task_id: id.to_owned(), run, page_size: 1000, ..Default::default() };
        let mut children = Vec::new();
        loop {
            let page = self.call(request.clone()).await?;
            children.extend(page.children);
            if page.next_page_token.is_empty() {
                return Ok(children);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Creates a child of a task that was claimed. (A handler has [`crate::Context::start_child`].) The child of the same
    /// name and occurrence that another attempt of the run created is the answer when there is one.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the attempt is no longer current; [`Error::AlreadyExists`] when the child that is
    /// there has another type; [`Error::ResourceExhausted`] when the run has 1,000 children, or children stand too deep;
    /// and as [`Client::create`].
    pub async fn create_child(&self, mut request: v1::CreateChildRequest) -> Result<Receipt> {
        // Without a task there is nothing to intercept: the server says that there is none.
        let Some(spec) = request.task.take() else { return self.send_child(request).await };
        let create = |task: NewTask| async {
            let request = v1::CreateChildRequest { task: Some(task.spec), ..request };
            self.send_child(request).await.map(Submitted::Created)
        };
        self.submit(spec.into(), create).await?.into_receipt()
    }

    /// The same of a task that the interceptors have had.
    pub(crate) async fn send_child(&self, request: v1::CreateChildRequest) -> Result<Receipt> {
        self.call(request).await?.receipt.ok_or_else(|| Error::missing("receipt"))
    }
}
