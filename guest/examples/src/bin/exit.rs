//! Ends with an exit code: `exit [CODE] [root|child]`, by default 3 and root.
//!
//! As a child it ends its task alone: `main` prints how joining it failed and returns. WASI 0.2 knows
//! only success and failure, so as a component every code but 0 becomes 1.

use hart_guest::{Failure, task};

#[task]
fn exit(code: u8) {
    std::process::exit(i32::from(code));
}

fn main() -> Result<(), Failure> {
    let code = std::env::args().nth(1).map_or(Ok(3), |code| code.parse())?;
    if std::env::args().nth(2).as_deref() == Some("child") {
        println!("child: {:?}", exit.spawn(code)?.join());
    } else {
        exit(code);
    }
    Ok(())
}
