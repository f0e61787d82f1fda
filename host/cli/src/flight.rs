//! `--flight-recorder`: what workers did last, kept in memory, and written when something goes wrong.
//!
//! # Protocol
//!
//! 1. The host is traced, with as many events as fit into the size: [`Flight::follow`].
//! 2. A thread of its own waits at a socket. Whoever wants a file writes a byte that says why: the handler of SIGUSR1 (about
//!    all that a handler may do), a worker that began a turn late, a hook that saw a trap, the admin socket. Nobody waits for
//!    room in it: a file is on its way then.
//! 3. The thread writes a file, and says so in a line. What guests cause (a late turn, a trap) is written once in [`REST`],
//!    and the last [`FILES`] are kept, so that no guest fills a disk.

use crate::failure::Failure;
use crate::output::{one_line, to_stderr};
use crate::units::{duration, size};
use clap::Args;
use hart_host::{Event, Host, HostBuilder, TaskEnd, Trace};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that an event takes at most: a record of 40, and 32 of names and groups.
const EVENT: u64 = 72;

/// How long nothing more is written that guests cause, after something was.
const REST: Duration = Duration::from_secs(60);

/// How long requests for files gather where none is written. Guessed.
const GATHER: Duration = Duration::from_millis(100);

/// Files that one process leaves at most.
const FILES: usize = 8;

#[derive(Args, Clone, Debug)]
pub(crate) struct FlightArgs {
    /// Keep what the workers did last, in so much memory [16MiB], and write it to a file on SIGUSR1, on a
    /// trap, and when a turn begins late; `hart sim --from FILE` replays it
    #[arg(
        long,
        value_name = "SIZE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "16MiB",
        value_parser = size,
        help_heading = "Statistics"
    )]
    pub(crate) flight_recorder: Option<u64>,

    /// Where those files go [default: the current directory]
    #[arg(
        long,
        value_name = "DIR",
        requires = "flight_recorder",
        help_heading = "Statistics"
    )]
    pub(crate) flight_directory: Option<PathBuf>,

    /// How late a turn begins that is worth a file; 0s: none is
    #[arg(long, value_name = "D", default_value = "100ms", value_parser = duration, help_heading = "Statistics")]
    pub(crate) flight_stall: Duration,
}

/// Why a file is written, as a byte. What `signal-hook` writes for a signal is its own.
const TRAP: u8 = 1;
const LATE: u8 = 2;
const ASKED: u8 = 3;

/// A recorder that is to be.
pub(crate) struct Flight {
    bell: Arc<Bell>,
    rung: UnixStream,
    directory: PathBuf,
    stall: Duration,
    events: usize,
}

/// The thread that writes files. Dropped, it writes what is asked for already, and ends.
pub(crate) struct FlightRecorder {
    pub(crate) bell: Arc<Bell>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Where whoever wants a file says so.
#[derive(Debug)]
pub(crate) struct Bell {
    socket: UnixStream,
    /// How late the latest turn was since the last file, in nanoseconds.
    late: AtomicU64,
}

impl Flight {
    /// What the options ask for; `None` if they do not.
    ///
    /// # Errors
    /// A directory that is none.
    pub(crate) fn new(args: &FlightArgs) -> Result<Option<Self>, Failure> {
        let Some(size) = args.flight_recorder else {
            return Ok(None);
        };
        let directory = args.flight_directory.clone().unwrap_or_else(|| ".".into());
        if !directory.is_dir() {
            return Err(Failure::usage(
                "--flight-directory: there is no such directory; make it, or name another",
            )
            .at(&directory));
        }
        let (socket, rung) = UnixStream::pair()
            .and_then(|pair| pair.0.set_nonblocking(true).map(|()| pair))
            .map_err(|error| Failure::new(1, format!("--flight-recorder: {error}")))?;
        let late = AtomicU64::new(0);
        Ok(Some(Self {
            bell: Arc::new(Bell { socket, late }),
            rung,
            directory,
            stall: args.flight_stall,
            events: usize::try_from((size / EVENT).max(1)).unwrap_or(usize::MAX),
        }))
    }

