//! How a guest task can end, and what its run's owner is told.

use wasmtime::component::Val;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::base::stats::RunStats;
use crate::base::text;
use crate::instance::error::RunError;
use crate::quota::kill::{Kill, Killed};
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::control::Control;
use crate::sched::task::driven::Stop;
use crate::sched::task::reached::limit_of;

/// What came of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The guest's own exit code: 0, what it passed to `exit-with-code`, or 1 where `run` returned an error or it told
    /// WASI 0.2's `exit`, which takes no number, that something went wrong.
    pub exit_code: i32,
    /// Whether `wasi:cli/run` returned its error, as for an uncaught exception in many languages. It carries no text:
    /// what the program has to say about it is in its standard error.
    pub returned_error: bool,
    /// What the called export returned.
    pub results: Vec<Val>,
    /// What the entry returned that the run called, its error included: see [`Host::task`](crate::Host::task). `None` for
    /// other runs, and where the guest called `exit`.
    pub returned: Option<Result<Vec<u8>, Vec<u8>>>,
    /// What was written to a captured standard output.
    pub stdout: Vec<u8>,
    /// What was written to a captured standard error.
    pub stderr: Vec<u8>,
    /// What tasks that guests spawned wrote to a standard output of their own, if that was captured.
    pub child_stdout: Vec<u8>,
    /// The same of standard error.
    pub child_stderr: Vec<u8>,
    /// What the run used.
    pub stats: RunStats,
}

impl Outcome {
    /// The results in WAVE, one per line.
    ///
    /// # Errors
    ///
    /// If a result has no form in WAVE.
    pub fn to_wave(&self) -> wasmtime::Result<String> {
        let results = self
            .results
            .iter()
            .map(Val::to_wave)
            .collect::<wasmtime::Result<Vec<_>>>()?;
        Ok(results.join("\n"))
    }
}

/// How a guest task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// `entry.run` returned these bytes.
    Returned(Vec<u8>),
    /// `entry.run` returned this error.
    Failed(Vec<u8>),
    /// The export that the root called returned.
    Results(Vec<Val>),
    /// The command returned, or a guest called `exit`.
    Exit(i32),
    /// The command returned its error.
    RunFailed,
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
    pub(crate) fn from_error(
        error: wasmtime::Error,
        control: &Control,
        instantiating: bool,
    ) -> Self {
        if let Some(Killed(kill)) = error.downcast_ref() {
            return Self::Killed(*kill);
        }
        if let Some(limit) = limit_of(&error, control) {
            return Self::Limit(limit);
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self::Exit(*code);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            tracing::error!("the pool was exhausted in spite of admission: {error:#}");
            return Self::Limit(LimitReached::new(LimitKind::Instances, 0));
        }
        let trap = error.downcast_ref::<Trap>().copied();
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(text::lines_of);
        if trap.is_none() && backtrace.is_none() {
            // Not from inside the guest: wasmtime or the system refused something.
            return if instantiating {
                Self::Instantiate(error)
            } else {
                Self::Other(text::line(&format!("{error:#}")))
            };
        }
        let said = match trap {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        let said = said.strip_prefix("wasm trap: ").unwrap_or(&said);
        let about_stack = match trap {
            Some(Trap::MemoryOutOfBounds) => about_stack(&error),
            _ => None,
        };
        Self::Trapped {
            trap: about_stack.map_or_else(|| text::line(said), |about| format!("{said}{about}")),
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
    /// What a trap is told as: with what the guest itself said of it, if it did, and by the task's name unless it is the
    /// root.
    pub(crate) fn explained(
        self,
        task: Option<&str>,
        explanation: impl FnOnce() -> Option<String>,
    ) -> Self {
        let Self::Trapped {
            trap,
            backtrace,
            source,
        } = self
        else {
            return self;
        };
        let (trap, backtrace) = match explanation() {
            Some(said) if task.is_none() => (text::line(&said), backtrace),
            Some(said) => (said, String::new()),
            None => (trap, backtrace),
        };
        Self::Trapped {
            trap: match task {
                None => trap,
                Some(name) => format!("`{name}`: {trap}"),
            },
            backtrace,
            source,
        }
    }

    /// Whether the guest's own code came to this end: it returned, exited or trapped.
    pub(crate) fn is_of_the_guest(&self) -> bool {
        matches!(
            self,
            Self::Returned(_)
                | Self::Failed(_)
                | Self::Results(_)
                | Self::Exit(_)
                | Self::RunFailed
                | Self::Trapped { .. }
        )
    }

    /// What is kept of it for a joiner, and how many bytes that takes.
    pub(crate) fn for_keeping(self) -> (Self, u64) {
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

/// How far below address 0 an access is taken for one to the stack.
const BELOW: u64 = 256 << 20;
/// How far above the end of 32-bit addresses a field of something that begins below address 0 may be.
const ABOVE: u64 = 64 << 10;

/// What an access out of bounds has to do with the guest's own stack, which wasm-ld puts at the very beginning of
/// memory: when it is full, it goes on below address 0.
fn about_stack(error: &wasmtime::Error) -> Option<String> {
    const RAISE: &str = "link it with a larger one: `-Clink-arg=-zstack-size=BYTES` in Rust's flags (.cargo/config.toml), `-z stack-size=BYTES` of wasm-ld";
    // Its type is not public.
    let fault = error.chain().find_map(|cause| {
        let shown = text::lines_of(&cause);
        let numbers = shown.strip_prefix("memory fault at wasm address 0x")?;
        let (address, size) = numbers.split_once(" in linear memory of size 0x")?;
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        Some((number(address)?, number(size)?))
    });
    let end = 1 << 32;
    match fault {
        Some((address, size))
            if size <= end - BELOW && (end - BELOW..end + ABOVE).contains(&address) =>
        {
            Some(format!(
                ": the stack overflowed (below address 0 of the memory, where it ends); {RAISE}"
            ))
        }
        Some(_) => None,
        // The bounds are checked in code, which does not tell the address.
        None => Some(format!(" (if it is the stack that overflowed, {RAISE})")),
    }
}

/// Which family of errors a limit belongs to.
pub(crate) enum Family {
    Fuel,
    Memory,
    Time,
    Other,
}

pub(crate) fn family(limit: LimitReached) -> Family {
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

impl Ended {
    /// What the owner of the run is told: an outcome with these statistics and nothing captured, or an error.
    pub(crate) fn for_owner(self, stats: RunStats) -> Result<Outcome, RunError> {
        let outcome = Outcome {
            exit_code: 0,
            returned_error: false,
            results: Vec::new(),
            returned: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            child_stdout: Vec::new(),
            child_stderr: Vec::new(),
            stats,
        };
        Err(match self {
            Ended::Results(results) => return Ok(Outcome { results, ..outcome }),
            Ended::Exit(exit_code) => {
                return Ok(Outcome {
                    exit_code,
                    ..outcome
                });
            }
            Ended::Returned(bytes) => {
                return Ok(Outcome {
                    returned: Some(Ok(bytes)),
                    ..outcome
                });
            }
            Ended::Failed(bytes) => {
                return Ok(Outcome {
                    exit_code: 1,
                    returned: Some(Err(bytes)),
                    ..outcome
                });
            }
            Ended::RunFailed => {
                return Ok(Outcome {
                    exit_code: 1,
                    returned_error: true,
                    ..outcome
                });
            }
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
}
