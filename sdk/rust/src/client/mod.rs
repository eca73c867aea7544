//! The client: submits tasks and workflows, follows and steers them, looks after agents, namespaces and the server.

mod admin;
mod agents;
mod call;
mod children;
mod dependencies;
mod messages;
mod namespaces;
mod output;
mod resume;
mod runs;
mod tasks;
mod unary;
mod waiting;
mod watch;
mod workflows;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use callboard_proto::v1::admin_service_client::AdminServiceClient;
use callboard_proto::v1::agent_service_client::AgentServiceClient;
use callboard_proto::v1::message_service_client::MessageServiceClient;
use callboard_proto::v1::namespace_service_client::NamespaceServiceClient;
use callboard_proto::v1::task_service_client::TaskServiceClient;
use callboard_proto::v1::workflow_service_client::WorkflowServiceClient;
use callboard_proto::{MAX_MESSAGE_BYTES, v1};
use tonic::transport::Endpoint;

use crate::connector::{self, Connected, Connector};
use crate::credentials::Identity;
use crate::interceptor::{Interceptor, Interceptors};
use crate::transport::{self, Connection};
use crate::{Credentials, Result, settings};
pub use dependencies::AddDependencies;
pub use output::{OutputChunk, OutputQuery, OutputStream};
use runs::Runs;
pub(crate) use tasks::read_result;
pub use unary::Unary;
pub use watch::{EventStream, Watch};
pub use workflows::{AddWorkflowTasks, WorkflowReceipt};

/// What a command did to a task.
pub type Receipt = v1::TaskReceipt;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of a Callboard server. Cheap to clone; clones share their connections.
///
/// Nothing is connected before the first call. Every call is retried while the server can't be reached, on the next of
/// the addresses each time, until the timeout is over; that is safe, because every command carries a request id.
///
/// Calls must be made inside a tokio runtime, and a client be used in one runtime only: its connections live there.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    addresses: Vec<Address>,
    /// Which address is used now; rises with each retry.
    turn: AtomicUsize,
    namespace: String,
    timeout: Duration,
    identity: Arc<Identity>,
    connector: Option<Connector>,
    interceptors: Interceptors,
    runs: Runs,
}

#[derive(Debug)]
struct Address {
    url: String,
    endpoint: Endpoint,
    /// Made at the first use: that needs a runtime, which the caller of a constructor may not have yet.
    connection: OnceLock<Connection>,
    /// How often it was connected to. Connections that broke are made anew below the channel, unheard.
    connected: Connected,
}

/// What calls go over, to tell whether it is still the same.
#[derive(Debug, PartialEq, Eq)]
struct ConnectionInUse {
    turn: usize,
    connected: u64,
}

impl Client {
    /// A client with its settings from `CALLBOARD_ADDRESS` and `CALLBOARD_NAMESPACE`, or the defaults
    /// `http://127.0.0.1:7470` and `default`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when an address is no http or https URL.
    pub fn from_env() -> Result<Self> {
        Self::builder().build()
    }

    /// A client of the server at this address, or at these, separated by commas.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when an address is no http or https URL.
    pub fn connect(address: impl Into<String>) -> Result<Self> {
        Self::builder().address(address).build()
    }

    /// Settings one by one; what is not given comes from the environment.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The namespace that calls are made in.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The addresses, in the order in which they are tried.
    pub fn addresses(&self) -> Vec<&str> {
        self.inner.addresses.iter().map(|address| address.url.as_str()).collect()
    }

