//! Describing a limit of a namespace.

use std::time::Duration;

use callboard_proto::v1;

use crate::time::proto_duration;

/// What the tasks with a limit key may do, all agents and servers together: see [`crate::NewTask::limit_key`]. It is one of the
/// settings of a namespace, and counts from when it is set: what runs beyond it goes on.
///
/// ```no_run
/// use std::time::Duration;
/// use callboard::{Client, NewLimit};
///
/// # async fn example(client: Client) -> callboard::Result<()> {
/// // An update replaces all settings, so it begins with those that there are.
/// let mut settings = client.get_namespace("default").await?.settings.unwrap_or_default();
/// settings.limits = vec![
///     NewLimit::on("model/large").max_concurrent(4).into(),
///     // Each tenant has so much for itself.
///     NewLimit::on("tenant/*").rate(100).rate_period(Duration::from_secs(60)).into(),
/// ];
/// client.update_namespace("default", settings).await?;
/// # Ok(())
/// # }
/// ```
///
/// Nothing of it is checked here: the server says what is wrong when it is set.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLimit {
    limit: v1::Limit,
}

impl NewLimit {
    /// On tasks with this limit key: 1 to 128 bytes. One that ends with `*` is the limit of each key that begins with what stands
    /// before it and has none of its own; of several the longest.
    pub fn on(key: impl Into<String>) -> Self {
        v1::Limit { key: key.into(), ..v1::Limit::default() }.into()
    }

    /// How many tasks may be ASSIGNED or RUNNING at once: 1 to 1,000,000. Not said means any number.
    #[must_use]
    pub fn max_concurrent(mut self, tasks: i32) -> Self {
        self.limit.max_concurrent = Some(tasks);
        self
    }

    /// How many attempts may be given out in each [`NewLimit::rate_period`], and at once behind a time without any: 1 to 1,000,000.
    /// Not said means any number.
    #[must_use]
    pub fn rate(mut self, attempts: i32) -> Self {
        self.limit.rate = Some(attempts);
        self
    }

    /// The time that the rate is for: 1 ms to 24 h. Only with a rate; not said means a second.
    #[must_use]
    pub fn rate_period(mut self, period: Duration) -> Self {
        self.limit.rate_period = Some(proto_duration(period));
        self
    }
}

impl From<v1::Limit> for NewLimit {
    fn from(limit: v1::Limit) -> Self {
        Self { limit }
    }
}

impl From<NewLimit> for v1::Limit {
    fn from(limit: NewLimit) -> Self {
        limit.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_unset_and_zero_is_said() {
        let bare = v1::Limit::from(NewLimit::on("k"));
        assert_eq!(bare, v1::Limit { key: "k".into(), ..v1::Limit::default() });
        assert_eq!((bare.max_concurrent, bare.rate, bare.rate_period), (None, None, None));
        // The server refuses it: it is no way to have no limit.
        let nothing = v1::Limit::from(NewLimit::on("k").max_concurrent(0).rate(0));
        assert_eq!((nothing.max_concurrent, nothing.rate), (Some(0), Some(0)));
    }

    #[test]
    fn what_is_said_arrives() {
        let limit = NewLimit::on("tenant/*").max_concurrent(2).rate(100).rate_period(Duration::from_millis(1500));
        let period = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
        let said =
            v1::Limit { key: "tenant/*".into(), max_concurrent: Some(2), rate: Some(100), rate_period: Some(period) };
        assert_eq!(v1::Limit::from(limit), said);
    }
}
