//! The flight recorder, `hart sim --from` and `hart run --report`: what is recorded of real runs, and what a virtual machine
//! makes of it.

use crate::apps::until;
use crate::serve::Server;
use crate::support::{Finished, Running, SPINNER, Scratch, hart};
use crate::watched::ask;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Recordings that were written whole.
fn recordings(directory: &Path) -> Vec<PathBuf> {
    let whole = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.starts_with("hart-flight-")
            && fs::read_to_string(path).is_ok_and(|text| text.ends_with("\n]}\n"))
    };
    let found = fs::read_dir(directory).unwrap();
    found
        .map(|entry| entry.unwrap().path())
        .filter(whole)
        .collect()
}

fn replay(file: &Path, options: &[&str]) -> Finished {
    let line = ["sim", "--from"].map(OsString::from).into_iter();
    hart(
        line.chain([file.into()])
            .chain(options.iter().map(Into::into)),
    )
}

/// What is said of each machine: its name, and its figures.
fn rows(finished: &Finished) -> Vec<(String, Vec<String>)> {
    let figures = |line: &str| {
        let words: Vec<String> = line[28..].split_whitespace().map(str::to_owned).collect();
        (line[..28].trim().to_owned(), words)
    };
    let lines = finished.stdout.lines().skip(2);
    lines
        .filter(|line| !line.starts_with(' '))
        .map(figures)
        .collect()
}

/// The latest turn of the last machine, in nanoseconds.
fn latest(finished: &Finished) -> f64 {
    let all = rows(finished);
    let word = &all.last().unwrap().1[3];
    let end = word.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let unit = match &word[end..] {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        _ => 1e9,
    };
    word[..end].parse::<f64>().unwrap() * unit
}

/// What a page shows.
fn data_of(page: &str) -> serde_json::Value {
    let data = page.split("id=\"data\">").nth(1).unwrap();
    serde_json::from_str(data.split("</script>").next().unwrap()).unwrap()
}

/// Hunts a trap that leaves nothing, a file that is cut off because the process ended, and one that is written where nobody
/// asked for any.
#[test]
pub(crate) fn traps_and_late_turns_leave_a_recording() {
    let scratch = Scratch::new();
    let run = |options: &[&str], guest: &str, arguments: &[&str]| {
        let directory = scratch.path().join(format!("{guest}{}", options.len()));
        fs::create_dir(&directory).unwrap();
        let mut line: Vec<OsString> = vec!["run".into(), "--flight-directory".into()];
        line.push(directory.clone().into());
        line.extend(options.iter().map(Into::into));
        line.push(hart_build::guest(guest).into());
        line.extend(arguments.iter().map(Into::into));
        (hart(line), directory)
    };
    let (trapped, directory) = run(&["--flight-recorder"], "trapper", &[]);
    let trapped = trapped.exits(134);
    assert!(
        trapped
            .stderr
            .contains("hart: flight recorder: a guest trapped: "),
        "{trapped:#?}"
    );
    assert_eq!(recordings(&directory).len(), 1);

    // No turn begins within a nanosecond.
    let late = [
        "--flight-recorder=64KiB",
        "--flight-stall",
        "1ns",
        "--workers=1",
    ];
    let (late, directory) = run(&late, "tree", &["6"]);
    let late = late.exits(0);
    assert!(
        late.stderr.contains("hart: flight recorder: a turn began "),
        "{late:#?}"
    );
    let recorded = recordings(&directory);
    assert_eq!(recorded.len(), 1, "one file for all that are late at once");
    let replayed = replay(&recorded[0], &[]).exits(0);
    assert_eq!(rows(&replayed)[0].0, "recorded, 1 core");
    assert_eq!(rows(&replayed)[1].0, "replayed, 1 core");

    let never = ["--flight-recorder", "--flight-stall", "0s"];
    let (quiet, directory) = run(&never, "tree", &["6"]);
    assert_eq!(quiet.exits(0).stderr, "");
    assert_eq!(recordings(&directory).len(), 0);
}

