//! What was measured of a route, as figures.

use std::time::Duration;

/// What came of the requests of one measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// From when each was to be sent to its end, in order. One without an answer took as long as it was waited for.
    took: Vec<Duration>,
    /// How many were answered with success, or with an error that is the client's.
    pub(super) answered: usize,
    /// How many were answered with an error of the server's (5xx).
    pub(super) refused: usize,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ended {
    Answered,
    Refused,
    /// No answer, or not all of it.
    Lost,
}

impl Sample {
    pub(super) fn new(requests: impl IntoIterator<Item = (Duration, Ended)>) -> Self {
        let mut sample = Self::default();
        for (took, ended) in requests {
            sample.took.push(took);
            sample.answered += usize::from(ended == Ended::Answered);
            sample.refused += usize::from(ended == Ended::Refused);
        }
        sample.took.sort_unstable();
        sample
    }

    /// How many were asked.
    pub(super) fn asked(&self) -> usize {
        self.took.len()
    }

    /// The time within which so much of all ended: 0.99 for the 99th percentile. Exact, as all are kept.
    pub(super) fn within(&self, share: f64) -> Duration {
        let rank = (self.took.len() as f64 * share).ceil() as usize;
        let last = self.took.len().saturating_sub(1);
        let place = rank.saturating_sub(1).min(last);
        self.took.get(place).copied().unwrap_or_default()
    }
}

/// What a route does beside another one.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Which route.
    pub(super) route: usize,
    /// Which one was loaded meanwhile.
    pub(super) beside: Option<usize>,
    pub(super) sample: Sample,
}

/// How many times as long as `alone` the 99th percentile is. Less than a millisecond counts as one: on a busy machine
/// the client itself waits for so long.
pub(super) fn slower(alone: &Sample, beside: &Sample) -> f64 {
    let time = |sample: &Sample| {
        let time = sample.within(0.99).max(Duration::from_millis(1));
        time.as_secs_f64()
    };
    time(beside) / time(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts percentiles that leave the worst out, and requests without an answer that do not count.
    #[test]
    fn the_worst_counts() {
        let milliseconds = (1..=1_000).map(|ms| (Duration::from_millis(ms), Ended::Answered));
        let sample = Sample::new(milliseconds.rev());
        let within = |share| sample.within(share).as_millis();
        assert_eq!((within(0.5), within(0.99), within(0.999)), (500, 990, 999));
        assert_eq!((within(1.0), within(0.0)), (1_000, 1));
        let few = Sample::new([
            (Duration::from_millis(1), Ended::Answered),
            (Duration::from_secs(9), Ended::Lost),
            (Duration::from_millis(2), Ended::Refused),
        ]);
        assert_eq!(few.within(0.99), Duration::from_secs(9));
        assert_eq!((few.asked(), few.answered, few.refused), (3, 1, 1));
        assert_eq!(Sample::default().within(0.99), Duration::ZERO);
        assert!((slower(&few, &sample) - 0.11).abs() < 1e-9);
    }
}
