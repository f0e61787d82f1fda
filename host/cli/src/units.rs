//! Sizes, durations, counts and switches as people write them: `64MiB`, `10ms`, `1_000_000`, `y`.
//!
//! Every error says what was wrong and shows a value that would be right.

use std::time::Duration;

/// Splits `12.5MiB` into its number and its unit. Underscores in the number are allowed.
fn split(text: &str) -> (String, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '_' || c == '.'))
        .unwrap_or(text.len());
    (text[..end].replace('_', ""), text[end..].trim())
}

/// `number * scale`, exact for whole numbers, rounded down otherwise; `None` where it does not fit
/// or is no number at all.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let value = number.parse::<f64>().ok()? * scale as f64;
    (value.is_finite() && value < u64::MAX as f64).then_some(value as u64)
}

/// A size in bytes: a number, with `KiB`, `MiB`, `GiB`, `TiB` (also `K`, `M`, `G`, `T`: the same
/// powers of two) or `B` after it.
///
/// # Errors
/// A text that is none of these, or more than 2^64 - 1 bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1u64 << 40,
        _ => 0,
    };
    match scaled(&number, scale) {
        Some(bytes) if scale != 0 => Ok(bytes),
        _ => Err(format!("`{text}` is not a size; write one like 64MiB")),
    }
}

/// A length of time: a number with `ns`, `us`, `ms`, `s`, `m` or `h` after it.
///
/// # Errors
/// A text without a unit (is `10` seconds or milliseconds?), anything else that is no duration, or
/// more than 2^64 - 1 nanoseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => 0,
    };
    match scaled(&number, scale) {
        Some(nanoseconds) if scale != 0 => Ok(Duration::from_nanos(nanoseconds)),
        _ => Err(format!(
            "`{text}` is not a duration; write one like 10ms, 2.5s or 1m"
        )),
    }
}

/// [`duration`], but not zero.
///
/// # Errors
/// As [`duration`]; and zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!(
            "`{text}` is zero; write a duration above zero, like 10ms"
        )),
        duration => Ok(duration),
    }
}

/// A whole number; underscores may group its digits.
///
/// # Errors
/// Anything else, and numbers of 2^64 or more.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.trim()
        .replace('_', "")
        .parse()
        .map_err(|_| format!("`{text}` is not a whole number; write one like 1000"))
}

/// [`count`], but not zero.
///
/// # Errors
/// As [`count`]; and zero.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match count(text)? {
        0 => Err(String::from("nothing is done with 0; use 1 or more")),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

/// A switch: `y`, `yes`, `true`, `1` or nothing at all mean on; `n`, `no`, `false`, `0` mean off.
///
/// # Errors
/// Anything else.
pub(crate) fn switch(text: Option<&str>) -> Result<bool, String> {
    match text.map(str::trim) {
        None | Some("y" | "yes" | "true" | "1") => Ok(true),
        Some("n" | "no" | "false" | "0") => Ok(false),
        Some(other) => Err(format!("`{other}` is neither y nor n")),
    }
}

/// `duration` with three digits or so and a fitting unit, for people.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_nanos() {
        0..1_000 => format!("{}ns", duration.as_nanos()),
        1_000..1_000_000 => format!("{:.1}us", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1}ms", seconds * 1e3),
        _ => format!("{seconds:.2}s"),
    }
}

/// `bytes` with a binary unit, for people: exact where it is a multiple of the unit.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scale = 1u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1024 {
        unit += 1;
        scale <<= 10;
    }
    if bytes.is_multiple_of(scale) {
        format!("{}{}", bytes / scale, UNITS[unit])
    } else {
        format!("{:.1}{}", bytes as f64 / scale as f64, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts units that are off by a power, and overflow that wraps instead of failing.
    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1_000", 1000),
            ("64MiB", 64 << 20),
            ("64m", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2TiB", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "64XB",
            "-1",
            "1..5G",
            "18446744073709551616",
            "99999999TiB",
            "1e3",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    /// Hunts a bare number that is taken for some unit, and units off by a power.
    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0s", 0),
            ("7ns", 7),
            ("7us", 7_000),
            ("10ms", 10_000_000),
            ("2.5s", 2_500_000_000),
            ("1m", 60_000_000_000),
            ("1h", 3_600_000_000_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_nanos(nanoseconds)),
                "{text}"
            );
        }
        for text in ["", "10", "s", "-1s", "10 parsecs", "9999999999h", "NaNs"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0ms").is_err());
    }

    /// Hunts switches that read `n` as on.
    #[test]
    fn switches() {
        assert_eq!(switch(None), Ok(true));
        assert_eq!(switch(Some("y")), Ok(true));
        assert_eq!(switch(Some("n")), Ok(false));
        assert!(switch(Some("perhaps")).is_err());
    }

    /// Hunts output that cannot be read back as input.
    #[test]
    fn shown_sizes_and_durations_parse_again() {
        for bytes in [0, 1, 1023, 1024, 65536, 1 << 30, 5 << 40] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        for text in ["7ns", "1.5us", "10.0ms", "2.50s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }
}