/// Hunts a signal that ends the run, and a recording in which nothing is.
#[test]
pub(crate) fn a_signal_and_the_admin_socket_leave_a_recording() {
    let scratch = Scratch::new();
    let spinner = scratch.write("spinner.wat", SPINNER);
    let directory = scratch.path();
    let mut line: Vec<OsString> = ["run", "--flight-recorder", "--flight-directory"]
        .map(Into::into)
        .into();
    line.extend([directory.into(), spinner.into()]);
    let running = Running::hart(line);
    running.wait_for_handler(libc::SIGUSR1);
    running.wait_for_the_guest();
    running.signal(libc::SIGUSR1);
    until("a recording", || recordings(directory).len() == 1);
    running.signal(libc::SIGINT);
    let ended = running.wait().exits(130);
    assert!(
        ended.stderr.contains("hart: flight recorder: SIGUSR1: "),
        "{ended:#?}"
    );

    let scratch = Scratch::new();
    let directory = scratch.path();
    let socket = directory.join("hart.sock");
    let lab = hart_build::guest("http-lab");
    let (socket_text, directory_text) = (socket.to_string_lossy(), directory.to_string_lossy());
    let options = [
        "--admin",
        &socket_text,
        "--flight-recorder",
        "--flight-directory",
        &directory_text,
    ];
    let server = Server::start(&options, &lab.to_string_lossy());
    server.get("/hello");
    let asked = ask(&socket, "POST", "/flight", "", b"");
    assert_eq!(asked.status, 200, "{asked:?}");
    until("a recording", || recordings(directory).len() == 1);
    let replayed = replay(&recordings(directory)[0], &["--stats"]).exits(0);
    assert!(replayed.stdout.contains("http-lab"), "{replayed:#?}");
    assert!(replayed.stderr.contains(" busy ns"), "{replayed:#?}");
    drop(server);

    let without = Server::start(&["--admin", &socket_text], &lab.to_string_lossy());
    let asked = ask(&socket, "POST", "/flight", "", b"");
    assert_eq!(asked.status, 404, "{asked:?}");
    assert!(asked.text().contains("--flight-recorder"));
    drop(without);
}

/// A recording of one worker: `noisy` computes for 100 ms, and holds the core; `quiet` is woken while it does. Then `quiet`
/// computes 3 ms and sleeps 1 ms, twenty times, while `noisy` goes on.
fn stalled() -> String {
    let mut lines = vec![
        r#"{"displayTimeUnit":"ns","traceEvents":["#.to_owned(),
        r#"{"ph":"M","pid":1,"tid":0,"name":"hart_group","args":{"run":"1","group":"noisy","weight":"100","slice":"1000000 ns"}},"#.into(),
        r#"{"ph":"M","pid":1,"tid":0,"name":"hart_group","args":{"run":"2","group":"quiet","weight":"100","slice":"1000000 ns"}},"#.into(),
    ];
    let mut poll = |name: &str, run: u32, from: f64, dur: f64, waited: u64| {
        lines.push(format!(
            r#"{{"ph":"X","pid":1,"tid":1,"cat":"poll","name":"{name}","ts":{from:.3},"dur":{dur:.3},"args":{{"task":"{run}","group":"{name}","run":"{run}","waited":"{waited} ns"}}}},"#
        ));
    };
    poll("noisy", 1, 0.0, 100_000.0, 0);
    let mut at = 100_000.0;
    for turn in 0..20 {
        poll(
            "quiet",
            2,
            at,
            3_000.0,
            if turn == 0 { 99_000_000 } else { 0 },
        );
        at += 3_000.0;
        poll("noisy", 1, at, 1_000.0, 0);
        at += 1_000.0;
    }
    let last = lines.pop().unwrap();
    lines.push(last.trim_end_matches(',').into());
    lines.push("]}\n".into());
    lines.join("\n")
}

/// Hunts a replay that shows what was recorded whatever the machine is like, and one that is another each time.
#[test]
pub(crate) fn a_recorded_stall_is_replayed_on_other_machines() {
    let scratch = Scratch::new();
    let file = scratch.write("flight.json", stalled());
    let same = replay(&file, &[]).exits(0);
    assert_eq!(replay(&file, &[]).exits(0).stdout, same.stdout);
    let all = rows(&same);
    assert_eq!(
        (all[0].0.as_str(), all[0].1[3].as_str()),
        ("recorded, 1 core", "99.0ms")
    );
    assert!(
        same.stdout
            .contains("latest: quiet, at 100.0ms; meanwhile the cores ran noisy 99.0ms"),
        "{same:#?}"
    );
    // Its core is taken from `noisy` after a slice, and at once where there are two.
    assert!(latest(&same) < 5e6, "{same:#?}");
    let longer = replay(&file, &["--slice", "40ms"]).exits(0);
    assert!(latest(&longer) > 20e6, "{longer:#?}");
    let scaled = replay(&file, &["--slice", "40ms", "--scale", "1,2"]).exits(0);
    assert_eq!(rows(&scaled).len(), 3);
    assert!(latest(&scaled) < 1e6, "{scaled:#?}");
    let two = replay(&file, &["--slice", "40ms", "--harts", "2"]).exits(0);
    assert_eq!(rows(&two)[1], rows(&scaled)[2]);
    // Who weighs little waits for its share.
    let light = replay(&file, &["--weight", "quiet=1", "--weight", "noisy=1000"]).exits(0);
    let heavy = replay(&file, &["--weight", "quiet=1000"]).exits(0);
    assert!(
        latest(&light) > 2.0 * latest(&heavy),
        "{light:#?} {heavy:#?}"
    );

    let seeds = replay(&file, &["--seeds", "3..8"]).exits(0);
    let names: Vec<_> = rows(&seeds).into_iter().map(|(name, _)| name).collect();
    assert!(
        names[1].starts_with("best of 5, seed ") && names[3].starts_with("worst of 5, seed "),
        "{seeds:#?}"
    );

    let page = scratch.path().join("page.html");
    replay(&file, &["--report", &page.to_string_lossy()]).exits(0);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("hart sim --from") && page.contains("\"quiet\""));
    let data = data_of(&page);
    assert_eq!(data["runs"].as_array().unwrap().len(), 2);
    assert_eq!(data["runs"][1]["latest"][1], 99_000_000);
}

