//! The demo's guest against `wc`.

use crate::support::{Running, Scratch, hart};
use std::fmt::Write as _;
use std::process::Command;

/// Files in directories three deep, of all the sizes and shapes that counting can get wrong. Every
/// `.rs` file that is not empty ends with a line break: `cat` would join the last word of one
/// without to the first of the next.
fn fill(scratch: &Scratch) {
    let mut random = fastrand::Rng::with_seed(11);
    for number in 0..1200_u32 {
        let directory = format!("d{}/e{}", number % 7, number % 3);
        std::fs::create_dir_all(scratch.path().join(&directory)).expect("a new directory");
        let mut text = String::new();
        for line in 0..random.u32(..120) {
            let _ = writeln!(
                text,
                "let x{line} =\t{};  // größe\u{a0}  {number}",
                random.u32(..)
            );
        }
        match number % 100 {
            0 => text.clear(),
            1 => text = String::from("\n"),
            2 => text = String::from("   \t\u{b}\u{c}\r\n"),
            3 => text = format!("{}\n", "w".repeat(200_000)),
            _ => {}
        }
        let extension = if number % 10 == 9 { "txt" } else { "rs" };
        scratch.write(&format!("{directory}/f{number}.{extension}"), text);
    }
}

/// Hunts files that are counted twice, not at all, or cut at a buffer's edge; results that get lost
/// between tasks; and a second worker that never runs anything.
#[test]
fn totals_are_those_of_wc() {
    let scratch = Scratch::new();
    fill(&scratch);
    let mut wc = Command::new("sh");
    wc.env("LC_ALL", "C")
        .args([
            "-c",
            "find \"$0\" -type f -name '*.rs' -print0 | xargs -0 cat | wc",
        ])
        .arg(scratch.path());
    let expected = Running::start(&mut wc, &[]).wait().exits(0).stdout;
    let expected: Vec<&str> = expected.split_whitespace().collect();

    let guest = hart_build::guest("wordcount");
    for workers in ["1", "2"] {
        let grant = format!("{}::/data::ro", scratch.path().display());
        let options = ["--workers", workers, "--stats=json", "--dir", &grant];
        let ended = hart(
            options
                .iter()
                .map(|option| option.as_ref())
                .chain([guest.as_os_str()])
                .chain(["--ext", "rs", "/data"].iter().map(|a| a.as_ref())),
        )
        .exits(0);
        let total = ended.stdout.lines().find(|line| line.starts_with("total"));
        let total = total.unwrap_or_else(|| panic!("no total: {ended:#?}"));
        let total: Vec<&str> = total.split_whitespace().collect();
        assert_eq!(total[1], "1080", "files: {ended:#?}");
        assert_eq!(total[2..], expected[..], "{ended:#?}");

        let stats = ended.stats();
        let workers_list = stats["workers"].as_array().expect("a list");
        let busy = workers_list
            .iter()
            .filter(|worker| worker["polls"].as_u64().is_some_and(|polls| polls > 0))
            .count();
        assert_eq!(busy.to_string(), workers, "{stats:#}");
    }
}
