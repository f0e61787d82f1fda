//! Whoever watches: metrics, `hart top`, and changes by the admin socket.

mod tools;

use crate::apps::swap::trapper;
use crate::apps::until;
use crate::serve::{Answer, Server};
use crate::support::{Running, SPINNER, Scratch, command, hart};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

/// Asks an admin socket; `more` are further headers, each with its end of line.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, more: &str, body: &[u8]) -> Answer {
    exchange(
        UnixStream::connect(socket).unwrap(),
        "localhost",
        method,
        path,
        more,
        body,
    )
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    method: &str,
    path: &str,
    more: &str,
    body: &[u8],
) -> Answer {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::read(&answer)
}

fn post(socket: &Path, path: &str, body: &str) -> Answer {
    ask(socket, "POST", path, "", body.as_bytes())
}

/// Metrics as text.
fn metrics(socket: &Path) -> String {
    let answer = ask(socket, "GET", "/metrics", "", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let content_type = answer.header("content-type").unwrap().to_owned();
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    answer.text()
}

/// The value of a series, by its name and labels.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series}: {metrics}"));
    line.parse().unwrap()
}

fn stats(socket: &Path) -> Value {
    let answer = ask(socket, "GET", "/stats", "", b"");
    serde_json::from_str(&answer.text()).unwrap()
}

/// A server of two apps.
struct Watched {
    server: Server,
    socket: PathBuf,
    _scratch: Scratch,
}

impl Watched {
    fn start(options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let lab = hart_build::guest("http-lab");
        let lab = lab.to_string_lossy();
        let file = scratch.write(
            "hart.toml",
            format!(
                r#"
admin = ["hart.sock", "127.0.0.1:0"]
[[app]]
name = "quiet"
component = "{lab}"
path = "/quiet"
weight = 300
[[app]]
name = "noisy"
component = "{lab}"
path = "/noisy"
concurrency = 1
queue = 0
[app.limits]
timeout = "200s"
"#
            ),
        );
        Self {
            server: Server::start(options, &file.to_string_lossy()),
            socket: scratch.path().join("hart.sock"),
            _scratch: scratch,
        }
    }
}

/// Hunts a request that is not counted, is counted as another one or for another app, and a limit that has no name.
#[test]
pub(crate) fn what_is_answered_is_counted() {
    let watched = Watched::start(&[]);
    let (server, socket) = (&watched.server, &watched.socket);
    for _ in 0..3 {
        server.text("/quiet/hello");
    }
    assert_eq!(server.get("/quiet/trap").status, 500);
    assert_eq!(server.get("/quiet/status/418").status, 418);
    // One that runs, one that finds no room, and one whose client goes away.
    let running = get_aside(server, "/noisy/sleep/60000");
    until("it runs", || {
        value(&metrics(socket), "hart_requests_running{app=\"noisy\"}") == 1.0
    });
    assert_eq!(server.get("/noisy/hello").status, 503);
    drop(running);
    until("its client's end is seen", || {
        value(
            &metrics(socket),
            "hart_requests_abandoned_total{app=\"noisy\"}",
        ) == 1.0
    });
    until("all is over", || {
        let text = metrics(socket);
        value(&text, "hart_run_cpu_seconds_count{app=\"quiet\"}") == 5.0
            && value(&text, "hart_runs_live") == 0.0
    });
    let text = metrics(socket);
    for (series, expected) in [
        ("hart_requests_total{app=\"quiet\",status=\"200\"}", 3.0),
        ("hart_requests_total{app=\"quiet\",status=\"500\"}", 1.0),
        ("hart_requests_total{app=\"quiet\",status=\"4xx\"}", 1.0),
        ("hart_requests_total{app=\"quiet\",status=\"503\"}", 0.0),
        ("hart_requests_total{app=\"noisy\",status=\"503\"}", 1.0),
        ("hart_requests_refused_total{app=\"noisy\"}", 1.0),
        ("hart_request_duration_seconds_count{app=\"quiet\"}", 5.0),
        ("hart_run_traps_total{app=\"quiet\"}", 1.0),
        ("hart_run_traps_total{app=\"noisy\"}", 0.0),
        ("hart_run_peak_memory_bytes_count{app=\"quiet\"}", 5.0),
        ("hart_app_weight{app=\"quiet\"}", 300.0),
        (
            "hart_compile_seconds_count",
            value(&text, "hart_compile_seconds_bucket{le=\"+Inf\"}"),
        ),
    ] {
        assert_eq!(value(&text, series), expected, "{series}: {text}");
    }
    for series in [
        "hart_app_cpu_seconds_total{app=\"quiet\"}",
        "hart_run_cpu_seconds_sum{app=\"quiet\"}",
        "hart_worker_cpu_seconds_total{worker=\"0\"}",
        "hart_worker_polls_total{worker=\"0\"}",
        "hart_runs_started_total",
        "process_resident_memory_bytes",
        "hart_pool_slots",
    ] {
        assert!(value(&text, series) > 0.0, "{series}: {text}");
    }
    until("the lag is measured", || {
        value(&metrics(socket), "hart_event_loop_lag_seconds_count") > 0.0
    });
}

