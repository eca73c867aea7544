//! Namespaces and their settings.

use callboard_proto::v1;
use futures::stream::{self, Stream};

use super::Client;
use super::tasks::{flatten, following};
use crate::{Error, Result};

impl Client {
    /// Creates a namespace; settings that are unset take their defaults. Its limits are [`crate::NewLimit`]s.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] when there is one of this name; and what every call may give.
    pub async fn create_namespace(&self, name: &str, settings: v1::NamespaceSettings) -> Result<v1::Namespace> {
        let request =
            v1::CreateNamespaceRequest { name: name.to_owned(), settings: Some(settings), ..Default::default() };
        self.call(request).await?.namespace.ok_or_else(|| Error::missing("namespace"))
    }

    /// Gives one namespace with its settings.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none of this name; and what every call may give.
    pub async fn get_namespace(&self, name: &str) -> Result<v1::Namespace> {
        let request = v1::GetNamespaceRequest { name: name.to_owned() };
        self.call(request).await?.namespace.ok_or_else(|| Error::missing("namespace"))
    }

    /// Lists namespaces by name, fetching page after page.
    pub fn list_namespaces(&self) -> impl Stream<Item = Result<v1::Namespace>> + Send + 'static {
        let client = self.clone();
        let first = v1::ListNamespacesRequest::default();
        let pages = stream::try_unfold(Some(first), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else { return Ok(None) };
                let page = client.call(request).await?;
                let next = following(page.next_page_token, |page_token| v1::ListNamespacesRequest {
                    page_token,
                    ..Default::default()
                });
                Ok(Some((page.namespaces, next)))
            }
        });
        flatten(pages)
    }

    /// Replaces the settings of a namespace; those that are unset take their defaults. To change some, begin with those that
    /// [`Client::get_namespace`] gives: see [`crate::NewLimit`].
    ///
    /// # Errors
    ///
    /// As [`Client::get_namespace`].
    pub async fn update_namespace(&self, name: &str, settings: v1::NamespaceSettings) -> Result<v1::Namespace> {
        let request =
            v1::UpdateNamespaceRequest { name: name.to_owned(), settings: Some(settings), ..Default::default() };
        self.call(request).await?.namespace.ok_or_else(|| Error::missing("namespace"))
    }
}
