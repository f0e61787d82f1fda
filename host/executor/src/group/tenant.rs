//! Tenants.

use crate::{
    executor::SharedRef,
    fair::{Id, TenantState},
    sync::Arc,
};
use core::fmt;

/// A group of groups, which share its weight.
///
/// # Examples
///
/// ```
/// let executor = hart_executor::Executor::new();
/// let tenant = executor.tenant().name("acme").weight(200).cpu_rate(500).build();
/// let group = executor.group().tenant(&tenant).build();
/// assert_eq!(group.tenant().unwrap().name(), "acme");
/// tenant.set_cpu_rate(None);
/// assert_eq!((tenant.weight(), tenant.cpu_rate()), (200, None));
/// ```
#[derive(Clone)]
pub struct Tenant(Arc<Inner>);

struct Inner {
    state: Arc<TenantState>,
    executor: SharedRef,
}

impl Tenant {
    pub(super) fn new(state: Arc<TenantState>, executor: SharedRef) -> Self {
        Self(Arc::new(Inner { state, executor }))
    }

    pub(super) fn state(&self) -> &Arc<TenantState> {
        &self.0.state
    }

    pub(super) fn is_of(&self, executor: &SharedRef) -> bool {
        SharedRef::ptr_eq(&self.0.executor, executor)
    }

    /// The tenant's id.
    pub fn id(&self) -> Id {
        self.state().share.id
    }

    /// Its name; empty if it was given none.
    pub fn name(&self) -> &str {
        &self.state().share.name
    }

    /// Its weight, which its groups share.
    pub fn weight(&self) -> u32 {
        self.state().share.weight() as u32
    }

    /// Changes its weight.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        self.state().share.set_weight(weight);
    }

    /// How much of a core its groups may use together, in thousandths; `None` is no limit.
    pub fn cpu_rate(&self) -> Option<u32> {
        self.state().share.millicores()
    }

    /// Changes how much of a core its groups may use together. See [`Group::set_cpu_rate`](super::Group::set_cpu_rate).
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn set_cpu_rate(&self, millicores: Option<u32>) {
        self.state().share.set_rate(millicores);
        let executor = &self.0.executor;
        let now = executor.platform().now();
        for _ in 0..executor.lanes().reconsider_tenant(self.state(), now) {
            executor.notify();
        }
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("weight", &self.weight())
            .finish()
    }
}
