//! A guest's state, as what implements `wasi:filesystem`.

use std::marker::PhantomData;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::Descriptor;

use super::streams::Place;
use crate::instance::store::GuestState;
use crate::sched::io_threads::Lend;

/// The state, as what implements `wasi:filesystem`.
pub(crate) struct Files<'a, T: 'static>(pub(super) &'a mut GuestState<T>);

/// [`Files`] as a family.
pub(super) struct HasFiles<T>(PhantomData<T>);

impl<T: Send + 'static> HasData for HasFiles<T> {
    type Data<'a> = Files<'a, T>;
}

impl<T: Send + 'static> Files<'_, T> {
    /// Waits for a thread.
    pub(super) fn lend(&self) -> Lend {
        let run = &self.0.guest().run;
        run.io.files.lend(run.id, &run.account)
    }

    /// Where the streams of a file operate.
    pub(super) fn place(&self, file: &Resource<Descriptor>) -> Place {
        let run = &self.0.guest().run;
        Place {
            threads: run.io.files.clone(),
            run: run.clone(),
            _file: self.0.files.of(file.rep()),
        }
    }
}
