//! Greets, in a task of its own: `greeter [NAME]`. `hart work` runs its tasks for others: see hart's README.

use hart_guest::{Failure, task};

#[task]
fn greet(name: String) -> String {
    let greeting = std::env::var("GREETING");
    format!("{}, {name}!", greeting.as_deref().unwrap_or("Hello"))
}

#[task]
fn list(directory: String) -> Result<String, Failure> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join("\n"))
}

fn main() -> Result<(), Failure> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "World".into());
    println!("{}", greet.spawn(name)?.join()?);
    Ok(())
}
