//! Tenants: groups of groups.

use std::fmt;
use std::sync::Arc;

use hart_executor::group::DEFAULT_WEIGHT;

use crate::account::TenantAccount;
use crate::runtime::Inner;
use crate::{BuildError, Limits, TenantStats, text};

/// A group of groups: its weight is shared among its runs, and its limits hold for all of them
/// together. From [`Host::tenant`](crate::Host::tenant) or [`Runtime::tenant`](crate::Runtime::tenant).
#[derive(Clone)]
pub struct Tenant {
    /// Whose groups it may have.
    pub(crate) runtime: Arc<Inner>,
    pub(crate) account: Arc<TenantAccount>,
}

/// Makes a [`Tenant`].
#[must_use = "a builder does nothing until `build`"]
pub struct TenantBuilder {
    runtime: Arc<Inner>,
    name: String,
    weight: u32,
    limits: Limits,
}

impl TenantBuilder {
    pub(crate) fn new(runtime: Arc<Inner>) -> Self {
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

    /// What all of its runs may use together: `memory`, `cpu_time`, `cpu_rate`, `fuel`, `tasks` and
    /// `spawn_rate`, none of which has a default here. Other limits are ignored.
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

pub(crate) fn check_weight(weight: u32) -> Result<(), BuildError> {
    if weight == 0 {
        return Err(BuildError::Setting(
            "a weight of zero would never run: use at least 1".into(),
        ));
    }
    Ok(())
}

pub(crate) fn check_rate(millicores: u32) -> Result<(), BuildError> {
    if millicores == 0 {
        return Err(BuildError::Setting(
            "a CPU rate of zero would never run: use at least 1, a thousandth of a core".into(),
        ));
    }
    Ok(())
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
