//! Setting up an instance that stays.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::drive::driver;
use super::error::InstanceError;
use super::handle::Instance;
use super::queue::{Queue, Settings};
use super::restart::Restart;
use crate::host::handle::Host;
use crate::host::run::builder::{RunBuilder, Target};
use crate::instance::program::Reused;
use crate::instance::store::Component;

/// An instance that is being set up. From [`Host::instance`].
#[must_use = "an instance begins with `start`"]
pub struct InstanceBuilder<T: 'static = ()> {
    run: RunBuilder<T>,
    settings: Settings<T>,
}

impl<T: Send + 'static> Host<T> {
    /// An instance of a component that stays, and is called again and again: a plug-in.
    ///
    /// It is a run, with all that a run has: a share of the cores, limits, a tenant, statistics. It keeps its slot in the
    /// pool of instances while it lives.
    pub fn instance(&self, component: &Component<T>) -> InstanceBuilder<T> {
        InstanceBuilder {
            // What the run does is said by its calls.
            run: RunBuilder::new(self, component, Target::Command).name("instance"),
            settings: Settings {
                name: "instance".into(),
                limit: 1024,
                concurrency: 64,
                idle: None,
                restart: Restart::never(),
                data: None,
            },
        }
    }
}

impl<T: Send + 'static> InstanceBuilder<T> {
    /// Its name, for statistics and traces. Default: `instance`.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.settings.name = crate::base::text::name(name.as_ref());
        self
    }

    /// What the instance is granted and may use: everything that a [`RunBuilder`] has. Limits are those of its whole life;
    /// a call has a budget of its own. Directories are opened once, by [`start`](Self::start).
    pub fn run(mut self, set: impl FnOnce(RunBuilder<T>) -> RunBuilder<T>) -> Self {
        self.run = set(self.run);
        self
    }

    /// The most calls that wait for others to end. Default 1,024. The next one fails with [`InstanceError::Full`].
    pub fn queue(mut self, calls: usize) -> Self {
        self.settings.limit = calls;
        self
    }

    /// The most calls of [`Instance::call_concurrent`] that go on at once. Default 64.
    ///
    /// # Panics
    ///
    /// If that is none.
    pub fn concurrency(mut self, calls: usize) -> Self {
        assert!(calls > 0, "one call at least goes on");
        self.settings.concurrency = calls;
        self
    }

    /// Lets go of an instance that had no call for so long: its memory and its slot. The next call makes a new one, which
    /// knows nothing of what the last one had in memory. Default: it stays.
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.settings.idle = Some(time);
        self
    }

    /// What follows an instance that a call has ended. Default: [`Restart::never`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// Makes the embedder's data for each instance. Default: what [`HostBuilder::data`](crate::HostBuilder::data) makes.
    pub fn data<F>(mut self, data: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
    {
        self.settings.data = Some(Arc::new(data));
        self
    }

    /// Makes the first instance, and waits until it is there. The future may be awaited on any executor.
    ///
    /// # Errors
    ///
    /// [`InstanceError::Ended`] says why there is none.
    pub async fn start(self) -> Result<Instance<T>, InstanceError> {
        let (queue, instance) = self.checked()?;
        queue.start().await?;
        Ok(instance)
    }

    /// The instance before it is made: the first call does that.
    pub(super) fn checked(self) -> Result<(Arc<Queue<T>>, Instance<T>), InstanceError> {
        // Nobody inside a guest's call waits for the slot of a run that is nobody's.
        let run = self.run.waits(true);
        let prepared = run.prepare_with_budgets(Reused::ByTasks);
        let prepared = prepared.map_err(|error| InstanceError::Ended(Arc::new(error)))?;
        let queue = Queue::new(prepared, self.settings, driver());
        let instance = Instance::new(queue.clone());
        Ok((queue, instance))
    }

    /// It stays where it would be let go of.
    pub(super) fn stays(mut self) -> Self {
        self.settings.idle = None;
        self
    }
}

impl<T> fmt::Debug for InstanceBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceBuilder")
            .field("name", &self.settings.name)
            .finish_non_exhaustive()
    }
}
