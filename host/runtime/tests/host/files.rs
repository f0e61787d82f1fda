//! File descriptors are counted for a run, a tenant and the host, and whoever has too many is told so and goes on.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::*;
use hart_host::wasmtime::component::Val;
use hart_host::{Component, DirAccess, Host, LimitKind, Limits, RunBuilder};

/// `insufficient-memory` of WASI 0.2's files, of 0.3's, and `new-socket-limit`.
const NO_MEMORY: u32 = 22;
const NO_MEMORY_03: u32 = 21;
const NO_SOCKET: u32 = 10;
/// `out-of-memory` of 0.3's sockets.
const NO_SOCKET_03: u32 = 3;
/// `not-directory`, in both.
const NOT_DIRECTORY: [u32; 2] = [24, 23];

/// A host with a directory that has `file` in it, and guests that open it.
struct Ground {
    host: Host,
    wasi02: Component,
    wasi03: Component,
    sockets03: Component,
    directory: PathBuf,
}

impl Ground {
    fn new(name: &str, host: Host) -> Self {
        let directory = std::env::temp_dir().join(format!("hart-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), "file").unwrap();
        Self {
            wasi02: host.load(include_bytes!("files/wasi02.wat")).unwrap(),
            wasi03: host.load(include_bytes!("files/wasi03.wat")).unwrap(),
            sockets03: host.load(include_bytes!("files/sockets03.wat")).unwrap(),
            host,
            directory,
        }
    }

    fn run(&self, guest: &Component, call: &str, limits: Limits) -> RunBuilder {
        self.host
            .invoke(guest, call)
            .unwrap()
            .dir(&self.directory, "/d", DirAccess::ReadWrite)
            .allow_network(true)
            .limits(limits)
    }

    /// How many a run has made, and the number of the error that ended that.
    fn made(&self, guest: &Component, call: &str, limits: Limits) -> (u32, u32) {
        said(self.run(guest, call, limits))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn said(run: RunBuilder) -> (u32, u32) {
    match run.start().unwrap().wait().unwrap().results[..] {
        [Val::U32(said)] => (said >> 8, said & 255),
        ref other => panic!("{other:?}"),
    }
}

/// Fault: files that nobody counts, that a limit kills for, or that stay counted when they are closed.
#[test]
pub fn a_run_has_so_many_files() {
    let ground = Ground::new("files", host());
    let ten = Limits::new().files(10);
    let none = Limits::new();
    for (guest, no_memory) in [(&ground.wasi02, NO_MEMORY), (&ground.wasi03, NO_MEMORY_03)] {
        assert_eq!(ground.made(guest, "open(20)", ten), (10, no_memory));
        assert_eq!(ground.made(guest, "open(20)", none), (20, 0));
        // By default as well.
        let (all, code) = ground.made(guest, "open(100000)", none);
        assert_eq!(code, no_memory, "{all}");
        assert!(all <= 1024, "{all}");
    }
    assert_eq!(ground.made(&ground.wasi02, "churn(30)", ten), (30, 0));
    assert_nothing_left(&ground.host);
}

/// Fault: a file that is open as long as a stream of it is, and counts only as long as its handle.
#[test]
fn a_stream_keeps_its_file() {
    let ground = Ground::new("kept-files", host());
    let ten = Limits::new().files(10);
    let made = |guest, call| ground.made(guest, call, ten);
    assert_eq!(made(&ground.wasi02, "streams(20)"), (10, NO_MEMORY));
    let wasi03 = &ground.wasi03;
    assert_eq!(made(wasi03, "streams(20, false)"), (10, NO_MEMORY_03));
    assert_eq!(made(wasi03, "streams(20, true)"), (20, 0));
}

/// Fault: sockets that are no files, or stay counted when they are closed.
#[test]
pub fn sockets_are_files() {
    let ground = Ground::new("sockets", host());
    let ten = Limits::new().files(10);
    for (guest, code) in [
        (&ground.wasi02, NO_SOCKET),
        (&ground.sockets03, NO_SOCKET_03),
    ] {
        for kind in ["tcp", "udp"] {
            let made = |call: &str| ground.made(guest, &format!("{kind}({call})"), ten);
            assert_eq!(made("20, true"), (10, code), "{kind}");
            assert_eq!(made("30, false"), (30, 0), "{kind}");
        }
    }
}

/// A port that nobody listens on, and what connects to it as often, once somebody does.
fn connections(many: usize) -> (u16, JoinHandle<Vec<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let connects = thread::spawn(move || {
        let connect = |_| {
            let mut connected = None;
            eventually("it listens", || {
                connected = TcpStream::connect(address).ok();
                connected.is_some()
            });
            connected.unwrap()
        };
        (0..many).map(connect).collect()
    });
    (address.port(), connects)
}

/// Fault: connections that are accepted by WASI 0.3 without a look at the limit, that end the guest there, or that are
/// counted only as long as the socket's handle and not as long as its streams.
#[test]
fn accepted_connections_wait_for_room() {
    let ground = Ground::new("accepted", host());
    let ten = Limits::new().files(10).timeout(HANG);
    for keeps in [0, 1] {
        let (port, connects) = connections(20);
        let call = format!("accept({port}, 20, {keeps})");
        let run = ground.run(&ground.sockets03, &call, ten).start().unwrap();
        // All of them are connected, as far as the system is concerned.
        let connected = connects.join().unwrap();
        eventually("it has all that it may have", || run.stats().files == 10);
        assert!(!run.is_finished());
        run.cancel();
        let _ = run.wait();
        drop(connected);
    }
    // One after the other.
    let (port, connects) = connections(20);
    let call = format!("accept({port}, 20, 2)");
    assert_eq!(ground.made(&ground.sockets03, &call, ten), (20, 0));
    drop(connects.join());
    assert_nothing_left(&ground.host);
}

/// Fault: a listener that never looks again after it found no room.
#[test]
fn a_listener_goes_on_when_there_is_room() {
    let ground = Ground::new("goes-on", builder().files(20).build().unwrap());
    let limits = Limits::new().files(20).timeout(HANG);
    let holds = ground.run(&ground.wasi02, "hold(16)", limits);
    let holds = holds.start().unwrap();
    eventually("it holds them", || holds.stats().files == 16);
    let (port, connects) = connections(8);
    let call = format!("accept({port}, 8, 0)");
    let run = ground.run(&ground.sockets03, &call, limits);
    let run = run.start().unwrap();
    let connected = connects.join().unwrap();
    // The listener, what it may accept ahead, and two that it has.
    eventually("it has the rest, and rests", || {
        let before = run.stats();
        thread::sleep(Duration::from_millis(20));
        before.files == 4 && run.stats().polls == before.polls
    });
    assert!(!run.is_finished());
    holds.cancel();
    let _ = holds.wait();
    let [Val::U32(said)] = run.wait().unwrap().results[..] else {
        panic!("a number")
    };
    assert_eq!(said, 8 << 8);
    drop(connected);
}

/// Fault: a limit that each run of a tenant has for itself, or one that outlives the runs.
#[test]
fn a_tenant_has_so_many_files() {
    let ground = Ground::new("tenant-files", host());
    let tenant = ground.host.tenant().limits(Limits::new().files(15));
    let tenant = tenant.build().unwrap();
    let run = |call| ground.run(&ground.wasi02, call, Limits::new().timeout(HANG));
    let holds = run("hold(10)").tenant(&tenant).start().unwrap();
    eventually("it holds them", || holds.stats().files == 10);
    assert_eq!(said(run("open(20)").tenant(&tenant)), (5, NO_MEMORY));
    // Others are not concerned.
    assert_eq!(said(run("open(20)")), (20, 0));
    holds.cancel();
    let _ = holds.wait();
    assert_eq!(said(run("open(20)").tenant(&tenant)), (15, NO_MEMORY));
    assert_nothing_left(&ground.host);
}

/// Fault: runs that together take what the embedder needs.
#[test]
pub fn a_host_has_so_many_files() {
    let ground = Ground::new("host-files", builder().files(25).build().unwrap());
    let settings = ground.host.settings();
    let files = settings.iter().find(|setting| setting.name == "files");
    assert_eq!(files.unwrap().value, "25");
    let run = |call, limits| ground.run(&ground.wasi02, call, limits);
    // By default, no run has more than half.
    assert_eq!(said(run("open(20)", Limits::new())), (12, NO_MEMORY));
    let more = Limits::new().files(20);
    let holds = run("hold(20)", more.timeout(HANG)).start().unwrap();
    eventually("it holds them", || holds.stats().files == 20);
    assert_eq!(said(run("open(20)", more)), (5, NO_MEMORY));
    holds.cancel();
    let _ = holds.wait();
    assert_eq!(said(run("open(20)", more)), (20, 0));
}

/// Fault: a stream of a file that loses its place, its bytes or its end, on its way over a thread.
#[test]
fn streams_read_and_write_what_is_there() {
    let ground = Ground::new("streamed", host());
    for (guest, size) in [(&ground.wasi02, 13), (&ground.wasi03, 26)] {
        let last = u32::from(b'e');
        assert_eq!(ground.made(guest, "append()", Limits::new()), (size, last));
    }
    let made = std::fs::read_to_string(ground.directory.join("made")).unwrap();
    assert_eq!(made, "writtenwrittewrittenwritte");
    for name in 0..100 {
        std::fs::write(ground.directory.join(name.to_string()), "").unwrap();
    }
    // `file` and `made` as well.
    for guest in [&ground.wasi02, &ground.wasi03] {
        assert_eq!(ground.made(guest, "list()", Limits::new()), (102, 0));
    }
}

/// Fault: an entry that nobody can name, and that hides all those after it. In WASI 0.3 it ends the listing, with an error.
#[test]
fn a_name_that_is_no_text_hides_no_other() {
    use std::os::unix::ffi::OsStrExt as _;

    let ground = Ground::new("nameless", host());
    for name in [&b"\xff"[..], b"a", b"\xfe\xff", b"z"] {
        let path = ground.directory.join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(path, "").unwrap();
    }
    // `file` as well.
    assert_eq!(ground.made(&ground.wasi02, "list()", Limits::new()), (3, 0));
}

/// Fault: a listing that the host holds for a guest, and counts for nobody.
#[test]
fn a_listing_is_memory() {
    const ENTRIES: u64 = 500;
    let ground = Ground::new("listed", host());
    let peak = |guest, call| {
        let run = ground.run(guest, call, Limits::new());
        let stats = run.start().unwrap().wait().unwrap().stats;
        assert_eq!(stats.memory, 0);
        stats.peak_memory
    };
    let calls = [
        (&ground.wasi02, "list()", 1),
        (&ground.wasi02, "lists(20)", 20),
        (&ground.wasi03, "list()", 1),
    ];
    let without = calls.map(|(guest, call, _)| peak(guest, call));
    for entry in 0..ENTRIES {
        let name = format!("{entry:0100}");
        std::fs::write(ground.directory.join(name), "").unwrap();
    }
    for ((guest, call, times), without) in calls.into_iter().zip(without) {
        let more = peak(guest, call) - without;
        assert!(more >= times * ENTRIES * 100, "{call}: {more}");
    }
    // Those that do not fit end the guest.
    let limits = Limits::new().memory(4 << 20);
    let run = ground.run(&ground.wasi02, "lists(1000)", limits);
    let error = run.start().unwrap().wait().unwrap_err();
    let reached = error.limit().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(reached.limit, LimitKind::Memory);
    assert_nothing_left(&ground.host);
}

/// Fault: paths that the host keeps for calls which wait for a thread, and counts for nobody: a guest of WASI 0.3 makes as
/// many calls as it likes meanwhile.
#[test]
fn paths_of_calls_that_wait_are_memory() {
    let ground = Ground::new("waiting", host());
    let limits = Limits::new().memory(4 << 20);
    let run = ground.run(&ground.wasi03, "opening(1000, 100000)", limits);
    let error = run.start().unwrap().wait().unwrap_err();
    let reached = error.limit().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(reached.limit, LimitKind::Memory, "{error}");
    assert_nothing_left(&ground.host);
}

/// Fault: a pipe that is opened because a directory was asked for, and takes a thread for ever.
#[test]
fn a_pipe_is_no_directory() {
    let ground = Ground::new(
        "piped",
        builder()
            .limits(Limits::new().blocking_threads(1).timeout(HANG))
            .build()
            .unwrap(),
    );
    let pipe = with_a_pipe("hart-piped-too");
    for (guest, code) in [&ground.wasi02, &ground.wasi03]
        .into_iter()
        .zip(NOT_DIRECTORY)
    {
        for _ in 0..2 {
            let run = ground.host.invoke(guest, "pipe()").unwrap();
            assert_eq!(said(run.dir(&pipe, "/d", DirAccess::ReadOnly)), (0, code));
        }
        assert_eq!(ground.made(guest, "open(3)", Limits::new()), (3, 0));
    }
    std::fs::remove_dir_all(&pipe).unwrap();
}
