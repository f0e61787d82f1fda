//! The check sees what is planted: trees with one fault each, beside a tree with none.

use hart_architecture::{Graph, Package, Page, Rules, check};

const PAGE: &str = "\
## Crates
| crate | what it is for | may use |
| --- | --- | --- |
| `top` | commands | `house` |
| `house` | rooms | nothing |

## `house`
| room | what it is for | may use |
| --- | --- | --- |
| `ground/` | what all stand on | nothing |
| `left`, `right` | two files, one room | `ground` |
| `roof/` | what stands on all | `left`, `ground` |
";

/// A house that keeps the rules: a facade, two rooms of files, a folder, and tests that may do what they like.
const SOUND: [(&str, &str); 6] = [
    (
        "lib.rs",
        "mod ground; mod left; mod right; mod roof; pub use ground::Stone; pub use roof::Tile;",
    ),
    ("ground/mod.rs", "mod stone; pub use stone::Stone;"),
    (
        "ground/stone.rs",
        "pub struct Stone; #[cfg(test)] mod tests { use crate::roof::Tile; }",
    ),
    (
        "left.rs",
        "use crate::ground::Stone; pub fn left() -> Stone { crate::right::right() }",
    ),
    (
        "right.rs",
        "use crate::Stone; pub fn right() -> Stone { Stone }",
    ),
    (
        "roof.rs",
        "use crate::left; pub struct Tile; fn tile() { left::left(); }",
    ),
];

/// The sound house with some of its files written otherwise, or more.
fn house(changes: &[(&str, &str)]) -> Vec<Package> {
    let mut house = Package::new("house", "house", SOUND);
    for (path, text) in changes {
        house.files.insert((*path).to_owned(), (*text).to_owned());
    }
    let main = ("main.rs", "fn main() { house::Tile; }");
    vec![house, Package::new("top", "top", [main])]
}

fn broken(packages: &[Package], page: &str) -> Vec<String> {
    check(
        packages,
        &Rules {
            page: &Page::parse(page),
            held: &["house", "top"],
            longest: 20,
        },
    )
}

/// Asserts that the changes break one rule, and that what is said of it has all of `parts`.
#[track_caller]
fn breaks(changes: &[(&str, &str)], parts: &[&str]) {
    let broken = broken(&house(changes), PAGE);
    assert_eq!(broken.len(), 1, "{broken:#?}");
    for part in parts {
        assert!(broken[0].contains(part), "no {part:?} in {}", broken[0]);
    }
}

#[test]
fn a_sound_house_breaks_no_rule() {
    assert_eq!(broken(&house(&[]), PAGE), Vec::<String>::new());
}

#[test]
fn a_circle_is_shown_with_its_path_and_names() {
    let right = "fn right() { crate::left::left(); }";
    breaks(
        &[("right.rs", right)],
        &[
            "a circle of 2 files",
            "house/src/left.rs -> house/src/right.rs (right)",
            "house/src/right.rs -> house/src/left.rs (left)",
        ],
    );
}

#[test]
fn a_circle_of_three_is_one_circle() {
    let stone = "pub struct Stone; fn up() { crate::right::right(); }";
    let right = "use crate::Stone; use crate::left::*;";
    let broken = broken(
        &house(&[("ground/stone.rs", stone), ("right.rs", right)]),
        PAGE,
    );
    let circles: Vec<_> = broken.iter().filter(|b| b.contains("circle")).collect();
    assert_eq!(circles.len(), 1, "{broken:#?}");
    assert!(circles[0].contains("a circle of 3 files"), "{broken:#?}");
}

/// Each of these names `left` in another way; from `right`, which `left` uses, it is a circle.
#[test]
fn every_way_to_name_a_file_is_seen() {
    for text in [
        "use crate::left::left;",
        "use crate::left;",
        "use crate::{left::{self as other}};",
        "use super::left::left as renamed;",
        "fn f() { super::left::left(); }",
        "fn f() { use crate::left; }",
        "struct S(crate::left::Side);",
        "fn f() { println!(\"{}\", crate::left::left()); }",
        "#[arg(value_parser = crate::left::left)] struct S;",
        "mod inner { use super::super::left::left; }",
        "use house::left::left;",
        "impl crate::left::Side for u8 {}",
        "macro_rules! call { () => { $crate::left::left() }; }",
    ] {
        breaks(&[("right.rs", text)], &["a circle of 2 files"]);
    }
}

