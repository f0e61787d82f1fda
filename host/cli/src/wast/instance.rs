//! An instance that a script talks to.
//!
//! It lives in a guest task of its own, on hart's workers, with hart's limits and preemption. The
//! task instantiates the component and then serves calls, one after the other, until the script lets
//! go of the instance:
//!
//! 1. the script starts the task and waits for what the component exports, or for why there is no
//!    instance;
//! 2. a call goes over a channel, with a second channel for its result;
//! 3. between calls the task is idle and costs nothing but its slot in the pool;
//! 4. when the last sender is dropped the task ends, and its store with it.
//!
//! A component that imports what an earlier one exports gets host functions that forward to that
//! one's task. Values cross from store to store, handles of resources do not.

use super::ground::Ground;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use hart_host::{Canceller, Host, Limits, LoadError, Run};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    ComponentExportIndex, Instance as Instantiated, LinkerInstance, ResourceType, Type, Val,
};
use wasmtime::{Module, Result, Store, bail, format_err};

type Calls = mpsc::UnboundedSender<Call>;

/// A call on its way to the instance's task.
struct Call {
    function: String,
    arguments: Vec<Val>,
    reply: oneshot::Sender<Result<Vec<Val>>>,
}

/// An export that another component can import.
#[derive(Clone)]
enum Export {
    /// A function, which is called where it lives.
    Function {
        name: String,
        /// As [`Call::function`].
        function: String,
        /// It is an `async func`.
        asynchronous: bool,
    },
    Module(String, Module),
    Resource(String, ResourceType),
    Instance(String, Vec<Export>),
}

/// A name that later components can import, and what it stands for.
#[derive(Clone)]
pub(super) struct Link {
    name: String,
    exports: Vec<Export>,
    calls: Calls,
}

/// A live instance.
pub(super) struct Instance {
    calls: Calls,
    exports: Vec<Export>,
    canceller: Canceller,
    run: Option<Run>,
}

impl Instance {
    /// Instantiates a component, whose imports are hart's own and `links`.
    ///
    /// # Errors
    /// Whatever keeps it from being instantiated: an import that is not there, a trap in its start
    /// code.
    pub(super) fn new(
        ground: &Ground,
        bytes: &[u8],
        links: &[Link],
        limits: Limits,
    ) -> Result<Self> {
        let started = match ground {
            Ground::Workers(host) => start(host, bytes, links, limits)?,
            Ground::Machine { host, .. } => start(host, bytes, links, limits)?,
        };
        let (run, calls, exports) = started;
        let canceller = run.canceller();
        let exports = match ground.wait(exports)? {
            Ok(exports) => exports,
            Err(oneshot::Canceled) => return Err(ended(ground, run)),
        };
        Ok(Self {
            calls,
            exports,
            canceller,
            run: Some(run),
        })
    }

    /// Calls an exported function: `name`, or `instance#name` for one in an exported instance.
    ///
    /// # Errors
    /// No such function, wrong arguments, a trap, a limit.
    pub(super) fn call(
        &mut self,
        ground: &Ground,
        function: &str,
        arguments: Vec<Val>,
    ) -> Result<Vec<Val>> {
        match ground.wait(call(&self.calls, function, arguments))? {
            Some(result) => result,
            None => match self.run.take() {
                Some(run) => Err(ended(ground, run)),
                None => bail!("the instance is gone: an earlier call ended it"),
            },
        }
    }

    /// What a component that imports `name` gets of this instance.
    pub(super) fn link(&self, name: &str) -> Link {
        Link {
            name: name.to_owned(),
            exports: self.exports.clone(),
            calls: self.calls.clone(),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The tasks that it spawned should not outlive the script either.
        self.canceller.cancel();
    }
}

/// A task, where to send it calls, and what its component exports once it is instantiated.
type Started = (Run, Calls, oneshot::Receiver<Vec<Export>>);

/// Starts the task of an instance.
fn start<T: Send + 'static>(
    host: &Host<T>,
    bytes: &[u8],
    links: &[Link],
    limits: Limits,
) -> Result<Started> {
    let loaded = host.load_with(bytes, |linker| {
        for link in links {
            define(
                &mut linker.instance(&link.name)?,
                &link.exports,
                &link.calls,
            )?;
        }
        Ok(())
    });
    let component = match loaded {
        Ok(component) => component,
        // Scripts expect wasmtime's words.
        Err(LoadError::MissingImport { source, .. }) => return Err(source),
        Err(error) => return Err(error.into()),
    };
    let (calls, requests) = mpsc::unbounded();
    let (ready, exports) = oneshot::channel();
    let compiled = component.as_wasmtime().clone();
    let run = host
        .drive(&component, move |store, instance| {
            Box::pin(serve(store, instance, compiled, ready, requests))
        })
        .limits(limits)
        .start()?;
    Ok((run, calls, exports))
}

/// Why a run that was to go on has ended.
pub(super) fn ended(ground: &Ground, run: Run) -> wasmtime::Error {
    let ended = match ground.wait(run) {
        Ok(ended) => ended,
        Err(broken) => return broken,
    };
    match ended {
        Ok(_) => format_err!("the instance ended by itself"),
        Err(error) => match error.limit() {
            Some(limit) => format_err!("{}", crate::limits::explain(limit)),
            None => error.into(),
        },
    }
}

/// `None` where the instance's task is no more.
async fn call(calls: &Calls, function: &str, arguments: Vec<Val>) -> Option<Result<Vec<Val>>> {
    let (reply, result) = oneshot::channel();
    let call = Call {
        function: function.to_owned(),
        arguments,
        reply,
    };
    calls.unbounded_send(call).ok()?;
    result.await.ok()
}

