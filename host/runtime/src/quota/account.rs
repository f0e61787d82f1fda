//! What a group of tasks holds and has used, against its limits.

pub(crate) mod files;
mod host_files;
mod pace;
pub(crate) mod payer;
pub(crate) mod tenant;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hart_executor::{Executor, Group};

pub(crate) use host_files::HostFiles;
use pace::Pace;
use tenant::TenantAccount;

use crate::base::error::BuildError;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached, Limits};
use crate::quota::share::{Share, check_rate, check_weight};

/// The books of one group.
///
/// What a limit counts is reserved before it is used: [`reserve`](Account::reserve) looks at every limit that concerns
/// it, the tenant's too, and only then adds, all under the lock of the books. So a counter is never above what is used
/// or about to be used, and a refusal leaves no trace that another task could run into. Giving back takes no lock.
///
/// Counters are statistics or are compared under that lock, so all of them are `Relaxed`: nothing else is published
/// through them.
pub(crate) struct Account {
    pub(crate) group: Group,
    pub(crate) limits: Limits,
    pub(crate) tenant: Option<Arc<TenantAccount>>,
    memory: AtomicU64,
    /// Units of fuel used: exact for tasks that have ended, in slices for those that run.
    fuel: AtomicU64,
    pub(crate) live: AtomicU64,
    pub(crate) peak_live: AtomicU64,
    pub(crate) total: AtomicU64,
    pub(crate) spawns: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    output: AtomicU64,
    /// Room for handles that its tasks have.
    handles: AtomicU64,
    /// Descriptors that are held for it.
    files: AtomicU64,
    host_files: Arc<HostFiles>,
    /// A guest was refused a file before.
    told_of_files: AtomicBool,
    /// Why all its tasks are being ended, if they are.
    killed: OnceLock<Kill>,
    /// Tasks that ran in an instance which had been used before.
    pub(crate) reused: AtomicU64,
    pub(crate) baseline: AtomicU64,
    /// Bytes that are held for instances which nobody uses.
    spare: AtomicU64,
    /// How long its guests waited to go on after they were preempted, nanoseconds.
    preempted: AtomicU64,
    pace: Pace,
    /// Held by whoever reserves something: the tenant's where there is one, as both count then.
    books: Arc<Mutex<()>>,
}

/// What a task needs in order to start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Need {
    pub(crate) tasks: u64,
    pub(crate) bytes: u64,
    /// Live handles; see [`Limits::handles`].
    pub(crate) handles: u64,
    /// File descriptors; see [`Limits::files`].
    pub(crate) files: u64,
}

/// Keeps the most that there was. A look comes first: it takes the line from no other core.
fn raise(peak: &AtomicU64, now: u64) {
    if now > peak.load(Ordering::Relaxed) {
        peak.fetch_max(now, Ordering::Relaxed);
    }
}

/// Whether `counter` may grow by `amount`. Under the lock of the books.
fn fits(counter: &AtomicU64, amount: u64, limit: u64) -> bool {
    let now = counter.load(Ordering::Relaxed);
    amount == 0 || now.checked_add(amount).is_some_and(|after| after <= limit)
}

impl Account {
    /// All its tasks are being ended from now on. The first reason stays, and one that a task has itself goes before.
    pub(crate) fn kill(&self, kill: Kill) {
        self.killed.get_or_init(|| kill);
    }

    /// Why all its tasks are being ended, if they are.
    pub(crate) fn killed(&self) -> Option<Kill> {
        self.killed.get().copied()
    }

    /// Makes the executor's group and the books for it.
    pub(crate) fn open(
        executor: &Executor,
        name: String,
        share: Share,
        limits: Limits,
        tenant: Option<Arc<TenantAccount>>,
        host_files: &Arc<HostFiles>,
    ) -> Result<Arc<Self>, BuildError> {
        check_weight(share.weight)?;
        let mut builder = executor
            .group()
            .name(name)
            .weight(share.weight)
            .slice(share.slice);
        if let Some(rate) = limits.cpu_rate {
            check_rate(rate)?;
            builder = builder.cpu_rate(rate);
        }
        if let Some(tenant) = &tenant {
            builder = builder.tenant(&tenant.tenant);
        }
        Ok(Self::new(
            builder.build(),
            limits,
            tenant,
            host_files.clone(),
        ))
    }

