//! An instance that a script talks to.
//!
//! It lives in a guest task of its own, on hart's workers, with hart's limits and preemption. The
//! task instantiates the component and then serves calls, one after the other, until the script lets
//! go of the instance:
//!
//! 1. the script starts the task and waits for what the component exports (or for why it does not);
//! 2. a call goes over a channel, with a second channel for its result;
//! 3. between calls the task is idle and costs nothing but its place in the pool;
//! 4. when the last sender is dropped the task ends, and its store with it.
//!
//! A component that imports what an earlier one exports gets host functions that forward to that
//! one's task. Values cross from store to store, handles of resources do not.

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use hart_host::{Canceller, Component, GuestState, Host, Limits, Run};
use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{ComponentExportIndex, Linker, LinkerInstance, ResourceType, Val};
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
    /// Instantiates `component`, whose imports are hart's own and `links`.
    ///
    /// # Errors
    /// Whatever keeps it from being instantiated; a trap in its start code, for one.
    pub(super) fn new(
        host: &Host,
        component: &Component,
        links: Vec<Link>,
        limits: Limits,
    ) -> Result<Self> {
        let (calls, requests) = mpsc::unbounded();
        let (ready, exports) = oneshot::channel();
        let compiled = component.as_wasmtime().clone();
        let run = host
            .guest(component, move |store, linker| {
                serve(store, linker, compiled, links, ready, requests)
            })
            .limits(limits)
            .start()?;
        let canceller = run.canceller();
        let exports = match futures::executor::block_on(exports) {
            Ok(exports) => exports?,
            Err(oneshot::Canceled) => return Err(ended(run)),
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
    pub(super) fn call(&mut self, function: &str, arguments: Vec<Val>) -> Result<Vec<Val>> {
        match futures::executor::block_on(call(&self.calls, function, arguments)) {
            Some(result) => result,
            None => match self.run.take() {
                Some(run) => Err(ended(run)),
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

/// Why a run that was to go on has ended.
fn ended(run: Run) -> wasmtime::Error {
    match run.wait() {
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

/// The guest task.
fn serve<'a>(
    store: &'a mut Store<GuestState>,
    linker: &'a mut Linker<GuestState>,
    component: wasmtime::component::Component,
    links: Vec<Link>,
    ready: oneshot::Sender<Result<Vec<Export>>>,
    mut requests: mpsc::UnboundedReceiver<Call>,
) -> BoxFuture<'a, Result<Vec<Val>>> {
    Box::pin(async move {
        let instantiated = async {
            linker.allow_shadowing(true);
            for link in &links {
                let mut instance = linker.instance(&link.name)?;
                define(&mut instance, &link.exports, &link.calls)?;
            }
            linker.instantiate_async(&mut *store, &component).await
        };
        let instance = match instantiated.await {
            Ok(instance) => instance,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Ok(Vec::new());
            }
        };
        let ty = component.component_type();
        let items = ty.exports(component.engine());
        let exports = exports(
            store,
            &instance,
            None,
            "",
            items.map(|(name, e)| (name, e.ty)),
        );
        let _ = ready.send(Ok(exports));
        while let Some(call) = requests.next().await {
            let result = invoke(store, &instance, &call.function, &call.arguments).await;
            let _ = call.reply.send(result);
        }
        Ok(Vec::new())
    })
}

async fn invoke(
    store: &mut Store<GuestState>,
    instance: &wasmtime::component::Instance,
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
fn exports<'a>(
    store: &mut Store<GuestState>,
    instance: &wasmtime::component::Instance,
    parent: Option<ComponentExportIndex>,
    prefix: &str,
    items: impl Iterator<Item = (&'a str, ComponentItem)>,
) -> Vec<Export> {
    let mut found = Vec::new();
    for (name, item) in items {
        let Some((_, index)) = instance.get_export(&mut *store, parent.as_ref(), name) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let name = name.to_owned();
        match item {
            ComponentItem::ComponentFunc(_) => found.push(Export::Function {
                name,
                function: path,
            }),
            ComponentItem::Module(_) => {
                if let Some(module) = instance.get_module(&mut *store, index) {
                    found.push(Export::Module(name, module));
                }
            }
            ComponentItem::Resource(_) => {
                if let Some(resource) = instance.get_resource(&mut *store, index) {
                    found.push(Export::Resource(name, resource));
                }
            }
            ComponentItem::ComponentInstance(ty) => {
                let engine = store.engine().clone();
                let inner = nested(&ty, &engine);
                let inner = inner
                    .iter()
                    .map(|(name, item)| (name.as_str(), item.clone()));
                let exports = exports(store, instance, Some(index), &format!("{path}#"), inner);
                found.push(Export::Instance(name, exports));
            }
            _ => {}
        }
    }
    found
}

fn nested(
    ty: &types::ComponentInstance,
    engine: &wasmtime::Engine,
) -> Vec<(String, ComponentItem)> {
    ty.exports(engine)
        .map(|(name, item)| (name.to_owned(), item.ty))
        .collect()
}

/// Defines `exports` in the linker of another component.
fn define(
    linker: &mut LinkerInstance<'_, GuestState>,
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
            Export::Function { name, function } => {
                let (calls, function) = (calls.clone(), function.clone());
                linker.func_new_async(name, move |_, _, arguments, results| {
                    let (calls, function) = (calls.clone(), function.clone());
                    Box::new(async move {
                        let arguments = arguments.to_vec();
                        let Some(result) = call(&calls, &function, arguments).await else {
                            bail!("the instance that exports `{function}` is gone");
                        };
                        for (slot, value) in results.iter_mut().zip(result?) {
                            *slot = value;
                        }
                        Ok(())
                    })
                })?;
            }
        }
    }
    Ok(())
}
// STUB
pub(super) trait Ext {
    fn guest<F>(&self, _c: &Component, _f: F) -> hart_host::RunBuilder
    where
        F: for<'a> FnOnce(
                &'a mut Store<GuestState>,
                &'a mut Linker<GuestState>,
            ) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>
            + Send
            + 'static,
    {
        todo!()
    }
    fn load_unlinked(&self, _b: &[u8]) -> std::result::Result<Component, hart_host::LoadError> {
        todo!()
    }
}
impl Ext for Host {}
