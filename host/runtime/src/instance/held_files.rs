//! The file descriptors behind the handles of one store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::quota::account::files::HeldFile;

/// What is counted, by handle. What outlives its handle, such as a stream of a file, has a part in it.
#[derive(Default)]
pub(crate) struct HeldFiles(HashMap<u32, Held>);

struct Held {
    file: Arc<HeldFile>,
    /// What a listener has accepted before it was asked for.
    _ahead: Option<Arc<HeldFile>>,
}

impl HeldFiles {
    /// The handle stands for it.
    pub(crate) fn keep(&mut self, handle: u32, file: Arc<HeldFile>) {
        let held = Held { file, _ahead: None };
        self.0.insert(handle, held);
    }

    /// The handle stands for one more, of which it knows nothing yet.
    pub(crate) fn keep_ahead(&mut self, handle: u32, file: Arc<HeldFile>) {
        if let Some(held) = self.0.get_mut(&handle) {
            held._ahead = Some(file);
        }
    }

    /// What the handle stands for; nothing for directories that were granted.
    pub(crate) fn of(&self, handle: u32) -> Option<Arc<HeldFile>> {
        self.0.get(&handle).map(|held| held.file.clone())
    }

    /// The handle is gone.
    pub(crate) fn drop_handle(&mut self, handle: u32) {
        self.0.remove(&handle);
    }
}
