//! With the tools that people use: promtool, Prometheus, a terminal.

use super::{Watched, ask, get_aside, metrics, post, stats};
use crate::apps::until;
use crate::support::{Running, Scratch, command};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Hunts names, help, types and values that Prometheus' own linter objects to.
#[test]
#[ignore = "needs promtool"]
fn promtool_has_no_objections() {
    let watched = Watched::start(&[]);
    watched.server.text("/quiet/hello");
    watched.server.get("/quiet/trap");
    let text = metrics(&watched.socket) + "\n";
    let checked = Running::start(
        Command::new("promtool").args(["check", "metrics"]),
        text.as_bytes(),
    );
    let checked = checked.wait().exits(0);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!(said.trim(), "", "{text}");
}

/// A Prometheus that scrapes an address each second. It goes when the test ends.
struct Prometheus {
    child: Child,
    port: u16,
    _scratch: Scratch,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let scratch = Scratch::new();
        let config = scratch.write(
            "prometheus.yml",
            format!(
                "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: hart\n  static_configs: [{{targets: ['{target}']}}]\n"
            ),
        );
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            _scratch: scratch,
        }
    }

    /// The first value of a query, if there is one.
    fn query(&self, query: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let request =
            format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Hunts a text that a real Prometheus does not take, in the format that it asks for, and values that arrive as others.
#[test]
#[ignore = "needs prometheus"]
fn a_real_prometheus_scrapes_a_real_server() {
    let target = format!("127.0.0.1:{}", free_port());
    let watched = Watched::start(&["--admin", &target]);
    let prometheus = Prometheus::start(&target);
    until("it is scraped", || prometheus.query("up") == Some(1.0));
    for _ in 0..5 {
        watched.server.text("/quiet/hello");
    }
    watched.server.get("/quiet/trap");
    let answered = r#"hart_requests_total{app="quiet",status="200"}"#;
    until("requests arrive", || {
        prometheus.query(answered) == Some(5.0)
    });
    let count = r#"hart_request_duration_seconds_count{app="quiet"}"#;
    until("their times arrive", || {
        prometheus.query(count) == Some(6.0)
    });
    let p99 = r#"histogram_quantile(0.99, hart_request_duration_seconds_bucket{app="quiet"})"#;
    let p99 = prometheus.query(p99).unwrap();
    assert!(p99 > 0.0 && p99 < 60.0, "{p99}");
    let used = prometheus
        .query("sum(hart_worker_cpu_seconds_total)")
        .unwrap();
    assert!(used > 0.0, "{used}");
    // A scrape that has failed since would be seen here.
    assert_eq!(prometheus.query("min_over_time(up[1m])"), Some(1.0));
}

/// A terminal of tmux, in which `hart top` runs.
struct Terminal(String);

impl Terminal {
    fn start(socket: &Path) -> Self {
        let terminal = Self(format!("hart-e2e-{}-{}", std::process::id(), free_port()));
        let hart = command();
        let line = format!(
            "{} top {}; echo \"code $?\"; sleep 600",
            hart.get_program().display(),
            socket.display()
        );
        terminal.tmux(&["new-session", "-d", "-x", "130", "-y", "24", &line]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.0, "-f", "/dev/null"])
            .args(arguments);
        Running::start(&mut tmux, &[]).wait().exits(0).stdout
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen has all of these.
    fn shows(&self, parts: &[&str]) -> String {
        let mut screen = String::new();
        until(&parts.join(", "), || {
            screen = self.tmux(&["capture-pane", "-p"]);
            parts.iter().all(|part| screen.contains(part))
        });
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.0, "kill-server"])
            .status();
    }
}

/// Hunts a screen that does not come, keys that do something else, and a terminal that is left in disorder.
#[test]
#[ignore = "needs tmux"]
fn top_is_used_in_a_terminal() {
    let watched = Watched::start(&[]);
    let socket = &watched.socket;
    let _spins = get_aside(&watched.server, "/noisy/spin/100000");
    let terminal = Terminal::start(socket);
    let screen = terminal.shows(&["noisy", "quiet", "REQ/S", "RUN ", "q leave"]);
    assert!(screen.lines().count() <= 24, "{screen}");

    // By name, `noisy` is first.
    terminal.keys(&["s", "s", "s", "s", "s"]);
    terminal.shows(&["s sort: name"]);
    terminal.keys(&["w"]);
    terminal.shows(&["weight of noisy"]);
    terminal.keys(&["7", "7", "Enter"]);
    until("the weight is set", || {
        stats(socket)["metrics"]["apps"][0]["weight"] == 77
    });
    terminal.keys(&["c"]);
    terminal.shows(&["cores that noisy may use"]);
    terminal.keys(&["0.1", "Enter"]);
    until("the rate is set", || {
        stats(socket)["metrics"]["apps"][0]["cpu_rate"] == 100
    });
    terminal.keys(&["w", "x", "Enter"]);
    terminal.shows(&["`x` is no number"]);
    terminal.keys(&["k"]);
    terminal.shows(&["an app is no run"]);

    terminal.keys(&["/", "qui", "Enter"]);
    until("what does not fit goes", || {
        !terminal.tmux(&["capture-pane", "-p"]).contains("noisy")
    });
    terminal.keys(&["/", "BSpace", "BSpace", "BSpace", "Enter"]);
    terminal.shows(&["noisy", "quiet"]);

    terminal.keys(&["Tab", "k"]);
    terminal.shows(&["end run"]);
    terminal.keys(&["n", "Enter", "k", "y", "Enter"]);
    until("the run ends", || {
        stats(socket)["runs"].as_array().is_some_and(Vec::is_empty)
    });
    terminal.keys(&["q"]);
    terminal.shows(&["code 0"]);
    assert_eq!(post(socket, "/apps/quiet", "").status, 200);
    assert_eq!(ask(socket, "GET", "/apps", "", b"").status, 200);
}

/// Hunts a screen that stays when what it shows has ended.
#[test]
#[ignore = "needs tmux"]
fn top_ends_with_what_it_watches() {
    let watched = Watched::start(&[]);
    let terminal = Terminal::start(&watched.socket);
    terminal.shows(&["quiet"]);
    watched.server.signal(libc::SIGTERM);
    terminal.shows(&["nothing runs there any more", "code 0"]);
}
