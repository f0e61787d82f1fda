//! What the root of a life does: one call after the other, or several at once where they can.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use wasmtime::component::{Accessor, Instance, Val};
use wasmtime::{Store, format_err};

use super::job::{Beside, Body, Job};
use super::life::Life;
use super::queue::{Driver, Queue};
use crate::instance::store::GuestState;
use crate::sched::task::control::Control;

pub(super) fn driver<T: Send + 'static>() -> Driver<T> {
    |queue, life, store, instance| Box::pin(drive(queue, life, store, instance))
}

async fn drive<T: Send + 'static>(
    queue: Arc<Queue<T>>,
    life: Arc<Life>,
    store: &mut Store<GuestState<T>>,
    instance: Instance,
) -> wasmtime::Result<Vec<Val>> {
    queue.begins(&life, store);
    let guest = store.data().guest();
    let (control, has_events) = (guest.control.clone(), guest.run.has_events());
    while let Some(Job { ticket, body, cpu }) = queue.next(&life).await {
        if !ticket.begins(&life) {
            continue;
        }
        match body {
            Body::Alone(body) => {
                control.call_begins(cpu);
                let done = body(store, instance).await;
                control.call_ends();
                ticket.ends();
                let deliver = queue.counts_in(&life, done)?;
                // Whoever has the result finds the instance free.
                queue.rests();
                deliver();
            }
            Body::Together(_) if !has_events => {
                return Err(format_err!(
                    "the component does not use component-model async, so its calls cannot go on at once: use `Instance::call`"
                ));
            }
            Body::Together(body) => {
                let several = Several {
                    queue: &queue,
                    life: &life,
                    control: &control,
                    instance,
                };
                let first = (ticket, body, cpu);
                store
                    .run_concurrent(async |accessor| several.all(accessor, first).await)
                    .await??;
            }
        }
    }
    Ok(Vec::new())
}

/// Calls that go on at once.
struct Several<'a, T: Send + 'static> {
    queue: &'a Queue<T>,
    life: &'a Arc<Life>,
    control: &'a Control,
    instance: Instance,
}

impl<T: Send + 'static> Several<'_, T> {
    /// Does `first`, and those that come while any goes on. The first error ends all of them.
    async fn all(
        &self,
        accessor: &Accessor<GuestState<T>>,
        first: Beside<T>,
    ) -> wasmtime::Result<()> {
        let mut calls = FuturesUnordered::new();
        // Where those with a budget end, by their numbers.
        let mut ends = BTreeMap::new();
        let mut next = Some(first);
        for number in 0_u64.. {
            if let Some((ticket, body, cpu)) = next.take() {
                if let Some(cpu) = cpu {
                    ends.insert(number, self.control.call_until(cpu));
                    self.control.calls_end(ends.values().copied());
                }
                let doing = body(accessor, self.instance);
                calls.push(async move { (number, ticket, doing.await) });
            } else {
                let comes = pin!(self.queue.comes_beside());
                if let Either::Left((ended, _)) = select(calls.next(), comes).await {
                    let Some((number, ticket, done)) = ended else {
                        break;
                    };
                    ticket.ends();
                    if ends.remove(&number).is_some() {
                        self.control.calls_end(ends.values().copied());
                    }
                    let deliver = self.queue.counts_in(self.life, done)?;
                    if calls.is_empty() {
                        self.queue.rests();
                    }
                    deliver();
                }
            }
            next = self.queue.next_beside(self.life, calls.len());
        }
        Ok(())
    }
}
