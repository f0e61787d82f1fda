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
    /// The weight of a tenant that was given none.
    pub const DEFAULT_WEIGHT: u32 = DEFAULT_WEIGHT;

    /// What its groups hold and have used together, so far.
    pub fn stats(&self) -> TenantStats {
        self.account.stats()
    }

    /// Its weight.
    pub fn weight(&self) -> u32 {
        self.account.tenant.weight()
    }

    /// Changes its weight, from its groups' next turns on.
    ///
    /// ```
    /// let host = hart_host::Host::builder().workers(1).build()?;
    /// let tenant = host.tenant().name("acme").build()?;
    /// tenant.set_weight(200)?;
    /// tenant.set_cpu_rate(Some(1500))?;
    /// assert_eq!((tenant.weight(), tenant.cpu_rate()), (200, Some(1500)));
    /// assert!(tenant.set_weight(0).is_err());
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a weight of zero.
    pub fn set_weight(&self, weight: u32) -> Result<(), BuildError> {
        check_weight(weight)?;
        self.account.tenant.set_weight(weight);
        Ok(())
    }

    /// How much of a core its groups may use together, in thousandths; `None` is no limit.
    pub fn cpu_rate(&self) -> Option<u32> {
        self.account.tenant.cpu_rate()
    }

    /// Changes how much of a core its groups may use together, in thousandths: 500 is half a core. `None` is no limit.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a rate of zero.
    pub fn set_cpu_rate(&self, millicores: Option<u32>) -> Result<(), BuildError> {
        if let Some(rate) = millicores {
            check_rate(rate)?;
        }
        self.account.tenant.set_cpu_rate(millicores);
        Ok(())
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
