//! Draws the Mandelbrot set, a task for each tile, and writes it as a PNG file.
//!
//! ```text
//! mandelbrot [PATH] [WIDTH] [ITERATIONS]         by default /mandelbrot.png 1200 1000
//! ```

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use hart_guest::{Failure, par_map, task};
use serde::{Deserialize, Serialize};

const TILE: u32 = 60;
/// Each pixel is the mean of this many points in each direction.
const POINTS: u32 = 3;
/// The middle of the picture, in the seahorse valley, and its width there.
const MIDDLE: (f64, f64) = (-0.743_85, 0.132_3);
const SPAN: f64 = 0.009;
/// Colours along the way out of the set: where, and red, green, blue.
const COLOURS: [(f64, [f64; 3]); 6] = [
    (0.0, [0.0, 7.0, 100.0]),
    (0.16, [32.0, 107.0, 203.0]),
    (0.42, [237.0, 255.0, 255.0]),
    (0.6425, [255.0, 170.0, 0.0]),
    (0.8575, [0.0, 2.0, 0.0]),
    (1.0, [0.0, 7.0, 100.0]),
];

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Picture {
    width: u32,
    height: u32,
    iterations: u32,
}

/// The tile whose upper left pixel is (`left`, `top`): three bytes for each pixel, row by row.
#[task]
fn draw(picture: Picture, left: u32, top: u32) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((TILE * TILE * 3) as usize);
    for y in top..(top + TILE).min(picture.height) {
        for x in left..(left + TILE).min(picture.width) {
            let mut sum = [0.0; 3];
            for point in 0..POINTS * POINTS {
                let inside =
                    |pixel: u32, part: u32| f64::from(pixel) + f64::from(part) / f64::from(POINTS);
                let (x, y) = (inside(x, point % POINTS), inside(y, point / POINTS));
                let step = SPAN / f64::from(picture.width);
                let real = MIDDLE.0 + (x - f64::from(picture.width) / 2.0) * step;
                let imaginary = MIDDLE.1 + (y - f64::from(picture.height) / 2.0) * step;
                let colour = colour(steps(real, imaginary, picture.iterations));
                sum.iter_mut()
                    .zip(colour)
                    .for_each(|(sum, part)| *sum += part);
            }
            pixels.extend(sum.map(|sum| (sum / f64::from(POINTS * POINTS)) as u8));
        }
    }
    pixels
}

/// How many steps a point takes to leave, with a fraction so that colours flow; none if it stays.
fn steps(real: f64, imaginary: f64, iterations: u32) -> Option<f64> {
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    for step in 0..iterations {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 256.0 {
            return Some(f64::from(step) + 4.0 - (xx + yy).log2().log2());
        }
        (x, y) = (xx - yy + real, 2.0 * x * y + imaginary);
    }
    None
}

fn colour(steps: Option<f64>) -> [f64; 3] {
    let Some(steps) = steps else { return [0.0; 3] };
    let place = (steps.max(1.0).log2() * 0.55).fract();
    let after = COLOURS
        .iter()
        .position(|(at, _)| *at > place)
        .unwrap_or(1)
        .max(1);
    let ((from, a), (to, b)) = (COLOURS[after - 1], COLOURS[after]);
    let part = (place - from) / (to - from);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * part)
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
    let width = number(1200)?.max(1);
    let picture = Picture {
        width,
        height: (width * 5 / 8).max(1),
        iterations: number(1000)?,
    };

    // Opened before the work, so that a directory that was not granted is noticed at once.
    let file = File::create(&path).map_err(|error| {
        let what = "cannot write the picture (was the directory granted with --dir?)";
        Failure::from(error).context(format!("{what} {}", path.display()))
    })?;
    let (tops, lefts) = ((0..picture.height), (0..picture.width));
    let places: Vec<(u32, u32)> = tops
        .step_by(TILE as usize)
        .flat_map(|top| {
            lefts
                .clone()
                .step_by(TILE as usize)
                .map(move |left| (left, top))
        })
        .collect();
    let tiles = par_map(draw, places.iter().map(|&(left, top)| (picture, left, top)))?;

    let mut pixels = vec![0; (picture.width * picture.height * 3) as usize];
    for (&(left, top), tile) in places.iter().zip(tiles) {
        let row_bytes = (TILE.min(picture.width - left) * 3) as usize;
        for (row, tile_row) in tile.chunks(row_bytes).enumerate() {
            let start = ((top + row as u32) * picture.width + left) as usize * 3;
            pixels[start..start + row_bytes].copy_from_slice(tile_row);
        }
    }
    let mut encoder = png::Encoder::new(BufWriter::new(file), picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    println!(
        "{} tiles, {} x {} pixels: {}",
        places.len(),
        picture.width,
        picture.height,
        path.display()
    );
    Ok(())
}
