//! `hart sim --requests` from outside: services on a virtual network.

use crate::support::{Finished, Scratch, command, hart};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// A request as the output has it.
#[derive(Debug)]
struct Line<'a> {
    /// Method and path.
    request: &'a str,
    /// Status, bytes and hash.
    answer: &'a str,
    /// `in`, `left after`, `refused after` or `failed after`.
    end: &'a str,
    /// Virtual time.
    milliseconds: f64,
}

fn arguments(requests: &Path, options: &[&str], guest: &str) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["sim".into(), "--requests".into(), requests.into()];
    line.extend(options.iter().map(OsString::from));
    line.push(hart_build::guest(guest).into());
    line
}

fn sim(requests: &str, options: &[&str], guest: &str) -> Finished {
    let scratch = Scratch::new();
    let requests = scratch.write("requests.txt", requests);
    hart(arguments(&requests, options, guest))
}

fn lines(finished: &Finished) -> Vec<Line<'_>> {
    let lines = finished.stdout.lines();
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (request, rest) = line.split_once(": ").unwrap();
            let (_arrival, request) = request.split_once(' ').unwrap();
            let (answer, end) = rest.rsplit_once(", ").unwrap();
            let (end, time) = end.split_once("ms").unwrap().0.rsplit_once(' ').unwrap();
            Line {
                request,
                answer,
                end,
                milliseconds: time.parse().unwrap(),
            }
        })
        .collect()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn answer(status: u16, body: &[u8]) -> String {
    format!("{status}, {} bytes {:016x}", body.len(), hash(body))
}

const HELLOS: &str = "at 0ms GET /\nrate 2000/s from 1ms for 10ms GET /\n";

// Hunts bodies that interleave, requests that are lost, and a service of WASI 0.3 that waits in real time.
#[test]
pub(crate) fn bodies_are_those_of_the_guest_under_every_seed() {
    let expected = answer(200, b"Hello from hart\n");
    for guest in ["hello-http", "hello-http-async"] {
        let mut outputs: Vec<String> = Vec::new();
        for seed in ["0", "1", "2", "3"] {
            let ended = sim(HELLOS, &["--seed", seed], guest).exits(0);
            let lines = lines(&ended);
            assert!(lines.len() > 5, "{ended:#?}");
            for line in lines {
                assert_eq!((line.answer, line.end), (&*expected, "in"), "{ended:#?}");
            }
            assert!(
                !outputs.contains(&ended.stdout),
                "another seed, other times"
            );
            outputs.push(ended.stdout);
        }
    }
}

// Hunts whatever reaches clients or services from outside: cores, addresses, hash seeds, clocks, other threads.
#[test]
fn another_process_on_other_cores_does_the_same() {
    let scratch = Scratch::new();
    let text = format!(
        "{HELLOS}at 2ms POST /echo body 20KiB at 1KiB/ms\nat 2ms GET /big/100000 reads 10KiB/ms leaves after 4ms\n\
        at 3ms GET /print\nrate 500/s for 10ms GET /work/300\n"
    );
    let requests = scratch.write("requests.txt", text);
    for guest in ["http-lab", "hello-http-async"] {
        let seen: Vec<_> = ["0", "0-63"]
            .into_iter()
            .map(|cores| {
                let options = ["--seed", "7", "--faults", "heavy", "--stats"];
                // Where fewer cores are there, it is as many as there are.
                let output = Command::new("taskset")
                    .args(["-c", cores])
                    .arg(command().get_program())
                    .args(arguments(&requests, &options, guest))
                    .output()
                    .unwrap();
                (output.status.code(), output.stdout, output.stderr)
            })
            .collect();
        assert!(seen[0] == seen[1], "{guest}");
        assert!(String::from_utf8_lossy(&seen[0].2).contains("trace hash"));
    }
}

// Hunts a request that computes and holds up others, which take microseconds: as it does where its slice is long.
#[test]
fn a_request_that_spins_holds_up_nobody() {
    let requests =
        "at 0ms GET /spin/50\nat 0ms GET /spin/50\nat 5ms GET /hello\nat 6ms GET /hello\n";
    // 0.8 us, and 20 ms.
    for (slice, is_held_up) in [("10000", false), ("250000000", true)] {
        for seed in ["0", "1", "2"] {
            let options = ["--harts", "2", "--seed", seed, "--slice", slice];
            let ended = sim(requests, &options, "http-lab").exits(0);
            let lines = lines(&ended);
            assert_eq!(lines.len(), 4);
            for line in lines {
                assert_eq!(line.end, "in");
                if line.request == "GET /hello" {
                    assert_eq!(line.milliseconds > 1.0, is_held_up, "{ended:#?}");
                }
            }
        }
    }
}

/// When the machine stopped, in its milliseconds.
fn stopped(finished: &Finished) -> f64 {
    let stats = finished.stderr.lines().next().unwrap();
    let time = stats.split(", ").find_map(|part| part.strip_suffix(" ns"));
    time.unwrap().parse::<f64>().unwrap() / 1e6
}

