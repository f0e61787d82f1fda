//! `--from FILE`: what was recorded, on a virtual machine: as it was, with other seeds, or on more cores.

use super::args::{SimArgs, Slice};
use super::output::save;
use crate::failure::Failure;
use crate::output::{one_line, printable, to_stderr, to_stdout};
use crate::simulation::{ORACLE, quote};
use crate::trace::TraceFile;
use crate::units::show_duration;
use hart_sim::{Change, Config, Late, Recording, Replay};
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

/// Replays a recording, and says how late turns began.
pub(super) fn run(args: &SimArgs, file: &Path) -> Result<u8, Failure> {
    let slice = match args.slice {
        None => None,
        Some(Slice::Time(time)) => Some(time),
        Some(Slice::Fuel(_)) => {
            return Err(Failure::usage(
                "--slice: what was recorded has no fuel; write a time, like 1ms",
            ));
        }
    };
    let from = File::open(file)
        .map_err(|error| Failure::usage(format!("cannot be read: {error}")).at(file))?;
    let recording = Recording::read(BufReader::new(from)).map_err(|error| {
        Failure::usage(format!(
            "{error}; name a file that `hart run --trace` or a flight recorder has written"
        ))
        .at(file)
    })?;
    let trace = args
        .trace
        .as_deref()
        .map(|path| TraceFile::create("--trace", path))
        .transpose()?;
    let mut change = Change::default();
    change.slice = slice;
    change.weights.clone_from(&args.weight);
    let mut config = args.config();
    config.harts = args.harts.map_or(recording.harts(), usize::from);
    if args.schedule.is_none() {
        // Each hart goes on as time goes on: nothing is drawn that nobody asked for.
        config.schedule = hart_sim::Schedule::Time;
    }
    let mut text = heading();
    line(
        &mut text,
        &format!("recorded, {}", harts(recording.harts())),
        &recording.late(),
    );
    match (&args.seeds, &args.scale) {
        (Some(seeds), _) => {
            if args.schedule.is_none() {
                config.schedule = hart_sim::Schedule::Random;
            }
            let mut all = Vec::new();
            for seed in seeds.0.clone() {
                config.seed = seed;
                all.push((seed, one(args, &recording, &config, &change)?.late));
            }
            all.sort_by_key(|(seed, late)| (waited(late), *seed));
            for (what, at) in [
                ("best", 0),
                ("middle", all.len() / 2),
                ("worst", all.len() - 1),
            ] {
                let (seed, late) = &all[at];
                line(
                    &mut text,
                    &format!("{what} of {}, seed {seed}", all.len()),
                    late,
                );
            }
        }
        (None, Some(scale)) => {
            for size in &scale.0 {
                config.harts = *size;
                let replay = one(args, &recording, &config, &change)?;
                line(
                    &mut text,
                    &format!("replayed, {}", harts(*size)),
                    &replay.late,
                );
            }
        }
        (None, None) => {
            let replay = one(args, &recording, &config, &change)?;
            line(
                &mut text,
                &format!("replayed, {}", harts(config.harts)),
                &replay.late,
            );
            if let Some(file) = trace {
                file.write_with(|file| replay.machine.write_chrome_trace(file))?;
            }
            if let Some(path) = &args.report {
                let from = quote(&file.display().to_string());
                let title = format!("hart sim --from {from} --harts {}", config.harts);
                save(path, &recording.html_comparison(&replay, &title))?;
            }
        }
    }
    to_stdout(&text);
    Ok(0)
}

fn one(
    args: &SimArgs,
    recording: &Recording,
    config: &Config,
    change: &Change,
) -> Result<Replay, Failure> {
    let replay = recording.replay(config, change);
    if args.stats {
        to_stderr(&replay.machine.stats.to_string());
    }
    match &replay.machine.failure {
        None => Ok(replay),
        Some(broken) => {
            to_stderr(&broken.to_string());
            let oracle = broken.oracle;
            Err(Failure::new(ORACLE, format!("oracle {oracle} failed")))
        }
    }
}

fn waited(late: &Late) -> u64 {
    late.longest.as_ref().map_or(0, |longest| longest.waited)
}

fn harts(count: usize) -> String {
    format!("{count} {}", if count == 1 { "core" } else { "cores" })
}

fn heading() -> String {
    format!(
        "How late turns began after a spawn or a wake:\n{:<28} {:>8} {:>10} {:>10} {:>10}\n",
        "", "turns", "p50", "p99", "latest"
    )
}

/// A line of figures, and one of the latest turn.
fn line(text: &mut String, what: &str, late: &Late) {
    let time = |nanoseconds| show_duration(Duration::from_nanos(nanoseconds));
    let _ = writeln!(
        text,
        "{what:<28} {:>8} {:>10} {:>10} {:>10}",
        late.turns,
        time(late.p50),
        time(late.p99),
        time(waited(late))
    );
    let Some(longest) = &late.longest else {
        return;
    };
    let named = |name: &str, group: &str| match (name, group) {
        ("", "") => "a task".to_owned(),
        ("", group) => printable(group),
        (name, group) if name == group || group.is_empty() => printable(name),
        (name, group) => format!("{} of {}", printable(name), printable(group)),
    };
    let meanwhile = { longest.meanwhile.iter() }
        .map(|(group, spent)| format!("{} {}", named("", group), time(*spent)))
        .collect::<Vec<_>>();
    let meanwhile = match meanwhile.is_empty() {
        true => "nothing".into(),
        false => meanwhile.join(", "),
    };
    let who = named(&longest.name, &longest.group);
    let said = format!(
        "latest: {who}, at {}; meanwhile the cores ran {meanwhile}",
        time(longest.at)
    );
    let _ = writeln!(text, "  {}", one_line(&said));
}
