//! `-W`: what a run may use.

use crate::failure::Failure;
use crate::keys::{Applied, Group, Key, required};
use crate::output::to_stdout;
use crate::tuning::{self, Tuning, TuningArgs};
use crate::units::{count, positive_duration, show_size, size};
use clap::Args;
use hart_host::{LimitKind, LimitReached, Limits};
use std::time::Duration;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// End the run after this long, with exit code 124
    #[arg(long, value_name = "D", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Limit memory, CPU time, tasks, files, results, output, and set proposals: `-W help` lists the keys and defaults
    #[arg(
        short = 'W',
        long = "wasm",
        value_name = "KEY=VALUE",
        allow_hyphen_values = true
    )]
    pub(crate) limits: Vec<String>,
}

const NONE: &str = "none";

/// A limit of memory that no guest reaches: more than a process can address.
const NO_LIMIT: u64 = 1 << 48;

/// The keys of `-W`, with the defaults that the host crate really has. `memory` is the default of `max-memory`, if it
/// is another one.
pub(crate) fn group(memory: Option<u64>) -> Group<Limits> {
    Group {
        flag: "-W",
        title: "-W KEY=VALUE[,KEY=VALUE..]: what a run may use. A task that reaches a limit ends, or its\n\
                spawn is refused, with an error that names the limit. Sizes: 64MiB. Durations: 10ms.",
        keys: vec![
            Key {
                name: "max-memory",
                value: "SIZE",
                default: match memory {
                    None => show_size(Limits::DEFAULT_MEMORY),
                    Some(_) => NONE.into(),
                },
                help: "Memory of the whole run: linear memories, tables, inputs, results not yet joined.",
                set: |limits, value| put(&mut limits.memory, size, value),
            },
            Key {
                name: "max-task-memory",
                value: "SIZE",
                default: String::from("max-memory"),
                help: "Memory of one task.",
                set: |limits, value| put(&mut limits.task_memory, size, value),
            },
            Key {
                name: "max-memory-size",
                value: "SIZE",
                default: String::from("what the pool has"),
                help: "Bytes of one linear memory. One that would be larger does not grow, and the guest is told so.",
                set: |limits, value| put(&mut limits.memory_size, size, value),
            },
            Key {
                name: "max-table-elements",
                value: "N",
                default: String::from("what the pool has"),
                help: "Elements of one table. One that would be larger does not grow, and the guest is told so.",
                set: |limits, value| put(&mut limits.table_elements, count, value),
            },
            Key {
                name: "timeout",
                value: "DURATION",
                default: NONE.into(),
                help: "Time limit of the run; the same as --timeout, but a number alone is seconds.",
                set: |limits, value| put(&mut limits.timeout, seconds, value),
            },
            Key {
                name: "cpu-time",
                value: "DURATION",
                default: NONE.into(),
                help: "CPU time of the whole run, on all workers.",
                set: |limits, value| put(&mut limits.cpu_time, positive_duration, value),
            },
            Key {
                name: "task-cpu-time",
                value: "DURATION",
                default: NONE.into(),
                help: "CPU time of one task.",
                set: |limits, value| put(&mut limits.task_cpu_time, positive_duration, value),
            },
            Key {
                name: "cpu-rate",
                value: "CORES",
                default: NONE.into(),
                help: "Cores that the whole run may use on average: 0.5 is half a core, 2 are two.",
                set: |limits, value| put(&mut limits.cpu_rate, millicores, value),
            },
            Key {
                name: "fuel",
                value: "UNITS",
                default: NONE.into(),
                help: "Fuel of the whole run, about one unit per instruction; implies --preempt fuel.",
                set: |limits, value| put(&mut limits.fuel, count, value),
            },
            Key {
                name: "task-fuel",
                value: "UNITS",
                default: NONE.into(),
                help: "Fuel of one task; implies --preempt fuel.",
                set: |limits, value| put(&mut limits.task_fuel, count, value),
            },
            Key {
                name: "max-tasks",
                value: "N",
                default: Limits::DEFAULT_TASKS.to_string(),
                help: "Tasks alive at the same time, including those that wait for a slot.",
                set: |limits, value| put(&mut limits.tasks, at_least_one, value),
            },
            Key {
                name: "max-depth",
                value: "N",
                default: Limits::DEFAULT_DEPTH.to_string(),
                help: "How deep spawns may nest; the root task has depth 0.",
                set: |limits, value| put(&mut limits.depth, count32, value),
            },
            Key {
                name: "max-queued",
                value: "N",
                default: Limits::DEFAULT_QUEUED.to_string(),
                help: "Spawns that wait for a slot in the pool of instances.",
                set: |limits, value| put(&mut limits.queued, count, value),
            },
            Key {
                name: "spawn-rate",
                value: "N",
                default: NONE.into(),
                help: "Spawns per second; more are refused.",
                set: |limits, value| put(&mut limits.spawn_rate, at_least_one, value),
            },
            Key {
                name: "max-handles",
                value: "N",
                default: Limits::DEFAULT_HANDLES.to_string(),
                help: "Handles (files, streams, pollables, tasks) that the whole run may hold, plus 8 for each task; \
                       each counts as 256 bytes of max-memory.",
                set: |limits, value| put(&mut limits.handles, count32, value),
            },
            Key {
                name: "max-files",
                value: "N",
                default: format!("{}, and at most 3/8 of ulimit -n", Limits::DEFAULT_FILES),
                help: "Files, directories and sockets that the whole run may have open at the same time.",
                set: |limits, value| put(&mut limits.files, count, value),
            },
            Key {
                name: "max-input",
                value: "SIZE",
                default: show_size(Limits::DEFAULT_INPUT_BYTES),
                help: "Bytes of one task's input.",
                set: |limits, value| put(&mut limits.input_bytes, size, value),
            },
            Key {
                name: "max-result",
                value: "SIZE",
                default: show_size(Limits::DEFAULT_RESULT_BYTES),
                help: "Bytes of one task's result.",
                set: |limits, value| put(&mut limits.result_bytes, size, value),
            },
            Key {
                name: "max-output",
                value: "SIZE",
                default: NONE.into(),
                help: "Bytes written to standard output and standard error together.",
                set: |limits, value| put(&mut limits.output_bytes, size, value),
            },
            Key {
                name: "max-blocking-threads",
                value: "N",
                default: Limits::DEFAULT_BLOCKING_THREADS.to_string(),
                help: "Threads that wait for file operations; a run uses at most a quarter of them at a time.",
                set: |limits, value| put(&mut limits.blocking_threads, at_least_one, value),
            },
        ],
        refused: &[],
    }
}

