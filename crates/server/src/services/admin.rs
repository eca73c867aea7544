//! `AdminService`: what is done to this process.

use super::{Answer, check, open, refuse};
use crate::status;
use callboard_core::validate::Faults;
use callboard_proto::v1::admin_service_server::AdminService;
use callboard_proto::v1::{GetLogFilterRequest, GetLogFilterResponse, SetLogFilterRequest, SetLogFilterResponse};
use std::fmt::Debug;
use std::sync::Arc;
use tonic::{Request, Response};

/// The longest filter of the log, in bytes.
const MAX_FILTER: usize = 1_000;

/// The process's log, as whoever started it lets it be set.
pub trait LogControl: Debug + Send + Sync {
    /// The filter that it has.
    fn filter(&self) -> String;

    /// Sets another, and gives the one before. The log says who (`by`) did it.
    ///
    /// # Errors
    ///
    /// Then nothing has changed.
    fn set_filter(&self, filter: &str, by: &str) -> Result<String, LogFault>;
}

/// Why a filter was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// It can't be read: what is wrong with it, and how to write it.
    Unreadable(String),
    /// The log doesn't take it, for no fault of the caller's.
    Failed(String),
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub Arc<dyn LogControl>);

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_log_filter(&self, request: Request<GetLogFilterRequest>) -> Answer<GetLogFilterResponse> {
        open(request)?;
        Ok(Response::new(GetLogFilterResponse { filter: self.0.filter() }))
    }

    async fn set_log_filter(&self, request: Request<SetLogFilterRequest>) -> Answer<SetLogFilterResponse> {
        let (principal, SetLogFilterRequest { filter }) = open(request)?;
        let mut faults = Faults::default();
        faults.text("filter", &filter, MAX_FILTER);
        check(faults)?;
        match self.0.set_filter(&filter, &principal) {
            Ok(previous) => Ok(Response::new(SetLogFilterResponse { previous, filter })),
            Err(LogFault::Unreadable(fault)) => refuse("filter", fault),
            Err(LogFault::Failed(cause)) => Err(status::of_engine(callboard_engine::Error::Internal(cause))),
        }
    }
}