/// Sends a request, and gives its connection.
fn get_aside(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(&crate::serve::get(path)).unwrap();
    stream
}

/// Hunts a limit that ends a request and is counted nowhere, or under a name that nobody knows.
#[test]
fn limits_are_counted_by_their_names() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("hart.sock");
    let lab = hart_build::guest("http-lab");
    let options = ["--admin", &socket.to_string_lossy(), "-W", "timeout=5s"];
    let server = Server::start(&options, &lab.to_string_lossy());
    assert_eq!(server.get("/sleep/60000").status, 504);
    until("the limit is counted", || {
        let series = "hart_limits_reached_total{app=\"http-lab\",limit=\"timeout\"}";
        value(&metrics(&socket), series) == 1.0
    });
}

/// Hunts a client that asks for OpenMetrics and gets something that is none.
#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let watched = Watched::start(&[]);
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let answer = ask(&watched.socket, "GET", "/metrics", accept, b"");
    let content_type = answer.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF"), "{text}");
    assert!(text.contains("# TYPE hart_requests counter\n"), "{text}");
}

/// Hunts a page in a browser, or another user of the machine, who changes something; and one who reads by a name that was
/// made to lead here.
#[test]
fn over_tcp_there_is_only_reading() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = Server::lab(&["--admin", &address.to_string()]);
    let ask = |host: &str, method: &str, path: &str| {
        let stream = TcpStream::connect(address).unwrap();
        exchange(stream, host, method, path, "", b"").status
    };
    assert_eq!(server.text("/hello"), "hello");
    for host in ["localhost", "127.0.0.1:9", "[::1]:9"] {
        assert_eq!(ask(host, "GET", "/metrics"), 200, "{host}");
    }
    assert_eq!(ask("evil.example", "GET", "/metrics"), 403);
    for path in ["/apps/http-lab", "/apps/http-lab/share", "/runs/1/cancel"] {
        assert_eq!(ask("localhost", "POST", path), 403, "{path}");
    }
    assert_eq!(ask("localhost", "POST", "/metrics"), 405);
    let shown = hart(["top", &address.to_string(), "--once", "--json"]).exits(0);
    assert!(shown.stdout.contains("\"http-lab\""), "{shown:#?}");
    let refused = hart(["serve", "--admin", "0.0.0.0:9100", "x.wasm"]).exits(2);
    assert!(refused.stderr.contains("127.0.0.1:9100"), "{refused:#?}");
}

