//! `hart serve`, by real sockets on loopback: a server's process, and a client that sends what it is told to.

mod answers;
mod between;
pub(crate) mod ends;
mod floods;
mod input;
pub(crate) mod lines;
pub(crate) mod outgoing;
mod protocol;
mod raw_http2;
pub(crate) mod settings;
mod speaks_http2;

use crate::support::command;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long an answer may take before it counts as none: far more than it needs on a busy machine.
const GUARD: Duration = Duration::from_secs(120);

/// A server's process. It ends when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// What a client was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body came to its end.
    pub(crate) is_whole: bool,
}

impl Server {
    /// Serves the guest that does what tests need.
    pub(crate) fn lab(options: &[&str]) -> Self {
        Self::start(options, &hart_build::guest("http-lab").to_string_lossy())
    }

    pub(crate) fn start(options: &[&str], file: &str) -> Self {
        Self::run(
            command()
                .args(["serve", "--addr", "127.0.0.1:0"])
                .args(options)
                .arg(file),
        )
    }

    pub(crate) fn run(command: &mut std::process::Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = String::new();
        let address = said.by_ref().map_while(Result::ok).find_map(|line| {
            before.push_str(&line);
            let (_, address) = line.split_once("Serving HTTP on http")?;
            let address = address.trim_start_matches("s").trim_start_matches("://");
            address.trim_end_matches('/').parse().ok()
        });
        let address = address.unwrap_or_else(|| panic!("it does not serve: {before}"));
        let stderr = thread::spawn(move || {
            let lines: Vec<String> = said.map_while(Result::ok).collect();
            lines.join("\n")
        });
        let mut out = child.stdout.take().unwrap();
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text);
            text
        });
        Self {
            child,
            address,
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream
    }

    /// Sends these bytes, and reads until the server closes. It may do so before it has read all.
    pub(crate) fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let mut writes = stream.try_clone().unwrap();
        let bytes = bytes.to_vec();
        let writer = thread::spawn(move || {
            let _ = writes.write_all(&bytes);
        });
        let answered = read_all(&mut stream);
        let _ = stream.shutdown(Shutdown::Both);
        writer.join().unwrap();
        answered
    }

    pub(crate) fn ask(&self, bytes: &[u8]) -> Answer {
        Answer::read(&self.send(bytes))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&get(path))
    }

    /// What `path` is answered, as text.
    pub(crate) fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.text()
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: `kill` reads no memory, and the child has not been waited for, so that its process number is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// Waits for its end: the exit code, standard output and standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait().unwrap();
        let [out, err] = [self.stdout.take(), self.stderr.take()];
        (
            status.code(),
            out.unwrap().join().unwrap(),
            err.unwrap().join().unwrap(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads until the other side closes or breaks off.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 64 << 10];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("no answer; so far: {}", String::from_utf8_lossy(&all))
            }
            Err(_) => return all,
        }
    }
}

impl Answer {
    /// Reads the only response in `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let shown = || String::from_utf8_lossy(bytes).into_owned();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no response: {:?}", shown()));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {:?}", shown()));
        let head = head.to_ascii_lowercase();
        let rest = &bytes[end + 4..];
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
        let (body, is_whole) = if head.contains("transfer-encoding: chunked") {
            unchunk(rest)
        } else {
            (
                rest.to_vec(),
                length.is_none_or(|length| rest.len() >= length),
            )
        };
        Self {
            status,
            head,
            body,
            is_whole,
        }
    }

    pub(crate) fn text(&self) -> String {
        assert!(self.is_whole, "{self:?}");
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    }
}

/// What is in the chunks, and whether the last one is there.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        rest = &rest[end + 2..];
        if length == 0 {
            return (body, true);
        }
        if rest.len() < length + 2 {
            body.extend_from_slice(rest);
            return (body, false);
        }
        body.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}
