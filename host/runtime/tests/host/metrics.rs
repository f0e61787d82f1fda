//! What is counted for whoever watches.

use std::time::Duration;

use hart_host::{Host, LimitKind, Limits, MetricsFormat, RunError, Service, http};
use http_body_util::Empty;

use crate::support::*;

const SPINNER: &str = r#"
    (component
        (core module $m (func (export "f") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func (export "spin") (canon lift (core func $i "f"))))"#;

/// Hunts figures that nobody asked for, runs that are not counted or twice, and a limit that is counted for another one.
#[test]
pub fn figures_are_there_where_they_were_asked_for() {
    for wanted in [true, false] {
        let host: Host = builder().metrics(wanted).build().unwrap();
        let component = host.load(SPINNER.as_bytes()).unwrap();
        let limits = Limits::new().cpu_time(Duration::from_millis(5));
        for _ in 0..3 {
            let run = host.invoke(&component, "spin()").unwrap().limits(limits);
            let ended = run.start().unwrap().wait();
            let Err(RunError::TimedOut(reached)) = ended else {
                panic!("{ended:?}");
            };
            assert_eq!(reached.limit, LimitKind::CpuTime);
        }
        let metrics = host.metrics();
        let runs = &metrics.other_runs;
        let count = if wanted { 3 } else { 0 };
        assert_eq!(runs.cpu_seconds.count(), count);
        assert_eq!(runs.tasks, count);
        assert_eq!(runs.limits.get("cpu_time").copied().unwrap_or(0), count);
        assert_eq!(runs.limits.values().sum::<u64>(), count);
        assert_eq!(metrics.compile_seconds.count(), u64::from(wanted));
        // These are there in any case.
        assert_eq!((metrics.host.runs, metrics.host.live_runs), (3, 0));
        let cpu: f64 = { metrics.host.workers.iter() }
            .map(|worker| worker.cpu_time.as_secs_f64())
            .sum();
        assert!(cpu >= 0.015, "{metrics:?}");
        assert!(metrics.resident_memory > 0);
        let text = metrics.to_text(MetricsFormat::Prometheus);
        let line = format!("hart_limits_reached_total{{limit=\"cpu_time\"}} {count}\n");
        assert_eq!(text.contains(&line), wanted, "{text}");
    }
}

/// Hunts an app whose figures begin anew when it is exchanged, and one that is told when its service is gone.
#[test]
fn an_app_has_figures_as_long_as_a_service() {
    let host: Host = builder().metrics(true).build().unwrap();
    let file = hart_build::guest("hello-http");
    let component = host.load(&std::fs::read(file).unwrap()).unwrap();
    let tenant = host.tenant().name("acme").weight(7).build().unwrap();
    let service = || {
        let service = host.service(&component).name("acme");
        service.run(|run| run.tenant(&tenant)).build().unwrap()
    };
    let get = |service: &Service| {
        let request = http::Request::get("http://localhost/");
        let request = request.body(Empty::new()).unwrap();
        let tokio = host.runtime().tokio().unwrap();
        tokio.block_on(service.respond(request)).status()
    };
    let first = service();
    assert_eq!(get(&first), 200);
    let second = service();
    drop(first);
    assert_eq!(get(&second), 200);
    eventually("both are over", || host.live_guests() == 0);
    let metrics = host.metrics();
    let [app] = &metrics.apps[..] else {
        panic!("{metrics:?}");
    };
    assert_eq!((app.name.as_str(), app.statuses["200"]), ("acme", 2));
    assert_eq!((app.weight, app.duration_seconds.count()), (Some(7), 2));
    assert!(app.cpu_seconds > 0.0 && app.runs.cpu_seconds.count() == 2);
    drop(second);
    assert!(host.metrics().apps.is_empty());
}
