//! What a job may use and what it is denied, in the headers of its message.

use std::time::Duration;

use async_nats::HeaderMap;

use super::names::DENY;
use crate::quota::limits::Limits;
use crate::wasi::rights::Rights;

/// One of the limits.
type Field<V> = fn(&mut Limits) -> &mut Option<V>;

/// Those of time, in milliseconds.
const TIMES: [(&str, Field<Duration>); 3] = [
    ("Hart-Timeout", |limits| &mut limits.timeout),
    ("Hart-Cpu-Time", |limits| &mut limits.cpu_time),
    ("Hart-Task-Cpu-Time", |limits| &mut limits.task_cpu_time),
];

/// Bytes and counts.
const NUMBERS: [(&str, Field<u64>); 6] = [
    ("Hart-Memory", |limits| &mut limits.memory),
    ("Hart-Task-Memory", |limits| &mut limits.task_memory),
    ("Hart-Fuel", |limits| &mut limits.fuel),
    ("Hart-Task-Fuel", |limits| &mut limits.task_fuel),
    ("Hart-Tasks", |limits| &mut limits.tasks),
    ("Hart-Result-Bytes", |limits| &mut limits.result_bytes),
];

const DEPTH: &str = "Hart-Depth";

/// Writes limits and rights that are denied.
pub(super) fn write(limits: &Limits, denied: Rights, headers: &mut HeaderMap) {
    // A limit of nothing would be none at all.
    let mut write = |name, value: u64| headers.insert(name, value.max(1).to_string());
    let mut limits = *limits;
    for (name, field) in TIMES {
        if let Some(time) = *field(&mut limits) {
            write(name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
    }
    for (name, field) in NUMBERS {
        if let Some(number) = *field(&mut limits) {
            write(name, number);
        }
    }
    // With none, the task is denied to spawn.
    if let Some(depth) = limits.depth {
        write(DEPTH, depth.into());
    }
    if denied != Rights::default() {
        let names: Vec<_> = denied.names().collect();
        headers.insert(DENY, names.join(","));
    }
}

/// What `write` has written, or what is wrong with it.
pub(super) fn read(headers: Option<&HeaderMap>) -> Result<(Limits, Rights), String> {
    let text = |name: &str| Some(headers?.get(name)?.as_str());
    let number = |name: &str| {
        let read = |text: &str| match text.parse::<u64>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("the header {name} is no number above zero")),
        };
        text(name).map(read).transpose()
    };
    let mut limits = Limits::new();
    for (name, field) in TIMES {
        *field(&mut limits) = number(name)?.map(Duration::from_millis);
    }
    for (name, field) in NUMBERS {
        *field(&mut limits) = number(name)?;
    }
    limits.depth = number(DEPTH)?.map(|depth| u32::try_from(depth).unwrap_or(u32::MAX));
    let mut denied = Rights::default();
    let names = text(DENY).unwrap_or_default().split(',').map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        // One that is not known is not let through.
        denied |= Rights::named(name)
            .ok_or_else(|| format!("the header {DENY} names a right that there is not"))?;
    }
    Ok((limits, denied))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a limit or a right that does not arrive.
    #[test]
    fn what_is_written_is_read() {
        let limits = Limits::new()
            .timeout(Duration::from_millis(1500))
            .cpu_time(Duration::from_nanos(1))
            .task_cpu_time(Duration::from_secs(3))
            .memory(7)
            .task_memory(8)
            .fuel(9)
            .task_fuel(10)
            .tasks(11)
            .depth(12)
            .result_bytes(13);
        let denied = Rights::NETWORK | Rights::FILESYSTEM_WRITE;
        let mut headers = HeaderMap::new();
        write(&limits, denied, &mut headers);
        let expected = limits.cpu_time(Duration::from_millis(1));
        assert_eq!(read(Some(&headers)), Ok((expected, denied)));
        assert_eq!(read(None), Ok((Limits::new(), Rights::default())));
    }

    /// Hunts limits that mean nothing, and rights that are granted as their names are wrong.
    #[test]
    fn garbage_is_told() {
        for (name, value) in [
            ("Hart-Timeout", "0"),
            ("Hart-Cpu-Time", "-1"),
            ("Hart-Memory", "1MiB"),
            (DEPTH, "0"),
            (DENY, "network,nothing"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            assert!(read(Some(&headers)).is_err(), "{name} {value}");
        }
    }
}
