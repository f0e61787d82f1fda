//! What guests read by `wasi:config`, and what they store by `wasi:keyvalue`.

use crate::serve::Server;
use crate::support::{Scratch, hart};

fn lab() -> String {
    hart_build::guest("store-lab")
        .to_string_lossy()
        .into_owned()
}

/// What it says to each of `what`.
fn says(options: &[&str], what: &[&str]) -> Vec<String> {
    let call = format!("do({what:?})");
    let lab = lab();
    let line = [options, &["--invoke", &call, &lab]].concat();
    let said = hart(line).exits(0).stdout;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

const GRANTED: [&str; 2] = ["-S", "config,keyvalue"];

/// Hunts values that do not arrive, or arrive where they were not granted, and an import that is refused without a word of
/// what grants it.
#[test]
pub(crate) fn guests_read_the_configuration() {
    let values = [
        "-S",
        "config-var=a=1,config-var=b=x=y",
        "-S",
        "config-var=a=2",
    ];
    let options = [&GRANTED[..], &values].concat();
    let asked = ["config a", "config b", "config c", "config"];
    assert_eq!(says(&options, &asked), ["2", "x=y", "none", "a=2,b=x=y"]);
    assert_eq!(says(&GRANTED, &["config a", "config"]), ["none", ""]);
    let in_tasks = ["task all config a", "task environment config"];
    assert_eq!(says(&options, &in_tasks), ["2", ""]);

    for (options, import, key) in [
        (
            ["-S", "keyvalue"],
            "wasi:config/store@0.2.0-rc.1",
            "-S config",
        ),
        (["-S", "config"], "wasi:keyvalue/", "-S keyvalue"),
        // Nor do values grant it.
        (
            ["-S", "keyvalue,config-var=a=1"],
            "wasi:config/",
            "-S config",
        ),
    ] {
        let [first, second] = options;
        let said = hart([first, second, "--invoke", "do([])", &lab()])
            .exits(2)
            .stderr;
        assert!(said.contains(import) && said.contains(key), "{said}");
    }
    for wrong in ["config-var", "config-var=", "config-var==1"] {
        hart(["-S", wrong, &lab()]).exits(2);
    }
}

/// Hunts data that does not arrive, that outlives its run, that tasks do not share, or that a task changes which was
/// denied it.
#[test]
pub(crate) fn a_store_begins_as_it_is_told_and_goes_with_the_run() {
    let data = [
        "-S",
        "keyvalue-in-memory-data=a=first,keyvalue-in-memory-data=b=",
    ];
    let options = [&GRANTED[..], &data].concat();
    let asked = [
        "get a", "get b", "get c", "set c 3", "get c", "exists a", "delete a", "exists a", "keys",
    ];
    let said = [
        "first", "", "none", "set", "3", "true", "deleted", "false", "b,c",
    ];
    assert_eq!(says(&options, &asked), said);
    assert_eq!(says(&options, &["get a", "keys"]), ["first", "a,b"]);
    let asked = [
        "increment n 5",
        "increment n 2",
        "set-many x y",
        "get-many x n z",
        "delete-many x y",
        "keys",
        "open other",
    ];
    let said = [
        "5",
        "7",
        "set",
        "many,7,none",
        "deleted",
        "n",
        "Error::NoSuchStore",
    ];
    assert_eq!(says(&GRANTED, &asked), said);

    let asked = [
        "set a 1",
        "task all set a 2",
        "get a",
        "task filesystem get a",
        "task filesystem-write get a",
        "task filesystem-write set a 3",
        "task filesystem-write increment a 1",
        "get a",
    ];
    let denied = "Error::AccessDenied";
    let said = ["set", "set", "2", denied, "2", denied, denied, "2"];
    assert_eq!(says(&GRANTED, &asked), said);
}

/// Hunts a guest that stores more than its limit, or that ends at it instead of being told.
#[test]
fn what_is_stored_has_a_limit() {
    let options = [&GRANTED[..], &["-W", "max-memory=16MiB"]].concat();
    let asked = [
        "fill 100000",
        "exists 0",
        "set 0 short",
        "set new short",
        "get 0",
    ];
    let said = says(&options, &asked);
    let reason = "the limit `memory` of 16777216 bytes was reached";
    let filled = &said[0];
    assert!(filled.starts_with("true: Error::Other"), "{said:?}");
    assert!(filled.contains(reason), "{said:?}");
    assert_eq!(said[1..], ["true", "set", "set", "short"]);
    let many = says(
        &GRANTED,
        &["fill 0", &format!("get-many{}", " a".repeat(1001))],
    );
    assert!(many[0].contains("65536 keys"), "{many:?}");
    assert!(many[1].contains("1001 keys"), "{many:?}");
}

/// Hunts a request that finds what another one has stored, also in the instance of that one, and grants of a file that no
/// app gets, or another one.
#[test]
fn each_request_has_a_store_of_its_own() {
    let reuse = [
        "--max-concurrent-requests",
        "1",
        "--max-instance-reuse-count",
        "9",
        "--idle-instance-timeout",
        "1000s",
        "-S",
        "keyvalue-in-memory-data=a=first,config-var=c=d",
    ];
    let options = [&GRANTED[..], &reuse].concat();
    let server = Server::start(&options, &lab());
    assert_eq!(server.text("/increment/n/5"), "5");
    assert_eq!(server.text("/increment/n/5"), "5");
    assert_eq!(server.text("/set/a/2"), "set");
    assert_eq!(server.text("/get/a"), "first");
    assert_eq!(server.text("/config/c"), "d");

    let scratch = Scratch::new();
    let app = |name: &str, more: &str| {
        let file = lab();
        format!("[[app]]\nname = \"{name}\"\ncomponent = \"{file}\"\nhost = \"{name}\"\n{more}\n")
    };
    let one = "[app.config]\nk = \"v\"\n[app.keyvalue]\na = \"1\"";
    let other = "config = {}\nkeyvalue = {}";
    let file = scratch.write("hart.toml", app("one", one) + &app("other", other));
    let server = Server::start(&[], &file.to_string_lossy());
    let ask = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        server.ask(request.as_bytes()).text()
    };
    assert_eq!(ask("one", "/config/k"), "v");
    assert_eq!(ask("one", "/get/a"), "1");
    assert_eq!(ask("other", "/config/k"), "none");
    assert_eq!(ask("other", "/get/a"), "none");
    let file = scratch.write("hart.toml", app("one", one) + &app("other", "config = {}"));
    let said = hart(["serve", "--check", &file.to_string_lossy()])
        .exits(2)
        .stderr;
    assert!(said.contains("[app.keyvalue]"), "{said}");
}
