//! Jobs and what comes of them.

use super::nats::{Nats, Worker};
use crate::apps::until;
use crate::otlp::receiver::Receiver;
use crate::support::Running;
use sha2::{Digest as _, Sha256};

/// Hunts results that are lost, changed or of another job, and exit codes that say something else.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_has_its_result() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap(), "--timeout", "2s"]);
    let done = nats.hart(&["submit", "lab", "echo", "hello", "--wait"]);
    assert_eq!(done.stdout, "hello", "{done:?}");
    done.exits(0);
    let failed = nats.hart(&["submit", "lab", "fail", "\u{1}no such file", "--wait"]);
    assert!(failed.stderr.contains("no such file"), "{failed:?}");
    assert_eq!(failed.stdout, "\u{1}no such file", "{failed:?}");
    failed.exits(1);
    let trapped = nats.hart(&["submit", "lab", "trap", "--wait"]);
    assert!(trapped.stderr.contains("unreachable"), "{trapped:?}");
    trapped.exits(134);
    nats.hart(&["submit", "lab", "spin", "--wait", "--timeout", "50ms"])
        .exits(124);
    // What a job asks for can only be less.
    nats.hart(&["submit", "lab", "spin", "--wait", "--timeout", "1h"])
        .exits(124);
    nats.hart(&["submit", "lab", "spin", "--wait", "--cpu-time", "50ms"])
        .exits(124);
    let small = nats.hart(&["submit", "lab", "large", "--wait", "--max-memory", "1MiB"]);
    assert!(small.stderr.contains("memory"), "{small:?}");
    small.exits(1);

    let mut raw = nats.raw();
    until("all are over", || raw.count("HART") == (0, 0));
    assert_eq!(raw.count("HART_RESULTS"), (7, 7));
    // Those that the tasks did not return from.
    assert_eq!(raw.count("HART_DEAD"), (5, 5));
}

/// Hunts jobs of which a collector is sent nothing.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn jobs_are_exported() {
    let receiver = Receiver::start("http");
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let url = receiver.url();
    let options = ["--otlp", &url, "--otlp-protocol", "http"];
    let worker = nats.new_worker(&[&[lab.to_str().unwrap()], &options[..]].concat());
    nats.hart(&["submit", "lab", "echo", "hello", "--id", "one", "--wait"])
        .exits(0);
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
    let spans = receiver.spans();
    let [job] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(job.attribute("hart.task.name").as_deref(), Some("lab/one"));
    assert_eq!(job.attribute("hart.task.end").as_deref(), Some("returned"));
}

/// Hunts jobs that need a worker to be submitted, ids that are not printed, and a job that is done twice.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_waits_for_its_worker_and_is_done_once() {
    let nats = Nats::start();
    let file = nats.scratch.write("input", "from a file");
    let submit = [
        "submit",
        "lab",
        "echo",
        "--id",
        "one",
        "--file",
        file.to_str().unwrap(),
    ];
    let first = nats.hart(&submit);
    assert_eq!(first.stdout, "one\n");
    assert!(
        first.stderr.contains("nobody has worked for `lab`"),
        "{first:?}"
    );
    assert_eq!(nats.hart(&submit).exits(0).stdout, "one\n");
    let mut raw = nats.raw();
    assert_eq!(raw.count("HART"), (1, 1));
    let mut from_stdin = nats.command(&["submit", "lab", "echo", "--file", "-", "--wait"]);
    let waits = Running::start(&mut from_stdin, b"from a pipe");
    let lab = nats.lab("lab");
    let worker = nats.new_worker(&[lab.to_str().unwrap()]);
    assert_eq!(waits.wait().exits(0).stdout, "from a pipe");
    let followed = nats.hart(&["jobs", "follow", "lab", "one"]).exits(0);
    assert_eq!(followed.stdout, "from a file");
    assert_eq!(raw.count("HART_RESULTS"), (2, 2));
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
}

