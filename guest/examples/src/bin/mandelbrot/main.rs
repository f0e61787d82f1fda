//! Draws the Mandelbrot set, a task for each tile, and writes it as a PNG file.
//!
//! ```text
//! mandelbrot [PATH] [WIDTH] [ITERATIONS]         by default /mandelbrot.png 1200 1000
//! ```

mod picture;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use hart_guest::{Failure, par_map, task};
use picture::Picture;

#[task]
fn draw(picture: Picture, left: u32, top: u32) -> Vec<u8> {
    picture::tile(picture, left, top)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let mut path = arguments
        .next()
        .map_or(PathBuf::from("/mandelbrot.png"), PathBuf::from);
    if path.is_dir() {
        path.push("mandelbrot.png");
    }
    let mut number = |default| {
        let text = arguments
            .next()
            .map(|text| text.to_string_lossy().into_owned());
        text.map_or(Ok(default), |text| text.parse::<u32>())
    };
    let picture = Picture::new(number(1200)?, number(1000)?);

    // Opened before the work, so that a directory that was not granted is noticed at once.
    let file = File::create(&path).map_err(|error| {
        let what = "cannot write the picture (was the directory granted with --dir?)";
        Failure::from(error).context(format!("{what} {}", path.display()))
    })?;
    let places = picture.places();
    let tiles = par_map(draw, places.iter().map(|&(left, top)| (picture, left, top)))?;
    picture.write(BufWriter::new(file), tiles)?;
    println!(
        "{} tiles, {} x {} pixels: {}",
        places.len(),
        picture.width,
        picture.height,
        path.display()
    );
    Ok(())
}