/// Hunts a share that is not what was asked for, is lost when the app is loaded anew, or makes no sense and is taken.
#[test]
fn shares_of_apps_and_runs_change() {
    let watched = Watched::start(&[]);
    let socket = &watched.socket;
    let quiet = || stats(socket)["metrics"]["apps"][1].clone();
    assert_eq!(
        (&quiet()["name"], &quiet()["weight"]),
        (&"quiet".into(), &300.into())
    );
    let share = r#"{"weight": 50, "cpu_rate": 0.5}"#;
    assert_eq!(post(socket, "/apps/quiet/share", share).status, 200);
    assert_eq!(
        (&quiet()["weight"], &quiet()["cpu_rate"]),
        (&50.into(), &500.into())
    );
    assert_eq!(post(socket, "/apps/quiet", "").status, 200);
    assert_eq!(quiet()["weight"], 50);
    assert_eq!(
        post(socket, "/apps/quiet/share", r#"{"cpu_rate": 0}"#).status,
        200
    );
    assert_eq!(quiet()["cpu_rate"], Value::Null);

    let _running = get_aside(&watched.server, "/noisy/sleep/60000");
    let run = || stats(socket)["runs"][0].clone();
    until("it runs", || run()["id"].is_u64());
    let path = format!("/runs/{}/share", run()["id"]);
    assert_eq!(post(socket, &path, share).status, 200);
    assert_eq!(
        (&run()["weight"], &run()["cpu_rate"]),
        (&50.into(), &500.into())
    );

    for (path, body, status, why) in [
        (
            "/apps/quiet/share",
            r#"{"weight": 0}"#,
            400,
            "weight of zero",
        ),
        ("/apps/quiet/share", r#"{"weight": -1}"#, 400, "cpu_rate"),
        ("/apps/quiet/share", r#"{"cpu_rate": -1}"#, 400, "cores"),
        ("/apps/quiet/share", r#"{"wait": 1}"#, 400, "wait"),
        ("/apps/quiet/share", "{}", 400, "nothing"),
        ("/apps/quiet/share", "", 400, "weight"),
        ("/apps/other/share", share, 404, "quiet, noisy"),
        ("/runs/999999/share", share, 404, "/stats"),
        ("/runs/x/share", share, 404, "/stats"),
        ("/runs/999999/cancel", "", 404, "/stats"),
    ] {
        let refused = post(socket, path, body);
        assert_eq!(refused.status, status, "{path} {body}: {refused:?}");
        assert!(refused.text().contains(why), "{path} {body}: {refused:?}");
    }
    assert_eq!(quiet()["weight"], 50);
}

/// Hunts an app that has neither weight nor CPU time any more after another component was refused.
#[test]
fn a_refused_component_takes_no_figures_away() {
    let watched = Watched::start(&[]);
    let socket = &watched.socket;
    watched.server.text("/quiet/hello");
    let quiet = || stats(socket)["metrics"]["apps"][1].clone();
    let cpu = |app: &Value| app["cpu_seconds"].as_f64().unwrap();
    until("it has used CPU time", || cpu(&quiet()) > 0.0);
    let before = quiet();
    let refused = ask(socket, "POST", "/apps/quiet", "", &trapper("http-lab"));
    assert_eq!(refused.status, 422, "{refused:?}");
    let after = quiet();
    assert_eq!(after["name"], "quiet");
    assert_eq!(after["weight"], 300, "{after}");
    assert!(cpu(&after) >= cpu(&before), "{before} {after}");
}

/// Hunts a request that goes on after it was ended by the socket, or takes others with it.
#[test]
fn a_request_is_ended_by_its_number() {
    let watched = Watched::start(&[]);
    let socket = watched.socket.clone();
    thread::scope(|scope| {
        let spins = scope.spawn(|| watched.server.get("/noisy/sleep/60000"));
        until("it runs", || stats(&socket)["runs"][0]["id"].is_u64());
        let id = stats(&socket)["runs"][0]["id"].clone();
        assert_eq!(watched.server.text("/quiet/hello"), "hello");
        assert_eq!(post(&socket, &format!("/runs/{id}/cancel"), "").status, 200);
        assert_eq!(spins.join().unwrap().status, 503);
    });
    assert_eq!(watched.server.text("/noisy/hello"), "hello");
}

/// Hunts a run that cannot be watched, a share of a lone run that does nothing, and a socket that stays behind.
#[test]
pub(crate) fn a_run_is_watched_and_ended() {
    let scratch = Scratch::new();
    let (file, socket) = (scratch.write("spin.wat", SPINNER), scratch.path().join("s"));
    let socket_name = socket.to_string_lossy().into_owned();
    let run = Running::hart([
        "run",
        "--workers",
        "1",
        "--admin",
        &socket_name,
        &file.to_string_lossy(),
    ]);
    until("it listens", || UnixStream::connect(&socket).is_ok());
    run.wait_for_the_guest();
    let top = |more: &[&str]| {
        let line = ["top", &socket_name, "--once", "--interval", "300ms"];
        hart(line.iter().chain(more)).exits(0).stdout
    };
    let mut view = Value::Null;
    // A busy machine may give it nothing for a while, or have another thread take the worker's place.
    until("it is seen to compute", || {
        view = serde_json::from_str(&top(&["--json"])).unwrap();
        let workers = view["workers"].as_array().unwrap().iter();
        let mut busy = workers.map(|worker| worker["utilization"].as_f64().unwrap());
        view["runs"][0]["cpu"].as_f64().unwrap() > 0.0 && busy.any(|busy| busy > 0.0)
    });
    let shown = &view["runs"][0];
    assert_eq!(shown["name"], "spin.wat");
    assert_eq!(shown["share"], 1.0);

    let id = shown["id"].clone();
    let share = post(
        &socket,
        &format!("/runs/{id}/share"),
        r#"{"cpu_rate": 0.1}"#,
    );
    assert_eq!(share.status, 200);
    until("it is slowed down", || {
        let view: Value = serde_json::from_str(&top(&["--json"])).unwrap();
        view["runs"][0]["cpu"].as_f64().unwrap() < 0.5
    });
    let shown = top(&["--sort", "memory"]);
    assert!(shown.contains("spin.wat"), "{shown}");
    assert!(!top(&["--filter", "other"]).contains("spin.wat"));
    assert_eq!(post(&socket, &format!("/runs/{id}/cancel"), "").status, 200);
    let ended = run.wait();
    assert_ne!(ended.code(), 0, "{ended:#?}");
    assert!(!socket.exists());
}

/// Hunts a picture that lacks something, and options that are taken and do nothing.
#[test]
pub(crate) fn one_picture_shows_apps_in_order() {
    let watched = Watched::start(&["--workers", "2"]);
    let _spins = get_aside(&watched.server, "/noisy/spin/100000");
    let socket = watched.socket.to_string_lossy();
    let top = |more: &[&str]| {
        let line = ["top", &*socket, "--once", "--interval", "300ms"];
        hart(line.iter().chain(more)).exits(0).stdout
    };
    until("it computes", || {
        let view: Value = serde_json::from_str(&top(&["--json"])).unwrap();
        view["apps"][0]["cpu"].as_f64().unwrap() > 0.1 && view["apps"][0]["name"] == "noisy"
    });
    let shown = top(&[]);
    for part in [
        "APP",
        "WEIGHT",
        "P99",
        "noisy",
        "quiet",
        "PREEMPTED",
        "1+0",
        "steals/s",
        "epochs/s",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let by_name = top(&["--sort", "name", "--filter", "QUIET"]);
    assert!(
        by_name.contains("quiet") && !by_name.contains("noisy"),
        "{by_name}"
    );

    // A line each time, until nobody answers any more.
    let scratch = Scratch::new();
    let printed = scratch.write("lines", "");
    let lines = Running::start_with(
        command().args(["top", &socket, "--json", "--interval", "50ms"]),
        Some(std::fs::File::create(&printed).unwrap().into()),
        None,
    );
    let printed = || std::fs::read_to_string(&printed).unwrap();
    until("it prints a line", || printed().contains('\n'));
    watched.server.signal(libc::SIGTERM);
    thread::sleep(std::time::Duration::from_millis(100));
    watched.server.signal(libc::SIGTERM);
    watched.server.wait();
    lines.wait().exits(0);
    for line in printed().lines() {
        let view: Value = serde_json::from_str(line).unwrap();
        assert_eq!(view["apps"].as_array().map(Vec::len), Some(2), "{view}");
    }
}

/// Hunts a wrong socket that is not named, and a terminal that is written to where there is none.
#[test]
fn top_says_what_it_needs() {
    let none = hart(["top", "no-such.sock", "--once"]).exits(1);
    for part in ["no-such.sock", "--admin"] {
        assert!(none.stderr.contains(part), "{none:#?}");
    }
    let watched = Watched::start(&[]);
    let socket = watched.socket.to_string_lossy();
    let blind = hart(["top", &socket]).exits(2);
    assert!(blind.stderr.contains("--once"), "{blind:#?}");
}