/// Hunts a file whose apps are mixed up, and settings that do nothing.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_file_names_apps_and_the_queue() {
    let nats = Nats::start();
    nats.lab("lab");
    let url = nats.url();
    let file = nats.scratch.write(
        "hart.toml",
        format!(
            r#"
[work]
server = "{url}"
stream = "TEST"
lease = "2s"
deliveries = 2

[[app]]
name = "quick"
component = "lab.wat"
limits = {{ timeout = "100ms" }}

[[app]]
name = "slow"
component = "lab.wat"
concurrency = 1
limits = {{ timeout = "60s" }}
"#
        ),
    );
    let log = nats.scratch.path().join("jobs.log");
    let mut worker = nats.command(&[
        "work",
        file.to_str().unwrap(),
        "--job-log",
        log.to_str().unwrap(),
    ]);
    let worker = Worker::start(worker.env("NATS_URL", "nats://192.0.2.1"));
    let submit = |app: &str, entry: &str| {
        nats.hart(&[
            "submit", app, entry, "x", "--stream", "TEST", "--server", &url, "--wait",
        ])
    };
    submit("quick", "spin").exits(124);
    assert_eq!(submit("slow", "work").exits(0).stdout, "x");
    let info = nats.raw().request("$JS.API.CONSUMER.INFO.TEST.slow", "");
    assert_eq!(info["config"]["ack_wait"], 2_000_000_000_u64, "{info}");
    assert_eq!(info["config"]["filter_subject"], "test.work.slow.*");
    worker.signal(libc::SIGTERM);
    let worker = worker.wait().exits(0);
    assert!(
        worker.stderr.contains("Working for quick, slow on nats://"),
        "{worker:?}"
    );
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |app: &str| lines.iter().find(|line| line["app"] == app).unwrap();
    assert_eq!(of("quick")["exit-code"], 124);
    assert_eq!(of("slow")["status"], "ok");
    assert!(of("slow")["cpu"].as_f64().unwrap() > 0.0);
}

/// Hunts texts that a task in Rust does not read as they were written.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_task_in_rust_takes_a_text() {
    let nats = Nats::start();
    let guest = hart_build::guest("greeter");
    let _worker = nats.worker(&[guest.to_str().unwrap()]);
    let line = [
        "submit",
        "--text",
        "greeter",
        "greeter::greet",
        "World",
        "--id",
        "a",
        "--wait",
    ];
    assert_eq!(nats.hart(&line).exits(0).stdout, "Hello, World!");
    let followed = nats.hart(&["jobs", "follow", "--text", "greeter", "a"]);
    assert_eq!(followed.exits(0).stdout, "Hello, World!");
}

/// Hunts grants that do not arrive at tasks, and grants of one app that all have.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_task_gets_what_is_granted() {
    let nats = Nats::start();
    let guest = hart_build::guest("greeter");
    let file = guest.to_str().unwrap();
    let granted = ["--env", "GREETING=Hi", "--dir", ".::/data::ro"];
    let more = ["--allow-http", "example.com", "-S", "config,config-var=a=b"];
    let line = [&[file][..], &granted, &more].concat();
    let _worker = nats.worker(&line);
    let submit = [
        "submit",
        "--text",
        "greeter",
        "greeter::greet",
        "World",
        "--wait",
    ];
    assert_eq!(nats.hart(&submit).exits(0).stdout, "Hi, World!");
    let list = [
        "submit",
        "--text",
        "greeter",
        "greeter::list",
        "/data",
        "--wait",
    ];
    let listed = nats.hart(&list).exits(0).stdout;
    assert!(listed.contains("Cargo.toml"), "{listed}");
    let config = nats.scratch.write(
        "hart.toml",
        "[[app]]\nname = \"a\"\ncomponent = \"a.wasm\"\n",
    );
    nats.hart(&["work", config.to_str().unwrap(), "--env", "A=b"])
        .exits(2);
}

/// Hunts answers that do not come, and where they do not belong.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn who_asks_for_it_is_answered_as_well() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    let mut asks = nats.raw();
    asks.subscribe("_INBOX.mine");
    let headers = b"Hart-Entry: echo\r\nHart-Reply: _INBOX.mine\r\n";
    nats.raw().publish("hart.work.lab.a", headers, b"x");
    let answer = asks.message();
    assert!(
        answer.contains("Hart-Status: ok") && answer.ends_with('x'),
        "{answer}"
    );
}

