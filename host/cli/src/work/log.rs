//! What is told of jobs and of the connection.

use crate::line_log::LineLog;
use crate::output::{one_line, to_stderr};
use crate::utc::Time;
use hart_host::work::async_nats::Event;
use hart_host::work::{JobRecord, JobStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// One object of JSON for a job, with the line's end.
fn line(record: &JobRecord) -> String {
    let result = &record.result;
    let mut object = serde_json::json!({
        "time": Time::of(SystemTime::now()).to_string(),
        "app": record.app,
        "id": record.id,
        "status": result.status.name(),
        "exit-code": result.exit_code,
        "delivered": record.delivered,
        "duration": record.duration.as_secs_f64(),
    });
    if !result.reason.is_empty() {
        object["reason"] = result.reason.clone().into();
    }
    if let Some(usage) = &record.usage {
        object["cpu"] = usage.cpu_time.as_secs_f64().into();
        object["wait"] = usage.wait_time.as_secs_f64().into();
        object["memory"] = usage.peak_memory.into();
    }
    format!("{object}\n")
}

/// Writes it to a log; without one, only of those that failed.
pub(super) fn record(log: Option<&LineLog>, errors: &LineLog, record: &JobRecord) {
    match log {
        Some(log) => log.write(line(record)),
        None if record.result.status == JobStatus::Failed => errors.write(format!(
            "hart: the job {} of `{}` failed: {}\n",
            record.id,
            record.app,
            one_line(&record.result.reason)
        )),
        None => {}
    }
}

/// Tells what became of the connection. `is_lost` is what it was, and is. It may wait for a reader, so it is not called where
/// others wait for it.
pub(super) fn event(event: &Event, is_lost: &AtomicBool) {
    let said = match event {
        // The first one is no news.
        Event::Connected if !is_lost.swap(false, Ordering::Relaxed) => return,
        Event::Connected => "connected again",
        Event::Disconnected if is_lost.swap(true, Ordering::Relaxed) => return,
        Event::Disconnected => "the connection is lost; it is tried again, and jobs that run go on",
        Event::LameDuckMode => "the server is about to stop; another one is looked for",
        Event::SlowConsumer(_) => "messages came faster than they were taken, and some are lost",
        Event::ServerError(error) => return say(&error.to_string()),
        // One of each attempt to connect.
        Event::ClientError(_) if is_lost.load(Ordering::Relaxed) => return,
        Event::ClientError(error) => return say(&error.to_string()),
        Event::Draining | Event::Closed => return,
    };
    say(said);
}

fn say(what: &str) {
    to_stderr(&format!("hart: NATS: {}\n", one_line(what)));
}
