//! What happens to runs and tasks, as hooks of the embedder's are told.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::stats::RunStats;
use crate::instance::ended::Ended;
use crate::instance::info::{RunInfo, TaskInfo};
use crate::quota::kill::Kill;
use crate::quota::limits::LimitReached;

/// Something that happened in a host: see [`HostBuilder::on`](crate::HostBuilder::on).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run starts. Told on the thread that starts it.
    RunStarted(RunInfo<'a>),
    /// Nothing is left of a run but its outcome, which nobody has yet.
    #[non_exhaustive]
    RunEnded {
        /// Which.
        run: RunInfo<'a>,
        /// What it has used in all.
        stats: &'a RunStats,
    },
    /// A task has its slots, and begins.
    TaskStarted(TaskInfo<'a>),
    /// A task is over, and its store is gone. One that was ended while it waited for its slots has never started.
    #[non_exhaustive]
    TaskEnded {
        /// Which.
        task: TaskInfo<'a>,
        /// How.
        end: TaskEnd<'a>,
    },
    /// A core was taken from a guest, at a preemption point.
    Preempted(TaskInfo<'a>),
    /// A limit ended a task, or refused a spawn to it.
    #[non_exhaustive]
    LimitReached {
        /// Which task.
        task: TaskInfo<'a>,
        /// Which limit.
        limit: LimitReached,
    },
    /// An instance was made for a task.
    InstanceMade(TaskInfo<'a>),
    /// A task has an instance that another one has used before.
    InstanceReused(TaskInfo<'a>),
    /// Another component has taken over in a set of instances: [`Replicas::replace`](crate::Replicas::replace).
    #[non_exhaustive]
    Replaced {
        /// The name of the instances.
        name: &'a str,
    },
}

/// How a task has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TaskEnd<'a> {
    /// It returned.
    Returned,
    /// It returned its error.
    Failed,
    /// It called `exit` with this code, or its command returned.
    Exited(i32),
    /// It trapped. The text may come from the guest: untrusted.
    Trapped(&'a str),
    /// It was cancelled: by hand, with the task above it, or because nobody waits for it any more.
    Cancelled,
    /// Its scope or the host was closed.
    Closed,
    /// It reached a limit.
    Limit(LimitReached),
    /// Something else: it could not be instantiated, a host function panicked.
    Other,
}

impl<'a> TaskEnd<'a> {
    pub(crate) fn of(ended: &'a Ended) -> Self {
        match ended {
            Ended::Returned(_) | Ended::Results(_) => Self::Returned,
            Ended::Failed(_) | Ended::RunFailed => Self::Failed,
            Ended::Exit(code) => Self::Exited(*code),
            Ended::Trapped { trap, .. } => Self::Trapped(trap),
            Ended::Killed(Kill::Cancelled) => Self::Cancelled,
            Ended::Killed(Kill::Closed) => Self::Closed,
            Ended::Killed(Kill::Limit(limit)) | Ended::Limit(limit) => Self::Limit(*limit),
            Ended::Instantiate(_) | Ended::Other(_) => Self::Other,
        }
    }

    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Failed => "failed",
            Self::Exited(_) => "exited",
            Self::Trapped(_) => "trapped",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Limit(_) => "limit",
            Self::Other => "other",
        }
    }

    /// Why that is an error, if it is one.
    pub(crate) fn error(&self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Returned | Self::Cancelled | Self::Closed | Self::Exited(0) => return None,
            Self::Failed => "the task returned its error".into(),
            Self::Exited(code) => format!("exit code {code}").into(),
            Self::Trapped(trap) => (*trap).into(),
            Self::Limit(limit) => limit.to_string().into(),
            Self::Other => "the task could not be run".into(),
        })
    }
}

/// A hook of the embedder's.
pub(crate) type OwnHook = dyn Fn(&Event<'_>) + Send + Sync;

/// One that is called until it panics.
struct Hook {
    call: Box<OwnHook>,
    /// Only a mark: `Relaxed`.
    has_panicked: AtomicBool,
}

/// The hooks of a host. No lock is held where they are called.
pub(crate) struct Hooks(Box<[Hook]>);

impl Hooks {
    /// `None` where there are no hooks: then nobody looks at what happens.
    pub(crate) fn new(hooks: Vec<Box<OwnHook>>) -> Option<Self> {
        let hook = |call| Hook {
            call,
            has_panicked: AtomicBool::new(false),
        };
        (!hooks.is_empty()).then(|| Self(hooks.into_iter().map(hook).collect()))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        for hook in &self.0 {
            if hook.has_panicked.load(Ordering::Relaxed) {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| (hook.call)(event))).is_err() {
                hook.has_panicked.store(true, Ordering::Relaxed);
                tracing::error!("a hook for events panicked, and is not called again");
            }
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooks").field(&self.0.len()).finish()
    }
}
