//! What the machine gives: a spin on all cores, timed before and after each round.
//!
//! The machine is shared. A round during which somebody else had a core says nothing about the two sides,
//! so it is thrown away and counted.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

/// How much slower than its best a spin may be before the cores count as not ours.
const TOLERANCE: f64 = 1.30;

/// How long one spin should take.
const SPIN: Duration = Duration::from_millis(4);

pub(crate) struct Machine {
    cores: usize,
    iterations: u64,
    best: Duration,
}

/// A bit of arithmetic that no compiler removes.
pub(crate) fn spin(iterations: u64) {
    let mut value = 0x9e37_79b9_u64;
    for i in 0..iterations {
        value = black_box(value.rotate_left(5) ^ i);
    }
    black_box(value);
}

impl Machine {
    pub(crate) fn calibrate() -> Self {
        let mut iterations = 1_000;
        loop {
            let started = Instant::now();
            spin(iterations);
            if started.elapsed() >= SPIN {
                break;
            }
            iterations *= 2;
        }
        let mut machine = Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            iterations,
            best: Duration::MAX,
        };
        for _ in 0..10 {
            machine.is_ours();
        }
        machine
    }

    /// Spins on all cores; whether all of them were there for it.
    pub(crate) fn is_ours(&mut self) -> bool {
        let barrier = Barrier::new(self.cores);
        let slowest = std::thread::scope(|scope| {
            let spinners: Vec<_> = (0..self.cores)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let started = Instant::now();
                        spin(self.iterations);
                        started.elapsed()
                    })
                })
                .collect();
            spinners
                .into_iter()
                .map(|spinner| spinner.join().expect("a spin does not panic"))
                .max()
                .unwrap_or_default()
        });
        self.best = self.best.min(slowest);
        slowest.as_secs_f64() <= self.best.as_secs_f64() * TOLERANCE
    }
}
