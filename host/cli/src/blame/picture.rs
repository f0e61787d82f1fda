//! The measurements as a picture: a line for each, from the median to the 99.9th percentile, on a logarithmic scale.

use super::figures::Measured;
use super::report::name;
use super::route::Route;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 260.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 70.0;
const ROW: f64 = 26.0;

/// Alone, and beside another. They differ in print as well.
const COLOURS: [&str; 2] = ["#0b5fa5", "#c03000"];

/// An SVG. `title` is what was done.
pub(super) fn draw(title: &str, routes: &[Route], measured: &[Measured]) -> String {
    let ms = |one: &Measured, share| one.sample.within(share).as_secs_f64().max(1e-5) * 1e3;
    let least = measured.iter().map(|one| ms(one, 0.5));
    let most = measured.iter().map(|one| ms(one, 0.999));
    let low = least.fold(1.0, f64::min).log10().floor();
    let high = most.fold(10.0, f64::max).log10().ceil();
    let x = |ms: f64| LEFT + (ms.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let height = TOP + ROW * measured.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1a1a1a\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"26\" font-size=\"15\">{}</text>\n\
         <text x=\"20\" y=\"46\" fill=\"#555555\">response in milliseconds: the line goes from the median over p99 to p99.9</text>\n",
        escaped(title)
    );
    let bottom = TOP + ROW * measured.len() as f64;
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    for power in low as i32..=high as i32 {
        let at = x(10_f64.powi(power));
        line(format!(
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#d8d8d8\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            10_f64.powi(power)
        ));
    }
    for (row, one) in measured.iter().enumerate() {
        let at = TOP + ROW * (row as f64 + 0.5);
        let colour = COLOURS[usize::from(one.beside.is_some())];
        let mut text = String::new();
        let _ = write!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 14.0,
            at + 4.0,
            escaped(&short(&name(routes, one)))
        );
        let shares = [0.5, 0.99, 0.999];
        let points = shares.map(|share| x(ms(one, share)));
        let _ = write!(
            text,
            "<line x1=\"{:.1}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
            points[0], points[2]
        );
        for (point, radius) in points.iter().zip([3.0, 5.5, 3.0]) {
            let _ = write!(
                text,
                "<circle cx=\"{point:.1}\" cy=\"{at:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
            );
        }
        line(text);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What there is room for.
fn short(name: &str) -> String {
    const MOST: usize = 36;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &name[..end]),
        None => name.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