    /// How long a call may take, with its retries.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// The raw client of the tasks, at the address in use: no retries, no request ids, no deadline.
    pub fn tasks(&self) -> TaskServiceClient<Connection> {
        TaskServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The raw client of the workflows, at the address in use: no retries, no request ids, no deadline.
    pub fn workflows(&self) -> WorkflowServiceClient<Connection> {
        WorkflowServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The raw client of the agents, at the address in use: no retries, no request ids, no deadline.
    pub fn agents(&self) -> AgentServiceClient<Connection> {
        AgentServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The raw client of messages, at the address in use: no retries, no request ids, no deadline.
    pub fn messages(&self) -> MessageServiceClient<Connection> {
        MessageServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The raw client of the namespaces, at the address in use: no retries, no request ids, no deadline.
    pub fn namespaces(&self) -> NamespaceServiceClient<Connection> {
        NamespaceServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The raw client of the server's administration, at the address in use: no retries, no deadline.
    pub fn admin(&self) -> AdminServiceClient<Connection> {
        AdminServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn channel(&self) -> Connection {
        self.channel_in_turn(self.turn())
    }

    /// Who the client is.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.inner.identity
    }

    /// How its connections are made, if not by TCP.
    pub(crate) fn connector(&self) -> Option<&Connector> {
        self.inner.connector.as_ref()
    }

    /// What is done around what it submits.
    pub(crate) fn interceptors(&self) -> &Interceptors {
        &self.inner.interceptors
    }

    fn channel_in_turn(&self, turn: usize) -> Connection {
        let address = &self.inner.addresses[turn % self.inner.addresses.len()];
        let channel = || connector::counted_channel(&address.endpoint, self.connector(), &address.connected);
        let connect = || Connection::new(channel(), self.inner.identity.clone());
        address.connection.get_or_init(connect).clone()
    }

    fn connection_in_use(&self, turn: usize) -> ConnectionInUse {
        let address = &self.inner.addresses[turn % self.inner.addresses.len()];
        ConnectionInUse { turn, connected: address.connected.times() }
    }

    fn turn(&self) -> usize {
        self.inner.turn.load(Ordering::Relaxed)
    }

    /// Goes on to the next address, unless another call did so meanwhile.
    fn leave(&self, turn: usize) {
        let _ = self.inner.turn.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Settings of a [`Client`].
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    address: Option<String>,
    namespace: Option<String>,
    timeout: Option<Duration>,
    credentials: Credentials,
    /// One that was read already, instead.
    identity: Option<Arc<Identity>>,
    connector: Option<Connector>,
    interceptors: Interceptors,
}

impl ClientBuilder {
    /// Where the server is: http or https URLs, separated by commas, tried in turn.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The namespace that calls are made in.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long a call may take, with its retries. Default 30 s; calls that wait for something take as much longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Who the client is, and how it knows the server. What is not given comes from the environment.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self.identity = None;
        self
    }

    /// Makes its connections otherwise than by TCP.
    #[must_use]
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Does this around submitting each task. Call it once for each; the first is the outermost.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    pub(crate) fn interceptors(mut self, interceptors: Interceptors) -> Self {
        self.interceptors = interceptors;
        self
    }

    pub(crate) fn identity(mut self, identity: Arc<Identity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when an address is no http or https URL, or must not have the token, or a file can't be
    /// read.
    pub fn build(self) -> Result<Client> {
        let addresses = settings::addresses(self.address.as_deref())?;
        let identity = self.identity.map_or_else(|| self.credentials.resolve(), Ok)?;
        let addresses = addresses.iter().map(|uri| {
            let endpoint = transport::endpoint(uri, &identity)?;
            let connection = OnceLock::new();
            Ok(Address { url: uri.to_string(), endpoint, connection, connected: Connected::default() })
        });
        let inner = Inner {
            addresses: addresses.collect::<Result<_>>()?,
            turn: AtomicUsize::new(0),
            namespace: settings::namespace(self.namespace),
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            identity: identity.clone(),
            connector: self.connector,
            interceptors: self.interceptors,
            runs: Runs::default(),
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_runtime_to_be_made() {
        let client = Client::builder().address("http://a:1,http://b:2").namespace("n").build().unwrap();
        assert_eq!(client.addresses(), ["http://a:1/", "http://b:2/"]);
        assert_eq!(client.namespace(), "n");
        assert_eq!(client.timeout(), Duration::from_secs(30));
    }

    #[test]
    fn a_bad_address_is_refused_at_once() {
        assert!(Client::connect("localhost:7470").unwrap_err().to_string().contains("localhost:7470"));
    }

    #[test]
    fn clones_leave_a_dead_address_together_and_once() {
        let client = Client::connect("http://a:1,http://b:2").unwrap();
        let clone = client.clone();
        client.leave(0);
        clone.leave(0);
        assert_eq!((client.turn(), clone.turn()), (1, 1));
    }
}
