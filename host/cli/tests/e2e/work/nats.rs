//! A real nats-server, and a client of it that can send anything.

use crate::apps::until;
use crate::support::{Finished, Running, Scratch, command};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server with a store of its own. It goes when the test ends.
pub(crate) struct Nats {
    pub(crate) scratch: Scratch,
    child: Child,
    pub(crate) port: u16,
    arguments: Vec<String>,
}

/// The program: `HART_NATS_SERVER`, or `nats-server`.
fn program() -> PathBuf {
    let named = std::env::var_os("HART_NATS_SERVER").map(PathBuf::from);
    named.unwrap_or_else(|| "nats-server".into())
}

impl Nats {
    pub(crate) fn start() -> Self {
        Self::start_with(Scratch::new(), &[])
    }

    /// One with more arguments, such as those for TLS, and a directory that has what they name.
    pub(crate) fn start_with(scratch: Scratch, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let (child, port) = launch(&scratch, -1, &arguments);
        Self {
            scratch,
            child,
            port,
            arguments,
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, where it was.
    pub(crate) fn restart(&mut self) {
        let (child, _) = launch(&self.scratch, i32::from(self.port), &self.arguments);
        self.child = child;
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `hart` with these arguments, which finds this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        for name in ["NATS_CREDS", "NATS_USER", "NATS_PASSWORD", "NATS_TOKEN"] {
            command.env_remove(name);
        }
        command.env("NATS_URL", self.url()).args(arguments);
        command
    }

    /// Runs it to its end.
    pub(crate) fn hart(&self, arguments: &[&str]) -> Finished {
        Running::start(&mut self.command(arguments), &[]).wait()
    }

    /// Puts the guest that follows letters at `NAME.wat`.
    pub(crate) fn lab(&self, name: &str) -> PathBuf {
        self.scratch
            .write(&format!("{name}.wat"), include_str!("lab.wat"))
    }

    /// A worker, once it works.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Worker {
        self.worker_of("HART", arguments)
    }

    /// The same, of another stream.
    pub(crate) fn worker_of(&self, stream: &str, arguments: &[&str]) -> Worker {
        let mut raw = self.raw();
        let before = raw.requests(stream);
        let worker = self.new_worker(arguments);
        until("the worker works", || raw.requests(stream) > before);
        worker
    }

    /// A worker that has just been started.
    pub(crate) fn new_worker(&self, arguments: &[&str]) -> Worker {
        Worker::start(&mut self.command(&[&["work"], arguments].concat()))
    }

    pub(crate) fn raw(&self) -> Raw {
        Raw::connect(self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker. It is killed when the test ends.
pub(crate) struct Worker(Option<Running>);

impl Worker {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(Running::start(command, &[])))
    }

    fn running(&self) -> &Running {
        self.0.as_ref().expect("it is there until it is waited for")
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.running().signal(signal);
    }

    pub(crate) fn wait_for_the_guest(&self) {
        self.running().wait_for_the_guest();
    }

    pub(crate) fn wait(mut self) -> Finished {
        let running = self.0.take();
        running.expect("it is waited for once").wait()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.signal(libc::SIGKILL);
            running.wait();
        }
    }
}

fn launch(scratch: &Scratch, port: i32, arguments: &[String]) -> (Child, u16) {
    let ports = scratch.path().join("ports");
    let _ = std::fs::remove_dir_all(&ports);
    std::fs::create_dir(&ports).unwrap();
    let mut command = Command::new(program());
    command
        .args(["--jetstream", "--addr", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .arg("--store_dir")
        .arg(scratch.path().join("store"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(scratch.path().join("nats.log")).unwrap());
    let child = command.spawn().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; name it with HART_NATS_SERVER",
            program().display()
        )
    });
    let mut found = None;
    until("nats-server listens", || {
        found = port_of(&ports);
        found.is_some()
    });
    (child, found.unwrap())
}

fn port_of(ports: &Path) -> Option<u16> {
    let file = std::fs::read_dir(ports).ok()?.flatten().next()?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let object: serde_json::Value = serde_json::from_str(&text).ok()?;
    object["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// A connection that sends what it is told to.
pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    next: u32,
}

impl Raw {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut raw = Self {
            stream: BufReader::new(stream),
            next: 0,
        };
        raw.line();
        raw.send(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nPING\r\n");
        assert_eq!(raw.line(), "PONG");
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Publishes, and waits until the server has it. `headers` are what stands between the first line and the empty one.
    pub(crate) fn publish(&mut self, subject: &str, headers: &[u8], payload: &[u8]) {
        let head = [b"NATS/1.0\r\n", headers, b"\r\n"].concat();
        let total = head.len() + payload.len();
        let line = format!("HPUB {subject} {} {total}\r\n", head.len());
        self.send(&[line.as_bytes(), &head, payload, b"\r\nPING\r\n"].concat());
        while self.line() != "PONG" {}
    }

    /// What the server answers.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> serde_json::Value {
        self.next += 1;
        let (sid, length) = (self.next, payload.len());
        self.send(
            format!(
                "SUB _INBOX.raw.{sid} {sid}\r\nUNSUB {sid} 1\r\nPUB {subject} _INBOX.raw.{sid} {length}\r\n{payload}\r\n"
            )
            .as_bytes(),
        );
        loop {
            let line = self.line();
            let Some(bytes) = self.payload(&line) else {
                continue;
            };
            return serde_json::from_slice(&bytes).unwrap_or_default();
        }
    }

    /// Asks for something that is sent to a subject.
    pub(crate) fn ask(&mut self, subject: &str, reply: &str, payload: &str) {
        let length = payload.len();
        let line = format!("PUB {subject} {reply} {length}\r\n{payload}\r\nPING\r\n");
        self.send(line.as_bytes());
        while self.line() != "PONG" {}
    }

    /// Answers the next message, with nothing.
    pub(crate) fn answer(&mut self) {
        loop {
            let line = self.line();
            if self.payload(&line).is_none() {
                continue;
            }
            // MSG, subject, number, where the answer goes, length.
            let reply = line.split(' ').nth(3).unwrap();
            self.send(format!("PUB {reply} 0\r\n\r\nPING\r\n").as_bytes());
            while self.line() != "PONG" {}
            return;
        }
    }

    /// Has messages of a subject sent here.
    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.next += 1;
        let line = format!("SUB {subject} {}\r\nPING\r\n", self.next);
        self.send(line.as_bytes());
        while self.line() != "PONG" {}
    }

    /// The next message: its headers and its payload.
    pub(crate) fn message(&mut self) -> String {
        loop {
            let line = self.line();
            if let Some(bytes) = self.payload(&line) {
                return String::from_utf8(bytes).unwrap();
            }
        }
    }

    /// What a message has beside `line`, which begins it, if it does.
    fn payload(&mut self, line: &str) -> Option<Vec<u8>> {
        if line == "PING" {
            self.send(b"PONG\r\n");
        }
        let rest = line.strip_prefix("MSG ").or(line.strip_prefix("HMSG "))?;
        let length: usize = rest.rsplit(' ').next()?.parse().ok()?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes.truncate(length);
        Some(bytes)
    }

    /// How many messages a stream has, and of how many subjects.
    pub(crate) fn count(&mut self, stream: &str) -> (u64, u64) {
        let info = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        let number = |name: &str| info["state"][name].as_u64().unwrap_or(0);
        (number("messages"), number("num_subjects"))
    }

    /// How many results there are. Notes of jobs that were given back are in the same stream.
    pub(crate) fn results(&mut self) -> u64 {
        let all = "{\"subjects_filter\":\"hart.result.>\"}";
        let info = self.request("$JS.API.STREAM.INFO.HART_RESULTS", all);
        let subjects = info["state"]["subjects"].as_object().cloned();
        let names = subjects.unwrap_or_default();
        names.keys().filter(|name| !name.contains('~')).count() as u64
    }

    /// The last message of a subject: its headers and its payload.
    pub(crate) fn last(&mut self, stream: &str, subject: &str) -> Option<(String, Vec<u8>)> {
        let subject = format!("{{\"last_by_subj\":\"{subject}\"}}");
        let found = self.request(&format!("$JS.API.STREAM.MSG.GET.{stream}"), &subject);
        let message = found.get("message")?;
        let part = |name: &str| base64(message[name].as_str().unwrap_or_default());
        Some((String::from_utf8(part("hdrs")).unwrap(), part("data")))
    }

    /// How many requests for jobs wait: a worker has one for each app that has no jobs.
    fn requests(&mut self, stream: &str) -> u64 {
        let list = self.request(&format!("$JS.API.CONSUMER.LIST.{stream}"), "");
        let consumers = list["consumers"].as_array().cloned().unwrap_or_default();
        let waiting = consumers
            .iter()
            .map(|consumer| consumer["num_waiting"].as_u64());
        waiting.flatten().sum()
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b'=')
        .map(digit)
        .collect();
    let of_four = |four: &[u8]| {
        let bits = four
            .iter()
            .fold(0u32, |bits, digit| bits << 6 | u32::from(*digit));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(of_four).collect()
}

/// With padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let bits = three
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        let digit = |at: usize| match at <= three.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(of_three).collect()
}
