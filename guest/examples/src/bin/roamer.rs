//! Has a task run on another machine, where tasks that spin keep this one busy: `roamer [idle] [whole] WHAT [ARGUMENT]`.
//!
//! | what | the task |
//! | --- | --- |
//! | `echo TEXT` | prints it and returns it |
//! | `fail TEXT` | returns it as its error |
//! | `trap TEXT` | panics with it |
//! | `exit CODE` | ends with this code |
//! | `memory` | asks for 64 MiB, and may use 16 |
//! | `cpu` | spins, with 50 ms of CPU time |
//! | `time` | spins, with 300 ms on the clock |
//! | `spin` | spins |
//! | `cancel` | spins, and is cancelled once the program has read its standard input to the end |
//! | `close` | the same, and its scope is closed |
//! | `leave` | spins, and the program ends after it has read its standard input to the end |
//! | `list DIRECTORY` | lists it |
//! | `spawn DEPTH` | spawns as deep |
//!
//! With `idle` nothing keeps the machine busy. With `whole` the task is denied nothing.

use std::io::Read as _;

use hart_guest::{Failure, Options, Rights, task};

#[task]
fn spin() {
    loop {
        std::hint::black_box(());
    }
}

#[task]
fn roam(what: String, argument: String) -> Result<String, String> {
    match what.as_str() {
        "echo" => {
            println!("{argument}");
            Ok(argument)
        }
        "fail" => Err(argument),
        "trap" => panic!("{argument}"),
        "exit" => hart_guest::exit(argument.parse().unwrap_or(0)),
        "memory" => Ok(std::hint::black_box(vec![1_u8; 64 << 20]).len().to_string()),
        "list" => {
            let listed = std::fs::read_dir(argument).map_err(|error| error.to_string())?;
            let names = listed.flatten().map(|entry| entry.file_name());
            let names: Vec<_> = names.map(|name| name.display().to_string()).collect();
            Ok(names.join(" "))
        }
        "spawn" => match argument.parse::<u32>() {
            Ok(0) | Err(_) => Ok("deep".into()),
            Ok(depth) => {
                let options = Options::new().anywhere();
                let below = ("spawn".to_string(), (depth - 1).to_string());
                let spawned = roam.spawn_with(below, &options);
                let task = spawned.map_err(|error| error.to_string())?;
                task.join().map_err(|error| error.to_string())
            }
        },
        _ => {
            println!("spins");
            loop {
                std::hint::black_box(());
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut takes = |name: &str| {
        let found = arguments.first().is_some_and(|first| first == name);
        found.then(|| arguments.remove(0)).is_some()
    };
    let (is_idle, is_whole) = (takes("idle"), takes("whole"));
    let mut arguments = arguments.into_iter();
    let what = arguments.next().unwrap_or_default();
    let argument = arguments.next().unwrap_or_default();
    if !is_idle {
        for _ in 0..hart_guest::parallelism().get() + 2 {
            drop(spin.spawn(())?);
        }
    }
    let needless = Rights::FILESYSTEM | Rights::NETWORK | Rights::ENVIRONMENT;
    let mut options = Options::new().anywhere();
    if !is_whole {
        options = options.deny(needless);
    }
    options = match what.as_str() {
        "memory" => options.memory(16 << 20),
        "cpu" => options.cpu_time(std::time::Duration::from_millis(50)),
        "time" => options.timeout(std::time::Duration::from_millis(300)),
        _ => options,
    };
    let task = match roam.spawn_with((what.clone(), argument), &options) {
        Ok(task) => task,
        Err(error) => {
            println!("{error}");
            return Ok(());
        }
    };
    if ["cancel", "close", "leave"].contains(&what.as_str()) {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    match what.as_str() {
        "cancel" => task.cancel(),
        "close" => hart_guest::close(),
        "leave" => return Ok(()),
        _ => {}
    }
    match task.join() {
        Ok(text) => println!("ok: {text}"),
        // The rest is a backtrace.
        Err(error) => println!("{}", error.to_string().lines().next().unwrap_or_default()),
    }
    Ok(())
}
