//! What a group of tasks holds and has used, against its limits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hart_executor::{Group, Tenant};

use crate::runtime::Inner;
use crate::sync::lock;
use crate::tenant::check_weight;
use crate::{BuildError, LimitKind, LimitReached, Limits, RunStats};

/// The books of one group. Counters are statistics or compared with limits one by one, so all of
/// them are `Relaxed`: nothing else is published through them.
pub(crate) struct Account {
    pub(crate) group: Group,
    pub(crate) limits: Limits,
    pub(crate) tenant: Option<Arc<TenantAccount>>,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    pub(crate) live: AtomicU64,
    pub(crate) peak_live: AtomicU64,
    pub(crate) total: AtomicU64,
    pub(crate) spawns: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) output: AtomicU64,
}

/// The books of a tenant: what its groups hold together.
pub(crate) struct TenantAccount {
    pub(crate) tenant: Tenant,
    limits: Limits,
    memory: AtomicU64,
    live: AtomicU64,
    /// CPU time of groups that are gone, nanoseconds.
    retired_cpu: AtomicU64,
    groups: Mutex<Vec<Weak<Account>>>,
}

impl TenantAccount {
    pub(crate) fn new(tenant: Tenant, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            limits,
            memory: AtomicU64::new(0),
            live: AtomicU64::new(0),
            retired_cpu: AtomicU64::new(0),
            groups: Mutex::new(Vec::new()),
        })
    }

    /// CPU time of all its groups, those that are gone included.
    fn cpu_time(&self) -> Duration {
        let mut total = Duration::from_nanos(self.retired_cpu.load(Ordering::Relaxed));
        lock(&self.groups).retain(|account| {
            let Some(account) = account.upgrade() else {
                return false;
            };
            total += account.group.stats().cpu_time;
            true
        });
        total
    }
}

/// Adds `amount` to `counter` unless that takes it past `limit`; returns the new value.
fn add_within(counter: &AtomicU64, amount: u64, limit: u64) -> Option<u64> {
    let now = counter
        .fetch_add(amount, Ordering::Relaxed)
        .saturating_add(amount);
    if now > limit {
        counter.fetch_sub(amount, Ordering::Relaxed);
        return None;
    }
    Some(now)
}

impl Account {
    /// Makes the executor's group and the books for it.
    pub(crate) fn open(
        runtime: &Inner,
        name: String,
        weight: u32,
        limits: Limits,
        tenant: Option<Arc<TenantAccount>>,
    ) -> Result<Arc<Self>, BuildError> {
        check_weight(weight)?;
        let mut builder = runtime.executor.group().name(name).weight(weight);
        if let Some(tenant) = &tenant {
            builder = builder.tenant(&tenant.tenant);
        }
        Ok(Self::new(builder.build(), limits, tenant))
    }

    /// What was used so far, for the run with this number.
    pub(crate) fn stats(&self, id: u64) -> RunStats {
        let group = self.group.stats();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RunStats {
            id,
            name: self.group.name().to_owned(),
            cpu_time: group.cpu_time,
            wait_time: group.wait_time,
            polls: group.polls,
            preemptions: read(&self.preemptions),
            spawns: read(&self.spawns),
            joins: read(&self.joins),
            tasks: read(&self.total),
            live_tasks: read(&self.live),
            peak_tasks: read(&self.peak_live),
            traps: read(&self.traps),
            memory: self.memory(),
            peak_memory: read(&self.peak_memory),
            output_bytes: read(&self.output),
        }
    }

    fn new(group: Group, limits: Limits, tenant: Option<Arc<TenantAccount>>) -> Arc<Self> {
        let account = Arc::new(Self {
            group,
            limits,
            tenant,
            memory: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            live: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
            total: AtomicU64::new(0),
            spawns: AtomicU64::new(0),
            joins: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            output: AtomicU64::new(0),
        });
        if let Some(tenant) = &account.tenant {
            lock(&tenant.groups).push(Arc::downgrade(&account));
        }
        account
    }

    /// Charges what the present poll has used so far: whoever joins the task that ends in it may look
    /// at the books at once.
    pub(crate) fn charge_poll(&self) {
        // Charging is all that is wanted: a task that ends has nobody to give way for.
        let _ = self.group.preemption_point();
    }

    /// Bytes held now.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Counts `bytes` as held, or names the limit that forbids it.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        let limit = self.limits.memory_or_default();
        let Some(now) = add_within(&self.memory, bytes, limit) else {
            return Err(LimitReached::new(LimitKind::Memory, limit));
        };
        if let Some(tenant) = &self.tenant {
            let limit = tenant.limits.memory.unwrap_or(u64::MAX);
            if add_within(&tenant.memory, bytes, limit).is_none() {
                self.memory.fetch_sub(bytes, Ordering::Relaxed);
                return Err(LimitReached::new(LimitKind::TenantMemory, limit));
            }
        }
        self.peak_memory.fetch_max(now, Ordering::Relaxed);
        self.group
            .add_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Undoes [`hold`](Self::hold).
    pub(crate) fn release(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.memory.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.group
            .sub_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Counts one more live task, or names the limit that forbids it.
    pub(crate) fn task_starts(&self) -> Result<(), LimitReached> {
        let limit = self.limits.tasks_or_default();
        let Some(now) = add_within(&self.live, 1, limit) else {
            return Err(LimitReached::new(LimitKind::Tasks, limit));
        };
        if let Some(tenant) = &self.tenant {
            let limit = tenant.limits.tasks.unwrap_or(u64::MAX);
            if add_within(&tenant.live, 1, limit).is_none() {
                self.live.fetch_sub(1, Ordering::Relaxed);
                return Err(LimitReached::new(LimitKind::TenantTasks, limit));
            }
        }
        self.peak_live.fetch_max(now, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Undoes [`task_starts`](Self::task_starts); says how many are left.
    pub(crate) fn task_ends(&self) -> u64 {
        if let Some(tenant) = &self.tenant {
            tenant.live.fetch_sub(1, Ordering::Relaxed);
        }
        // AcqRel: whoever takes it to zero reads what all other tasks of the group wrote last.
        self.live.fetch_sub(1, Ordering::AcqRel) - 1
    }

    /// Whether CPU time is limited for the group or its tenant.
    pub(crate) fn limits_cpu(&self) -> bool {
        self.limits.cpu_time.is_some()
            || self
                .tenant
                .as_ref()
                .is_some_and(|t| t.limits.cpu_time.is_some())
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
            let cpu = u64::try_from(self.group.stats().cpu_time.as_nanos()).unwrap_or(u64::MAX);
            tenant.retired_cpu.fetch_add(cpu, Ordering::Relaxed);
        }
    }
}