/// Hunts a component from elsewhere that is run though it is another one than the operator has named.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_component_comes_from_a_bucket_by_its_digest() {
    let nats = Nats::start();
    let lab = include_bytes!("lab.wat");
    // As nats.go and its command write objects: chunks, then what they are.
    let mut raw = nats.raw();
    let bucket = r#"{"name":"OBJ_components","subjects":["$O.components.C.>","$O.components.M.>"],"allow_rollup_hdrs":true,"discard":"new"}"#;
    raw.request("$JS.API.STREAM.CREATE.OBJ_components", bucket);
    for chunk in lab.chunks(1000) {
        raw.publish("$O.components.C.one", b"", chunk);
    }
    let url_safe = |bytes: &[u8]| {
        super::nats::to_base64(bytes)
            .replace('+', "-")
            .replace('/', "_")
    };
    let digest = Sha256::digest(lab);
    let about = serde_json::json!({
        "name": "lab.wat",
        "bucket": "components",
        "nuid": "one",
        "size": lab.len(),
        "chunks": lab.len().div_ceil(1000),
        "digest": format!("SHA-256={}", url_safe(&digest)),
    });
    let name = url_safe(b"lab.wat");
    raw.publish(
        &format!("$O.components.M.{name}"),
        b"Nats-Rollup: sub\r\n",
        about.to_string().as_bytes(),
    );
    let hex =
        |digest: &[u8]| -> String { digest.iter().map(|byte| format!("{byte:02x}")).collect() };
    let config = |sha256: &str| {
        let text = format!(
            "[[app]]\nname = \"lab\"\nobject = \"components/lab.wat\"\ndigest = \"sha256:{sha256}\"\n"
        );
        nats.scratch.write("hart.toml", text)
    };
    let wrong = config(&"0".repeat(64));
    let refused = nats.hart(&["work", wrong.to_str().unwrap()]).exits(2);
    assert!(refused.stderr.contains(&hex(&digest)), "{refused:?}");
    let right = config(&hex(&digest));
    let _worker = nats.worker(&[right.to_str().unwrap()]);
    assert_eq!(
        nats.hart(&["submit", "lab", "echo", "x", "--wait"])
            .exits(0)
            .stdout,
        "x"
    );
    let served = nats
        .hart(&["serve", "--check", right.to_str().unwrap()])
        .exits(2);
    assert!(
        served.stderr.contains("`object` is for `hart work`"),
        "{served:?}"
    );
}

/// Hunts a change that does not arrive, one that ends jobs, and a file with a mistake that ends the worker.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn what_has_changed_is_loaded_anew() {
    let nats = Nats::start();
    nats.lab("lab");
    let app = |name: &str| format!("[[app]]\nname = \"{name}\"\ncomponent = \"lab.wat\"\n");
    let file = nats.scratch.write("hart.toml", app("first"));
    let worker = nats.worker(&[file.to_str().unwrap()]);
    let mut raw = nats.raw();
    let spin = b"Hart-Entry: spin\r\nHart-Timeout: 20000\r\n";
    raw.publish("hart.work.first.long", spin, b"");
    worker.wait_for_the_guest();
    nats.scratch.write("hart.toml", app("second") + "[[app");
    worker.signal(libc::SIGHUP);
    let submit = |app: &str| nats.hart(&["submit", app, "echo", "x", "--wait"]).exits(0);
    assert_eq!(submit("first").stdout, "x");
    nats.scratch.write("hart.toml", app("second"));
    let consumers = |raw: &mut super::nats::Raw| {
        raw.request("$JS.API.CONSUMER.LIST.HART", "")["total"].as_u64()
    };
    assert_eq!(consumers(&mut raw), Some(1));
    until("it has the other app", || {
        worker.signal(libc::SIGHUP);
        consumers(&mut raw) == Some(2)
    });
    assert_eq!(submit("second").stdout, "x");
    // It runs on with what it began with.
    assert!(raw.last("HART_RESULTS", "hart.result.first.long").is_none());
    nats.hart(&["jobs", "follow", "first", "long"]).exits(124);
    worker.signal(libc::SIGTERM);
    let said = worker.wait().exits(0).stderr;
    assert!(said.contains("nothing is loaded anew"), "{said}");
    assert!(said.contains("loaded anew: second"), "{said}");
}
