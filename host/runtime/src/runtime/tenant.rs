//! Tenants: groups of groups.

use std::fmt;
use std::sync::Arc;

use hart_executor::group::DEFAULT_WEIGHT;

use crate::base::error::BuildError;
use crate::base::stats::TenantStats;
use crate::base::text;
use crate::quota::account::tenant::TenantAccount;
use crate::quota::limits::Limits;
use crate::quota::share::{check_rate, check_weight};
use crate::runtime::handle::Runtime;
use crate::sched::core::Core;

/// A group of groups: its weight is shared among its runs, and its limits hold for all of them
/// together. From [`Host::tenant`](crate::Host::tenant) or [`Runtime::tenant`](crate::Runtime::tenant).
#[derive(Clone)]
pub struct Tenant {
    /// Whose groups it may have.
    pub(crate) runtime: Arc<Core>,
    pub(crate) account: Arc<TenantAccount>,
}

/// Makes a [`Tenant`].
#[must_use = "a builder does nothing until `build`"]
pub struct TenantBuilder {
    runtime: Arc<Core>,
    name: String,
    weight: u32,
    limits: Limits,
}

impl Runtime {
    /// A new tenant: a group of groups.
    pub fn tenant(&self) -> TenantBuilder {
        TenantBuilder::new(self.owner.inner.clone())
    }
}

impl TenantBuilder {
    pub(crate) fn new(runtime: Arc<Core>) -> Self {
        Self {
            runtime,
            name: String::new(),
            weight: DEFAULT_WEIGHT,
            limits: Limits::new(),
        }
    }

    /// A name for traces and statistics; at most 64 bytes of it are kept.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = text::name(name.as_ref());
        self
    }

    /// Its share of the machine compared with other tenants'. Default 100.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// What all of its runs may use together: `memory`, `cpu_time`, `cpu_rate`, `fuel`, `tasks`,
    /// `files` and `spawn_rate`, none of which has a default here. Other limits are ignored.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the tenant.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a weight or a CPU rate of zero.
    pub fn build(self) -> Result<Tenant, BuildError> {
        check_weight(self.weight)?;
        let mut builder = self
            .runtime
            .executor
            .tenant()
            .name(self.name)
            .weight(self.weight);
        if let Some(rate) = self.limits.cpu_rate {
            check_rate(rate)?;
            builder = builder.cpu_rate(rate);
        }
        Ok(Tenant {
            account: TenantAccount::new(builder.build(), self.limits),
            runtime: self.runtime,
        })
    }
}

impl Tenant {
    /// What its groups hold and have used together, so far.
    pub fn stats(&self) -> TenantStats {
        self.account.stats()
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.account.tenant.name())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TenantBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
