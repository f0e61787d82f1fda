//! Copies a file to standard output: `reader FILE`.

use std::{fs::File, io, process::ExitCode};

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let copied = File::open(&name).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
    match copied {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reader: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}
