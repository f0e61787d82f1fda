//! Commands: programs that run once, side by side, each with its limits.

use std::time::Duration;

use hart_host::{Host, Limits, Run, RunError, Stdio};

use crate::Error;

const PROGRAM: &str = r#"(component
    (core module $m
        (func (export "sum") (param $n i64) (result i64) (local $sum i64)
            (loop $again
                (local.set $sum (i64.add (local.get $sum) (local.get $n)))
                (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                (br_if $again (i64.ne (local.get $n) (i64.const 0))))
            (local.get $sum)))
    (core instance $i (instantiate $m))
    (func (export "sum") (param "n" u64) (result u64) (canon lift (core func $i "sum"))))"#;

/// Sums up on all cores, and says what each run found. One counts down from so much that its time is over first.
///
/// # Errors
/// What keeps a run from starting.
pub fn run() -> Result<Vec<String>, Error> {
    let host = Host::builder().build()?;
    let component = host.load(PROGRAM.as_bytes())?;
    let limits = Limits::new()
        .memory(64 << 20)
        .timeout(Duration::from_millis(500));
    let start = |n: u64| -> Result<Run, Error> {
        let run = host.invoke(&component, &format!("sum({n})"))?;
        Ok(run
            .name(format!("sum of {n}"))
            .limits(limits)
            .stderr(Stdio::Inherit)
            .start()?)
    };
    let runs = [1, 1_000, u64::MAX].map(start);
    let mut found = Vec::new();
    for run in runs {
        // A run is also a future.
        found.push(match run?.wait() {
            Ok(outcome) => outcome.to_wave()?,
            Err(RunError::TimedOut(limit)) => limit.to_string(),
            Err(other) => return Err(other.into()),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_run_has_its_end() {
        let found = super::run().unwrap();
        assert_eq!(found[..2], ["1", "500500"]);
        assert!(found[2].contains("500ms"), "{}", found[2]);
    }
}
