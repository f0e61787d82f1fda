//! Runs components side by side, on all cores, and prints each one's result and CPU time.
//!
//! `cargo run -p hart-host --example embed [FILE.wasm ..]`: without files, three small components
//! that are written below.

use hart_host::{Host, Limits, Run, Stdio};
use std::time::Duration;

/// Adds up the numbers below `n`, one by one.
const SUM: &str = r#"
    (component
        (core module $m (func (export "sum") (param $n i64) (result i64) (local $i i64) (local $sum i64)
            (loop $again
                (local.set $sum (i64.add (local.get $sum) (local.get $i)))
                (local.set $i (i64.add (local.get $i) (i64.const 1)))
                (br_if $again (i64.lt_u (local.get $i) (local.get $n))))
            (local.get $sum)))
        (core instance $i (instantiate $m))
        (func (export "sum") (param "n" u64) (result u64) (canon lift (core func $i "sum"))))
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = Host::builder()
        .limits(Limits::new().timeout(Duration::from_secs(60)))
        .build()?;
    let mut runs: Vec<Run> = Vec::new();
    for file in std::env::args().skip(1) {
        let component = host.load_file(&file)?;
        runs.push(
            host.command(&component)
                .arg(file)
                .stdout(Stdio::Inherit)
                .stderr(Stdio::Inherit)
                .start()?,
        );
    }
    if runs.is_empty() {
        let component = host.load(SUM.as_bytes())?;
        for n in [1_000, 1_000_000, 300_000_000] {
            runs.push(
                host.invoke(&component, &format!("sum({n})"))?
                    .name(format!("sum of {n}"))
                    .start()?,
            );
        }
    }
    // All of them run by now; a run is also a future, for whoever has an executor.
    for run in runs {
        let name = run.name().to_owned();
        match run.wait() {
            Ok(outcome) => println!(
                "{name}: exit code {} {} in {:?} of CPU",
                outcome.exit_code,
                outcome.to_wave()?,
                outcome.stats.cpu_time
            ),
            Err(error) => println!("{name}: {error}"),
        }
    }
    Ok(())
}
