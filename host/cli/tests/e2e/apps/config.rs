//! The configuration file.

use super::{HELLO, put};
use crate::serve::Server;
use crate::support::{Running, Scratch, command, hart};

/// Hunts requests that another app answers, settings of one app that another one has, and a file that wins over the
/// command line.
#[test]
fn apps_answer_by_host_and_path_with_their_own_settings() {
    let scratch = Scratch::new();
    put("http-lab", &scratch.path().join("lab.wasm"));
    put("hello-http", &scratch.path().join("hello.wasm"));
    let file = scratch.write(
        "hart.toml",
        r#"
addr = "192.0.2.1:80"

[[app]]
name = "hello"
component = "hello.wasm"

[[app]]
name = "quiet"
component = "lab.wasm"
path = "/quiet"
weight = 300
env = { WHO = "quiet" }

[[app]]
name = "noisy"
component = "lab.wasm"
path = "/noisy"
[app.env]
WHO = "noisy"
[app.limits]
timeout = "300ms"

[[app]]
name = "named"
component = "lab.wasm"
host = "lab.example"
body-limit = 3
"#,
    );
    let server = Server::start(&[], &file.to_string_lossy());
    assert_eq!(server.text("/"), HELLO);
    assert_eq!(server.text("/quietly"), HELLO);
    assert_eq!(server.text("/quiet/env/WHO"), "quiet");
    assert_eq!(server.text("/noisy/env/WHO"), "noisy");
    assert_eq!(server.get("/noisy/sleep/60000").status, 504);
    assert_eq!(server.text("/quiet/sleep/600"), "slept");
    let named = b"GET /hello HTTP/1.1\r\nHost: LAB.example:80\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(named).text(), "hello");
    let long = b"POST /echo HTTP/1.1\r\nHost: lab.example\r\nConnection: close\r\nContent-Length: 4\r\n\r\n1234";
    assert_eq!(server.ask(long).status, 413);
}

/// Hunts a host that is written in another way, and a request that a shorter path takes from a longer one.
#[test]
fn the_host_goes_before_the_path_and_the_longest_path_first() {
    let scratch = Scratch::new();
    put("http-lab", &scratch.path().join("lab.wasm"));
    let app = |name: &str, place: &str| {
        format!(
            "[[app]]\nname = \"{name}\"\ncomponent = \"lab.wasm\"\n{place}\nenv = {{ WHO = \"{name}\" }}\n"
        )
    };
    let apps = [
        app("all", "path = \"/\""),
        app("short", "path = \"/quiet\""),
        app("long", "path = \"/quiet/env/\""),
        app("named", "host = \"App.example\""),
        app("six", "host = \"[::1]\"\npath = \"/env\""),
        app("both", "host = \"app.example\"\npath = \"/quiet\""),
    ];
    let file = scratch.write("hart.toml", apps.concat());
    let server = Server::start(&[], &file.to_string_lossy());
    for (host, path, who) in [
        ("a", "/env/WHO", "all"),
        ("a", "/quiet/env/WHO", "long"),
        ("a", "/quiet//env/WHO", "short"),
        ("app.example", "/env/WHO", "named"),
        ("APP.EXAMPLE:8080", "/env/WHO", "named"),
        ("app.example.", "/env/WHO", "named"),
        ("app.example.:80", "/env/WHO", "named"),
        ("an.app.example", "/env/WHO", "all"),
        ("app.example", "/quiet/env/WHO", "both"),
        ("[::1]", "/env/WHO", "six"),
        ("[::1]:80", "/env/WHO", "six"),
        ("[::1]", "/quiet/env/WHO", "long"),
        ("[::2]", "/env/WHO", "all"),
    ] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(server.ask(asked.as_bytes()).text(), who, "{host} {path}");
    }
    // What the target says counts, and not the header.
    let asked = "GET http://app.example/env/WHO HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(asked.as_bytes()).text(), "named");
}

/// Hunts an error that hides another one, one that names another line, and a check that finds nothing wrong with what
/// cannot be served.
#[test]
pub(crate) fn check_tells_all_that_is_wrong() {
    let scratch = Scratch::new();
    put("hello-http", &scratch.path().join("hello.wasm"));
    put("hello", &scratch.path().join("command.wasm"));
    scratch.write("broken.wasm", "no component");
    let fine = scratch.write(
        "fine.toml",
        "[[app]]\nname = \"a\"\ncomponent = \"hello.wasm\"\n",
    );
    let checked = hart(["serve", "--check", &fine.to_string_lossy()]).exits(0);
    assert!(checked.stdout.contains("is fine"), "{checked:?}");

    let bad = scratch.write(
        "bad.toml",
        r#"wach = true
[[app]]
name = "a"
component = "command.wasm"
path = "/a"
[[app]]
name = "b"
component = "broken.wasm"
path = "/b"
[[app]]
name = "c"
component = "none.wasm"
path = "/c"
queue-timeout = "10"
tier = "fast"
"#,
    );
    let checked = hart(["serve", "--check", &bad.to_string_lossy()]).exits(2);
    let lines: Vec<&str> = checked.stderr.lines().collect();
    let expected = [
        (1, "did you mean `watch`?"),
        (4, "takes no HTTP requests"),
        (8, "broken.wasm"),
        (12, "none.wasm"),
        (14, "not a duration"),
        (15, "use auto, baseline, optimized"),
    ];
    assert_eq!(lines.len(), expected.len(), "{checked:#?}");
    for (line, (number, says)) in lines.iter().zip(expected) {
        let place = format!("bad.toml:{number}: ");
        assert!(line.contains(&place) && line.contains(says), "{line}");
    }
    // Nor is it served.
    let served = hart(["serve", "--addr", "127.0.0.1:0", &bad.to_string_lossy()]).exits(2);
    assert!(served.stderr.contains("bad.toml:14: "), "{served:#?}");
    // Grants are an app's.
    let granted = hart(["serve", "--check", "--env", "A=b", &fine.to_string_lossy()]).exits(2);
    assert!(granted.stderr.contains("[[app]]"), "{granted:#?}");
}

/// Hunts an example that its own reader refuses.
#[test]
pub(crate) fn the_example_is_fine_but_for_its_component() {
    let scratch = Scratch::new();
    let new = || {
        let mut new = command();
        new.current_dir(scratch.path()).args(["new", "--config"]);
        Running::start(&mut new, &[]).wait()
    };
    new().exits(0);
    let file = scratch.path().join("hart.toml");
    let checked = hart(["serve", "--check", &file.to_string_lossy()]).exits(2);
    let lines: Vec<&str> = checked.stderr.lines().collect();
    assert!(
        matches!(lines[..], [line] if line.contains("hello.wasm")),
        "{checked:#?}"
    );
    put("hello-http", &scratch.path().join("hello.wasm"));
    hart(["serve", "--check", &file.to_string_lossy()]).exits(0);
    let schema = std::fs::read(scratch.path().join("hart.schema.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&schema).unwrap();
    // What is there stays.
    let again = new().exits(2);
    assert!(again.stderr.contains("exists already"), "{again:#?}");
}
