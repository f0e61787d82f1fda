//! Work that never waits, for measurements: `compute MODE`, then it prints a checksum.
//!
//! | mode | what |
//! | --- | --- |
//! | `integers` | a loop with a long body |
//! | `sort` | sorts numbers |
//! | `map` | fills and reads a hash map |
//! | `recursion` | calls, and little else |
//! | `sieve` | a loop of a few instructions |

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some(self.0)
    }
}

fn numbers() -> Numbers {
    Numbers(black_box(0x9e37_79b9_7f4a_7c15))
}

fn integers() -> u64 {
    numbers()
        .take(20_000_000)
        .fold(0, |sum, n| sum.wrapping_mul(31).rotate_left(7) ^ n)
}

fn sort() -> u64 {
    let mut sorted: Vec<u64> = numbers().take(700_000).collect();
    sorted.sort_unstable();
    sorted.iter().step_by(1000).fold(0, |sum, n| sum ^ n)
}

fn map() -> u64 {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for n in numbers().take(700_000) {
        *counts.entry(n % 50_000).or_default() += 1;
    }
    counts.values().fold(0, |sum, n| sum.wrapping_add(n * n))
}

fn recursion() -> u64 {
    fn fibonacci(n: u64) -> u64 {
        if n < 2 {
            n
        } else {
            fibonacci(n - 1) + fibonacci(n - 2)
        }
    }
    fibonacci(black_box(32))
}

fn sieve() -> u64 {
    const SIZE: usize = 1_000_000;
    let mut primes = 0;
    for _ in 0..8 {
        let mut composite = vec![false; SIZE];
        for n in 2..SIZE {
            if composite[n] {
                continue;
            }
            primes += 1;
            for multiple in (n * n..SIZE).step_by(n) {
                composite[multiple] = true;
            }
        }
        black_box(&composite);
    }
    primes
}

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    let checksum = match mode.as_deref() {
        Some("integers") => integers(),
        Some("sort") => sort(),
        Some("map") => map(),
        Some("recursion") => recursion(),
        Some("sieve") => sieve(),
        _ => {
            eprintln!("compute integers|sort|map|recursion|sieve");
            return ExitCode::from(2);
        }
    };
    println!("{checksum:016x}");
    ExitCode::SUCCESS
}