    /// Has a host recorded.
    pub(crate) fn follow(this: Option<&Self>, builder: HostBuilder) -> HostBuilder {
        let Some(this) = this else {
            return builder;
        };
        let bell = this.bell.clone();
        builder.trace(this.events).on(move |event| {
            if let Event::TaskEnded { end, .. } = event
                && let TaskEnd::Trapped(_) = end
            {
                bell.ring(TRAP);
            }
        })
    }

    /// Writes files from now on, until the process ends.
    ///
    /// # Errors
    /// Where the system gives no thread and no signal handler.
    pub(crate) fn start(self, host: &Host) -> Result<FlightRecorder, Failure> {
        let bell = self.bell.clone();
        let failed = |error: io::Error| Failure::new(1, format!("--flight-recorder: {error}"));
        let Some(trace) = host.runtime().trace() else {
            return Ok(FlightRecorder { bell, thread: None });
        };
        if !self.stall.is_zero() {
            let bell = bell.clone();
            trace.watch(self.stall, move |waited| bell.is_late(waited));
        }
        let socket = bell.socket.try_clone().map_err(failed)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGUSR1, socket)
            .map_err(failed)?;
        let thread = thread::Builder::new().name("hart-flight".into());
        let thread = thread.spawn(move || self.write(&trace)).map_err(failed)?;
        Ok(FlightRecorder {
            bell,
            thread: Some(thread),
        })
    }

    /// Step 3 of the protocol.
    fn write(self, trace: &Trace) {
        let mut files = VecDeque::new();
        let (mut count, mut rested) = (0_u64, Instant::now());
        let mut reasons = [0; 64];
        loop {
            let read = match (&self.rung).read(&mut reasons) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let (now, late) = (Instant::now(), self.bell.late.swap(0, Ordering::Relaxed));
            let wanted = |reason: &u8| !matches!(*reason, TRAP | LATE) || now >= rested;
            let Some(reason) = reasons[..read].iter().copied().find(wanted) else {
                thread::sleep(GATHER);
                continue;
            };
            let why = match reason {
                TRAP => "a guest trapped".into(),
                LATE => format!("a turn began {} ms late", late / 1_000_000),
                ASKED => "asked for by the admin socket".into(),
                _ => "SIGUSR1".into(),
            };
            if matches!(reason, TRAP | LATE) {
                rested = now + REST;
            }
            if files.len() >= FILES
                && let Some(oldest) = files.pop_front()
            {
                let _ = fs::remove_file::<PathBuf>(oldest);
            }
            count += 1;
            let name = format!("hart-flight-{}-{count}.json", std::process::id());
            let path = self.directory.join(name);
            let shown = one_line(&path.display().to_string());
            match save(&path, trace) {
                Ok(()) => {
                    to_stderr(&format!("hart: flight recorder: {why}: {shown}\n"));
                    files.push_back(path);
                }
                Err(error) => {
                    to_stderr(&format!(
                        "hart: flight recorder: {why}, but {shown} cannot be written: {error}; free space, or name another --flight-directory\n"
                    ));
                }
            }
        }
    }
}

/// The file is new: a name that somebody else has put there is not followed.
fn save(path: &Path, trace: &Trace) -> io::Result<()> {
    let file = File::create_new(path)?;
    let mut to = BufWriter::with_capacity(1 << 20, file);
    let written = trace.write(&mut to).and_then(|_| to.flush());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

impl Drop for FlightRecorder {
    fn drop(&mut self) {
        // The thread reads what is there already, and then the end.
        let _ = self.bell.socket.shutdown(Shutdown::Write);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Bell {
    /// Asks for a file.
    pub(crate) fn ask(&self) {
        self.ring(ASKED);
    }

    fn ring(&self, reason: u8) {
        // It has been rung often enough if there is no room for more.
        let _ = (&self.socket).write(&[reason]);
    }

    fn is_late(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the number is the whole message. A later turn rings only if it is later still, so that workers of a
        // machine that is late throughout do not write to a socket for each turn.
        if self.late.fetch_max(waited, Ordering::Relaxed) < waited {
            self.ring(LATE);
        }
    }
}
