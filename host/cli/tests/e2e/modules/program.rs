//! A program for WASI 0.1 that uses what such programs use. Its first argument says what it does.

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// For `--invoke`.
#[unsafe(no_mangle)]
pub extern "C" fn add_one(number: i32) -> i32 {
    number + 1
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        ["args", ..] => println!("{args:?}"),
        ["env", name] => println!("{:?}", std::env::var(name)),
        ["upper"] => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).unwrap();
            print!("{}", text.to_uppercase());
        }
        ["copy", from, to] => match fs::read(from).and_then(|bytes| fs::write(to, bytes)) {
            Ok(()) => println!("copied"),
            Err(error) => eprintln!("{:?}", error.kind()),
        },
        ["list", directory] => {
            let entries = fs::read_dir(directory).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            println!("{names:?}");
        }
        ["exit", code] => {
            io::stderr().write_all(b"ends\n").unwrap();
            std::process::exit(code.parse().unwrap());
        }
        ["sleep"] => {
            let started = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            println!("{}", started.elapsed() >= Duration::from_millis(20));
        }
        ["panic"] => panic!("as it was asked to"),
        ["spin"] => loop {
            std::hint::black_box(());
        },
        ["fill"] => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
            }
        }
        _ => return ExitCode::from(7),
    }
    ExitCode::SUCCESS
}
