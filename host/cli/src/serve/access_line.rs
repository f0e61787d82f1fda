//! How a line of the access log looks.

use super::args::LogFormat;
use hart_host::AccessRecord;
use hart_host::http::Version;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

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
        "time": format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            time.year, time.month, time.day, time.hour, time.minute, time.second, time.milli
        ),
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

/// A time in UTC.
#[derive(Debug, PartialEq)]
struct Time {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    milli: u32,
}

impl Time {
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        // Years begin in March here, so that a leap day is the last of its year: Howard Hinnant's `civil_from_days`.
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            milli: since.subsec_millis(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Hunts a calendar that is wrong at the ends of months, years and leap years. The dates are those of `date -u -d @N`.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (1_709_251_199, (2024, 2, 29, 23, 59, 59)),
            (1_735_689_599, (2024, 12, 31, 23, 59, 59)),
            (1_735_689_600, (2025, 1, 1, 0, 0, 0)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
        ] {
            let time = Time::of(UNIX_EPOCH + Duration::from_secs(seconds));
            let found = (
                time.year,
                time.month,
                time.day,
                time.hour,
                time.minute,
                time.second,
            );
            assert_eq!(found, date);
        }
    }

    /// Hunts a client that writes lines of its own, or drives a terminal.
    #[test]
    fn what_clients_send_is_escaped() {
        assert_eq!(
            escaped("/a\"b\\c\n\u{1b}[2Jé"),
            "/a\\\"b\\\\c\\x0a\\x1b[2J\\xc3\\xa9"
        );
    }
}
