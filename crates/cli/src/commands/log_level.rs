//! `callboard log-level`

use serde_json::json;

use super::Session;
use crate::args::LogLevelArgs;
use crate::error::Error;
use crate::output::text::visible;

/// Shows the filter of the server's log, or sets it.
pub async fn run(session: &Session, args: LogLevelArgs) -> Result<(), Error> {
    let (client, output) = (&session.client, &session.output);
    let Some(filter) = args.filter else {
        let filter = client.log_filter().await?;
        return if output.is_json() {
            output.document(&json!({ "filter": filter }))
        } else {
            output.line(&visible(&filter))
        };
    };
    let set = client.set_log_filter(&filter).await?;
    if output.is_json() {
        return output.document(&json!({ "previous": set.previous, "filter": set.filter }));
    }
    output.line(&format!("{} (was {})", visible(&set.filter), visible(&set.previous)))
}
