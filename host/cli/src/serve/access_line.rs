//! How a line of the access log looks.

use crate::config::plan::LogFormat;
use crate::utc::Time;
use hart_host::AccessRecord;
use hart_host::http::Version;
use std::fmt::Write as _;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The line, with its end.
pub(super) fn line(format: LogFormat, record: &AccessRecord) -> String {
    match format {
        LogFormat::Common => common(record),
        LogFormat::Json => json(record),
    }
}

fn common(record: &AccessRecord) -> String {
    let time = Time::of(record.time);
    format!(
        "{} - - [{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000] \"{} {} {}\" {} {} {:.6}\n",
        record.client.ip(),
        time.day,
        MONTHS[time.month as usize - 1],
        time.year,
        time.hour,
        time.minute,
        time.second,
        escaped(record.method.as_str()),
        escaped(&record.path),
        protocol(record.version),
        record.status.as_u16(),
        record.bytes,
        record.duration.as_secs_f64(),
    )
}

fn json(record: &AccessRecord) -> String {
    let time = Time::of(record.time);
    let usage = record.usage.as_ref();
    let mut object = serde_json::json!({
        "time": time.to_string(),
        "client": record.client.ip().to_string(),
        "method": record.method.as_str(),
        "path": record.path,
        "protocol": protocol(record.version),
        "status": record.status.as_u16(),
        "bytes": record.bytes,
        "whole": record.is_whole,
        "duration": record.duration.as_secs_f64(),
        "app": record.app,
    });
    if let Some(usage) = usage {
        object["cpu"] = usage.cpu_time.as_secs_f64().into();
        object["wait"] = usage.wait_time.as_secs_f64().into();
        object["memory"] = usage.peak_memory.into();
    }
    format!("{object}\n")
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// A client's text, within quotes and within one line, for terminals too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                escaped.push('\\');
                escaped.push(char::from(byte));
            }
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a client that writes lines of its own, or drives a terminal.
    #[test]
    fn what_clients_send_is_escaped() {
        assert_eq!(
            escaped("/a\"b\\c\n\u{1b}[2Jé"),
            "/a\\\"b\\\\c\\x0a\\x1b[2J\\xc3\\xa9"
        );
    }
}
