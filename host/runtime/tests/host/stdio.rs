//! Standard streams that are the embedder's readers and writers, or captured in parts.

use std::io;
use std::pin::Pin;

use std::task::{Context, Poll};

use futures::executor::block_on;
use hart_host::{Component, Host, Limits, Run, RunError, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, duplex};

use crate::support::*;

/// Copies standard input to standard output.
fn cat(host: &Host) -> Component {
    let cat = include_bytes!("../../../cli/tests/e2e/cat.wat");
    host.load(cat).unwrap()
}

fn guest(host: &Host, name: &str) -> Component {
    host.load_file(hart_build::guest(name)).unwrap()
}

/// It writes for ever into something that takes 1 KiB and is not read; what would be read.
fn flooded(host: &Host) -> (Run, Stdio, tokio::io::DuplexStream) {
    let (ours, theirs) = duplex(1024);
    let output = Stdio::writer(theirs);
    let run = host.command(&guest(host, "flood")).stdout(output.clone());
    (run.start().unwrap(), output, ours)
}

/// Hunts bytes that are lost, doubled or out of order on their way through a guest.
#[test]
pub fn a_guest_copies_a_reader_into_a_writer() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let cat = cat(&host);
        let (mut to, from) = duplex(700);
        let (into, mut out) = duplex(300);
        let run = host.command(&cat).stdin(Stdio::reader(from));
        let run = run.stdout(Stdio::writer(into)).start().unwrap();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let sends = std::thread::spawn(move || block_on(to.write_all(&sent)).unwrap());
        let mut got = vec![0; expected.len()];
        block_on(out.read_exact(&mut got)).unwrap();
        sends.join().unwrap();
        assert!(got == expected);
        // The sender is gone: so ends the input, and with it the program.
        run.wait().unwrap();
        assert_nothing_left(&host);
    }
}

/// Hunts memory that grows while nobody reads, a neighbour that waits for it, and a guest that cannot be ended.
#[test]
pub fn a_slow_reader_holds_up_its_guest_alone() {
    let host = host();
    let (run, output, mut ours) = flooded(&host);
    eventually("it has written", || run.stats().output_bytes > 1024);
    let hello = guest(&host, "hello");
    for _ in 0..20 {
        let other = host.command(&hello).stdout(Stdio::Capture).start().unwrap();
        assert!(other.wait().unwrap().stdout.starts_with(b"hello"));
    }
    // 64 KiB, and the write that went beyond them.
    let written = run.stats().output_bytes;
    assert!(written <= 128 << 10, "{written}");
    run.cancel();
    assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    eventually("what it left is gone", || host.stats().live_runs == 0);
    assert_nothing_left(&host);
    // The writer is there for others.
    let reads = std::thread::spawn(move || {
        let mut all = Vec::new();
        block_on(ours.read_to_end(&mut all)).unwrap();
        all
    });
    let next = host.command(&hello).stdout(output).start().unwrap();
    next.wait().unwrap();
    drop(host);
    let all = reads.join().unwrap();
    assert!(all.ends_with(b"hello\n"), "{:?}", all.len());
    assert!(all.len() < 2048, "{}", all.len());
}

/// Hunts a run that cannot end because its writer takes nothing.
#[test]
fn what_a_limit_ends_waits_for_no_reader() {
    let host = host();
    let (ours, theirs) = duplex(16);
    let run = host.command(&guest(&host, "hello"));
    let run = run.stdout(Stdio::writer(theirs)).arg("hello");
    let limits = Limits::new().timeout(std::time::Duration::from_millis(50));
    let run = run.args(vec!["long"; 10]).limits(limits).start().unwrap();
    assert!(matches!(run.wait(), Err(RunError::TimedOut(_))));
    assert_nothing_left(&host);
    drop(ours);
}

