//! The picture itself: what one tile looks like, and the file that all of them make. Nothing here knows where a tile is
//! computed; the benchmark computes the same ones natively.

use std::io::{self, Write};

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
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    iterations: u32,
}

impl Picture {
    pub(crate) fn new(width: u32, iterations: u32) -> Self {
        let width = width.max(1);
        Self {
            width,
            height: (width * 5 / 8).max(1),
            iterations,
        }
    }

    /// The upper left pixels of all tiles.
    pub(crate) fn places(self) -> Vec<(u32, u32)> {
        let lefts = move |top| {
            (0..self.width)
                .step_by(TILE as usize)
                .map(move |left| (left, top))
        };
        (0..self.height)
            .step_by(TILE as usize)
            .flat_map(lefts)
            .collect()
    }

    /// Writes the picture as a PNG file, of its tiles in the order of [`places`](Self::places).
    pub(crate) fn write(
        self,
        to: impl Write,
        tiles: impl IntoIterator<Item = Vec<u8>>,
    ) -> io::Result<()> {
        let mut pixels = vec![0; (self.width * self.height * 3) as usize];
        for ((left, top), tile) in self.places().into_iter().zip(tiles) {
            let row_bytes = (TILE.min(self.width - left) * 3) as usize;
            for (row, tile_row) in tile.chunks(row_bytes).enumerate() {
                let start = ((top + row as u32) * self.width + left) as usize * 3;
                pixels[start..start + row_bytes].copy_from_slice(tile_row);
            }
        }
        let mut encoder = png::Encoder::new(to, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header()?.write_image_data(&pixels)?;
        Ok(())
    }
}

/// The tile whose upper left pixel is (`left`, `top`): three bytes for each pixel, row by row.
pub(crate) fn tile(picture: Picture, left: u32, top: u32) -> Vec<u8> {
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
