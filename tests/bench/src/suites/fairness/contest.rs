//! Who competes, and what came of it.

use crate::{
    ground::{Ground, Group, Kind, WEIGHT, WORKERS},
    guest::{Call, Crowd, Pace, State},
    spinners::{PIECE, Spinners},
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Contest {
    /// Groups of so many spinners, with these weights.
    Weights(&'static [u32], usize),
    /// Groups of so many spinners, with equal weights.
    Sizes(&'static [usize]),
    /// A group that sleeps 20 ms and then works for 10 ms, in turn, beside four that spin. It is off by what
    /// it got beyond its fair share while it worked.
    Sleeper,
    /// A group that waits for an instant after every 300 us of work, beside four that spin.
    Chatter,
    /// A group that arrives after another ran alone. What counts is the first tenth of a second.
    Newcomer,
}

pub(crate) struct Outcome {
    /// How far off its fair share the group is that is furthest off: percent of that share.
    pub(crate) off: f64,
    /// 1 where everybody got a fair share.
    pub(crate) jain: f64,
    /// Beside these. A peer may have fewer than hart.
    pub(crate) extras: Vec<Extra>,
}

pub(crate) struct Extra {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

impl Contest {
    pub(crate) fn run(self, kind: Kind, quick: bool, pace: Pace) -> Outcome {
        let ground = kind.start();
        let time = Duration::from_secs(match self {
            _ if quick => 1,
            Self::Weights(..) | Self::Sizes(_) => 10,
            _ => 4,
        });
        match self {
            Self::Weights(weights, spinners) => weights_of(&*ground, weights, spinners, time, pace),
            Self::Sizes(sizes) => sizes_of(&*ground, sizes, time, pace),
            Self::Sleeper => sleeper(&*ground, time, pace),
            Self::Chatter => chatter(&*ground, time, pace),
            Self::Newcomer => newcomer(&*ground, time, pace),
        }
    }
}

/// A group that competes.
struct Competitor {
    group: Group,
    spinners: Spinners,
    /// Its share of what all get.
    fair: f64,
}

impl Competitor {
    fn cpu(&self) -> Option<f64> {
        let hart = self.group.hart.as_ref()?;
        Some(hart.stats().cpu_time.as_secs_f64())
    }

    fn work(&self) -> f64 {
        self.spinners.pieces() as f64 * PIECE.as_secs_f64()
    }
}

fn weights_of(
    ground: &dyn Ground,
    weights: &[u32],
    spinners: usize,
    time: Duration,
    pace: Pace,
) -> Outcome {
    let sum: u32 = weights.iter().sum();
    let competitors = weights.iter().map(|&weight| {
        let group = ground.group(weight);
        Competitor {
            spinners: Spinners::of(ground, &group, spinners, pace),
            group,
            fair: f64::from(weight) / f64::from(sum),
        }
    });
    compete(competitors.collect(), time)
}

fn sizes_of(ground: &dyn Ground, sizes: &[usize], time: Duration, pace: Pace) -> Outcome {
    let competitors = sizes.iter().map(|&size| {
        let group = ground.group(WEIGHT);
        Competitor {
            spinners: Spinners::of(ground, &group, size, pace),
            group,
            fair: 1.0 / sizes.len() as f64,
        }
    });
    compete(competitors.collect(), time)
}

fn chatter(ground: &dyn Ground, time: Duration, pace: Pace) -> Outcome {
    let fair = 1.0 / 5.0;
    let mut competitors: Vec<_> = (0..4)
        .map(|_| {
            let group = ground.group(WEIGHT);
            Competitor {
                spinners: Spinners::of(ground, &group, 1, pace),
                group,
                fair,
            }
        })
        .collect();
    let group = ground.group(WEIGHT);
    let mut spinners = Spinners::default();
    let iterations = pace.iterations(PIECE);
    spinners.call(ground, &group, Call::Chatter { iterations });
    competitors.push(Competitor {
        spinners,
        group,
        fair,
    });
    let mut outcome = compete(competitors, time);
    // It may have less: that is its own choice.
    outcome.off = outcome.extras[0].value.max(0.0);
    outcome
}

/// Lets them compete for this long.
fn compete(competitors: Vec<Competitor>, time: Duration) -> Outcome {
    for competitor in &competitors {
        competitor.spinners.wait();
    }
    let outcome = watch(&competitors, time);
    for competitor in competitors {
        competitor.spinners.stop();
    }
    outcome
}

fn watch(competitors: &[Competitor], time: Duration) -> Outcome {
    let work = || competitors.iter().map(Competitor::work).collect::<Vec<_>>();
    let cpu = || {
        competitors
            .iter()
            .map(Competitor::cpu)
            .collect::<Option<Vec<_>>>()
    };
    let before = (work(), cpu());
    thread::sleep(time);
    let gained = |after: Vec<f64>, before: &[f64]| -> Vec<f64> {
        after.iter().zip(before).map(|(a, b)| a - b).collect()
    };
    let done = Shares::new(competitors, &gained(work(), &before.0));
    let mut extras = vec![Extra {
        name: "the last group is above its share by",
        unit: "%",
        value: done.last_above(),
    }];
    if let (Some(before), Some(after)) = (before.1, cpu()) {
        extras.push(Extra {
            name: "furthest off, by the books",
            unit: "%",
            value: Shares::new(competitors, &gained(after, &before)).off(),
        });
    }
    Outcome {
        off: done.off(),
        jain: done.jain(),
        extras,
    }
}

/// What everybody got, in units of a fair share.
struct Shares(Vec<f64>);

impl Shares {
    fn new(competitors: &[Competitor], gained: &[f64]) -> Self {
        let sum: f64 = gained.iter().sum();
        let shares = competitors.iter().zip(gained);
        Self(shares.map(|(c, gained)| gained / sum / c.fair).collect())
    }

    fn off(&self) -> f64 {
        let off = self.0.iter().map(|share| (share - 1.0).abs());
        off.fold(0.0, f64::max) * 100.0
    }

    fn last_above(&self) -> f64 {
        self.0.last().map_or(0.0, |share| share - 1.0) * 100.0
    }

    fn jain(&self) -> f64 {
        let sum: f64 = self.0.iter().sum();
        let squares: f64 = self.0.iter().map(|share| share * share).sum();
        sum * sum / (self.0.len() as f64 * squares)
    }
}

fn sleeper(ground: &dyn Ground, time: Duration, pace: Pace) -> Outcome {
    let spinners = Spinners::start(ground, 4, pace);
    spinners.wait();
    let fair = WORKERS as f64 / 5.0;
    let (rest, work) = (Duration::from_millis(20), Duration::from_millis(10));
    let crowd = Arc::new(Crowd::default());
    let state = State::new(&crowd);
    let responses = state.responses.clone();
    let round = rest.as_secs_f64() + work.as_secs_f64() / fair;
    let call = Call::Serve {
        rounds: (time.as_secs_f64() / round) as u64,
        rest,
        iterations: pace.iterations(work),
    };
    drop(ground.start(&ground.group(WEIGHT), call, state));
    crowd.wait();
    spinners.stop();
    let awake: f64 = responses.take().iter().map(Duration::as_secs_f64).sum();
    let Call::Serve { rounds, .. } = call else {
        unreachable!("it was made so")
    };
    let got = rounds as f64 * work.as_secs_f64();
    let above = got / (awake * fair) - 1.0;
    let credit = (got - awake * fair) / rounds as f64;
    Outcome {
        off: (above * 100.0).max(0.0),
        jain: 1.0,
        extras: vec![Extra {
            name: "credit for a sleep",
            unit: "ms",
            value: credit * 1e3,
        }],
    }
}

fn newcomer(ground: &dyn Ground, time: Duration, pace: Pace) -> Outcome {
    let competitor = || {
        let group = ground.group(WEIGHT);
        Competitor {
            spinners: Spinners::of(ground, &group, WORKERS, pace),
            group,
            fair: 0.5,
        }
    };
    let old = competitor();
    thread::sleep(time);
    let begun = Instant::now();
    let competitors = vec![old, competitor()];
    let mut outcome = watch(
        &competitors,
        Duration::from_millis(100).saturating_sub(begun.elapsed()),
    );
    let later = watch(&competitors, Duration::from_millis(500));
    for competitor in competitors {
        competitor.spinners.stop();
    }
    outcome.extras.push(Extra {
        name: "in the next half second, off by",
        unit: "%",
        value: later.off,
    });
    outcome
}
