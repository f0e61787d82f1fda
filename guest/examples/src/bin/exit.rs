//! Ends with an exit code: `exit [CODE] [root|child|owing] [std|hart]`, by default 3, root and std.
//!
//! As a child it ends its task alone: `main` prints how joining it failed and returns; `owing` is a child that should
//! have returned a number. `std` is `std::process::exit`, where every code but 0 becomes 1, as WASI 0.2's `exit` knows
//! only success and failure; `hart` is `hart_guest::exit`.

use hart_guest::{Failure, task};

#[task]
fn exit(code: u8, all_of_it: bool) {
    if all_of_it {
        hart_guest::exit(code);
    }
    std::process::exit(i32::from(code));
}

#[task]
fn owe(code: u8, all_of_it: bool) -> u64 {
    exit(code, all_of_it);
    7
}

fn main() -> Result<(), Failure> {
    let code = std::env::args().nth(1).map_or(Ok(3), |code| code.parse())?;
    let all_of_it = std::env::args().nth(3).as_deref() == Some("hart");
    match std::env::args().nth(2).as_deref() {
        Some("child") => println!("child: {:?}", exit.spawn((code, all_of_it))?.join()),
        Some("owing") => println!("child: {:?}", owe.spawn((code, all_of_it))?.join()),
        _ => exit(code, all_of_it),
    }
    Ok(())
}
