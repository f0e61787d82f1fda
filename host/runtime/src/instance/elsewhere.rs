//! What a run knows of other machines: where tasks go that may run anywhere, and what goes there.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::instance::ended::Ended;
use crate::quota::account::Account;
use crate::quota::limits::Limits;
use crate::wasi::rights::Rights;

/// Runs tasks on other machines.
pub(crate) trait Elsewhere: Send + Sync {
    /// Has a task run, and gives how it ended. The task is ended there if the future is dropped before.
    fn run(&self, errand: Errand) -> BoxFuture<'static, Ended>;
}

/// Where tasks of a run go that may run anywhere.
#[derive(Clone, Default)]
#[cfg_attr(
    not(feature = "nats"),
    allow(dead_code, reason = "the way to other machines is a stream of NATS")
)]
pub(crate) enum Reach {
    /// They are refused.
    #[default]
    Nowhere,
    /// They stay here, always.
    Here,
    /// They go there if this machine is busy.
    Beyond(Arc<dyn Elsewhere>),
}

/// A task that is to run on another machine.
#[cfg_attr(
    not(feature = "nats"),
    allow(dead_code, reason = "the way to other machines is a stream of NATS")
)]
pub(crate) struct Errand {
    pub(crate) entry: String,
    pub(crate) input: Vec<u8>,
    /// What it may use at most, as a run of its own.
    pub(crate) limits: Limits,
    pub(crate) denied: Rights,
    /// To be kept for as long as something is held for the task, whatever becomes of it here.
    pub(crate) held: Held,
}

/// Memory of a run's account that is held for a task that runs elsewhere.
pub(crate) struct Held {
    pub(crate) account: Arc<Account>,
    pub(crate) bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}