    /// What was used so far, for the run with this number.
    pub(crate) fn stats(&self, id: u64) -> RunStats {
        let group = self.group.stats();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let preempted = Duration::from_nanos(read(&self.preempted));
        RunStats {
            id,
            name: self.group.name().to_owned(),
            tenant: self.tenant.as_ref().map(|t| t.tenant.name().to_owned()),
            weight: self.group.weight(),
            cpu_rate: self.group.cpu_rate(),
            cpu_time: group.cpu_time,
            fuel: read(&self.fuel),
            wait_time: group.wait_time.saturating_sub(preempted),
            preempted_time: preempted,
            throttled_time: group.throttled_time,
            polls: group.polls,
            preemptions: read(&self.preemptions),
            spawns: read(&self.spawns),
            joins: read(&self.joins),
            tasks: read(&self.total),
            live_tasks: read(&self.live),
            peak_tasks: read(&self.peak_live),
            traps: read(&self.traps),
            memory: self.memory(),
            // What grows right now is held, and may turn out not to be.
            peak_memory: (group.peak_memory).max(self.memory()),
            files: read(&self.files),
            output_bytes: read(&self.output),
            reused: read(&self.reused),
            baseline: read(&self.baseline),
        }
    }

    fn new(
        group: Group,
        limits: Limits,
        tenant: Option<Arc<TenantAccount>>,
        host_files: Arc<HostFiles>,
    ) -> Arc<Self> {
        let books = tenant
            .as_ref()
            .map_or_else(Arc::default, |tenant| tenant.books.clone());
        let account = Arc::new(Self {
            group,
            limits,
            tenant,
            memory: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            live: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
            total: AtomicU64::new(0),
            spawns: AtomicU64::new(0),
            joins: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            output: AtomicU64::new(0),
            killed: OnceLock::new(),
            reused: AtomicU64::new(0),
            baseline: AtomicU64::new(0),
            spare: AtomicU64::new(0),
            preempted: AtomicU64::new(0),
            handles: AtomicU64::new(0),
            files: AtomicU64::new(0),
            host_files,
            told_of_files: AtomicBool::new(false),
            pace: Pace::default(),
            books,
        });
        if let Some(tenant) = &account.tenant {
            let address = Arc::as_ptr(&account).addr();
            lock(&tenant.groups).insert(address, account.group.clone());
        }
        account
    }

    /// Charges what the present poll has used so far: whoever joins the task that ends in it may look
    /// at the books at once.
    pub(crate) fn charge_poll(&self) {
        self.group.charge_poll();
    }

