//! Several instances of one component, and which of them does a call.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, try_join_all};
use wasmtime::Store;

use super::builder::InstanceBuilder;
use super::call::Call;
use super::error::InstanceError;
use super::handle::{Instance, InstanceStats};
use super::queue::Queue;
use crate::base::sync::lock;
use crate::host::handle::Host;
use crate::instance::events::Event;
use crate::instance::store::{Component, GuestState};

/// Sets up each of the instances.
type Setup<T> = dyn Fn(InstanceBuilder<T>) -> InstanceBuilder<T> + Send + Sync;

/// Instances that are being set up. From [`Host::replicas`].
#[must_use = "instances begin with `start`"]
pub struct ReplicasBuilder<T: Send + 'static = ()> {
    host: Host<T>,
    component: Component<T>,
    counts: RangeInclusive<usize>,
    setup: Arc<Setup<T>>,
}

/// Several instances of one component, which share its calls. Cheap to clone.
///
/// A call goes to an instance that does nothing. Where there is none, one more is made, up to the most; after that it waits
/// for the one with the fewest calls.
///
/// # Examples
///
/// ```
/// # let host = hart_host::Host::builder().build()?;
/// # let text = br#"(component
/// #     (core module $m (func (export "f") (result i32) (i32.const 42)))
/// #     (core instance $i (instantiate $m))
/// #     (func (export "answer") (result u32) (canon lift (core func $i "f"))))"#;
/// # let component = host.load(text)?;
/// # let version2 = host.load(text)?;
/// # futures::executor::block_on(async {
/// use hart_host::Restart;
/// use std::time::Duration;
///
/// let plugins = host
///     .replicas(&component, 1..=8)
///     .instance(|each| each.restart(Restart::always()).idle_after(Duration::from_secs(60)))
///     .start()
///     .await?;
/// let ask = || plugins.call(|store, instance| Box::pin(async move {
///     let answer = instance.get_typed_func::<(), (u32,)>(&mut *store, "answer")?;
///     Ok(answer.call_async(&mut *store, ()).await?.0)
/// }));
/// assert_eq!(ask().await?, 42);
///
/// // A new version takes over: what was called before is done by the old one.
/// plugins.replace(&version2).await?;
/// assert_eq!(ask().await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replicas<T: Send + 'static = ()> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: Send + 'static> {
    host: Host<T>,
    counts: RangeInclusive<usize>,
    setup: Arc<Setup<T>>,
    hasher: RandomState,
    /// Of the present version.
    instances: Mutex<Arc<[Replica<T>]>>,
    /// Held by whoever replaces them.
    replacing: futures::lock::Mutex<()>,
}

struct Replica<T: Send + 'static> {
    queue: Arc<Queue<T>>,
    instance: Instance<T>,
}

impl<T: Send + 'static> Host<T> {
    /// Instances of a component that stay: the first number of `counts` at least, and more where they have calls to do, up to
    /// the last.
    ///
    /// # Panics
    ///
    /// If there is to be none.
    pub fn replicas(
        &self,
        component: &Component<T>,
        counts: RangeInclusive<usize>,
    ) -> ReplicasBuilder<T> {
        assert!(
            *counts.end() > 0 && !counts.is_empty(),
            "there is one instance at least"
        );
        ReplicasBuilder {
            host: self.clone(),
            component: component.clone(),
            counts,
            setup: Arc::new(|each| each),
        }
    }
}

impl<T: Send + 'static> ReplicasBuilder<T> {
    /// Sets up each instance: see [`InstanceBuilder`]. Those beyond the least number go where
    /// [`idle_after`](InstanceBuilder::idle_after) says so; the others stay.
    pub fn instance<F>(mut self, setup: F) -> Self
    where
        F: Fn(InstanceBuilder<T>) -> InstanceBuilder<T> + Send + Sync + 'static,
    {
        self.setup = Arc::new(setup);
        self
    }

    /// Makes as many instances as are to be there at least.
    ///
    /// # Errors
    ///
    /// As [`InstanceBuilder::start`].
    pub async fn start(self) -> Result<Replicas<T>, InstanceError> {
        let Self {
            host,
            component,
            counts,
            setup,
        } = self;
        let instances = make(&host, &component, &counts, &*setup).await?;
        Ok(Replicas {
            inner: Arc::new(Inner {
                host,
                counts,
                setup,
                hasher: RandomState::new(),
                instances: Mutex::new(instances),
                replacing: futures::lock::Mutex::new(()),
            }),
        })
    }
}

