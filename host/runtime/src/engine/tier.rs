//! Which code a component runs: that which is there sooner, or that which is faster.

/// Which code a component runs.
///
/// *Baseline* code is compiled in one pass, by wasmtime's Winch: sooner, and slower than *optimized* code, which is
/// Cranelift's. Both are preempted, limited and told of in the same way. What Winch does not compile (garbage collection,
/// tail calls, exceptions, relaxed SIMD), and a host's settings that it does not have (native debug information,
/// canonical NaNs), have optimized code in every tier.
///
/// A guest's calls take more [stack](crate::HostBuilder::wasm_stack) in baseline code, so that fewer of them nest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// A component with 1 MiB of code or more that is not in the cache starts on baseline code, while it is optimized in
    /// the background: on threads of the lowest priority, on half of the cores at most, one component at a time. Every
    /// task that starts once that is done runs the optimized code, those that running tasks spawn too; an
    /// instance keeps the code that it began with. The cache keeps both.
    ///
    /// With [`Preemption::Fuel`](crate::Preemption::Fuel), which is for what must be repeatable, this is
    /// [`Optimized`](Self::Optimized): when other code comes depends on the time.
    #[default]
    Auto,
    /// Baseline code, also of small components.
    Baseline,
    /// Optimized code, which loading waits for.
    Optimized,
}
