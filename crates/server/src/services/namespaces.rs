//! `NamespaceService`.

use super::{Answer, Host, check, open, unexpected};
use crate::convert::namespace;
use crate::identity::Caller;
use crate::{caller, digest, page, status};
use callboard_core::command::{Command, Reply};
use callboard_core::model::Namespace;
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_proto::v1::namespace_service_server::NamespaceService;
use callboard_proto::v1::{
    CreateNamespaceRequest, CreateNamespaceResponse, GetNamespaceRequest, GetNamespaceResponse, ListNamespacesRequest,
    ListNamespacesResponse, UpdateNamespaceRequest, UpdateNamespaceResponse,
};
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Namespaces(pub Host);

impl Namespaces {
    async fn all(&self) -> Result<Vec<Namespace>, Status> {
        self.0.engine.store().namespaces().await.map_err(status::of_store)
    }
}

#[tonic::async_trait]
impl NamespaceService for Namespaces {
    async fn create_namespace(&self, request: Request<CreateNamespaceRequest>) -> Answer<CreateNamespaceResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CreateNamespace", &request_id, &request)?;
        let mut faults = Faults::default();
        faults.namespace("name", &request.name);
        let settings = namespace::settings("settings", request.settings, &mut faults);
        check(faults)?;
        let command = Command::CreateNamespace { settings };
        match self.0.command(principal, &request.name, token, command).await? {
            Reply::Namespace(created) => {
                let namespace = Some(namespace::to_namespace(&created));
                Ok(Response::new(CreateNamespaceResponse { namespace }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn get_namespace(&self, request: Request<GetNamespaceRequest>) -> Answer<GetNamespaceResponse> {
        let (_, request) = open(request)?;
        let name = caller::namespace(&request.name);
        let mut faults = Faults::default();
        faults.namespace("name", &name);
        check(faults)?;
        let found = self.all().await?.into_iter().find(|namespace| namespace.name == name);
        let found = found.ok_or_else(|| status::of_rejection(Rejection::namespace_not_found(&name)))?;
        Ok(Response::new(GetNamespaceResponse { namespace: Some(namespace::to_namespace(&found)) }))
    }

    async fn list_namespaces(&self, request: Request<ListNamespacesRequest>) -> Answer<ListNamespacesResponse> {
        let caller = Caller::of(&request)?;
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListNamespaces", &request);
        let after: Option<String> = query.place("page_token", &token)?;
        let mut namespaces = self.all().await?;
        namespaces.retain(|namespace| caller.may_use(&namespace.name));
        namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        namespaces.retain(|namespace| after.as_deref().is_none_or(|after| &*namespace.name > after));
        let more = namespaces.len() > size;
        namespaces.truncate(size);
        let next = namespaces.last().filter(|_| more).map(|last| query.token(&&*last.name));
        Ok(Response::new(ListNamespacesResponse {
            namespaces: namespaces.iter().map(namespace::to_namespace).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn update_namespace(&self, request: Request<UpdateNamespaceRequest>) -> Answer<UpdateNamespaceResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("UpdateNamespace", &request_id, &request)?;
        let mut faults = Faults::default();
        faults.namespace("name", &caller::namespace(&request.name));
        let settings = namespace::settings("settings", request.settings, &mut faults);
        check(faults)?;
        let command = Command::UpdateNamespace { settings };
        match self.0.command(principal, &request.name, token, command).await? {
            Reply::Namespace(updated) => {
                let namespace = Some(namespace::to_namespace(&updated));
                Ok(Response::new(UpdateNamespaceResponse { namespace }))
            }
            other => Err(unexpected(&other)),
        }
    }
}