/// Hunts a file that is no recording and is taken for one, or makes the command panic.
#[test]
fn what_is_no_recording_is_refused() {
    let scratch = Scratch::new();
    let whole = stalled();
    let hundred = r#""tid":100,"#;
    for (what, text) in [
        ("empty", String::new()),
        ("text", "hello\n".into()),
        ("array", "[1, 2]\n".into()),
        (
            "no turn",
            "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n]}\n".into(),
        ),
        ("half a line", whole[..whole.len() / 2].into()),
        (
            "a time before all",
            whole.replace("\"ts\":100000.000", "\"ts\":-1"),
        ),
        (
            "a time after all",
            whole.replace("\"ts\":100000.000", "\"ts\":1e300"),
        ),
        ("no task", whole.replace("\"task\"", "\"tusk\"")),
        (
            "a number for a name",
            whole.replace("\"name\":\"quiet\"", "\"name\":7"),
        ),
    ] {
        let refused = replay(&scratch.write("flight.json", text), &[]).exits(2);
        assert_eq!(refused.stderr.lines().count(), 1, "{what}: {refused:#?}");
        assert!(
            refused.stderr.contains("flight.json: line "),
            "{what}: {refused:#?}"
        );
    }
    // Waits that are longer than time, and turns that overlap, are nonsense that does no harm.
    for text in [
        whole.replace("99000000 ns", "18446744073709551615 ns"),
        whole.replace("\"ts\":103000.000", "\"ts\":100001.000"),
        whole.replace("\"tid\":1,", hundred),
        whole.replace("\"weight\":\"100\"", "\"weight\":\"0\""),
        whole.replace("1000000 ns\"}", "0 ns\"}"),
    ] {
        replay(&scratch.write("flight.json", text), &[]).exits(0);
    }
    let file = scratch.write("flight.json", whole);
    for options in [
        &["--slice", "100"][..],
        &["--weight", "quiet"],
        &["--weight", "quiet=0"],
        &["--faults", "heavy"],
        // What would have no effect.
        &["--scale", "1,2", "--svg", "curve.svg"],
        &["--instances", "5"],
        &["--timeout", "1s"],
        &["-W", "max-memory=1MiB"],
        &["-S", "cli"],
    ] {
        replay(&file, options).exits(2);
    }
    let fuel = hart(["sim", "--slice", "1ms", "x.wasm"]).exits(2);
    assert!(fuel.stderr.contains("fuel"), "{fuel:#?}");
    let nowhere = hart([
        "run",
        "--flight-recorder",
        "--flight-directory",
        "no/such",
        "x.wasm",
    ])
    .exits(2);
    assert!(
        nowhere.stderr.contains("no/such: --flight-directory"),
        "{nowhere:#?}"
    );
}

/// Hunts a page of a real run that lacks its tasks, or that a name breaks out of.
#[test]
pub(crate) fn a_real_run_has_its_page() {
    let scratch = Scratch::new();
    let evil = scratch.path().join("a <b>&.wasm");
    fs::copy(hart_build::guest("tree"), &evil).unwrap();
    let page = scratch.path().join("page.html");
    let line: [OsString; 5] = [
        "run".into(),
        "--report".into(),
        page.clone().into(),
        evil.into(),
        "6".into(),
    ];
    hart(line).exits(0);
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("<b>"));
    let data = data_of(&page);
    let run = &data["runs"][0];
    let names = run["names"].as_array().unwrap();
    let grow = names.iter().find(|name| name[0] == "tree::grow").unwrap();
    assert_eq!(grow[1], run["taskCount"].as_u64().unwrap() - 1);
    assert!(run["latest"].is_array());
}
