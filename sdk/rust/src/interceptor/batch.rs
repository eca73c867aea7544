//! Many tasks submitted by one call: each has the interceptors around it, and the call is made when all have come through.

use std::collections::BTreeSet;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::{Interceptors, Submitted};
use crate::client::Receipt;
use crate::{Error, NewTask, Result};

/// A task that came through the interceptors, and where its receipt is awaited.
struct Arrival {
    index: usize,
    task: NewTask,
    tell: oneshot::Sender<Result<Receipt>>,
}

impl Interceptors {
    /// Submits all tasks by one call, which is given those that came through, in their order. One that an interceptor
    /// answers by itself has no part in it.
    pub(crate) async fn submit_all<F, Fut>(&self, tasks: Vec<NewTask>, call: F) -> Result<Vec<Receipt>>
    where
        F: FnOnce(Vec<NewTask>) -> Fut + Send,
        Fut: Future<Output = Result<Vec<Receipt>>> + Send,
    {
        if self.0.is_empty() {
            return call(tasks).await;
        }
        let count = tasks.len();
        let (arrive, mut arriving) = mpsc::channel(count.max(1));
        let mut chains: FuturesUnordered<_> = tasks
            .into_iter()
            .enumerate()
            .map(|(index, task)| {
                let arrive = arrive.clone();
                let last = move |task| wait_for_receipt(arrive, index, task);
                let chain = self.submit(task, last);
                async move { (index, chain.await) }
            })
            .collect();
        let mut receipts: Vec<Option<Receipt>> = vec![None; count];
        let mut arrived: Vec<Arrival> = Vec::with_capacity(count);
        let mut pending: BTreeSet<usize> = (0..count).collect();
        while !pending.is_empty() {
            tokio::select! {
                Some(arrival) = arriving.recv() => {
                    pending.remove(&arrival.index);
                    arrived.push(arrival);
                }
                Some((index, submitted)) = chains.next() => {
                    receipts[index] = Some(submitted?.into_receipt()?);
                    pending.remove(&index);
                    arrived.retain(|arrival| arrival.index != index);
                }
            }
        }
        arrived.sort_by_key(|arrival| arrival.index);
        if !arrived.is_empty() {
            let (tells, tasks): (Vec<_>, Vec<_>) = arrived.into_iter().map(|one| (one.tell, one.task)).unzip();
            tell_all(tells, call(tasks).await);
        }
        while let Some((index, submitted)) = chains.next().await {
            receipts[index] = Some(submitted?.into_receipt()?);
        }
        receipts.into_iter().map(|receipt| receipt.ok_or_else(|| Error::missing("receipts"))).collect()
    }
}

async fn wait_for_receipt(arrive: mpsc::Sender<Arrival>, index: usize, task: NewTask) -> Result<Submitted> {
    let (tell, told) = oneshot::channel();
    // There is room for all, and the receiver lives as long as the chains.
    let _ = arrive.try_send(Arrival { index, task, tell });
    told.await.map_err(|_| Error::missing("receipts"))?.map(Submitted::Created)
}

fn tell_all(tells: Vec<oneshot::Sender<Result<Receipt>>>, answer: Result<Vec<Receipt>>) {
    match answer {
        Ok(receipts) => {
            for (tell, receipt) in tells.into_iter().zip(receipts) {
                let _ = tell.send(Ok(receipt));
            }
        }
        Err(error) => {
            for tell in tells {
                let _ = tell.send(Err(error.clone()));
            }
        }
    }
}
