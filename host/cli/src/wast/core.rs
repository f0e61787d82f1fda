//! The core modules of a script.
//!
//! Unlike components they share memories, tables and globals, so that all of a script's are in one store: that of a guest
//! task on hart's workers, with hart's limits and preemption. The task does what the script asks for, one after the
//! other, and ends when the last [`Core`] is dropped.

use super::core_values::{Value, from_store, into_store};
use super::ground::Ground;
use super::instance::ended;
use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use hart_host::{Canceller, Host, Limits, Run};
use wasmtime::{
    Engine, Extern, Instance, Linker, Module, Result, Store, ThrownException, Val, bail, format_err,
};

/// What every script may import, under this name.
const SPECTEST: (&str, &str) = ("spectest", include_str!("spectest.wat"));

/// What a thrown exception that nobody catches is reported as.
pub(super) const EXCEPTION: &str = "an exception that nobody catches";

/// What the task is asked for.
enum Request {
    /// An instance, the next one. It can be imported by its name.
    Instantiate(Module),
    /// That an instance can be imported by this name.
    Link(usize, String),
    /// The results of an exported function.
    Call(usize, String, Vec<Value>),
    /// The value of an exported global.
    Get(usize, String),
}

type Answer = Result<Vec<Value>>;

/// The store of a script's core modules.
pub(super) struct Core {
    requests: mpsc::UnboundedSender<(Request, oneshot::Sender<Answer>)>,
    canceller: Canceller,
    run: Option<Run>,
    engine: Engine,
    instances: usize,
}

impl Core {
    /// A store with nothing in it but what scripts may import.
    ///
    /// # Errors
    /// A host that is closed, or has no room.
    pub(super) fn start(ground: &Ground, limits: Limits) -> Result<Self> {
        let mut core = match ground {
            Ground::Workers(host) => start(host, limits)?,
            Ground::Machine { host, .. } => start(host, limits)?,
        };
        let (name, text) = SPECTEST;
        let module = Module::new(&core.engine, text)?;
        let instance = core.instantiate(ground, module)?;
        core.link(ground, instance, name)?;
        Ok(core)
    }

    /// What compiles modules for it.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Makes an instance, and says which one it is.
    ///
    /// # Errors
    /// An import that is not there, a trap while it starts, a limit.
    pub(super) fn instantiate(&mut self, ground: &Ground, module: Module) -> Result<usize> {
        self.ask(ground, Request::Instantiate(module))?;
        self.instances += 1;
        Ok(self.instances - 1)
    }

    /// Lets modules import the exports of `instance` by this name.
    ///
    /// # Errors
    /// A store that has ended.
    pub(super) fn link(&mut self, ground: &Ground, instance: usize, name: &str) -> Result<()> {
        let request = Request::Link(instance, name.to_owned());
        self.ask(ground, request).map(drop)
    }

    /// Calls an exported function.
    ///
    /// # Errors
    /// No such function, wrong arguments, a trap, a limit.
    pub(super) fn call(
        &mut self,
        ground: &Ground,
        instance: usize,
        function: &str,
        arguments: Vec<Value>,
    ) -> Answer {
        self.ask(
            ground,
            Request::Call(instance, function.to_owned(), arguments),
        )
    }

    /// The value of an exported global.
    ///
    /// # Errors
    /// No such global.
    pub(super) fn get(&mut self, ground: &Ground, instance: usize, global: &str) -> Answer {
        self.ask(ground, Request::Get(instance, global.to_owned()))
    }

    fn ask(&mut self, ground: &Ground, request: Request) -> Answer {
        let (sender, answer) = oneshot::channel();
        // If the task is no more, there is no answer either.
        let _ = self.requests.unbounded_send((request, sender));
        match ground.wait(answer)? {
            Ok(answer) => answer,
            Err(oneshot::Canceled) => match self.run.take() {
                Some(run) => Err(ended(ground, run)),
                None => bail!("the store is gone: an earlier call ended it"),
            },
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

fn start<T: Send + 'static>(host: &Host<T>, limits: Limits) -> Result<Core> {
    // A guest task has a component; this one says nothing.
    let component = host.load(b"(component)")?;
    let (requests, received) = mpsc::unbounded();
    let run = host
        .drive(&component, move |store, _| Box::pin(serve(store, received)))
        .limits(limits)
        .start()?;
    Ok(Core {
        requests,
        canceller: run.canceller(),
        run: Some(run),
        engine: component.as_wasmtime().engine().clone(),
        instances: 0,
    })
}

async fn serve<S: Send + 'static>(
    store: &mut Store<S>,
    mut requests: mpsc::UnboundedReceiver<(Request, oneshot::Sender<Answer>)>,
) -> Result<Vec<wasmtime::component::Val>> {
    let mut linker = Linker::new(store.engine());
    // Scripts register a name more than once.
    linker.allow_shadowing(true);
    let mut instances = Vec::new();
    while let Some((request, reply)) = requests.next().await {
        let answer = answer(store, &mut linker, &mut instances, request).await;
        let answer = answer.map_err(|error| match error.is::<ThrownException>() {
            true => {
                // It stays in the store until somebody takes it.
                let _ = store.take_pending_exception();
                format_err!("{EXCEPTION}")
            }
            false => error,
        });
        let _ = reply.send(answer);
    }
    Ok(Vec::new())
}

async fn answer<S: Send + 'static>(
    store: &mut Store<S>,
    linker: &mut Linker<S>,
    instances: &mut Vec<Instance>,
    request: Request,
) -> Answer {
    match request {
        Request::Instantiate(module) => {
            let instance = linker.instantiate_async(&mut *store, &module).await?;
            instances.push(instance);
            Ok(Vec::new())
        }
        Request::Link(instance, name) => {
            linker.instance(&mut *store, &name, instances[instance])?;
            Ok(Vec::new())
        }
        Request::Call(instance, name, arguments) => {
            let Some(Extern::Func(function)) = instances[instance].get_export(&mut *store, &name)
            else {
                bail!("no function `{name}` is exported");
            };
            let mut values = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(into_store(store, argument).await?);
            }
            let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
            function
                .call_async(&mut *store, &values, &mut results)
                .await?;
            results
                .iter()
                .map(|value| from_store(store, value))
                .collect()
        }
        Request::Get(instance, name) => {
            let Some(Extern::Global(global)) = instances[instance].get_export(&mut *store, &name)
            else {
                bail!("no global `{name}` is exported");
            };
            let value = global.get(&mut *store);
            Ok(vec![from_store(store, &value)?])
        }
    }
}
