//! This workspace keeps the rules of its architecture page, `host/README.md`.

use std::path::Path;

use hart_architecture::{Page, Rules, check, workspace};

/// The packages that are held to the rules.
const HELD: [&str; 14] = [
    "guest/build",
    "guest/examples",
    "guest/macros",
    "guest/sdk",
    "host/cli",
    "host/executor",
    "host/runtime",
    "kernel-sim",
    "tests/architecture",
    "tests/attacks",
    "tests/bench",
    "tests/bench/guests",
    "tests/embedders",
    "tests/fuzz",
];

#[test]
fn the_workspace_keeps_its_rules() {
    // The checkout in which cargo runs this, which is not always the one that it was built in.
    let root = Path::new("../..");
    let page = std::fs::read_to_string(root.join("host/README.md")).expect("the page is there");
    let broken = check(
        &workspace(root),
        &Rules {
            page: &Page::parse(&page),
            held: &HELD,
            longest: 500,
        },
    );
    assert!(
        broken.is_empty(),
        "{} rules are broken:\n\n{}\n",
        broken.len(),
        broken.join("\n\n")
    );
}
