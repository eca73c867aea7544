//! The server process itself.

use callboard_proto::v1;

use super::Client;
use crate::Result;

impl Client {
    /// Gives the filter of the server's log.
    ///
    /// # Errors
    ///
    /// What every call may give.
    pub async fn log_filter(&self) -> Result<String> {
        Ok(self.call(v1::GetLogFilterRequest {}).await?.filter)
    }

    /// Sets the filter of the log of the server that answers, until that server ends: `info,callboard_engine=debug`. The answer
    /// has the filter before and after; when the call had to be repeated, before may be after already.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when it can't be read; and what every call may give.
    pub async fn set_log_filter(&self, filter: &str) -> Result<v1::SetLogFilterResponse> {
        self.call(v1::SetLogFilterRequest { filter: filter.to_owned() }).await
    }
}
