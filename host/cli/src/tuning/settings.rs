//! Settings for wasmtime, as options say them.

use crate::failure::Failure;
use crate::units::switch;
use hart_host::wasmtime::Config;
use hart_host::{Cache, HostBuilder, PoolScan, Tier};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A setting of wasmtime's.
type Setting = Arc<dyn Fn(&mut Config) + Send + Sync>;

/// What the keys set.
#[derive(Clone, Default)]
pub(crate) struct Tuning {
    settings: Vec<Setting>,
    pub(super) pool_scan: Option<PoolScan>,
    pub(super) wasm_stack: Option<usize>,
    pub(super) tier: Option<Tier>,
    /// Where a profile of guests is to go.
    pub(super) profile: Option<PathBuf>,
    /// That nothing is cached.
    pub(super) no_cache: bool,
}

impl Tuning {
    /// These, and then those of `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.settings.extend(other.settings);
        self.pool_scan = other.pool_scan.or(self.pool_scan);
        self.wasm_stack = other.wasm_stack.or(self.wasm_stack);
        self.tier = other.tier.or(self.tier);
        self.profile = other.profile.or(self.profile);
        self.no_cache |= other.no_cache;
        self
    }

    /// Code for every machine of a kind.
    ///
    /// # Errors
    /// A kind that is not this machine's: the compiler for others is not there.
    pub(crate) fn target(&mut self, triple: &str) -> Result<(), Failure> {
        let ours = env!("HART_TARGET");
        if triple != ours {
            return Err(Failure::usage(format!(
                "--target {triple}: hart compiles for the kind of machine that it runs on, {ours}; compile it there"
            )));
        }
        self.set(move |config| {
            // It is a target that wasmtime knows: it runs there.
            let _ = config.target(ours);
        });
        Ok(())
    }

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty()
            && self.pool_scan.is_none()
            && self.wasm_stack.is_none()
            && self.tier.is_none()
    }

    /// Where a profile of guests is to go.
    pub(crate) fn profile(&self) -> Option<&Path> {
        self.profile.as_deref()
    }

    /// The same, where there are no profiles of guests.
    ///
    /// # Errors
    /// If there is to be one.
    pub(crate) fn without_profile(self) -> Result<Self, Failure> {
        match self.profile {
            Some(_) => Err(Failure::usage(
                "--profile guest: only `hart run` writes one; use --profile perfmap",
            )),
            None => Ok(self),
        }
    }

    /// Where compiled code is kept; `is_off` says that `--no-cache` was given, which is the same as `-C cache=n`.
    pub(crate) fn cache(&self, is_off: bool) -> Cache {
        match is_off || self.no_cache {
            true => Cache::Off,
            false => Cache::User,
        }
    }

    /// Whether what loads leave to be optimized is kept, and found by the next one.
    pub(crate) fn is_auto(&self) -> bool {
        matches!(self.tier, None | Some(Tier::Auto))
    }

    /// A host with these settings.
    pub(crate) fn apply(self, mut builder: HostBuilder) -> HostBuilder {
        if let Some(scan) = self.pool_scan {
            builder = builder.pool_scan(scan);
        }
        if let Some(bytes) = self.wasm_stack {
            builder = builder.wasm_stack(bytes);
        }
        if let Some(tier) = self.tier {
            builder = builder.tier(tier);
        }
        if self.profile.is_some() {
            // Files and lines would be looked up for each sample.
            builder = builder.backtrace_details(false);
        }
        if self.settings.is_empty() {
            // With settings, the host tries whether they hold together.
            return builder;
        }
        builder.config(move |config| self.settings.iter().for_each(|set| set(config)))
    }

    pub(super) fn set(&mut self, setting: impl Fn(&mut Config) + Send + Sync + 'static) {
        self.settings.push(Arc::new(setting));
    }

    /// A key that is a switch of wasmtime's.
    pub(super) fn switch(
        &mut self,
        value: Option<&str>,
        set: fn(&mut Config, bool) -> &mut Config,
    ) -> Result<(), String> {
        let on = switch(value)?;
        self.set(move |config| {
            set(config, on);
        });
        Ok(())
    }
}
