use hart_guest::{Failure, par_map, task};

struct Opaque(u8);

#[task]
fn takes(_first: u32, _opaque: Opaque) {}

#[task]
fn gives() -> Opaque {
    Opaque(1)
}

#[task]
fn reads(path: String) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

#[task]
fn fits(number: u32, text: String) -> Result<u32, Failure> {
    Ok(number + text.len() as u32)
}

fn plain(number: u32) -> u32 {
    number
}

fn main() {
    let _ = fits.spawn((1, 2));
    let _ = plain.spawn(1);
    let _ = par_map(|number: u32| number, [1]);
    let fits = 1;
}
