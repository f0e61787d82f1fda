//! How a guest task can end, and what its joiner or its run's owner is told.

use wasmtime::component::Val;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bindings::JoinError;
use crate::task::{Control, Kill, Killed, Stop};
use crate::{LimitKind, LimitReached, RunError, text};

/// How a guest task ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// `entry.run` returned these bytes.
    Returned(Vec<u8>),
    /// `entry.run` returned this error.
    Failed(Vec<u8>),
    /// The export that the root called returned.
    Results(Vec<Val>),
    /// The command returned, or a guest called `exit`.
    Exit(i32),
    Trapped {
        trap: String,
        backtrace: String,
        /// What the owner of a run is told. Joiners get texts, and it may be large: there is none for them.
        source: Option<wasmtime::Error>,
    },
    Killed(Kill),
    Limit(LimitReached),
    Instantiate(wasmtime::Error),
    Other(String),
}

impl Ended {
    /// Reads what a call or an instantiation failed with.
    pub(super) fn from_error(
        error: wasmtime::Error,
        control: &Control,
        instantiating: bool,
    ) -> Self {
        if let Some(Killed(kill)) = error.downcast_ref() {
            return Self::Killed(*kill);
        }
        if let Some(limit) = error.downcast_ref::<LimitReached>() {
            return Self::Limit(*limit);
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self::Exit(*code);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            tracing::error!("the pool was exhausted in spite of admission: {error:#}");
            return Self::Limit(LimitReached::new(LimitKind::Instances, 0));
        }
        let trap = error.downcast_ref::<Trap>().copied();
        if let (Some(Trap::OutOfFuel), Some(limit)) = (trap, control.fuel_limit()) {
            return Self::Limit(limit);
        }
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(text::lines_of);
        if trap.is_none() && backtrace.is_none() {
            // Not from inside the guest: wasmtime or the system refused something.
            return if instantiating {
                Self::Instantiate(error)
            } else {
                Self::Other(text::line(&format!("{error:#}")))
            };
        }
        let trap = match trap {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        Self::Trapped {
            trap: text::line(trap.strip_prefix("wasm trap: ").unwrap_or(&trap)),
            backtrace: backtrace.unwrap_or_default(),
            source: Some(error),
        }
    }
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Killed(kill) => Self::Killed(kill),
            Stop::Trapped => Self::Trapped {
                trap: "a simulated trap".into(),
                backtrace: String::new(),
                source: Some(wasmtime::format_err!(
                    "the simulated machine had the guest trap"
                )),
            },
            Stop::Panicked(message) => Self::Other(format!("a host function panicked: {message}")),
        }
    }
}

impl Ended {
    /// Whether the guest's own code came to this end: it returned, exited or trapped.
    pub(super) fn is_of_the_guest(&self) -> bool {
        matches!(
            self,
            Self::Returned(_)
                | Self::Failed(_)
                | Self::Results(_)
                | Self::Exit(_)
                | Self::Trapped { .. }
        )
    }

    /// What is kept of it for a joiner, and how many bytes that takes.
    pub(super) fn for_keeping(self) -> (Self, u64) {
        let kept = match self {
            Self::Trapped {
                trap, backtrace, ..
            } => Self::Trapped {
                trap,
                backtrace,
                source: None,
            },
            Self::Instantiate(error) => {
                Self::Other(text::line(&format!("cannot instantiate: {error:#}")))
            }
            other => other,
        };
        let bytes = match &kept {
            Self::Returned(bytes) | Self::Failed(bytes) => bytes.len(),
            Self::Trapped {
                trap, backtrace, ..
            } => trap.len() + backtrace.len(),
            Self::Other(text) => text.len(),
            _ => 0,
        };
        (kept, bytes as u64)
    }
}

/// Which family of errors a limit belongs to.
enum Family {
    Fuel,
    Memory,
    Time,
    Other,
}

fn family(limit: LimitReached) -> Family {
    match limit.limit {
        LimitKind::Fuel | LimitKind::TaskFuel | LimitKind::TenantFuel => Family::Fuel,
        LimitKind::Memory | LimitKind::TaskMemory | LimitKind::TenantMemory => Family::Memory,
        LimitKind::CpuTime
        | LimitKind::TaskCpuTime
        | LimitKind::TenantCpuTime
        | LimitKind::Timeout
        | LimitKind::TaskTimeout => Family::Time,
        _ => Family::Other,
    }
}

/// What the one who joins it is told.
pub(super) fn for_joiner(ended: Ended) -> Result<Vec<u8>, JoinError> {
    Err(match ended {
        Ended::Returned(bytes) => return Ok(bytes),
        Ended::Exit(0) => return Ok(Vec::new()),
        Ended::Failed(bytes) => JoinError::Failed(bytes),
        Ended::Exit(code) => JoinError::Other(format!("the task called exit({code})")),
        Ended::Trapped {
            trap, backtrace, ..
        } if backtrace.is_empty() => JoinError::Trapped(trap),
        Ended::Trapped {
            trap, backtrace, ..
        } => JoinError::Trapped(format!("{trap}\n{backtrace}")),
        Ended::Killed(Kill::Cancelled) => JoinError::Cancelled,
        Ended::Killed(Kill::Closed) => JoinError::Closed,
        Ended::Killed(Kill::Limit(limit)) | Ended::Limit(limit) => match family(limit) {
            Family::Fuel => JoinError::OutOfFuel,
            Family::Memory => JoinError::OutOfMemory,
            Family::Time => JoinError::TimedOut,
            Family::Other => JoinError::Other(limit.to_string()),
        },
        Ended::Instantiate(error) => {
            JoinError::Other(text::line(&format!("cannot instantiate: {error:#}")))
        }
        Ended::Other(message) => JoinError::Other(message),
        Ended::Results(_) => JoinError::Other("the task returned values and no bytes".into()),
    })
}

/// What the owner of the run is told: an exit code and results, or an error.
pub(super) fn for_owner(ended: Ended) -> Result<(i32, Vec<Val>), RunError> {
    Err(match ended {
        Ended::Results(results) => return Ok((0, results)),
        Ended::Exit(code) => return Ok((code, Vec::new())),
        Ended::Returned(_) => return Ok((0, Vec::new())),
        Ended::Failed(_) => return Ok((1, Vec::new())),
        Ended::Trapped {
            trap,
            backtrace,
            source,
        } => RunError::Trapped {
            trap,
            backtrace,
            source,
        },
        Ended::Killed(Kill::Cancelled) => RunError::Cancelled,
        Ended::Killed(Kill::Closed) => RunError::Closed,
        Ended::Killed(Kill::Limit(limit)) | Ended::Limit(limit) => match family(limit) {
            Family::Fuel => RunError::OutOfFuel(limit),
            Family::Memory => RunError::OutOfMemory(limit),
            Family::Time => RunError::TimedOut(limit),
            Family::Other => RunError::Limit(limit),
        },
        Ended::Instantiate(error) => RunError::Instantiate(error),
        Ended::Other(message) => RunError::Other(message),
    })
}