/// Never answers.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// Hunts a run that waits for input which it does not read, and a guest that waits and cannot be ended.
#[test]
pub fn a_reader_that_never_answers_holds_up_no_end() {
    let host = host();
    let hello = host.command(&guest(&host, "hello"));
    hello
        .stdin(Stdio::reader(Silent))
        .start()
        .unwrap()
        .wait()
        .unwrap();
    let run = host.command(&cat(&host)).stdin(Stdio::reader(Silent));
    let run = run.start().unwrap();
    eventually("it waits", || {
        host.pool().in_use == 1 && run.stats().polls > 0
    });
    run.cancel();
    assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    assert_nothing_left(&host);
}

/// Goes wrong as it is told.
struct Broken(fn() -> Poll<io::Result<usize>>);

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        (self.0)()
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        (self.0)().map(|result| result.map(drop))
    }
}

/// Hunts a guest that waits for ever for a writer which has gone, or a panic of the embedder's that does more than end a run.
#[test]
fn readers_and_writers_may_go_wrong() {
    let breaks: [fn() -> Poll<io::Result<usize>>; 4] = [
        || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        || Poll::Ready(Err(io::Error::other("no more"))),
        || Poll::Ready(Ok(0)),
        || panic!("in a stream, on purpose"),
    ];
    let host = host();
    for broken in breaks {
        let flood = host.command(&guest(&host, "flood"));
        let run = flood.stdout(Stdio::writer(Broken(broken))).start().unwrap();
        // Whatever the program makes of it, it ends.
        let _ = run.wait();
        let cat = host
            .command(&cat(&host))
            .stdin(Stdio::reader(Broken(broken)));
        let _ = cat.start().unwrap().wait();
        assert_nothing_left(&host);
    }
}

/// Hunts output of a child in the root's stream, or the other way round.
#[test]
pub fn children_have_streams_of_their_own() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&write()).spawn(&write()).join(0).join(1).write();
    let apart = run(&host, &lab, &script).stdout(Stdio::Capture);
    let apart = apart.child_stdout(Stdio::Capture).start().unwrap();
    let outcome = apart.wait().unwrap();
    let sizes = (outcome.stdout.len(), outcome.child_stdout.len());
    assert_eq!(sizes, (4096, 8192));
    let together = run(&host, &lab, &script).stdout(Stdio::Capture);
    let outcome = together.start().unwrap().wait().unwrap();
    let sizes = (outcome.stdout.len(), outcome.child_stdout.len());
    assert_eq!(sizes, (3 * 4096, 0));
    let refused = run(&host, &lab, &script).child_stderr(Stdio::reader(Silent));
    let error = refused.start().unwrap_err().to_string();
    assert!(error.contains("standard error"), "{error}");
}

/// Hunts lines of two tasks in one.
#[test]
pub fn what_tasks_write_can_be_in_whole_lines() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&write()).spawn(&write()).join(0).join(1).write();
    let start = run(&host, &lab, &script)
        .stdout(Stdio::Capture)
        .whole_lines(true);
    let outcome = start.start().unwrap().wait().unwrap();
    // None of them ends its line by itself.
    let lines: Vec<_> = outcome.stdout.split(|byte| *byte == b'\n').collect();
    let sizes: Vec<_> = lines.iter().map(|line| line.len()).collect();
    assert_eq!(sizes, [4096, 4096, 4096, 0]);
}

/// Hunts a stream that is woken for somebody else: several runs share a reader.
#[test]
fn runs_share_a_reader() {
    let host = host();
    let cat = cat(&host);
    let (mut to, from) = duplex(64);
    let input = Stdio::reader(from);
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let run = host.command(&cat).stdin(input.clone());
            run.stdout(Stdio::Capture).start().unwrap()
        })
        .collect();
    block_on(to.write_all(&[b'x'; 10_000])).unwrap();
    drop(to);
    let got = runs.into_iter().map(|run| run.wait().unwrap().stdout.len());
    assert_eq!(got.sum::<usize>(), 10_000);
    assert_nothing_left(&host);
}
