//! The examples as native programs, with tasks on threads. As components they are run by the tests
//! of the command line.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // It is not there the first time.
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(&path).expect("a new directory");
    path
}

#[test]
fn wordcount_counts_as_wc_does() {
    let root = directory("wordcount");
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("a.rs"), "one two\tthree\n\n  four").unwrap();
    fs::write(root.join("sub/b.rs"), b"\x0b\x0c\xc3\xa9 \xff\n".repeat(3)).unwrap();
    fs::write(root.join("c.bin"), b"no text\0\n").unwrap();
    fs::write(root.join("README"), "").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("a.rs", root.join("link.rs")).unwrap();

    let rows = |arguments: &[&str]| -> Vec<Vec<String>> {
        text(&run(env!("CARGO_BIN_EXE_wordcount"), arguments))
            .lines()
            .map(|line| line.split_whitespace().map(str::to_string).collect())
            .collect()
    };
    let root = root.to_str().unwrap();
    assert_eq!(
        rows(&[root]),
        [
            vec!["extension", "files", "lines", "words", "bytes"],
            vec!["rs", "2", "5", "10", "42"],
            vec!["(none)", "1", "0", "0", "0"],
            vec!["total", "3", "5", "10", "42"],
        ]
    );
    let chosen = rows(&["--ext", "bin", "--ext", "none", root]);
    assert_eq!(
        chosen[1..],
        [["bin", "1", "1", "2", "9"], ["total", "1", "1", "2", "9"]]
    );
}

#[test]
fn wordcount_says_what_it_cannot_read() {
    let output = run(env!("CARGO_BIN_EXE_wordcount"), &["/no/such/directory"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("/no/such/directory: "), "{stderr}");
}

#[test]
fn mandelbrot_writes_a_picture() {
    let directory = directory("mandelbrot");
    let output = run(
        env!("CARGO_BIN_EXE_mandelbrot"),
        &[directory.to_str().unwrap(), "130", "50"],
    );
    assert!(text(&output).starts_with("6 tiles, 130 x 81 pixels: "));
    let file = fs::File::open(directory.join("mandelbrot.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (130, 81));
    assert!(pixels.iter().any(|&part| part > 200));
}

#[test]
fn pipeline_sorts() {
    let output = text(&run(env!("CARGO_BIN_EXE_pipeline"), &["3", "1000"]));
    assert!(
        output.starts_with("8000 numbers, sorted: true\n"),
        "{output}"
    );
    assert_eq!(
        output,
        text(&run(env!("CARGO_BIN_EXE_pipeline"), &["3", "1000"]))
    );
}

#[test]
fn tree_counts_its_tasks() {
    assert_eq!(text(&run(env!("CARGO_BIN_EXE_tree"), &["10"])), "1023\n");
}

#[test]
fn hello_shows_its_arguments() {
    let output = text(&run(env!("CARGO_BIN_EXE_hello"), &["a", "b c"]));
    assert!(
        output.starts_with("hello\nargument: a\nargument: b c\n"),
        "{output}"
    );
}

#[test]
fn sleeper_and_exit() {
    assert_eq!(
        text(&run(env!("CARGO_BIN_EXE_sleeper"), &["1", "3"])),
        "slept\n"
    );
    assert_eq!(
        run(env!("CARGO_BIN_EXE_exit"), &["7"]).status.code(),
        Some(7)
    );
}

// From here on with threads only: one task alone ends or hangs everything in the sequential form.

#[test]
#[cfg(not(feature = "sequential"))]
fn a_short_task_ends_beside_an_endless_one() {
    let output = text(&run(env!("CARGO_BIN_EXE_spinner"), &["beside"]));
    assert_eq!(output, "the short task: 42\n");
}

#[test]
#[cfg(not(feature = "sequential"))]
fn a_trap_leaves_the_siblings_alone() {
    let output = text(&run(env!("CARGO_BIN_EXE_trapper"), &["child"]));
    assert_eq!(
        output,
        "task 0: 0\ntask 1: 10\ntask 2: the task trapped: task 2 traps on purpose\ntask 3: 30\n"
    );
}

#[test]
#[cfg(not(feature = "sequential"))]
fn the_fork_bomb_reports_the_limit() {
    let output = run(env!("CARGO_BIN_EXE_forkbomb"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("Error: the task was not started: the limit of "),
        "{stderr}"
    );
}
