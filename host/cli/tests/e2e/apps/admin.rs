//! The admin socket.

use super::{HELLO, put};
use crate::serve::{Answer, Server};
use crate::support::{Scratch, hart};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

fn ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::read(&answer)
}

/// Hunts a socket that others may use, a component that is not taken, and a broken one that is.
#[test]
pub(crate) fn an_app_is_swapped_by_its_socket() {
    let scratch = Scratch::new();
    let file = scratch.path().join("app.wasm");
    put("http-lab", &file);
    let socket = scratch.path().join("admin");
    let server = Server::start(
        &["--admin", &socket.to_string_lossy()],
        &file.to_string_lossy(),
    );
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let list = ask(&socket, "GET", "/apps", b"");
    let list: serde_json::Value = serde_json::from_str(&list.text()).unwrap();
    let idle = serde_json::json!([{"name": "app", "running": 0, "waiting": 0}]);
    assert_eq!(list, idle);

    assert_eq!(server.text("/hello"), "hello");
    let hello = std::fs::read(hart_build::guest("hello-http")).unwrap();
    assert_eq!(ask(&socket, "POST", "/apps/app", &hello).status, 200);
    assert_eq!(server.text("/hello"), HELLO);
    let command = std::fs::read(hart_build::guest("hello")).unwrap();
    for (body, why) in [
        (&b"no component"[..], "component"),
        (&command, "takes no HTTP requests"),
    ] {
        let refused = ask(&socket, "POST", "/apps/app", body);
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.text().contains(why), "{refused:?}");
        assert_eq!(server.text("/hello"), HELLO);
    }
    // Without a body: its file.
    assert_eq!(ask(&socket, "POST", "/apps/app", b"").status, 200);
    assert_eq!(server.text("/hello"), "hello");
    let unknown = ask(&socket, "POST", "/apps/other", b"");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("app"), "{unknown:?}");
    assert_eq!(ask(&socket, "DELETE", "/apps/app", b"").status, 405);
    assert_eq!(ask(&socket, "GET", "/", b"").status, 404);

    // Nobody takes the socket of a server that is there.
    let options = ["--addr", "127.0.0.1:0", "--admin"];
    let (socket_name, file) = (socket.to_string_lossy(), file.to_string_lossy());
    let line = ["serve"].into_iter().chain(options);
    let taken = hart(line.chain([&*socket_name, &*file])).exits(1);
    assert!(taken.stderr.contains("--admin"), "{taken:#?}");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().0, Some(0));
    assert!(!socket.exists());
}