/// The names of the keys.
pub(crate) fn names() -> Vec<&'static str> {
    group(None).keys.iter().map(|key| key.name).collect()
}

/// Sets what a key of `-W` says; the name has to be one of [`names`].
///
/// # Errors
/// A value that the key does not take.
pub(crate) fn set(limits: &mut Limits, name: &str, value: &str) -> Result<(), String> {
    let group = group(None);
    let key = group.keys.iter().find(|key| key.name == name);
    key.map_or(Ok(()), |key| (key.set)(limits, Some(value)))
}

fn put<T>(
    field: &mut Option<T>,
    parse: fn(&str) -> Result<T, String>,
    value: Option<&str>,
) -> Result<(), String> {
    *field = Some(parse(required(value)?)?);
    Ok(())
}

/// A duration above zero; a number alone is seconds, as in wasmtime.
fn seconds(text: &str) -> Result<Duration, String> {
    match count(text) {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => positive_duration(text),
    }
}

fn at_least_one(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err(String::from("nothing runs with 0; use 1 or more")),
        count => Ok(count),
    }
}

/// Cores, with up to three decimals, in thousandths.
fn millicores(text: &str) -> Result<u32, String> {
    let way_out = || format!("`{text}` is no number of cores; 0.5 is half a core, 2 are two");
    let cores: f64 = text.parse().map_err(|_| way_out())?;
    let millicores = (cores * 1e3).round();
    if !(1.0..=4e9).contains(&millicores) {
        return Err(way_out());
    }
    Ok(millicores as u32)
}

fn count32(text: &str) -> Result<u32, String> {
    u32::try_from(count(text)?).map_err(|_| format!("`{text}` is too large; use less than 2^32"))
}

/// What `--timeout` and `-W` say, where code is not to be tuned; `None` where they asked for help, which has been
/// printed.
///
/// # Errors
/// As [`wasm`], and a key that tunes code.
pub(crate) fn limits(args: &LimitArgs) -> Result<Option<Limits>, Failure> {
    let tunes = |name: &&str| tuning::wasm_group().has(name) && !names().contains(name);
    let mut names = args.limits.iter().flat_map(|text| text.split(','));
    if let Some(name) = names.find(|text| tunes(&key_of(text))) {
        return Err(Failure::usage(format!(
            "-W {}: only `hart run`, `compile`, `serve`, `wast` and `work` take this key",
            key_of(name)
        )));
    }
    Ok(apply(args, None)?.map(|(limits, _)| limits))
}

/// What `--timeout` and `-W` say; `None` where they asked for help, which has been printed.
///
/// # Errors
/// An unknown key, or a value that a key does not take.
fn wasm(args: &LimitArgs) -> Result<Option<(Limits, Tuning)>, Failure> {
    apply(args, None)
}

/// The same, and all that is said of the host; `None` as above.
///
/// # Errors
/// As [`wasm`], and those of [`Tuning::new`].
pub(crate) fn with_tuning(
    args: &LimitArgs,
    tuning: &TuningArgs,
) -> Result<Option<(Limits, Tuning)>, Failure> {
    let Some((limits, proposals)) = wasm(args)? else {
        return Ok(None);
    };
    let tuning = Tuning::new(tuning)?;
    Ok(tuning.map(|tuning| (limits, tuning.and(proposals))))
}

