//! What a group of tasks holds and has used, against its limits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use hart_executor::group::{DEFAULT_SLICE, DEFAULT_WEIGHT};
use hart_executor::{Group, Tenant};

use crate::runtime::Inner;
use crate::sync::lock;
use crate::tenant::{check_rate, check_weight};
use crate::{BuildError, LimitKind, LimitReached, Limits, RunStats, TenantStats};

/// The books of one group. Counters are statistics or compared with limits one by one, so all of
/// them are `Relaxed`: nothing else is published through them.
pub(crate) struct Account {
    pub(crate) group: Group,
    pub(crate) limits: Limits,
    pub(crate) tenant: Option<Arc<TenantAccount>>,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    /// Units of fuel used: exact for tasks that have ended, in slices for those that run.
    fuel: AtomicU64,
    pub(crate) live: AtomicU64,
    pub(crate) peak_live: AtomicU64,
    pub(crate) total: AtomicU64,
    pub(crate) spawns: AtomicU64,
    pub(crate) joins: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) output: AtomicU64,
    /// Tasks that ran in an instance which had been used before.
    pub(crate) reused: AtomicU64,
    /// Bytes that are held for instances which nobody uses.
    spare: AtomicU64,
    /// How long its guests waited to go on after they were preempted, nanoseconds.
    preempted: AtomicU64,
    pace: Pace,
}

/// What a group gets of the machine, compared with others.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    pub(crate) slice: Duration,
}

impl Share {
    /// The usual weight, with this slice.
    pub(crate) fn of_slice(slice: Duration) -> Self {
        Self {
            slice,
            ..Self::default()
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: DEFAULT_WEIGHT,
            slice: DEFAULT_SLICE,
        }
    }
}

/// The books of a tenant: what its groups hold together.
pub(crate) struct TenantAccount {
    pub(crate) tenant: Tenant,
    limits: Limits,
    memory: AtomicU64,
    fuel: AtomicU64,
    live: AtomicU64,
    /// CPU time of groups that are gone, nanoseconds.
    retired_cpu: AtomicU64,
    /// Those that are not gone, by address.
    groups: Mutex<HashMap<usize, Weak<Account>>>,
    pace: Pace,
}

impl TenantAccount {
    pub(crate) fn new(tenant: Tenant, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            limits,
            memory: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            live: AtomicU64::new(0),
            retired_cpu: AtomicU64::new(0),
            groups: Mutex::default(),
            pace: Pace::default(),
        })
    }

    /// What its groups hold and have used together.
    pub(crate) fn stats(&self) -> TenantStats {
        TenantStats {
            name: self.tenant.name().to_owned(),
            cpu_time: self.cpu_time(),
            fuel: self.fuel.load(Ordering::Relaxed),
            memory: self.memory.load(Ordering::Relaxed),
            live_tasks: self.live.load(Ordering::Relaxed),
            groups: lock(&self.groups).len() as u64,
        }
    }

    /// CPU time of all its groups, those that are gone included.
    fn cpu_time(&self) -> Duration {
        let mut total = Duration::from_nanos(self.retired_cpu.load(Ordering::Relaxed));
        // Let go of after the lock: the last reference takes it, too.
        let groups: Vec<_> = lock(&self.groups)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for account in &groups {
            total += account.group.stats().cpu_time;
        }
        total
    }
}

/// Keeps events to so many per second, those of one second at once.
#[derive(Default)]
struct Pace {
    /// When all that happened so far would have, had it come evenly: nanoseconds of the platform's clock.
    even: AtomicU64,
}

impl Pace {
    /// One more event at `now`; `false` if it comes too soon.
    fn admits(&self, per_second: u64, now: u64) -> bool {
        const SECOND: u64 = 1_000_000_000;
        let step = SECOND.checked_div(per_second).unwrap_or(u64::MAX).max(1);
        self.even
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |even| {
                let next = even.max(now).saturating_add(step);
                (next <= now.saturating_add(SECOND)).then_some(next)
            })
            .is_ok()
    }
}

/// Keeps the most that there was. A look comes first: it takes the line from no other core.
fn raise(peak: &AtomicU64, now: u64) {
    if now > peak.load(Ordering::Relaxed) {
        peak.fetch_max(now, Ordering::Relaxed);
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
        share: Share,
        limits: Limits,
        tenant: Option<Arc<TenantAccount>>,
    ) -> Result<Arc<Self>, BuildError> {
        check_weight(share.weight)?;
        let mut builder = runtime
            .executor
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
        Ok(Self::new(builder.build(), limits, tenant))
    }

    /// What was used so far, for the run with this number.
    pub(crate) fn stats(&self, id: u64) -> RunStats {
        let group = self.group.stats();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let preempted = Duration::from_nanos(read(&self.preempted));
        RunStats {
            id,
            name: self.group.name().to_owned(),
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
            peak_memory: read(&self.peak_memory),
            output_bytes: read(&self.output),
            reused: read(&self.reused),
        }
    }

    fn new(group: Group, limits: Limits, tenant: Option<Arc<TenantAccount>>) -> Arc<Self> {
        let account = Arc::new(Self {
            group,
            limits,
            tenant,
            memory: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            live: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
            total: AtomicU64::new(0),
            spawns: AtomicU64::new(0),
            joins: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            output: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            spare: AtomicU64::new(0),
            preempted: AtomicU64::new(0),
            pace: Pace::default(),
        });
        if let Some(tenant) = &account.tenant {
            let address = Arc::as_ptr(&account).addr();
            lock(&tenant.groups).insert(address, Arc::downgrade(&account));
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
        if let Some(rate) = self.limits.spawn_rate
            && !self.pace.admits(rate, now)
        {
            return Err(LimitReached::new(LimitKind::SpawnRate, rate));
        }
        if let Some(tenant) = &self.tenant
            && let Some(rate) = tenant.limits.spawn_rate
            && !tenant.pace.admits(rate, now)
        {
            return Err(LimitReached::new(LimitKind::TenantSpawnRate, rate));
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
        raise(&self.peak_memory, now);
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
        raise(&self.peak_live, now);
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
            let cpu = u64::try_from(self.group.stats().cpu_time.as_nanos()).unwrap_or(u64::MAX);
            tenant.retired_cpu.fetch_add(cpu, Ordering::Relaxed);
            lock(&tenant.groups).remove(&std::ptr::from_ref(self).addr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    const SECOND: u64 = 1_000_000_000;

    // Fault: a rate that forgives what came too soon, one that never recovers, one that saves up.
    #[test]
    fn a_pace_admits_a_second_at_once_and_then_evenly() {
        let pace = Pace::default();
        let start = 77 * SECOND;
        let admitted = |now| (0..1_000).filter(|_| pace.admits(10, now)).count();
        assert_eq!(admitted(start), 10);
        assert_eq!(admitted(start + SECOND / 20), 0);
        assert_eq!(admitted(start + SECOND / 10), 1);
        assert_eq!(admitted(start + SECOND / 2), 4);
        assert_eq!(admitted(start + 100 * SECOND), 10);
        assert!(!Pace::default().admits(0, start));
    }
}
