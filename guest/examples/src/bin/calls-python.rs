//! A program in Rust whose tasks are partly in Python: it is composed with `guest/examples/python`.

use hart_guest::{JoinError, Options, spawn_foreign, task};

#[task]
fn square(number: u64) -> u64 {
    number * number
}

/// What a task of Python returned, which is JSON.
fn said(name: &str, arguments: &str) -> Result<String, JoinError<Vec<u8>>> {
    let task = spawn_foreign(name, arguments.as_bytes(), &Options::new());
    let bytes = task.map_err(|error| JoinError::Other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes.join()?).into_owned())
}

fn main() {
    println!("{:?}", said("words", "[\"to be or not to be\"]"));
    // It spawns two more.
    println!("{:?}", said("halves", "[0, 10000]"));
    println!("{:?}", said("fails", "[\"no luck\"]"));
    let own = square.spawn(12).expect("it has an entry");
    println!("{:?}", own.join());
}
