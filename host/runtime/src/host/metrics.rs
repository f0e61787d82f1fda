//! What there is to watch of a host.

use crate::base::error::BuildError;
use crate::base::histogram::Histogram;
use crate::host::handle::Host;
use crate::metrics::snapshot::{Metrics, RunMetrics};
use crate::quota::kill::Kill;
use crate::quota::share::{check_rate, check_weight};

impl<T: Send + 'static> Host<T> {
    /// What the host has done and has, for whoever watches it: as data, and as [text](Metrics::to_text) for Prometheus.
    ///
    /// Histograms and figures of apps are there where [`HostBuilder::metrics`](crate::HostBuilder::metrics) says so. It
    /// takes the locks of queues, of tenants and of the list of runs only to count or to copy, and adds up after that.
    ///
    /// ```
    /// use hart_host::{Cache, Host};
    ///
    /// let host = Host::builder().metrics(true).cache(Cache::Off).build()?;
    /// let component = host.load(br#"
    ///     (component
    ///         (core module $m (func (export "f")))
    ///         (core instance $i (instantiate $m))
    ///         (func (export "f") (canon lift (core func $i "f"))))
    /// "#)?;
    /// host.invoke(&component, "f()")?.start()?.wait()?;
    /// let metrics = host.metrics();
    /// assert_eq!(metrics.other_runs.cpu_seconds.count(), 1);
    /// assert_eq!(metrics.compile_seconds.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        let inner = self.inner();
        let mut metrics = Metrics {
            host: self.stats(),
            warm_instances: inner.warm.count() as u64,
            resident_memory: resident_memory().unwrap_or(0),
            compile_seconds: Histogram::default(),
            event_loop_lag_seconds: Histogram::default(),
            apps: Vec::new(),
            other_runs: RunMetrics::default(),
        };
        if let Some(figures) = &inner.figures {
            metrics.compile_seconds = figures.compile.read();
            metrics.event_loop_lag_seconds = figures.lag.read();
            metrics.apps = figures.apps();
            metrics.other_runs = figures.runs.read();
        }
        metrics
    }

    /// Ends the run with this number, as [`Run::cancel`](crate::Run::cancel) does. Says whether there is such a run: one
    /// that is over has gone. [`groups`](Self::groups) lists them.
    ///
    /// ```
    /// let host = hart_host::Host::builder().workers(1).build()?;
    /// assert!(!host.cancel(1), "there is no run");
    /// # Ok::<(), hart_host::BuildError>(())
    /// ```
    pub fn cancel(&self, run: u64) -> bool {
        let found = self.inner().registry.live_run(run);
        if let Some(run) = &found {
            run.kill(Kill::Cancelled);
        }
        found.is_some()
    }

    /// Changes the weight of the run with this number, from its next turn on. Says whether there is such a run.
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a weight of zero.
    pub fn set_weight(&self, run: u64, weight: u32) -> Result<bool, BuildError> {
        check_weight(weight)?;
        let found = self.inner().registry.live_run(run);
        Ok(found.map(|run| run.group().set_weight(weight)).is_some())
    }

    /// Changes how much of a core the run with this number may use, in thousandths: 500 is half a core. `None` is no limit.
    /// Says whether there is such a run.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().workers(1).build()?;
    /// # let spinner = host.load(br#"
    /// #     (component
    /// #         (core module $m (func (export "f") (loop (br 0))))
    /// #         (core instance $i (instantiate $m))
    /// #         (func (export "spin") (canon lift (core func $i "f"))))
    /// # "#)?;
    /// let run = host.invoke(&spinner, "spin()")?.start()?.abort_on_drop();
    /// assert!(host.set_cpu_rate(run.id(), Some(500))?);
    /// assert!(host.set_weight(run.id(), 10)?);
    /// assert_eq!((run.stats().cpu_rate, run.stats().weight), (Some(500), 10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError::Setting`] for a rate of zero.
    pub fn set_cpu_rate(&self, run: u64, millicores: Option<u32>) -> Result<bool, BuildError> {
        if let Some(rate) = millicores {
            check_rate(rate)?;
        }
        let found = self.inner().registry.live_run(run);
        Ok(found
            .map(|run| run.group().set_cpu_rate(millicores))
            .is_some())
    }
}

/// Bytes that Linux says are resident.
fn resident_memory() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
