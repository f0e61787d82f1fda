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
//!   time is charged to the group, and any worker takes whatever is next.
//!
//! # What a worker does
//!
//! A worker is a loop on one core. It takes a task and calls its future's `poll`, which goes on until the future waits for
//! something or is done. A future that waits has left a waker with whatever it waits for; to call that waker is to put
//! the task into a queue again. So there are three questions, and the rest of this page is the answers.
//!
//! 1. *Which task is next?* The one in `next`, at most three times in a row; else the oldest in the ring, which is filled
//!    from the backlog when it is empty; now and then one from the injector, or of the fair lane, however full the ring.
//! 2. *Where does a woken task go?* To the worker on whose core it was woken, because what woke it is in that core's
//!    caches; to the injector, if that is no worker's; if it has a group, to the fair lane.
//! 3. *What if there is none?* The worker looks at everybody else's queues, a few times; then it sleeps, and whoever queues
//!    a task wakes it.
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
//! 1. **Wake.** One compare-and-swap marks the task as queued; who made that change queues it, on its own
//!    worker or, outside of any, in the injector. A wake during a poll only leaves the mark, and the poller
//!    queues the task again.
//! 2. **Idle.** Who queues a task fences, then looks whether somebody sleeps while nobody searches, and wakes
//!    one. Who falls asleep announces it, fences, then looks at all queues once more. One of the two sees the
//!    other, so that nobody sleeps beside queued work. A worker that puts the task back which it has just polled wakes
//!    nobody: it takes one from the same queue next.
//! 3. **Steal.** A thief reads half of a ring and takes it by one compare-and-swap; where the ring is empty it takes half
//!    of the backlog, to which one at a time has the right; and in its last round the task in `next`. It polls the oldest
//!    of them itself, at once. At most half of the workers search at a time; the last one that finds something wakes one
//!    more.
//! 4. **Pull.** A worker whose queue is empty, or that has let guests wait for [`FAIR_SKIPS`] polls, takes the
//!    turn that is next in the fair lane; every [`INJECTOR_INTERVAL`] polls it looks into the injector.
//! 5. **Close.** A flag, a fence, then every live task is taken from its list and cancelled, the queues are
//!    emptied, everybody is woken. Who spawned or queued meanwhile sees the flag after its own fence, and
//!    cleans up after itself.
//!
//! The modules open with the same in detail; the crate's README says what it costs, and what decided.
//!
//! # Features
//!
//! - `std` (default): the platform for OS threads, and panics that reach the joiner. Without it the crate
//!   needs `alloc` only, and a panic in a task ends the program.
//! - `counters`: [`Tick`] and [`Executor`] tell what workers did, at a few plain adds per poll.
//! - `tracing`: every task has a span, with its name, kind and location.
//!
//! # What it does not do
//!
//! It has no timers and no I/O. A task that never returns from `poll` keeps its worker: preemption is for
//! whoever can interrupt what is polled, and [`Group::preemption_point`] is where they ask.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", loom, test))]
extern crate std;

mod error;
mod executor;
pub mod group;
mod idle;
mod live;
#[cfg(feature = "planted-faults")]
pub mod planted;
#[cfg(not(feature = "planted-faults"))]
mod planted;
mod platform;
mod pool;
mod queue;
mod scheduler;
mod sync;
pub mod task;
mod worker;
mod yield_now;

#[cfg(all(feature = "std", not(any(loom, shuttle))))]
pub use self::platform::StdPlatform;
#[cfg(feature = "counters")]
pub use self::worker::WorkerStats;
pub use self::{
    error::{Closed, SpawnError},
    executor::Executor,
    group::{Group, GroupBuilder, GroupStats, Tenant, TenantBuilder, Verdict},
    platform::{Core, Platform, WorkerId},
    scheduler::{Injector, Scheduler, Stealer, TryStealError},
    task::{JoinError, JoinHandle, TaskBuilder, TaskRef},
    worker::{FAIR_SKIPS, INJECTOR_INTERVAL, Step, Tick, Worker},
    yield_now::{YieldNow, yield_now},
};
