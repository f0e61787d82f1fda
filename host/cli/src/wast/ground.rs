//! What a script's guests run on: hart's workers, or a simulated machine.

use hart_host::Host;
use hart_sim::{Failure, Outside, Session};
use std::cell::RefCell;
use wasmtime::{Engine, format_err};

/// A host, and what runs its guests while a script waits for them.
#[derive(Debug)]
pub(super) enum Ground {
    /// By themselves.
    Workers(Host),
    /// Only meanwhile.
    Machine {
        /// The session's own.
        host: Host<Outside>,
        session: RefCell<Session>,
    },
}

impl Ground {
    pub(super) fn simulated(session: Session) -> Self {
        Self::Machine {
            host: session.host().clone(),
            session: RefCell::new(session),
        }
    }

    /// The engine on which such a component would run. What cannot be read has none of its own: any will say what is the
    /// matter.
    pub(super) fn engine_for(&self, bytes: &[u8]) -> &Engine {
        fn of<'a, T: Send + 'static>(host: &'a Host<T>, bytes: &[u8]) -> &'a Engine {
            host.engine_for(bytes).unwrap_or(host.engine())
        }
        match self {
            Self::Workers(host) => of(host, bytes),
            Self::Machine { host, .. } => of(host, bytes),
        }
    }

    /// Waits for `future`.
    ///
    /// # Errors
    /// If the machine breaks a promise meanwhile, or has done so.
    pub(super) fn wait<F: Future>(&self, future: F) -> wasmtime::Result<F::Output> {
        match self {
            Self::Workers(_) => Ok(futures::executor::block_on(future)),
            Self::Machine { session, .. } => session
                .borrow_mut()
                .block_on(future)
                .map_err(|failure| format_err!("oracle {} failed", failure.oracle)),
        }
    }

    /// Whether the machine stands still, as it broke a promise.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Self::Workers(_) => false,
            Self::Machine { session, .. } => session.borrow().failure().is_some(),
        }
    }

    /// After the script: the promise that was broken, if one was.
    pub(super) fn finish(self) -> Option<Failure> {
        match self {
            Self::Workers(_) => None,
            Self::Machine { host, session } => {
                drop(host);
                session.into_inner().finish().failure
            }
        }
    }
}
