//! Draws what becomes of response times beside those who spin: p99 over the number of spinners, both logarithmic. Of the
//! suites `latency` and `serve`, the first that has such rows.

use crate::row::Row;
use std::{collections::BTreeMap, fmt::Write as _};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Told apart in print and by most people who see few colours.
const COLOURS: [&str; 6] = [
    "#0b5fa5", "#c03000", "#8a6d00", "#00704a", "#6b3fa0", "#444444",
];

/// Which rows are drawn, and what is said of them.
struct Subject {
    suite: &'static str,
    /// What the name of a row begins with; the rest is the number of spinners.
    prefix: &'static str,
    title: &'static str,
    spinners: &'static str,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        suite: "latency",
        prefix: "wake/",
        title: "Response of interactive guests beside guests that spin: 99th percentile, ms",
        spinners: "guests that spin, on 2 workers",
    },
    Subject {
        suite: "serve",
        prefix: "noisy/",
        title: "Response to short requests beside requests that spin: 99th percentile, ms",
        spinners: "requests that spin, on 2 cores",
    },
];

/// A curve: spinners and milliseconds.
type Curve = Vec<(f64, f64)>;

pub(crate) fn draw(rows: &[Row]) -> String {
    let subject = SUBJECTS.iter().find(|subject| {
        let is_one = |row: &Row| subject.spinners_of(row).is_some();
        rows.iter().any(is_one)
    });
    let subject = subject.unwrap_or(&SUBJECTS[0]);
    let curves = curves(rows, subject);
    let values = || curves.iter().flat_map(|(_, curve)| curve);
    let most = values().map(|value| value.1).fold(10.0, f64::max);
    let least = values().map(|value| value.1).fold(1.0, f64::min);
    let (low, high) = (least.log10().floor(), most.log10().ceil());
    let widest = values().map(|value| value.0).fold(2.0, f64::max);
    let x = |spinners: f64| LEFT + place(spinners) / place(widest) * (WIDTH - LEFT - RIGHT);
    let y = |ms: f64| {
        let up = (ms.log10() - low) / (high - low);
        HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
    };

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1a1a1a\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"15\">{}</text>\n",
        subject.title
    );
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    let right = WIDTH - RIGHT;
    for power in low as i32..=high as i32 {
        let (ms, at) = (10_f64.powi(power), y(10_f64.powi(power)));
        line(format!(
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#d8d8d8\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{ms}</text>",
            LEFT - 8.0,
            at + 4.0
        ));
    }
    let mut columns: Vec<f64> = values().map(|value| value.0).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup();
    for spinners in columns {
        line(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{spinners}</text>",
            x(spinners),
            HEIGHT - BOTTOM + 20.0
        ));
    }
    line(format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 16.0,
        subject.spinners
    ));
    for ((_, curve), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let mut points = String::new();
        for &(spinners, ms) in curve {
            write!(points, "{:.1},{:.1} ", x(spinners), y(ms)).expect("a string takes anything");
            line(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                x(spinners),
                y(ms)
            ));
        }
        line(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.trim_end()
        ));
    }
    for (at, name, colour) in labels(&curves, y) {
        line(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            right + 10.0,
            at + 4.0
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where a number of spinners is on the logarithmic axis, on which zero has a place too.
fn place(spinners: f64) -> f64 {
    (spinners.max(0.5) * 2.0).log2()
}

impl Subject {
    /// How many spinners the row is about, if it is one of these.
    fn spinners_of(&self, row: &Row) -> Option<u32> {
        if row.suite != self.suite {
            return None;
        }
        row.case.strip_prefix(self.prefix)?.parse().ok()
    }
}

fn curves(rows: &[Row], subject: &Subject) -> Vec<(&'static str, Curve)> {
    let mut hart = BTreeMap::new();
    let mut peers: Vec<(&'static str, Curve)> = Vec::new();
    for row in rows {
        let Some(spinners) = subject.spinners_of(row) else {
            continue;
        };
        hart.insert(spinners, row.hart);
        let point = (f64::from(spinners), row.peer);
        match peers.iter_mut().find(|(name, _)| *name == row.peer_name) {
            Some((_, curve)) => curve.push(point),
            None => peers.push((row.peer_name, vec![point])),
        }
    }
    let hart = hart
        .into_iter()
        .map(|(spinners, ms)| (f64::from(spinners), ms))
        .collect();
    peers.insert(0, ("hart", hart));
    peers
}

/// The names at the ends of their curves, far enough from each other to be read.
fn labels(
    curves: &[(&'static str, Curve)],
    y: impl Fn(f64) -> f64,
) -> Vec<(f64, &'static str, &'static str)> {
    let mut labels: Vec<_> = curves
        .iter()
        .zip(COLOURS.iter().cycle())
        .filter_map(|((name, curve), colour)| {
            let (_, ms) = curve.last()?;
            Some((y(*ms), *name, *colour))
        })
        .collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    for below in 1..labels.len() {
        labels[below].0 = labels[below].0.max(labels[below - 1].0 + 17.0);
    }
    labels
}
