//! The table: a line for each side, which is updated on a terminal while the side runs.

use super::sides::Figures;
use crate::output::to_stdout;
use std::io::IsTerminal;
use std::time::Duration;

pub(super) struct Table {
    live: bool,
}

impl Table {
    /// Writes the head.
    pub(super) fn start() -> Self {
        to_stdout(&format!(
            "{:<32}{:>10} {:>10} {:>10} {:>10}   spinners got\n",
            "under", "responses", "p50", "p99", "worst"
        ));
        Self {
            live: std::io::stdout().is_terminal(),
        }
    }

    /// Writes a side's line: over the one before on a terminal, else only the last.
    pub(super) fn show(&mut self, name: &str, figures: &Figures, is_last: bool) {
        if !self.live && !is_last {
            return;
        }
        let line = line(name, figures);
        let over = if self.live { "\r\x1b[K" } else { "" };
        let end = if is_last { "\n" } else { "" };
        to_stdout(&format!("{over}{line}{end}"));
    }
}

fn line(name: &str, figures: &Figures) -> String {
    let mut responses = figures.responses.clone();
    responses.sort_unstable();
    let at = |part: f64| match responses.len() {
        0 => String::from("-"),
        // The least response that so large a part of all is at most.
        count => {
            let rank = (count as f64 * part).ceil() as usize;
            milliseconds(responses[rank.clamp(1, count) - 1])
        }
    };
    format!(
        "{name:<32}{:>10} {:>10} {:>10} {:>10}   {:.2} cores",
        responses.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        figures.spinners,
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts percentiles that are off by one rank, and a table that panics before the first response.
    #[test]
    fn a_line_has_the_percentiles() {
        let figures = |count| Figures {
            responses: (1..=count).rev().map(Duration::from_millis).collect(),
            spinners: 1.5,
        };
        let shown = line("hart", &figures(100));
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(
            words[..8],
            ["hart", "100", "50.0", "ms", "99.0", "ms", "100.0", "ms"]
        );
        assert!(shown.ends_with("1.50 cores"));
        assert!(line("hart", &figures(0)).contains('-'));
    }
}
