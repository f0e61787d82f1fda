//! What became of requests: a line for each, and a table of the paths.

use crate::output::one_line;
use hart_sim::{End, Exchange};
use std::fmt::Write as _;

/// All that is said of them.
pub(super) fn all(exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for exchange in exchanges {
        line(&mut text, exchange);
    }
    text.push('\n');
    table(&mut text, exchanges);
    text
}

fn line(text: &mut String, exchange: &Exchange) {
    let Exchange {
        method,
        target,
        bytes,
        hash,
        ..
    } = exchange;
    let status = match exchange.status {
        Some(status) => status.as_str().to_owned(),
        None => String::from("no answer"),
    };
    let (at, took) = (milliseconds(exchange.arrived), milliseconds(exchange.took));
    let _ = write!(text, "{at} {method} {target}: {status}, {bytes} bytes");
    if *bytes > 0 {
        let _ = write!(text, " {hash:016x}");
    }
    let _ = match &exchange.end {
        End::Answered => writeln!(text, ", in {took}"),
        End::Left => writeln!(text, ", left after {took}"),
        End::Refused(why) => writeln!(text, ", refused after {took}: {}", one_line(why)),
        End::Failed(why) => writeln!(text, ", failed after {took}: {}", one_line(why)),
        other => writeln!(text, ", {other:?} after {took}"),
    };
}

/// To the nanosecond, as all that is exact.
fn milliseconds(nanoseconds: u64) -> String {
    format!(
        "{}.{:06}ms",
        nanoseconds / 1_000_000,
        nanoseconds % 1_000_000
    )
}

/// Of the table: how many ended how, and how long the answers took.
const COUNTS: [&str; 4] = ["answered", "left", "refused", "failed"];
const TIMES: [&str; 4] = ["p50", "p90", "p99", "max"];

/// By method and path, in the order in which they first came: how many ended how, and how long the answers took.
fn table(text: &mut String, exchanges: &[Exchange]) {
    let mut rows: Vec<(String, Vec<&Exchange>)> = Vec::new();
    for exchange in exchanges {
        let name = format!("{} {}", exchange.method, exchange.target);
        match rows.iter_mut().find(|(other, _)| *other == name) {
            Some((_, row)) => row.push(exchange),
            None => rows.push((name, vec![exchange])),
        }
    }
    let width = rows.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or(0).max(8);
    let _ = write!(text, "{:<width$}", "");
    for count in COUNTS {
        let _ = write!(text, " {count:>8}");
    }
    for time in TIMES {
        let _ = write!(text, " {time:>14}");
    }
    text.push('\n');
    for (name, row) in &rows {
        let _ = write!(text, "{name:<width$}");
        let mut counts = [0; COUNTS.len()];
        let mut took = Vec::new();
        for exchange in row {
            let column = match exchange.end {
                End::Answered => 0,
                End::Left => 1,
                End::Refused(_) => 2,
                _ => 3,
            };
            counts[column] += 1;
            if exchange.end == End::Answered {
                took.push(exchange.took);
            }
        }
        for count in counts {
            let _ = write!(text, " {count:>8}");
        }
        took.sort_unstable();
        for percent in [50, 90, 99, 100] {
            let took = percentile(&took, percent);
            let _ = write!(text, " {:>14}", took.map_or("-".into(), milliseconds));
        }
        text.push('\n');
    }
}

/// The least value that so many percent do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Hunts percentiles that are off by one.
    #[test]
    fn percentiles_are_values_that_were_there() {
        let hundred: Vec<u64> = (1..=100).collect();
        let of = |percent| percentile(&hundred, percent);
        assert_eq!(
            [of(50), of(90), of(99), of(100)],
            [50, 90, 99, 100].map(Some)
        );
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[1, 2], 50), Some(1));
        assert_eq!(percentile(&[], 99), None);
    }
}
