//! Slots in the pool of instances.

use hart_attacks::{Ground, MIB, Memory, alone};

/// Fault: the rule for sharing the pool holds for runs that spawn, but not for one large instance.
#[test]
fn one_instance_leaves_slots_for_others() {
    alone(|| {
        let ground = Ground::new(|builder| builder.instances(1_000));
        let text = format!(
            r#"(component
            (core module $spins (memory 1)
                (func (export "f") (param i32) (result i32) (loop $ever (br $ever)) unreachable))
            {}
            (core instance $i (instantiate $spins))
            (func (export "attack") (param "number" u32) (result u32) (canon lift (core func $i "f"))))"#,
            "(core instance (instantiate $spins))".repeat(980)
        );
        let alone = ground.alone();
        let memory = Memory::watch(256 * MIB);
        // Without the victim's own, it leaves less than what spawns of a run wait for. It may be refused, at either door.
        if let Ok(component) = ground.host.load(text.as_bytes()) {
            let runs: Vec<_> = (0..2)
                .filter_map(|_| ground.attack(&component, 0).start().ok())
                .collect();
            ground.assert_served(alone);
            drop(runs);
        }
        ground.assert_served(alone);
        memory.assert_bounded();
    });
}
