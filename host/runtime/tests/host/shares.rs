//! Components of which one instance takes very many slots.

use crate::support::*;
use hart_host::{Component, Host, Limits, Run, RunError, wasmtime::component::Val};

/// A component whose instance takes so many slots, and which spins or returns.
fn wide(host: &Host, slots: u32) -> Component {
    let instances: String = (1..slots)
        .map(|number| format!("(core instance $i{number} (instantiate $m))"))
        .collect();
    let text = format!(
        r#"(component
            (core module $m (memory 1)
                (func (export "f") (param $spins i32)
                    (loop $again (br_if $again (local.get $spins)))))
            (core instance $i (instantiate $m))
            {instances}
            (func (export "f") (param "spins" u32) (canon lift (core func $i "f"))))"#
    );
    host.load(text.as_bytes()).unwrap()
}

fn call(host: &Host, component: &Component, spins: bool) -> hart_host::RunBuilder {
    host.call(component, "f", vec![Val::U32(u32::from(spins))])
}

fn spin(host: &Host, component: &Component) -> Run {
    call(host, component, true).start().unwrap()
}

/// Fault: one instance that takes nearly all slots, so that nobody else has any for as long as it lives.
#[test]
fn one_instance_takes_no_more_than_its_share() {
    for slots in [3_u32, 7, 30, 100] {
        let host = builder().instances(slots).build().unwrap();
        let most = (2 * slots).div_ceil(3);
        for refused in [most + 1, slots - 1, slots] {
            if refused <= most {
                continue;
            }
            let component = wide(&host, refused);
            let Err(RunError::Setup(said)) = call(&host, &component, false).start() else {
                panic!("{refused} of {slots} slots")
            };
            assert!(
                said.contains(&format!("takes {refused} slots")) && said.contains("instances"),
                "{said}"
            );
            // The way out that it names is one, and the least one.
            let word = said.split("instances` to ").nth(1).unwrap();
            let enough: u32 = word.split_whitespace().next().unwrap().parse().unwrap();
            let larger = builder().instances(enough).build().unwrap();
            let component = wide(&larger, refused);
            call(&larger, &component, false)
                .start()
                .unwrap()
                .wait()
                .unwrap();
            let smaller = builder().instances(enough - 1).build().unwrap();
            let component = wide(&smaller, refused);
            assert!(call(&smaller, &component, false).start().is_err());
        }
        // The largest that is taken leaves room for others, who come and go beside it.
        let largest = spin(&host, &wide(&host, most));
        eventually("it has its slots", || host.pool().in_use == u64::from(most));
        let narrow = wide(&host, 1);
        let others = (0..20).map(|_| call(&host, &narrow, false).start().unwrap());
        for other in others.collect::<Vec<_>>() {
            other.wait().unwrap();
        }
        largest.cancel();
        assert!(matches!(largest.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);
    }
}

/// Fault: the same by several instances of a tenant, the last of which takes what is left.
#[test]
fn instances_of_a_tenant_take_no_more_than_its_share_together() {
    let host = builder().instances(100).build().unwrap();
    let component = wide(&host, 30);
    let tenant = host.tenant().build().unwrap();
    let runs: Vec<Run> = (0..4)
        .map(|_| {
            let run = call(&host, &component, true).tenant(&tenant);
            run.start().unwrap()
        })
        .collect();
    eventually("two have their slots", || host.pool().in_use == 60);
    // Another sharer's runs come and go, and the third one has had its chances.
    let lab = lab(&host);
    let alone = Limits::new().depth(1).timeout(HANG);
    for _ in 0..20 {
        let other = run(&host, &lab, &spawn(&say(b'x')).join(0)).limits(alone);
        assert_eq!(said(other.start().unwrap().wait()).unwrap(), "k(x)");
        assert!(host.pool().in_use <= 62, "{:?}", host.pool());
    }
    // Those that waited get theirs, in the end.
    for run in runs {
        // It is alone in the end, and its first poll goes on.
        eventually("it runs", || !run.stats().cpu_time.is_zero());
        run.cancel();
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    }
    assert_nothing_left(&host);
}