// Hunts guests that go on for clients who are gone: before the answer, while it is written, while the request's body comes.
#[test]
fn a_client_that_leaves_cancels_its_guest() {
    for (request, answer) in [
        ("GET /spin/60", "no answer, 0 bytes"),
        ("GET /sleep/500", "no answer, 0 bytes"),
        ("POST /echo body 1MiB at 1KiB/ms", "200, "),
        ("GET /big/10000000 reads 1KiB/ms", "200, "),
    ] {
        let requests = format!("at 1ms {request} leaves after 4ms\n");
        for seed in ["0", "1"] {
            let ended = sim(&requests, &["--stats", "--seed", seed], "http-lab").exits(0);
            let [line] = &lines(&ended)[..] else {
                panic!("{ended:#?}");
            };
            assert!(line.answer.starts_with(answer), "{line:?}");
            assert_eq!((line.end, line.milliseconds), ("left after", 4.0));
            // An interrupt takes a while.
            assert!(stopped(&ended) < 6.0, "{ended:#?}");
            // Without the client's leaving, it goes on.
            let stays = requests.replace(" leaves after 4ms", "");
            let ended = sim(&stays, &["--stats", "--seed", seed], "http-lab").exits(0);
            assert_eq!(lines(&ended)[0].end, "in");
            assert!(stopped(&ended) > 60.0, "{ended:#?}");
        }
    }
}

// Hunts bodies that come at once, or in real time, and a limit of the service's that is one of real time.
#[test]
fn slow_bodies_take_virtual_time() {
    let letters: Vec<u8> = (b'a'..=b'z').cycle().take(10_000).collect();
    let x = [b'x'; 10_000];
    let requests = "at 0ms POST /echo body 10000 at 1000B/s\nat 0ms POST /echo body 10000\n\
        at 0ms GET /big/10000 reads 1000B/m\nat 0ms POST /count-body body 2 at 1B/h\n\
        at 0ms POST /header/x-id header x-id=7 header host=there:81 body 1\n";
    let ended = sim(requests, &[], "http-lab").exits(0);
    let lines = lines(&ended);
    let seen: Vec<_> = lines.iter().map(|line| line.answer).collect();
    let (echo, big) = (answer(200, &letters), answer(200, &x));
    let (failed, header) = (answer(200, b"-1\n"), answer(200, b"7\n"));
    assert_eq!(seen, [&*echo, &echo, &big, &failed, &header]);
    let seconds: Vec<_> = lines
        .iter()
        .map(|line| (line.milliseconds / 1e3).round())
        .collect();
    // The fourth one's body is given up after a minute in which nothing came.
    assert_eq!(seconds, [10.0, 0.0, 600.0, 60.0, 0.0]);
}

// Hunts a way that takes no time, or real time, or the same for all, or that only one of the two sides has.
#[test]
fn the_way_to_a_service_takes_virtual_time() {
    let text = "latency 10ms..20ms\nrate 1000/s for 20ms GET /hello\nat 0ms POST /echo body 1KiB at 1KiB/s\n";
    let ended = sim(text, &["--seed", "3"], "http-lab").exits(0);
    let lines = lines(&ended);
    let times = lines.iter().map(|line| line.milliseconds);
    let (slow, quick): (Vec<f64>, Vec<f64>) = times.partition(|time| *time > 500.0);
    assert!(quick.len() > 5 && slow.len() == 1, "{ended:#?}");
    assert!(
        quick.iter().all(|time| (20.0..42.0).contains(time)),
        "{quick:?}"
    );
    assert!(
        quick.iter().any(|time| (time - quick[0]).abs() > 1.0),
        "{quick:?}"
    );
    assert!((1020.0..1100.0).contains(&slow[0]), "{slow:?}");
    assert_eq!(
        sim(text, &["--seed", "3"], "http-lab").exits(0).stdout,
        ended.stdout
    );
}

// Hunts a queue that waits in real time, or takes more than there is room for.
#[test]
fn too_many_requests_wait_and_are_refused_in_virtual_time() {
    let table = |requests: &str| {
        let ended = sim(requests, &[], "http-lab").exits(0);
        let row = ended.stdout.lines().last().unwrap();
        let cells = row.split_ascii_whitespace().skip(2);
        let cells: Vec<String> = cells.map(str::to_owned).collect();
        let count = |at: usize| cells[at].parse::<usize>().unwrap();
        (count(0), count(2), cells[6].clone(), ended.stdout)
    };
    // 512 at once; the rest waits for ten seconds.
    let (answered, refused, slowest, text) = table("rate 600/ms for 1ms GET /sleep/20000\n");
    assert_eq!(answered, 512);
    assert!(refused > 10 && slowest.starts_with("20000."), "{text}");
    assert!(text.contains("503, 0 bytes, refused after 10000.000000ms: too many requests"));
    // 1,024 wait.
    let (answered, refused, _, text) = table("rate 2000/ms for 1ms GET /sleep/100\n");
    assert_eq!(answered, 512 + 1_024, "{text}");
    assert!(refused > 100);
    assert!(text.contains("refused after 0.000000ms"));
}

