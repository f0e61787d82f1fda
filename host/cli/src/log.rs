//! `HART_LOG`: what tasks and workers do, on standard error.

use crate::failure::Failure;
use crate::writer;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Writes what `HART_LOG` asks for to standard error.
///
/// # Errors
/// Directives that are none, or no thread.
pub(crate) fn start() -> Result<(), Failure> {
    let Ok(directives) = std::env::var("HART_LOG") else {
        return Ok(());
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::usage(format!(
            "HART_LOG: {error}; write it like `info` or `hart=trace`"
        ))
    })?;
    let line = writer::start()
        .map_err(|error| Failure::new(1, format!("HART_LOG: no thread writes it: {error}")))?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || line)
        .with_ansi(std::io::stderr().is_terminal())
        // Tasks are spans: a line when one starts, and one when it ends, with its busy and idle time.
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .try_init();
    Ok(())
}