/// The same as [`wasm`] for test scripts. Their memory has no limit by default, as in `wasmtime wast`: a script may expect that a
/// memory of 4 GiB grows, or how a guest fails without a limit.
///
/// # Errors
/// As [`limits`].
pub(crate) fn limits_of_scripts(args: &LimitArgs) -> Result<Option<(Limits, Tuning)>, Failure> {
    apply(args, Some(NO_LIMIT))
}

/// The name of a key in `key[=value]`.
fn key_of(text: &str) -> &str {
    text.split('=').next().unwrap_or_default().trim()
}

fn apply(args: &LimitArgs, memory: Option<u64>) -> Result<Option<(Limits, Tuning)>, Failure> {
    let (mut limits, mut tuning) = (Limits::new(), Tuning::default());
    limits.memory = memory;
    let (group, code) = (group(memory), tuning::wasm_group());
    let arguments = args.limits.iter().flat_map(|text| text.split(','));
    let (of_code, of_limits): (Vec<String>, Vec<String>) = arguments
        .map(str::to_owned)
        .partition(|text| code.has(key_of(text)));
    if let Applied::Help(text) = group.apply(&mut limits, &of_limits)? {
        to_stdout(&format!("{text}\n{}", code.help()));
        return Ok(None);
    }
    code.apply(&mut tuning, &of_code)?;
    if args.timeout.is_some() {
        limits.timeout = args.timeout;
    }
    Ok(Some((limits, tuning)))
}

/// What was reached, and which option raises it.
pub(crate) fn explain(reached: LimitReached) -> String {
    let LimitReached { limit, value, .. } = reached;
    let (name, amount, way_out) = match limit {
        LimitKind::Memory => ("max-memory", show_size(value), "-W max-memory=SIZE"),
        LimitKind::TaskMemory => (
            "max-task-memory",
            show_size(value),
            "-W max-task-memory=SIZE",
        ),
        LimitKind::CpuTime => ("cpu-time", time(value), "-W cpu-time=D"),
        LimitKind::TaskCpuTime => ("task-cpu-time", time(value), "-W task-cpu-time=D"),
        LimitKind::Fuel => ("fuel", format!("{value} units"), "-W fuel=UNITS"),
        LimitKind::TaskFuel => ("task-fuel", format!("{value} units"), "-W task-fuel=UNITS"),
        LimitKind::Timeout => ("timeout", time(value), "--timeout D"),
        LimitKind::Tasks => ("max-tasks", value.to_string(), "-W max-tasks=N"),
        LimitKind::Depth => ("max-depth", value.to_string(), "-W max-depth=N"),
        LimitKind::Queued => ("max-queued", value.to_string(), "-W max-queued=N"),
        LimitKind::SpawnRate => (
            "spawn-rate",
            format!("{value} per second"),
            "-W spawn-rate=N",
        ),
        LimitKind::InputBytes => ("max-input", show_size(value), "-W max-input=SIZE"),
        LimitKind::ResultBytes => ("max-result", show_size(value), "-W max-result=SIZE"),
        LimitKind::OutputBytes => ("max-output", show_size(value), "-W max-output=SIZE"),
        LimitKind::Handles => ("max-handles", value.to_string(), "-W max-handles=N"),
        LimitKind::Files => ("max-files", value.to_string(), "-W max-files=N"),
        LimitKind::HostcallFuel => ("hostcall-fuel", show_size(value), "-S hostcall-fuel=SIZE"),
        LimitKind::RandomBytes => (
            "max-random-size",
            show_size(value),
            "-S max-random-size=SIZE",
        ),
        _ => return reached.to_string(),
    };
    format!("the limit {name} of {amount} was reached; {way_out} raises it")
}

fn time(nanoseconds: u64) -> String {
    format!("{:?}", Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts keys that parse and then set nothing, or set another key's limit.
    #[test]
    fn every_key_sets_a_limit_of_its_own() {
        let group = group(None);
        let mut seen: Vec<Limits> = Vec::new();
        for key in &group.keys {
            let value = match key.value {
                "DURATION" => "7ms",
                _ => "7",
            };
            let mut limits = Limits::new();
            group
                .apply(&mut limits, &[format!("{}={value}", key.name)])
                .unwrap();
            assert_ne!(limits, Limits::new(), "{}", key.name);
            assert!(!seen.contains(&limits), "{}", key.name);
            seen.push(limits);
        }
    }

    /// Hunts `-W` values that win over the dedicated option, and the reverse being lost.
    #[test]
    fn timeout_is_one_limit_with_two_names() {
        let args = |timeout, limits: &[&str]| LimitArgs {
            timeout,
            limits: limits.iter().map(ToString::to_string).collect(),
        };
        let second = Some(Duration::from_secs(1));
        let both = limits(&args(second, &["timeout=2s"])).unwrap().unwrap();
        assert_eq!(both.timeout, second);
        let key = limits(&args(None, &["timeout=1s"])).unwrap().unwrap();
        assert_eq!(key.timeout, second);
    }
}
