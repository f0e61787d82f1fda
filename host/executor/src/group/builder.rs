//! Making groups and tenants.

use super::{handle::Group, tenant::Tenant};
use crate::{
    executor::{Executor, SharedRef},
    fair::{
        DEFAULT_SLICE, DEFAULT_WEIGHT, Id, Share, TenantState, check_rate, check_weight, clamp,
    },
    sync::Arc,
};
use alloc::borrow::Cow;
use core::{fmt, marker::PhantomData, time::Duration};

/// Makes a [`Group`] or a [`Tenant`]: from [`Executor::group`] or [`Executor::tenant`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let executor = hart_executor::Executor::new();
/// let tenant = executor.tenant().name("acme").weight(200).build();
/// let group = executor
///     .group()
///     .name("interactive")
///     .tenant(&tenant)
///     .slice(Duration::from_micros(200))
///     .cpu_rate(1500)
///     .build();
/// assert_eq!(group.cpu_rate(), Some(1500));
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<'a, T> {
    executor: &'a SharedRef,
    name: Cow<'static, str>,
    weight: u32,
    millicores: Option<u32>,
    slice: Duration,
    tenant: Option<Tenant>,
    _makes: PhantomData<fn() -> T>,
}

/// Makes a [`Group`].
pub type GroupBuilder<'a> = Builder<'a, Group>;

/// Makes a [`Tenant`].
pub type TenantBuilder<'a> = Builder<'a, Tenant>;

impl Executor {
    /// Makes a group of tasks.
    pub fn group(&self) -> GroupBuilder<'_> {
        Builder::new(self.shared())
    }

    /// Makes a group of groups.
    pub fn tenant(&self) -> TenantBuilder<'_> {
        Builder::new(self.shared())
    }
}

impl<'a, T> Builder<'a, T> {
    fn new(executor: &'a SharedRef) -> Self {
        Self {
            executor,
            name: Cow::Borrowed(""),
            weight: DEFAULT_WEIGHT,
            millicores: None,
            slice: DEFAULT_SLICE,
            tenant: None,
            _makes: PhantomData,
        }
    }

    /// A name for traces and statistics.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Its weight; [`DEFAULT_WEIGHT`] if this is not called.
    ///
    /// # Panics
    ///
    /// If the weight is zero.
    #[track_caller]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = check_weight(weight);
        self
    }

    /// How much of a core it may use, in thousandths; no limit if this is not called. See
    /// [`Group::set_cpu_rate`].
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn cpu_rate(mut self, millicores: u32) -> Self {
        self.millicores = check_rate(Some(millicores));
        self
    }

    fn share(&mut self) -> Share {
        let id = Id(self.executor.next_ids(1));
        let name = core::mem::take(&mut self.name);
        Share::new(id, name, self.weight, self.millicores)
    }
}

impl GroupBuilder<'_> {
    /// Its slice; [`DEFAULT_SLICE`] if this is not called, at least [`SHORTEST_SLICE`](super::SHORTEST_SLICE). See
    /// [`Group::set_slice`].
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// Makes it one of a tenant's groups.
    ///
    /// # Panics
    ///
    /// If the tenant belongs to another executor: what its groups use there would not be seen here.
    #[track_caller]
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        assert!(
            tenant.is_of(self.executor),
            "the tenant `{}` belongs to another executor",
            tenant.name()
        );
        self.tenant = Some(tenant.clone());
        self
    }

    /// Makes the group.
    pub fn build(mut self) -> Group {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.state().clone());
        let share = self.share();
        let lanes = self.executor.lanes();
        let state = lanes.group(share, clamp(self.slice), tenant);
        Group::new(state, self.tenant, self.executor.clone())
    }
}

impl TenantBuilder<'_> {
    /// Makes the tenant.
    pub fn build(mut self) -> Tenant {
        let state = TenantState::new(self.share());
        Tenant::new(Arc::new(state), self.executor.clone())
    }
}

impl<T> fmt::Debug for Builder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
