//! What the groups of a tenant hold together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hart_executor::{Group, Tenant};

use crate::base::stats::TenantStats;
use crate::base::sync::lock;
use crate::quota::account::pace::Pace;
use crate::quota::limits::Limits;

/// The books of a tenant: what its groups hold together.
pub(crate) struct TenantAccount {
    pub(crate) tenant: Tenant,
    pub(super) limits: Limits,
    pub(super) memory: AtomicU64,
    pub(super) fuel: AtomicU64,
    pub(super) live: AtomicU64,
    pub(super) files: AtomicU64,
    /// CPU time of groups that are gone, nanoseconds.
    pub(super) retired_cpu: AtomicU64,
    /// Those that are not gone, by the address of their books.
    pub(super) groups: Mutex<HashMap<usize, Group>>,
    pub(super) pace: Pace,
    pub(super) books: Arc<Mutex<()>>,
}

impl TenantAccount {
    pub(crate) fn new(tenant: Tenant, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            limits,
            memory: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            live: AtomicU64::new(0),
            files: AtomicU64::new(0),
            retired_cpu: AtomicU64::new(0),
            groups: Mutex::default(),
            pace: Pace::default(),
            books: Arc::default(),
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
    pub(super) fn cpu_time(&self) -> Duration {
        let (groups, retired) = {
            let groups = lock(&self.groups);
            // Under the lock, so that the time of a group that goes counts once.
            let retired = self.retired_cpu.load(Ordering::Relaxed);
            (groups.values().cloned().collect::<Vec<Group>>(), retired)
        };
        // The sum takes a while with many groups, and requests need the lock.
        let live: Duration = groups.iter().map(|group| group.stats().cpu_time).sum();
        live + Duration::from_nanos(retired)
    }

    /// The books of a group are closed.
    pub(super) fn group_is_gone(&self, address: usize) {
        // Under the lock, so that its time counts once.
        let mut groups = lock(&self.groups);
        let group = groups.remove(&address);
        let used = group.as_ref().map(|group| group.stats().cpu_time);
        let used = used.map_or(0, |used| u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        self.retired_cpu.fetch_add(used, Ordering::Relaxed);
        drop(groups);
        drop(group);
    }
}