/// The guest task, once it is instantiated.
async fn serve<S: Send + 'static>(
    store: &mut Store<S>,
    instance: Instantiated,
    component: wasmtime::component::Component,
    ready: oneshot::Sender<Vec<Export>>,
    mut requests: mpsc::UnboundedReceiver<Call>,
) -> Result<Vec<Val>> {
    let ty = component.component_type();
    let items = ty.exports(component.engine());
    let items = items.map(|(name, export)| (name.to_owned(), export.ty));
    let _ = ready.send(exports(store, &instance, None, "", items.collect()));
    while let Some(call) = requests.next().await {
        let result = invoke(store, &instance, &call.function, &call.arguments).await;
        let _ = call.reply.send(result);
    }
    Ok(Vec::new())
}

async fn invoke<S: Send + 'static>(
    store: &mut Store<S>,
    instance: &Instantiated,
    function: &str,
    arguments: &[Val],
) -> Result<Vec<Val>> {
    let mut index: Option<ComponentExportIndex> = None;
    for part in function.split('#') {
        let (_, found) = instance
            .get_export(&mut *store, index.as_ref(), part)
            .ok_or_else(|| format_err!("nothing named `{function}` is exported"))?;
        index = Some(found);
    }
    let callee = index
        .and_then(|index| instance.get_func(&mut *store, index))
        .ok_or_else(|| format_err!("the export `{function}` is not a function"))?;
    let mut results = vec![Val::Bool(false); callee.ty(&store).results().len()];
    callee
        .call_async(&mut *store, arguments, &mut results)
        .await?;
    Ok(results)
}

/// Everything in `items` that can be imported elsewhere. `prefix` is the path to them, as a call
/// writes it.
fn exports<S: 'static>(
    store: &mut Store<S>,
    instance: &Instantiated,
    parent: Option<ComponentExportIndex>,
    prefix: &str,
    items: Vec<(String, ComponentItem)>,
) -> Vec<Export> {
    let mut found = Vec::new();
    for (name, item) in items {
        let Some((_, index)) = instance.get_export(&mut *store, parent.as_ref(), &name) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        found.extend(match item {
            ComponentItem::ComponentFunc(ty) => {
                let mut types = ty.params().map(|(_, ty)| ty).chain(ty.results());
                types.all(|ty| can_cross(&ty)).then_some(Export::Function {
                    name,
                    function: path,
                    asynchronous: ty.async_(),
                })
            }
            ComponentItem::Module(_) => instance
                .get_module(&mut *store, index)
                .map(|module| Export::Module(name, module)),
            ComponentItem::Resource(_) => instance
                .get_resource(&mut *store, index)
                .map(|resource| Export::Resource(name, resource)),
            ComponentItem::ComponentInstance(ty) => {
                let engine = store.engine().clone();
                let items = ty.exports(&engine);
                let items = items.map(|(name, export)| (name.to_owned(), export.ty));
                let prefix = format!("{path}#");
                let exports = exports(store, instance, Some(index), &prefix, items.collect());
                Some(Export::Instance(name, exports))
            }
            _ => None,
        });
    }
    found
}

/// Defines `exports` in the linker of another component.
fn define<S: Send + 'static>(
    linker: &mut LinkerInstance<'_, S>,
    exports: &[Export],
    calls: &Calls,
) -> Result<()> {
    for export in exports {
        match export {
            Export::Module(name, module) => linker.module(name, module)?,
            // The type is enough to link; a handle of it never gets here.
            Export::Resource(name, ty) => linker.resource(name, *ty, |_, _| Ok(()))?,
            Export::Instance(name, exports) => {
                define(&mut linker.instance(name)?, exports, calls)?;
            }
            Export::Function {
                name,
                function,
                asynchronous: false,
            } => {
                let (calls, function) = (calls.clone(), function.clone());
                linker.func_new_async(name, move |_, _, arguments, results| {
                    Box::new(forward(
                        calls.clone(),
                        function.clone(),
                        arguments.to_vec(),
                        results,
                    ))
                })?;
            }
            Export::Function { name, function, .. } => {
                let (calls, function) = (calls.clone(), function.clone());
                let defined = linker.func_new_concurrent(name, move |_, _, arguments, results| {
                    Box::pin(forward(
                        calls.clone(),
                        function.clone(),
                        arguments.to_vec(),
                        results,
                    ))
                });
                // The linker of a component without component-model async has no such functions, and the
                // component cannot import any.
                drop(defined);
            }
        }
    }
    Ok(())
}

/// Has the instance that exports `function` called.
async fn forward(
    calls: Calls,
    function: String,
    arguments: Vec<Val>,
    results: &mut [Val],
) -> Result<()> {
    let Some(result) = call(&calls, &function, arguments).await else {
        bail!("the instance that exports `{function}` is gone");
    };
    for (slot, value) in results.iter_mut().zip(result?) {
        *slot = value;
    }
    Ok(())
}

/// Whether values of this type can go to another store, or fail to with an error: streams and futures are their
/// store's, and no other store would know them for strangers.
fn can_cross(ty: &Type) -> bool {
    match ty {
        Type::Future(_) | Type::Stream(_) | Type::ErrorContext => false,
        Type::List(list) => can_cross(&list.ty()),
        Type::FixedLengthList(list) => can_cross(&list.ty()),
        Type::Map(map) => can_cross(&map.key()) && can_cross(&map.value()),
        Type::Option(option) => can_cross(&option.ty()),
        Type::Record(record) => record.fields().all(|field| can_cross(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| can_cross(&ty)),
        Type::Result(result) => [result.ok(), result.err()].iter().flatten().all(can_cross),
        Type::Variant(variant) => variant
            .cases()
            .all(|case| case.ty.as_ref().is_none_or(can_cross)),
        _ => true,
    }
}
