//! An adversary that never yields: `spinner [forever|beside|many N]`.
//!
//! | mode | what |
//! | --- | --- |
//! | `forever` | `main` spins; this is the default |
//! | `beside` | `main` spawns a task that spins and then a short one, which it joins and prints |
//! | `many N` | `main` spawns N tasks that spin, and waits for them |

use std::hint::black_box;

use hart_guest::{Failure, scope, task};

#[task]
fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[task]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None | Some("forever") => spin(),
        Some("beside") => {
            let _endless = spin.spawn(())?;
            println!("the short task: {}", add.spawn((20, 22))?.join()?);
        }
        Some("many") => {
            let count: u32 = arguments
                .next()
                .ok_or_else(|| Failure::new("how many?"))?
                .parse()?;
            scope(|scope| {
                for _ in 0..count {
                    scope.spawn(spin, ())?;
                }
                Ok(())
            })?;
        }
        Some(mode) => {
            return Err(Failure::new(format!(
                "no mode `{mode}`: forever, beside or many N"
            )));
        }
    }
    Ok(())
}
