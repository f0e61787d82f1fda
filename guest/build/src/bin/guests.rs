//! Builds the example guests: `cargo guests [--sequential]`. Prints their paths.

use std::error::Error;
use std::process::ExitCode;

use hart_build::{Kind, Output};

fn main() -> ExitCode {
    let mut kind = Kind::Hart;
    for argument in std::env::args().skip(1) {
        if argument == "--sequential" {
            kind = Kind::Sequential;
        } else {
            eprintln!("usage: cargo guests [--sequential]");
            eprintln!(
                "Builds guest/examples into target/guests; with --sequential for any WASI runtime."
            );
            return ExitCode::from(2);
        }
    }
    match hart_build::build(kind, Output::Always) {
        Ok(guests) => {
            for name in &guests.names {
                println!("{}", guests.path(name).display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(source) = error.source() {
                eprintln!("  because: {source}");
            }
            ExitCode::FAILURE
        }
    }
}