#[test]
fn an_arrow_that_the_page_does_not_allow_is_shown() {
    let stone = "pub struct Stone; fn up() { crate::roof::tile(); }";
    breaks(
        &[("ground/stone.rs", stone), ("roof.rs", "pub struct Tile;")],
        &[
            "[\"ground\"] may not use [\"roof\"]",
            "house/src/ground/stone.rs -> house/src/roof.rs (tile)",
        ],
    );
}

/// The import names the crate's root, the arrow leads to where the name is defined.
#[test]
fn re_exports_are_followed() {
    breaks(
        &[
            ("ground/stone.rs", "pub struct Stone; use crate::Tile;"),
            ("roof.rs", "pub struct Tile;"),
        ],
        &["house/src/ground/stone.rs -> house/src/roof.rs (Tile)"],
    );
    let packages = house(&[]);
    let arrows = Graph::new(&packages).arrows(&packages);
    let shown: Vec<_> = arrows.iter().map(ToString::to_string).collect();
    let expected = [
        "house/src/left.rs -> house/src/ground/stone.rs (Stone)",
        "house/src/left.rs -> house/src/right.rs (right)",
        "house/src/right.rs -> house/src/ground/stone.rs (Stone)",
        "house/src/roof.rs -> house/src/left.rs (left, the module)",
        "top/src/main.rs -> house/src/roof.rs (Tile)",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_file_that_is_too_long_is_shown() {
    let long = format!("use crate::Stone;{}", "\n".repeat(20));
    breaks(
        &[("right.rs", &format!("{long}fn right() {{}}"))],
        &["house/src/right.rs has 21 lines, more than 20"],
    );
    let as_long_as_allowed = long.replacen('\n', "", 1) + "fn right() {}";
    assert_eq!(
        broken(&house(&[("right.rs", &as_long_as_allowed)]), PAGE),
        Vec::<String>::new()
    );
}

#[test]
fn page_and_code_know_the_same_rooms() {
    breaks(
        &[("cellar.rs", "")],
        &["house/src/cellar.rs is in no module"],
    );
    breaks(
        &[
            ("right.rs", "mod cellar; fn right() {}"),
            ("right/cellar.rs", "use crate::roof::Other;"),
            ("roof.rs", "pub struct Tile;"),
        ],
        &[
            "may not use",
            "house/src/right/cellar.rs -> house/src/roof.rs (Other)",
        ],
    );
    let no_row = PAGE.replace("| `ground/` | what all stand on | nothing |\n", "");
    let said = broken(&house(&[]), &no_row).join("\n");
    assert!(
        said.contains("house/src/ground/stone.rs is in no room of the page"),
        "{said}"
    );
    assert!(
        said.contains("the page lets a room use `ground`, which has no row"),
        "{said}"
    );
    let no_file = format!("{PAGE}| `attic` | nobody knows | nothing |\n");
    let said = broken(&house(&[]), &no_file);
    assert_eq!(said, ["house: the room [\"attic\"] has no file"]);
}

#[test]
fn crates_use_only_what_the_page_allows() {
    let page = PAGE.replace(
        "| `top` | commands | `house` |",
        "| `top` | commands | nothing |",
    );
    let said = broken(&house(&[]), &page);
    assert_eq!(
        said,
        ["[\"top\"] may not use [\"house\"]: top/src/main.rs -> house/src/roof.rs (Tile)"]
    );
}

/// Who may see a name is no import of what may.
#[test]
fn visibilities_import_nothing() {
    for text in [
        "pub(in crate::left) fn right() {}",
        "macro_rules! define { () => { pub(in crate::left) fn f() {} }; } fn right() {}",
    ] {
        let house = house(&[("right.rs", text)]);
        assert_eq!(broken(&house, PAGE), Vec::<String>::new(), "{text}");
    }
}

/// A crate that is not held to the rules is read, and nothing is said of it.
#[test]
fn only_what_is_held_is_held() {
    let packages = house(&[("right.rs", "fn right() { crate::left::left(); }")]);
    let rules = Rules {
        page: &Page::parse(PAGE),
        held: &["top"],
        longest: 20,
    };
    assert_eq!(check(&packages, &rules), Vec::<String>::new());
}