    /// One of its guests goes on, so long after it was preempted.
    pub(crate) fn went_on(&self, nanoseconds: u64) {
        self.preempted.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a spawn at `now` (nanoseconds of the platform's clock), or names the limit that forbids it.
    pub(crate) fn spawns_at(&self, now: u64) -> Result<(), LimitReached> {
        let tenant = self.tenant.as_ref();
        let own = self.limits.spawn_rate.map(|rate| (&self.pace, rate));
        let tenants = tenant.and_then(|tenant| Some((&tenant.pace, tenant.limits.spawn_rate?)));
        if own.is_none() && tenants.is_none() {
            return Ok(());
        }
        let _books = lock(&self.books);
        let next = |pace: Option<(&Pace, u64)>, kind| {
            pace.map(|(pace, rate)| {
                let next = pace.next(rate, now);
                next.ok_or_else(|| LimitReached::new(kind, rate))
            })
            .transpose()
        };
        let own_next = next(own, LimitKind::SpawnRate)?;
        let tenants_next = next(tenants, LimitKind::TenantSpawnRate)?;
        for ((pace, _), next) in own
            .zip(own_next)
            .into_iter()
            .chain(tenants.zip(tenants_next))
        {
            pace.count(next);
        }
        Ok(())
    }

    /// Bytes held now.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Of the bytes held these are for an instance that nobody uses.
    pub(crate) fn has_spare(&self, bytes: u64) {
        self.spare.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Undoes [`has_spare`](Self::has_spare).
    pub(crate) fn uses_spare(&self, bytes: u64) {
        self.spare.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held that would be given back before a limit is reached.
    pub(crate) fn spare(&self) -> u64 {
        self.spare.load(Ordering::Relaxed)
    }

    /// Whether what the one holds may count against a limit of the other.
    pub(crate) fn shares_limits_with(&self, other: &Account) -> bool {
        std::ptr::eq(self, other)
            || self
                .tenant
                .as_ref()
                .zip(other.tenant.as_ref())
                .is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Counts all of `need`, or nothing of it and names the limit that forbids it.
    pub(crate) fn reserve(&self, need: Need) -> Result<(), LimitReached> {
        let _books = lock(&self.books);
        self.check(need)?;
        let Need {
            tasks,
            bytes,
            handles,
            files,
        } = need;
        if bytes > 0 {
            self.memory.fetch_add(bytes, Ordering::Relaxed);
        }
        if let Some(tenant) = &self.tenant {
            tenant.memory.fetch_add(bytes, Ordering::Relaxed);
            tenant.live.fetch_add(tasks, Ordering::Relaxed);
        }
        if files > 0 {
            self.files.fetch_add(files, Ordering::Relaxed);
            if let Some(tenant) = &self.tenant {
                tenant.files.fetch_add(files, Ordering::Relaxed);
            }
        }
        if handles > 0 {
            self.handles.fetch_add(handles, Ordering::Relaxed);
        }
        if tasks > 0 {
            let now = self.live.fetch_add(tasks, Ordering::Relaxed) + tasks;
            raise(&self.peak_live, now);
            self.total.fetch_add(tasks, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Names the limit that forbids `need`. Under the lock of the books.
    fn check(&self, need: Need) -> Result<(), LimitReached> {
        let check = |counter: &AtomicU64, amount, limit: Option<u64>, kind| match limit {
            Some(limit) if !fits(counter, amount, limit) => Err(LimitReached::new(kind, limit)),
            _ => Ok(()),
        };
        let limits = &self.limits;
        let tasks = Some(limits.tasks_or_default());
        check(&self.live, need.tasks, tasks, LimitKind::Tasks)?;
        let bytes = Some(limits.memory_or_default());
        check(&self.memory, need.bytes, bytes, LimitKind::Memory)?;
        let handles = Some(u64::from(limits.handles_or_default()));
        check(&self.handles, need.handles, handles, LimitKind::Handles)?;
        let files = limits.files.unwrap_or_else(|| self.host_files.of_a_run());
        check(&self.files, need.files, Some(files), LimitKind::Files)?;
        let Some(tenant) = &self.tenant else {
            return Ok(());
        };
        let limits = &tenant.limits;
        check(
            &tenant.files,
            need.files,
            limits.files,
            LimitKind::TenantFiles,
        )?;
        check(
            &tenant.live,
            need.tasks,
            limits.tasks,
            LimitKind::TenantTasks,
        )?;
        check(
            &tenant.memory,
            need.bytes,
            limits.memory,
            LimitKind::TenantMemory,
        )
    }

    /// Counts `bytes` as held, or names the limit that forbids it.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        self.reserve(Need {
            bytes,
            ..Need::default()
        })?;
        self.holds_for_good(bytes);
        Ok(())
    }

    /// Bytes that were reserved are used from now on: they count for the peak, too.
    pub(crate) fn holds_for_good(&self, bytes: u64) {
        if bytes > 0 {
            self.group
                .add_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Gives back bytes that were reserved and never used.
    pub(crate) fn unreserve(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.memory.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Undoes [`hold`](Self::hold).
    pub(crate) fn release(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.unreserve(bytes);
        self.group
            .sub_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Gives back room for handles.
    pub(crate) fn release_handles(&self, handles: u64) {
        self.handles.fetch_sub(handles, Ordering::Relaxed);
    }

    /// Counts bytes of output, or names the limit that forbids them.
    pub(crate) fn writes(&self, bytes: u64) -> Result<(), LimitReached> {
        let limit = self.limits.output_bytes.unwrap_or(u64::MAX);
        self.output
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                before.checked_add(bytes).filter(|after| *after <= limit)
            })
            .map_err(|_| LimitReached::new(LimitKind::OutputBytes, limit))?;
        Ok(())
    }

    /// Counts one more live task, or names the limit that forbids it.
    pub(crate) fn task_starts(&self) -> Result<(), LimitReached> {
        self.reserve(Need {
            tasks: 1,
            ..Need::default()
        })
    }

    /// Undoes [`task_starts`](Self::task_starts); says how many are left.
    pub(crate) fn task_ends(&self) -> u64 {
        if let Some(tenant) = &self.tenant {
            tenant.live.fetch_sub(1, Ordering::Relaxed);
        }
        // AcqRel: whoever takes it to zero reads what all other tasks of the group wrote last.
        self.live.fetch_sub(1, Ordering::AcqRel) - 1
    }

    /// Counts fuel as used.
    pub(crate) fn use_fuel(&self, units: u64) {
        self.fuel.fetch_add(units, Ordering::Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.fuel.fetch_add(units, Ordering::Relaxed);
        }
    }

    /// Takes back what was counted and not used.
    pub(crate) fn return_fuel(&self, units: u64) {
        self.fuel.fetch_sub(units, Ordering::Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.fuel.fetch_sub(units, Ordering::Relaxed);
        }
    }

    /// The units that the group, or its tenant, has left, and the limit that says so.
    pub(crate) fn fuel_left(&self) -> Option<(u64, LimitReached)> {
        let left = |limit: Option<u64>, used: &AtomicU64, kind: LimitKind| {
            let limit = limit?;
            let left = limit.saturating_sub(used.load(Ordering::Relaxed));
            Some((left, LimitReached::new(kind, limit)))
        };
        let own = left(self.limits.fuel, &self.fuel, LimitKind::Fuel);
        let tenants = self
            .tenant
            .as_ref()
            .and_then(|tenant| left(tenant.limits.fuel, &tenant.fuel, LimitKind::TenantFuel));
        own.into_iter().chain(tenants).min_by_key(|(left, _)| *left)
    }

    /// Whether CPU time or its rate is limited for the group or its tenant.
    pub(crate) fn limits_cpu(&self) -> bool {
        let tenant = self.tenant.as_ref();
        self.limits.cpu_time.is_some()
            || self.group.cpu_rate().is_some()
            || tenant.is_some_and(|tenant| {
                tenant.limits.cpu_time.is_some() || tenant.tenant.cpu_rate().is_some()
            })
    }

    /// The limit of CPU time that was reached, if any.
    pub(crate) fn cpu_limit_reached(&self) -> Option<LimitReached> {
        if let Some(limit) = self.limits.cpu_time
            && self.group.stats().cpu_time >= limit
        {
            return Some(LimitReached::time(LimitKind::CpuTime, limit));
        }
        if let Some(tenant) = &self.tenant
            && let Some(limit) = tenant.limits.cpu_time
            && tenant.cpu_time() >= limit
        {
            return Some(LimitReached::time(LimitKind::TenantCpuTime, limit));
        }
        None
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(tenant) = &self.tenant {
            tenant.group_is_gone(std::ptr::from_ref(self).addr());
        }
    }
}