// Hunts failures that count as answers, and a replay command that does something else.
#[test]
fn a_guest_that_fails_is_found_and_replayed() {
    let scratch = Scratch::new();
    let requests = "at 0ms GET /hello\nrate 100/s for 4ms GET /trap\nat 5ms GET /hello\n";
    let requests = scratch.write("requests.txt", requests);
    let seeds = arguments(&requests, &["--seeds", "0..100"], "http-lab");
    let found = hart(seeds).exits(1);
    assert!(
        found
            .stderr
            .contains("seed 2: the guest failed 2 of 4 requests"),
        "{found:#?}"
    );
    assert!(
        found
            .stdout
            .contains("GET /trap: 500, 0 bytes, failed after"),
        "{found:#?}"
    );
    let replay = found
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("replay: hart "))
        .unwrap();
    let again = hart(replay.split(' ')).exits(1);
    assert_eq!(again.stdout, found.stdout);
    for (what, says) in [
        ("no-response", "had set no response"),
        ("error-code", "LoopDetected"),
        ("leave", "failed after"),
        ("spin/9", "the limit `cpu_time` of 1ms"),
    ] {
        let requests = format!("at 0ms GET /{what}\nat 0ms GET /hello\n");
        let ended = sim(&requests, &["-W", "cpu-time=1ms"], "http-lab").exits(1);
        assert!(ended.stdout.contains(says), "{ended:#?}");
        assert!(ended.stdout.contains("GET /hello: 200"), "{ended:#?}");
    }
}

// Hunts a way out, and a refusal that comes at a time of another thread's.
#[test]
fn there_is_no_network_behind_a_service() {
    let denied = answer(200, b"ErrorCode::HttpRequestDenied\n");
    let mut outputs = Vec::new();
    for _ in 0..5 {
        let ended = sim(
            "rate 10/ms for 5ms GET /fetch/localhost/\n",
            &["--stats"],
            "http-lab",
        );
        let ended = ended.exits(0);
        for line in lines(&ended) {
            assert_eq!(line.answer, denied, "{ended:#?}");
        }
        outputs.push((ended.stdout, ended.stderr));
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]));
}

// Hunts promises that break where everything goes wrong that can, and faults that do not reach clients.
#[test]
fn services_hold_up_under_faults() {
    let requests = "rate 2000/s for 5ms GET /hello\nrate 1000/s for 5ms POST /echo body 5KiB at 2KiB/ms\n\
        rate 500/s for 5ms GET /work/200 leaves after 150us\n";
    for guest in ["http-lab", "hello-http-async"] {
        let ended = sim(requests, &["--seeds", "0..50", "--faults", "heavy"], guest).exits(0);
        assert!(ended.stdout.contains("50 seeds: no oracle failed"));
    }
    let ended = sim(requests, &["--faults", "cancel"], "http-lab").exits(0);
    assert!(
        ended
            .stdout
            .contains("GET /hello: no answer, 0 bytes, left after"),
        "{ended:#?}"
    );
}

// Hunts files that are taken for something else than they say, and messages that do not say where.
#[test]
fn files_that_are_wrong_are_refused() {
    let scratch = Scratch::new();
    for (name, text, says) in [
        ("empty", "", "empty: there is no request in it"),
        (
            "time",
            "# one\nat 5 GET /\n",
            "time:2: `5` is not a duration",
        ),
        ("path", "at 5ms GET hello", "path:1: `hello` is no path"),
        (
            "word",
            "\n\nat 0ms GET / slowly\n",
            "word:3: `slowly` says nothing",
        ),
        (
            "many",
            "rate 1000/us for 1h GET /",
            "many:1: with this line there are more than 100000",
        ),
        (
            "binary",
            "\0asm\n",
            "binary:1: `\\u{0}asm` begins no request",
        ),
    ] {
        let file = scratch.write(name, text);
        let ended = hart(arguments(&file, &[], "hello-http")).exits(2);
        assert!(ended.stderr.contains(says), "{ended:#?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
        assert_eq!(ended.stdout, "");
    }
    let missing = scratch.path().join("missing");
    let ended = hart(arguments(&missing, &[], "hello-http")).exits(2);
    assert!(
        ended.stderr.contains("missing: --requests: no such file"),
        "{ended:#?}"
    );
    let ended = sim(HELLOS, &[], "hello").exits(2);
    assert!(
        ended.stderr.contains("takes no HTTP requests"),
        "{ended:#?}"
    );
    for option in [
        ["--scale", "1,2"],
        ["--invoke", "f()"],
        ["--stdin", "/dev/null"],
    ] {
        let ended = sim(HELLOS, &option, "hello-http").exits(2);
        assert!(ended.stderr.contains("cannot be used with"), "{ended:#?}");
    }
}
