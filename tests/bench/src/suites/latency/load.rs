//! What is asked of a ground, and what came of it.

use crate::{
    ground::{Kind, WEIGHT},
    guest::{Call, Crowd, Pace, Responses, State},
    late::Late,
    spinners::{PIECE, Spinners},
};
use std::{
    cell::RefCell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Guests that are served, where there are several.
const GUESTS: u32 = 20;

/// The steps of one request of [`Load::Steps`].
const STEPS: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Twenty guests that sleep 20 ms and work, in turn.
    Wake { work: Duration, rounds: u64 },
    /// A guest that works for 20 us, every 5 ms.
    Spawn { guests: u32 },
    /// Twenty guests whose requests take ten waits of 10 ms and 50 us of work after each. The response is
    /// how much longer than that the ten took.
    Steps { rounds: u64 },
    /// Four guests that sleep 200 ms and work for 1 ms, with the shortest slice where there is such a thing.
    Class { rounds: u64 },
}

pub(crate) struct Outcome {
    pub(crate) late: Late,
    /// Hart's own books: how long, per response, the guests that are served waited for a worker, in
    /// milliseconds. Zero for peers, which keep none.
    pub(crate) waited: f64,
    /// As much CPU time they used, per response: no more than a fair share, or they have to wait.
    pub(crate) used: f64,
}

impl Load {
    pub(crate) fn run(self, kind: Kind, spinners: usize, pace: Pace) -> Outcome {
        let ground = kind.start();
        let spun = Spinners::start(&*ground, spinners, pace);
        spun.wait();
        let responses = Arc::new(Responses::default());
        let crowd = Arc::new(Crowd::default());
        let before = (Instant::now(), spun.pieces());
        let served = RefCell::new(Vec::new());
        let serve = |guests: u32, call: Call, rest: Duration, steps: u32, slice| {
            for guest in 0..guests {
                let group = ground.group(WEIGHT);
                if let Some(hart) = &group.hart {
                    if let Some(slice) = slice {
                        hart.executor_group().set_slice(slice);
                    }
                    served.borrow_mut().push(hart.clone());
                }
                let mut state = State::new(&crowd);
                state.responses = responses.clone();
                state.phase = rest * guest / guests;
                state.steps = steps;
                drop(ground.start(&group, call, state));
            }
        };
        match self {
            Self::Wake { work, rounds } => {
                let rest = Duration::from_millis(20);
                let iterations = pace.iterations(work);
                let call = Call::Serve {
                    rounds,
                    rest,
                    iterations,
                };
                serve(GUESTS, call, rest, 1, None);
            }
            Self::Steps { rounds } => {
                let rest = Duration::from_millis(10);
                let call = Call::Serve {
                    rounds: rounds * u64::from(STEPS),
                    rest,
                    iterations: pace.iterations(Duration::from_micros(50)),
                };
                serve(GUESTS, call, rest, STEPS, None);
            }
            Self::Class { rounds } => {
                let rest = Duration::from_millis(200);
                let call = Call::Serve {
                    rounds,
                    rest,
                    iterations: pace.iterations(Duration::from_millis(1)),
                };
                serve(4, call, rest, 1, Some(Duration::ZERO));
            }
            Self::Spawn { guests } => {
                let iterations = pace.iterations(Duration::from_micros(20));
                let begun = Instant::now();
                for guest in 0..guests {
                    let due = begun + Duration::from_millis(5) * guest;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let mut state = State::new(&crowd);
                    state.responses = responses.clone();
                    state.due = Some(due);
                    let guest = Call::Once { iterations };
                    drop(ground.start(&ground.group(WEIGHT), guest, state));
                }
            }
        }
        crowd.wait();
        let elapsed = before.0.elapsed();
        let pieces = spun.pieces() - before.1;
        spun.stop();
        let served: Vec<_> = served.take().iter().map(|group| group.stats()).collect();
        let waited: Duration = served
            .iter()
            .map(|stats| stats.wait_time + stats.preempted_time)
            .sum();
        let used: Duration = served.iter().map(|stats| stats.cpu_time).sum();
        let responses = responses.take();
        let per_response = |time: Duration| time.as_secs_f64() * 1e3 / responses.len() as f64;
        Outcome {
            late: Late::new(
                &responses,
                pieces as f64 * PIECE.as_secs_f64() / elapsed.as_secs_f64(),
            ),
            waited: per_response(waited),
            used: per_response(used),
        }
    }
}
