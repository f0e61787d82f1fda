//! Real guests on the machine.

use hart_sim::{Config, Faults, Guest, Schedule};

fn guest(name: &str) -> Guest {
    let file = hart_build::guest(name);
    Guest::new(&std::fs::read(file).unwrap())
        .unwrap()
        .name(name)
}

fn config(seed: u64) -> Config {
    let mut config = Config::new(seed);
    config.harts = 1 + (seed % 5) as usize;
    config.schedule = [Schedule::Random, Schedule::Pct(3), Schedule::RoundRobin][seed as usize % 3];
    config
}

// Hunts whatever the oracles see, where everything happens to guests that can: they are cancelled, closed,
// trapped, refused a place, and their harts stall, leave and come back.
#[test]
fn guests_under_heavy_faults() {
    let guests = [
        guest("tree").arg("5"),
        guest("pipeline").arg("3").arg("500"),
        guest("sleeper").arg("3").arg("5"),
        guest("hello"),
    ];
    let (mut well, mut ill) = (0, 0);
    for seed in 0..200 {
        let mut config = config(seed);
        config.faults = Faults::heavy();
        let run = guests[seed as usize % guests.len()].run(&config).unwrap();
        if let Some(failure) = run.machine.failure {
            panic!("seed {seed}: {failure}");
        }
        match run.result {
            Ok(_) => well += 1,
            Err(_) => ill += 1,
        }
    }
    println!("{well} {ill}");
    assert!(well > 20 && ill > 20, "{well} ended well, {ill} did not");
}
