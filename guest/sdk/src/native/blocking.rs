//! Natively: waiting for what blocks, without blocking the thread that waits.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Runs `blocks` on a thread of its own, and waits for its end.
pub(crate) async fn on_thread<F: FnOnce() + Send + 'static>(blocks: F) {
    enum State {
        Waiting(Option<Waker>),
        Done,
    }

    let state = Arc::new(Mutex::new(State::Waiting(None)));
    let mut blocks = Some(blocks);
    poll_fn(|cx| {
        {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *state {
                State::Done => return Poll::Ready(()),
                State::Waiting(waker) => *waker = Some(cx.waker().clone()),
            }
        }
        if let Some(blocks) = blocks.take() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                blocks();
                let before = std::mem::replace(
                    &mut *state.lock().unwrap_or_else(PoisonError::into_inner),
                    State::Done,
                );
                if let State::Waiting(Some(waker)) = before {
                    waker.wake();
                }
            });
        }
        Poll::Pending
    })
    .await;
}
