//! `wasi:keyvalue`: a store in memory that the tasks of a run share.
//!
//! wasmtime's own crate copies all there is for each bucket that a guest opens, and nobody counts it. Here there is one
//! store for a run. It begins with what the embedder put there, and goes with the run. An instance that answers another
//! request finds the store of that request, also through a bucket that it opened before.
//!
//! What is stored counts as the run's memory before it is held. A guest is told if there is no room for it, as an error of
//! the interface, and goes on.

mod bindings;
mod bucket;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, Resource};

use bindings::wasi::keyvalue::store::KeyResponse;
use bindings::wasi::keyvalue::{atomics, batch, store as generated};

use crate::instance::record::RunRecord;
use crate::instance::store::GuestState;
use crate::wasi::rights::Rights;
use bucket::{Bucket, Error};
use store::BATCH;

/// Adds it to what guests may import.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    generated::add_to_linker::<_, HasSelf<GuestState<T>>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<GuestState<T>>>(linker, |state| state)?;
    batch::add_to_linker::<_, HasSelf<GuestState<T>>>(linker, |state| state)
}

impl<T: Send + 'static> GuestState<T> {
    /// The run whose store `bucket` is, with what the embedder put there.
    fn reads(&mut self, bucket: &Resource<Bucket>) -> Result<Arc<RunRecord>, Error> {
        self.table().get(bucket)?;
        let run = self.guest().run.clone();
        // A bucket that was opened for another run may be the first that this one sees of its store.
        let first = run.recipe.keyvalue().unwrap_or_default();
        run.keyvalue.begin(first, |bytes| run.hold(bytes))?;
        Ok(run)
    }

    /// The same for a call that changes something.
    fn writes(&mut self, bucket: &Resource<Bucket>) -> Result<Arc<RunRecord>, Error> {
        match self.guest().denied.contains(Rights::FILESYSTEM_WRITE) {
            true => Err(Error::AccessDenied),
            false => self.reads(bucket),
        }
    }
}

fn check_batch(keys: usize) -> Result<(), Error> {
    match keys > BATCH {
        true => Err(Error::Other(format!(
            "{keys} keys in one call; use {BATCH} at most"
        ))),
        false => Ok(()),
    }
}

impl<T: Send + 'static> generated::Host for GuestState<T> {
    fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Error> {
        let guest = self.guest();
        let is_granted = guest.run.recipe.keyvalue().is_some();
        if !is_granted || guest.denied.contains(Rights::FILESYSTEM) {
            return Err(Error::AccessDenied);
        }
        if !identifier.is_empty() {
            return Err(Error::NoSuchStore);
        }
        Ok(self.table().push(Bucket)?)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<generated::Error> {
        match error {
            Error::NoSuchStore => Ok(generated::Error::NoSuchStore),
            Error::AccessDenied => Ok(generated::Error::AccessDenied),
            Error::Other(why) => Ok(generated::Error::Other(why)),
            Error::Trap(error) => Err(error),
        }
    }
}

impl<T: Send + 'static> generated::HostBucket for GuestState<T> {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.reads(&bucket)?.keyvalue.get(&key))
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Error> {
        let run = self.writes(&bucket)?;
        let pair = vec![(key, value)];
        Ok(run.keyvalue.set(pair, |bytes| run.hold(bytes))?)
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Error> {
        self.writes(&bucket)?.keyvalue.delete(&[key]);
        Ok(())
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Error> {
        Ok(self.reads(&bucket)?.keyvalue.has(&key))
    }

    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let (keys, cursor) = self.reads(&bucket)?.keyvalue.list(cursor.unwrap_or(0));
        Ok(KeyResponse { keys, cursor })
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl<T: Send + 'static> atomics::Host for GuestState<T> {
    fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Result<u64, Error> {
        let run = self.writes(&bucket)?;
        Ok(run
            .keyvalue
            .increment(key, delta, |bytes| run.hold(bytes))?)
    }
}

impl<T: Send + 'static> batch::Host for GuestState<T> {
    fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Error> {
        check_batch(keys.len())?;
        let run = self.reads(&bucket)?;
        // As much as another call could bring: the same large value may be asked for a thousand times.
        let most = run.account.limits.hostcall_fuel_or_default();
        Ok(run.keyvalue.get_many(keys, most)?)
    }

    fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        check_batch(pairs.len())?;
        let run = self.writes(&bucket)?;
        Ok(run.keyvalue.set(pairs, |bytes| run.hold(bytes))?)
    }

    fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Error> {
        check_batch(keys.len())?;
        self.writes(&bucket)?.keyvalue.delete(&keys);
        Ok(())
    }
}
