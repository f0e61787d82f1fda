//! Runs whose root is a task: `Host::task`.

use crate::support::*;
use hart_host::{Host, LimitKind, Limits, Outcome, RunError};

fn task(host: &Host, script: &Script, limits: Limits) -> Result<Outcome, RunError> {
    let lab = lab(host);
    let run = host.task(&lab, "lab", script.0.clone()).limits(limits);
    run.start()?.wait()
}

/// Fault: bytes of a root that are lost, an error of its own that is taken for the run's, or the reverse.
#[test]
fn a_root_returns_its_bytes() {
    let host = host();
    let free = Limits::new();
    let returned = task(&host, &say(b'x').say(b'y'), free).unwrap();
    assert_eq!(returned.returned, Some(Ok(b"xy".to_vec())));
    assert_eq!(returned.exit_code, 0);
    let failed = task(&host, &fail(), free).unwrap();
    assert!(matches!(failed.returned, Some(Err(_))), "{failed:?}");
    assert_eq!(failed.exit_code, 1);
    let exited = task(&host, &exit_err(), free).unwrap();
    assert_eq!((exited.returned, exited.exit_code), (None, 1));
    let trapped = task(&host, &trap(), free).unwrap_err();
    assert_eq!(trapped.exit_code(), 134, "{trapped:?}");
    // It spawns as any root does.
    let joined = task(&host, &spawn(&say(b'z')).join(0), free).unwrap();
    assert_eq!(joined.returned, Some(Ok(b"k(z)".to_vec())));
    assert_nothing_left(&host);
}

/// Fault: a root whose input or result nobody counts, and a component without tasks that starts.
#[test]
fn inputs_and_results_of_roots_have_limits() {
    let host = host();
    let long = (0..100).fold(say(b'x'), |script, _| script.say(b'x'));
    let limit = |limits| {
        task(&host, &long, limits)
            .unwrap_err()
            .limit()
            .unwrap()
            .limit
    };
    assert_eq!(limit(Limits::new().input_bytes(10)), LimitKind::InputBytes);
    assert_eq!(limit(Limits::new().memory(10)), LimitKind::Memory);
    assert_eq!(
        limit(Limits::new().result_bytes(10)),
        LimitKind::ResultBytes
    );
    let free = task(&host, &long, Limits::new()).unwrap();
    assert!(free.stats.peak_memory > long.0.len() as u64, "{free:?}");
    let none = host.load(b"(component)").unwrap();
    let refused = host.task(&none, "x", Vec::new()).start().unwrap_err();
    assert!(refused.to_string().contains("exports no hart:exec/entry"));
    assert_nothing_left(&host);
}
