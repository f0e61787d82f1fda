//! A work-stealing executor with a fair lane for groups of tasks.
//!
//! It runs futures on as many cores as there are [`Worker`]s. It knows nothing of threads, files, clocks
//! or WebAssembly: what it needs from the machine comes through one small seam, [`Platform`], so that the
//! same code runs on OS threads, on simulated cores, inside a guest, and on bare metal.
//!
//! ```
//! use hart_executor::{Executor, Worker};
//!
//! let executor = Executor::new();
//! let mut worker = Worker::new(&executor).unwrap();
//! let sum = worker.run(async {
//!     let parts: Vec<_> = (0..10).map(|i| executor.spawn(async move { i * i })).collect();
//!     let mut sum = 0;
//!     for part in parts {
//!         sum += part.await.unwrap();
//!     }
//!     sum
//! });
//! assert_eq!(sum.unwrap(), 285);
//! ```
//!
//! # The queues
//!
//! ```text
//!                         outside every worker
//!                                 |
//!                                 v
//!                           +----------+             fair lane: tasks of groups
//!          +----------------| injector |--------+    +--------------------------+
//!          |     up to 256  +----------+        |    | group a: # # #           |
//!          v                                    v    | group b: #               |
//!   +------------------+   half, when   +------------------+  c: # # # # # #    |
//!   | next | ring      | <- it is dry - | next | ring      |---------------------+
//!   |      | backlog   |                |      | backlog   |      |          |
//!   +------------------+                +------------------+      |          |
//!          |                                    |                 v          v
//!       worker 0                             worker 1          worker 0   worker 1
//! ```
//!
//! - A task without a group is in the **fast lane**: futures that are cheap and many. It is queued on the
//!   worker that spawns or wakes it. There the one that was woken last goes next (its data is in the
//!   caches), the others wait in a ring of 256 places, and what does not fit there, or comes from another
//!   thread, in a backlog. A worker that runs dry looks into the injector and takes half of another's queue.
//! - A task of a [`Group`] is in the **fair lane**: one poll may be microseconds to milliseconds long, CPU
//!   time is charged to the group, and any worker takes the task that is next. A machine of more than a few cores has a
//!   lane for each domain of cores that share a cache ([`Platform::domains`]).
//!
//! # What a worker does
//!
//! A worker is a loop on one core. It takes a task and calls its future's `poll`, which goes on until the future waits for
//! something or is done. A future that waits has left a waker; calling that waker puts the task into a queue again. So
//! there are three questions, and the rest of this page answers them.
//!
//! 1. *Which task is next?* The one in `next`, at most three times in a row; else the oldest in the ring, which is filled
//!    from the backlog when it is empty. Every few polls one from the injector, or of the fair lane, however full the ring.
//! 2. *Where does a woken task go?* To the fair lane in which it was last if it has a group. Else to the worker on whose core it was woken,
//!    because what woke it is in that core's caches. Else, outside every worker, to the injector.
//! 3. *What if there is none?* The worker looks at all other queues, a few times. Then it sleeps, until a thread that
//!    queues a task wakes it.
//!
//! # The life of a task
//!
//! ```text
//!            wake                      poll: Pending
//!   idle -----------> queued ------> running ------> idle
//!    |                 ^  |           |   |
//!    |         spawn --+  |           |   +--> queued   (woken meanwhile)
//!    | cancel, close      | cancel    | poll: Ready, panic; or cancelled meanwhile
//!    v                    v           v
//!   complete <------------+-----------+      the joiner is told; the last reference frees it
//! ```
//!
//! # The protocols
//!
//! 1. **Wake.** One compare-and-swap marks the task as queued. The thread that made this change queues it, on its own
//!    worker or, outside of any, in the injector. A wake during a poll only leaves the mark, and the poller
//!    queues the task again.
//! 2. **Idle.** A thread that queues a task fences, then looks whether a worker sleeps while none searches, and wakes
//!    one. A worker that falls asleep announces it, fences, then looks at all queues once more. One of the two sees the
//!    other, so that no worker sleeps beside queued work. A worker that puts back the task which it has just polled wakes
//!    none: it takes a task from the same queue next.
//! 3. **Steal.** A thief reads half of a ring and takes it by one compare-and-swap. If the ring is empty it takes half
//!    of the backlog, to which one at a time has the right; in its last round, the task in `next`. It polls the oldest
//!    of them itself, at once. At most half of the workers search at a time; the last one that finds something wakes one
//!    more.
//! 4. **Pull.** A worker whose queue is empty, or that has let groups wait for [`FAIR_SKIPS`] polls, takes the
//!    turn that is next in the fair lane of its domain, or in one that lags behind that; every [`INJECTOR_INTERVAL`] polls
//!    it looks into the injector. With an empty queue it first looks once at those of a few other workers: the fast lane
//!    goes before the fair lane there, too.
//! 5. **Close.** A flag, a fence, then every live task is taken from its list and cancelled, the queues are
//!    emptied, all workers are woken. A thread that spawned or queued meanwhile sees the flag after its own fence, and
//!    cleans up after itself.
//!
//! The modules open with the same in detail. The crate's README has a picture of them, and says what the crate costs, and
//! what decided.
//!
//! # Features
//!
//! - `std` (default): the platform for OS threads, and panics that reach the joiner. Without it the crate
//!   needs `alloc` only, and a panic in a task ends the program.
//! - `tracing`: every task has a span, with its name, kind and location; and there are events, at level trace. Of the target
//!   `hart::worker`: `tick`, `steal`, `sleep`, `wake`. Of `hart::task`: `wake`, and `poll` with its result.
//!
//! # What it does not do
//!
//! It has no timers and no I/O. A task that never returns from `poll` keeps its worker. Preemption is for hosts that can
//! interrupt what is polled: they ask [`Group::preemption_point`].

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", loom, test))]
extern crate std;

mod error;
mod events;
mod executor;
mod fair;
pub mod group;
mod idle;
#[cfg(feature = "lane-hold")]
#[doc(hidden)]
pub use self::fair::hold as lane_hold;
mod memory;
#[cfg(all(loom, test))]
mod models;
#[cfg(feature = "planted-faults")]
#[doc(hidden)]
pub mod planted;
#[cfg(not(feature = "planted-faults"))]
mod planted;
mod platform;
mod queue;
mod spawn;
mod steal;
mod sync;
pub mod task;
mod worker;

#[cfg(all(feature = "std", not(any(loom, shuttle))))]
pub use self::platform::StdPlatform;
pub use self::{
    error::{Closed, SpawnError},
    executor::Executor,
    group::{Group, GroupBuilder, GroupStats, Tenant, TenantBuilder, Verdict},
    platform::{CurrentWorker, Platform, WorkerId},
    spawn::TaskBuilder,
    steal::{Injector, Scheduler, Stealer, TryStealError},
    task::{JoinError, JoinHandle, TaskRef, YieldNow, yield_now},
    worker::{FAIR_SKIPS, INJECTOR_INTERVAL, Step, Tick, Worker, WorkerStats},
};
