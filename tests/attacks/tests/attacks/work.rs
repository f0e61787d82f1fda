//! Work that the host does for guests.

use hart_attacks::{Ground, MIB, Memory, alone, guest};
use hart_host::Limits;

/// Fault: strings are copied or transcoded as a whole before their length is checked.
#[test]
fn long_names_are_not_read_to_their_end() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/names.wat")));
        let alone = ground.alone();
        let bytes: u32 = 100_000_000;
        // Room for the guests' own memories, and none for the host.
        let memory = Memory::watch(10 * u64::from(bytes) + 128 * MIB);
        let runs: Vec<_> = (0..10)
            .map(|_| ground.attack(&component, bytes).start().unwrap())
            .collect();
        ground.assert_served(alone);
        drop(runs);
        memory.assert_bounded();
    });
}

/// Fault: cleaning up after a run comes before all other work, and is charged to no one.
#[test]
fn cleaning_up_is_charged_to_whoever_made_the_work() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/storm.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(256 * MIB + 64 * MIB);
        let limits = Limits::new().memory(256 * MIB);
        let run = ground
            .attack(&component, 100_000)
            .limits(limits)
            .start()
            .unwrap();
        ground.assert_served(alone);
        run.cancel();
        ground.assert_served(alone);
        let _ = run.wait();
        memory.assert_bounded();
    });
}
