//! How long nothing may come of a body that somebody waits for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// A bound for each wait. The clock runs only while there is one.
pub(crate) struct Pause {
    most: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, until: None }
    }

    /// Something came.
    pub(crate) fn ends(&mut self) {
        self.until = None;
    }

    /// Nothing came yet: ready once that has lasted too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let most = self.most;
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        until.as_mut().poll(cx)
    }
}