/// All instances of a version, of which the first ones are there when this returns.
async fn make<T: Send + 'static>(
    host: &Host<T>,
    component: &Component<T>,
    counts: &RangeInclusive<usize>,
    setup: &Setup<T>,
) -> Result<Arc<[Replica<T>]>, InstanceError> {
    let replica = |number: usize| {
        let each = setup(host.instance(component));
        let each = match number < *counts.start() {
            true => each.stays(),
            false => each,
        };
        let (queue, instance) = each.checked()?;
        Ok(Replica { queue, instance })
    };
    let replicas = (0..*counts.end()).map(replica);
    let replicas: Vec<_> = replicas.collect::<Result<_, InstanceError>>()?;
    let first = replicas.iter().take(*counts.start());
    try_join_all(first.map(|replica| replica.queue.start())).await?;
    Ok(replicas.into())
}

impl<T: Send + 'static> Replicas<T> {
    fn instances(&self) -> Arc<[Replica<T>]> {
        lock(&self.inner.instances).clone()
    }

    /// A call, as [`Instance::call`] has it, of whichever instance can do it first.
    pub fn call<R, F>(&self, body: F) -> Call<T, R>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a mut Store<GuestState<T>>,
                wasmtime::component::Instance,
            ) -> BoxFuture<'a, wasmtime::Result<R>>
            + Send
            + 'static,
    {
        let instances = self.instances();
        // The fewest calls first; among those without any, one that is there.
        let by_load = |replica: &&Replica<T>| {
            let (calls, is_there) = replica.queue.load();
            (calls, !is_there)
        };
        let chosen = instances.iter().min_by_key(by_load);
        chosen.expect("there is one at least").instance.call(body)
    }

    /// The same, where calls with equal keys go to the same instance, for as long as it lives and is not
    /// [replaced](Self::replace): what it keeps for a key is there again.
    pub fn call_keyed<R, F>(&self, key: impl Hash, body: F) -> Call<T, R>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(
                &'a mut Store<GuestState<T>>,
                wasmtime::component::Instance,
            ) -> BoxFuture<'a, wasmtime::Result<R>>
            + Send
            + 'static,
    {
        let instances = self.instances();
        let hash = self.inner.hasher.hash_one(key);
        let at = usize::try_from(hash % instances.len() as u64).unwrap_or(0);
        instances[at].instance.call(body)
    }

    /// Has another component take over: calls from now on are its instances'. Those before are done by the old ones, which go
    /// then. One that cannot start changes nothing.
    ///
    /// # Errors
    ///
    /// As [`InstanceBuilder::start`].
    pub async fn replace(&self, component: &Component<T>) -> Result<(), InstanceError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.replacing.lock().await;
        let new = make(&inner.host, component, &inner.counts, &*inner.setup).await?;
        let name = new[0].queue.name().to_owned();
        let old = std::mem::replace(&mut *lock(&inner.instances), new);
        drop(old);
        if let Some(hooks) = &inner.host.inner().hooks {
            hooks.tell(&Event::Replaced { name: &name });
        }
        Ok(())
    }

    /// What each of the present instances has done.
    pub fn stats(&self) -> Vec<InstanceStats> {
        let instances = self.instances();
        instances
            .iter()
            .map(|replica| replica.instance.stats())
            .collect()
    }
}

impl<T: Send + 'static> Clone for Replicas<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Replicas<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas")
            .field("counts", &self.inner.counts)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> fmt::Debug for ReplicasBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicasBuilder")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
