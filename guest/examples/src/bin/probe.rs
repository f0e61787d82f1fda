//! Tries what it may have been granted, and says what came of it: `probe WHAT [ARGUMENTS]`, `probe child WHAT ..`.
//!
//! | what | |
//! | --- | --- |
//! | `connect ADDRESS` | sends "ping" by TCP and says the answer |
//! | `listen ADDRESS` | says where it listens, and answers one connection |
//! | `udp ADDRESS` | sends "ping" by UDP and says the answer |
//! | `resolve NAME` | says the addresses of a name |
//! | `env` | says its environment |
//! | `open DIRECTORY COUNT` | creates files and keeps them open; says how many, and the error |
//! | `sockets COUNT` | the same with sockets |
//! | `list DIRECTORY TASKS` | so many tasks list a directory for ever |
//! | `lookups NAME TASKS` | so many tasks ask for a name's addresses for ever |
//! | `work DIRECTORY COUNT` | writes, reads and removes a file so many times |
//! | `shout TASKS` | so many tasks write lines for ever |
//! | `lines COUNT` | writes lines, numbered |
//! | `wait` | reads its standard input, while a task says "ready" |
//! | `among TASKS WHAT ..` | a task does it while others write lines for ever |
//! | `deny RIGHT WHAT ..` | a task without `network`, `filesystem` or `environment` does it |

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::process::ExitCode;

use hart_guest::{Failure, Handle, Options, Rights, SpawnError, task};

fn failed(error: io::Error) -> Failure {
    Failure::new(format!("{:?}", error.kind()))
}

fn connect(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"ping\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

fn listen(address: &str) -> io::Result<String> {
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut question = [0; 5];
    stream.read_exact(&mut question)?;
    stream.write_all(b"pong\n")?;
    Ok(String::from_utf8_lossy(&question).trim().to_owned())
}

fn udp(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"ping", address)?;
    let mut answer = [0; 16];
    let (size, _) = socket.recv_from(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..size]).into_owned())
}

fn resolve(name: &str) -> io::Result<String> {
    let found: Vec<_> = (name, 0)
        .to_socket_addrs()?
        .map(|to| to.ip().to_string())
        .collect();
    Ok(found.join(" "))
}

fn env() -> String {
    let pairs: Vec<_> = std::env::vars()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join("\n")
}

/// Opens things until one cannot be opened.
fn keep<T>(count: usize, mut open: impl FnMut(usize) -> io::Result<T>) -> String {
    let mut kept = Vec::new();
    for at in 0..count {
        match open(at) {
            Ok(opened) => kept.push(opened),
            Err(error) => return format!("{} {error}", kept.len()),
        }
    }
    let text = kept.len().to_string();
    kept.clear();
    // They can be had again.
    match open(0) {
        Ok(_) => text,
        Err(error) => format!("{text}, then {error}"),
    }
}

fn work(directory: &str, count: usize) -> io::Result<String> {
    for at in 0..count {
        let path = format!("{directory}/work-{at}");
        fs::write(&path, format!("{at}"))?;
        let read = fs::read_to_string(&path)?;
        assert_eq!(read, format!("{at}"));
        fs::remove_file(&path)?;
    }
    Ok(count.to_string())
}

#[task]
fn list(directory: String) -> Result<(), Failure> {
    loop {
        fs::read_dir(&directory).map_err(failed)?.count();
    }
}

#[task]
fn lookups(name: String) -> Result<(), Failure> {
    loop {
        // It may well have none.
        let _ = resolve(&name);
    }
}

#[task]
fn shout(number: u32) -> Result<(), Failure> {
    let line = format!("{number:03} {}\n", "x".repeat(200));
    loop {
        io::stdout().write_all(line.as_bytes()).map_err(failed)?;
    }
}

#[task]
fn ready() {
    eprintln!("ready");
}

#[task]
fn attempt(what: Vec<String>) -> Result<String, Failure> {
    let what: Vec<&str> = what.iter().map(String::as_str).collect();
    match what[..] {
        ["connect", address] => connect(address).map_err(failed),
        ["listen", address] => listen(address).map_err(failed),
        ["udp", address] => udp(address).map_err(failed),
        ["resolve", name] => resolve(name).map_err(failed),
        ["env"] => Ok(env()),
        ["open", directory, count] => Ok(keep(count.parse()?, |at| {
            fs::File::create(format!("{directory}/{at}"))
        })),
        ["sockets", count] => Ok(keep(count.parse()?, |_| UdpSocket::bind("127.0.0.1:0"))),
        ["work", directory, count] => work(directory, count.parse()?).map_err(failed),
        ["lines", count] => {
            let count: u32 = count.parse()?;
            (0..count).for_each(|line| println!("line {line}"));
            Ok("done".into())
        }
        ["wait"] => {
            let _ = ready.spawn(())?;
            let mut input = String::new();
            io::stdin().read_to_string(&mut input).map_err(failed)?;
            Ok(input)
        }
        ["list", directory, tasks] => many(tasks, |_| list.spawn(directory.to_owned())),
        ["lookups", name, tasks] => many(tasks, |_| lookups.spawn(name.to_owned())),
        ["shout", tasks] => many(tasks, |number| shout.spawn(number)),
        ["among", tasks, ref what @ ..] => {
            for number in 0..tasks.parse()? {
                let _ = shout.spawn(number)?;
            }
            let what: Vec<String> = what.iter().map(ToString::to_string).collect();
            let said = attempt.spawn(what)?.join()?;
            eprintln!("{said}");
            Ok(said)
        }
        ["deny", right, ref what @ ..] => {
            let right = match right {
                "network" => Rights::NETWORK,
                "filesystem" => Rights::FILESYSTEM,
                _ => Rights::ENVIRONMENT,
            };
            let what: Vec<String> = what.iter().map(ToString::to_string).collect();
            let denied = attempt.spawn_with(what, &Options::new().deny(right))?;
            Ok(denied.join()?)
        }
        _ => Err(Failure::new("see the first lines of probe.rs")),
    }
}

/// Spawns tasks that never end and waits for them.
fn many(
    tasks: &str,
    spawn: impl Fn(u32) -> Result<Handle<(), Failure>, SpawnError>,
) -> Result<String, Failure> {
    let tasks: u32 = tasks.parse()?;
    let handles: Vec<_> = (0..tasks).map(spawn).collect::<Result<_, _>>()?;
    eprintln!("ready");
    for handle in handles {
        handle.join()?;
    }
    Ok("done".into())
}

fn main() -> ExitCode {
    let what: Vec<String> = std::env::args().skip(1).collect();
    match attempt(what) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("error: {}", failure.text());
            ExitCode::FAILURE
        }
    }
}
