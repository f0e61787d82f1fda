//! The example `compute` under hart and without it.

use crate::{ground::WORKERS, wasi::State};
use hart_host::{
    Cache, Host, Preemption,
    wasmtime::{
        Store,
        component::{Component, Linker},
    },
    wasmtime_wasi::{
        WasiCtx,
        p2::{
            self,
            bindings::{Command, CommandPre},
        },
    },
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn state(guest: &str) -> State {
    State::new(WasiCtx::builder().args(&["compute", guest]).build())
}

fn load(file: &Path, preemption: Preemption) -> (Host, CommandPre<State>) {
    let host = Host::builder()
        .workers(WORKERS)
        .preemption(preemption)
        .cache(Cache::Off)
        .build()
        .expect("the defaults fit this machine");
    let mut linker = Linker::new(host.engine());
    p2::add_to_linker_async(&mut linker).expect("names are unique");
    let component = Component::from_file(host.engine(), file).expect("the guest was just built");
    let pre = linker.instantiate_pre(&component);
    let pre = CommandPre::new(pre.expect("the guest needs no more than WASI"));
    (host, pre.expect("the guest is a command"))
}

/// How long the call takes; the instance is made before.
async fn call(command: Command, store: &mut Store<State>) -> Duration {
    let begun = Instant::now();
    let result = command.wasi_cli_run().call_run(store).await;
    let time = begun.elapsed();
    let exit = result.expect("the guest does not trap");
    exit.expect("the guest does not fail");
    time
}

/// Under hart.
pub(super) struct Scheduled {
    host: Host,
    pre: CommandPre<State>,
}

impl Scheduled {
    pub(super) fn start(file: &Path) -> Self {
        let (host, pre) = load(file, Preemption::epoch());
        Self { host, pre }
    }

    /// How often epochs were incremented.
    pub(super) fn epochs(&self) -> u64 {
        self.host.runtime().epochs()
    }

    fn spawn(&self, guest: &'static str) -> hart_host::Task<Duration> {
        let group = self.host.runtime().group().build();
        let pre = self.pre.clone();
        group
            .expect("the weight is not zero")
            .spawn(async move |cx| {
                let mut store = Store::new(pre.engine(), state(guest));
                cx.arm(&mut store).expect("the engine is the host's");
                let command = pre.instantiate_async(&mut store).await;
                call(command.expect("there is a slot"), &mut store).await
            })
    }

    pub(super) fn run(&self, guest: &'static str) -> Duration {
        self.spawn(guest).wait().expect("the guest does not fail")
    }

    /// How long so many take together, each a group of its own.
    pub(super) fn run_together(&self, guest: &'static str, count: usize) -> Duration {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..count).map(|_| self.spawn(guest)).collect();
        for task in tasks {
            task.wait().expect("the guest does not fail");
        }
        begun.elapsed()
    }
}

/// Without hart: on this thread, and nobody increments epochs.
pub(super) struct Bare {
    _host: Host,
    pre: CommandPre<State>,
    checks: bool,
    runtime: tokio::runtime::Runtime,
}

impl Bare {
    pub(super) fn start(file: &Path, preemption: Preemption) -> Self {
        let (host, pre) = load(file, preemption);
        Self {
            _host: host,
            pre,
            checks: preemption != Preemption::None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("it needs no more than a timer"),
        }
    }

    pub(super) fn run(&self, guest: &str) -> Duration {
        self.runtime.block_on(async {
            let mut store = Store::new(self.pre.engine(), state(guest));
            if self.checks {
                store.set_epoch_deadline(1);
            }
            let command = self.pre.instantiate_async(&mut store).await;
            call(command.expect("there is a slot"), &mut store).await
        })
    }
}
