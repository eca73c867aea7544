//! Durable steps: parts of a handler's work that run once for all attempts of a run, as far as that can be.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use callboard_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, oneshot};
use tonic::Code;

use super::context::Context;
use super::names::{self, Key, Names};
use super::runner::HandlerEvent;
use super::session::NO_STEPS;
use crate::error::CallError;
use crate::{Error, Result, payload};

/// The steps of one attempt.
#[derive(Debug)]
pub(super) struct Steps {
    /// The server that gave the attempt has steps: else it could not say what is recorded.
    known: bool,
    begun: Names,
    /// What earlier attempts recorded.
    recorded: OnceCell<HashMap<Key, v1::Payload>>,
}

impl Steps {
    pub(super) fn new(known: bool) -> Self {
        Self { known, begun: Names::default(), recorded: OnceCell::new() }
    }

    /// The key of the step that begins now.
    fn begin(&self, name: String) -> Result<Key> {
        names::check("step", &name)?;
        if !self.known {
            let reason = v1::ErrorReason::Unspecified;
            return Err(CallError::local(Code::FailedPrecondition, reason, NO_STEPS).into());
        }
        Ok(self.begun.next(name))
    }
}

impl Context {
    /// Does a part of the work once for all attempts of the run, as far as that can be: runs the function, has its result
    /// recorded, and returns it when it is durable. An attempt that comes to the same step later (the first crashed, say) is
    /// given the result, and the function isn't run.
    ///
    /// A step is told from others by its name and by how many steps of that name the attempt began before it: so a loop may
    /// use one name, while its steps begin in the same order in every attempt. Don't begin a step within the function of
    /// another: attempts that are given the outer one's result don't count the inner one. When what a step gives becomes of
    /// another type, give it another name.
    ///
    /// Errors of the function are given back as they are, and not recorded. A function whose result was not recorded any
    /// more before a crash runs again.
    ///
    /// ```no_run
    /// # async fn fetch() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # async fn handler(ctx: callboard::Context) -> Result<(), callboard::TaskError> {
    /// let page: String = ctx.step("fetch", || async { Ok::<_, callboard::TaskError>(fetch().await?) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What the function gives; and [`Error::InvalidArgument`] when the name has not 1 to 128 bytes, or the result can't be a
    /// payload; [`Error::Decode`] when the recorded result is no `T`; [`Error::ResourceExhausted`] when the run has 1,000
    /// steps, or 16 MiB of their results; [`Error::AlreadyExists`] when another result is recorded;
    /// [`Error::FailedPrecondition`] when the attempt is no longer current (stop the work), or the server has no steps;
    /// [`Error::Unavailable`] when the agent has stopped; and what every call may give, when the recorded steps did not fit
    /// into the assignment and have to be fetched.
    pub fn step<T, E, F, Fut>(
        &self,
        name: impl Into<String>,
        function: F,
    ) -> impl Future<Output = std::result::Result<T, E>>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        let begun = self.steps().begin(name.into());
        async move {
            let key = begun?;
            if let Some(result) = self.recorded_steps().await?.get(&key) {
                return Ok(read(&key, result)?);
            }
            let result = payload::to_payload(&function().await?)?;
            // What later attempts could not read is not recorded.
            let value = read(&key, &result)?;
            self.record(key, result).await?;
            Ok(value)
        }
    }

    async fn record(&self, Key { name, occurrence }: Key, result: v1::Payload) -> Result<()> {
        let link = self.link();
        let permit = Arc::clone(&link.saves).acquire_owned().await.map_err(|_| Error::stopped())?;
        let (reply, receipt) = oneshot::channel();
        let record = v1::StepRecord { name, occurrence, result: Some(result) };
        let event = HandlerEvent::Step { handler: self.handler(), record, reply, permit };
        link.events.send(event).await.map_err(|_| Error::stopped())?;
        receipt.await.map_err(|_| Error::stopped())?
    }

    /// What earlier attempts of the run recorded, fetched once when it did not come whole.
    async fn recorded_steps(&self) -> Result<&HashMap<Key, v1::Payload>> {
        let fetch = || async {
            let assignment = self.assignment();
            let all = usize::try_from(assignment.step_count).is_ok_and(|count| assignment.steps.len() >= count);
            let steps = match all {
                true => assignment.steps.clone(),
                false => self.client().steps(self.task_id(), self.run()).await?,
            };
            Ok(steps.into_iter().map(keyed).collect())
        };
        self.steps().recorded.get_or_try_init(fetch).await
    }
}

fn keyed(step: v1::Step) -> (Key, v1::Payload) {
    (Key { name: step.name, occurrence: step.occurrence }, step.result.unwrap_or_default())
}

fn read<T: DeserializeOwned>(Key { name, occurrence }: &Key, result: &v1::Payload) -> Result<T> {
    payload::from_payload(result).map_err(|error| match error {
        Error::Decode(fault) => Error::Decode(format!("step {name:?} (occurrence {occurrence}): {fault}")),
        other => other,
    })
}

#[cfg(test)]
mod tests;
