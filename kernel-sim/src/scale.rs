//! The same work on machines with more and more harts.

use crate::run::Outcome;
use std::fmt::Write;

/// What a machine of one size made of the work.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// How many harts.
    pub harts: usize,
    /// Virtual nanoseconds from the start to the end of the last task.
    pub makespan: u64,
    /// Tasks that were moved from one hart's queue, or the injector, to another hart, per task.
    pub steals_per_task: f64,
    /// The part of the makespan that a hart waited, on average.
    pub idle: f64,
}

impl Point {
    /// Reads it off a run.
    pub fn new(outcome: &Outcome) -> Self {
        let stats = &outcome.stats;
        let total = stats.total();
        let harts = stats.harts.len();
        let makespan = outcome.makespan.max(1);
        #[expect(clippy::cast_precision_loss, reason = "ratios for people")]
        Self {
            harts,
            makespan,
            steals_per_task: total.stolen as f64 / stats.tasks.max(1) as f64,
            idle: (1.0 - total.busy as f64 / (makespan as f64 * harts as f64)).max(0.0),
        }
    }
}

/// Makespans and speed-ups over numbers of harts.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What ran.
    pub title: String,
    /// By harts, the fewest first; the first one is what speed-up is measured against.
    pub points: Vec<Point>,
}

/// What a curve is and is not.
const LABEL: &str = "the scheduler alone: no caches, no memory bandwidth, no locks of a kernel";

impl Curve {
    #[expect(clippy::cast_precision_loss, reason = "ratios for people")]
    fn speed_up(&self, point: &Point) -> f64 {
        let first = self
            .points
            .first()
            .map_or(point.makespan, |first| first.makespan);
        first as f64 / point.makespan as f64
    }

    /// A table and a drawing in text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} ({LABEL})\n", self.title);
        let _ = writeln!(
            text,
            "{:>6} {:>14} {:>9} {:>12} {:>7}",
            "harts", "makespan ns", "speed-up", "steals/task", "idle"
        );
        let most = self
            .points
            .iter()
            .map(|point| self.speed_up(point))
            .fold(1.0, f64::max);
        for point in &self.points {
            let speed_up = self.speed_up(point);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 40"
            )]
            let bar = "#".repeat((speed_up / most * 40.0).round() as usize);
            let _ = writeln!(
                text,
                "{:>6} {:>14} {speed_up:>9.2} {:>12.3} {:>6.1}% {bar}",
                point.harts,
                point.makespan,
                point.steals_per_task,
                point.idle * 100.0
            );
        }
        text
    }

    /// A picture: speed-up over harts, both in powers of two, with the line that more harts cannot beat.
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    pub fn to_svg(&self) -> String {
        const SIDE: f64 = 400.0;
        const EDGE: f64 = 50.0;
        let first = self.points.first().map_or(1.0, |point| point.harts as f64);
        let last = self.points.last().map_or(1.0, |point| point.harts as f64);
        let span = (last / first).log2().max(1.0);
        let place = |harts: f64, speed_up: f64| {
            let x = EDGE + (harts / first).log2() / span * SIDE;
            let y = EDGE + SIDE - speed_up.log2().max(0.0) / span * SIDE;
            (x, y)
        };
        let mut title = String::new();
        for char in self.title.chars() {
            match char {
                '<' => title.push_str("&lt;"),
                '>' => title.push_str("&gt;"),
                '&' => title.push_str("&amp;"),
                _ => title.push(char),
            }
        }
        let whole = SIDE + 2.0 * EDGE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} {whole}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"{whole}\" height=\"{whole}\" fill=\"white\"/>\n\
             <text x=\"{EDGE}\" y=\"20\" font-size=\"14\">{title}</text>\n\
             <text x=\"{EDGE}\" y=\"36\" fill=\"#666\">{LABEL}</text>\n\
             <text x=\"{EDGE}\" y=\"{}\">harts; dashed: speed-up = harts</text>\n",
            whole - 8.0
        );
        let (x, y) = place(last, last / first);
        let _ = writeln!(
            svg,
            "<line x1=\"{EDGE}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"#999\" stroke-dasharray=\"4\"/>",
            EDGE + SIDE
        );
        let mut line = String::new();
        for point in &self.points {
            let speed_up = self.speed_up(point);
            let (x, y) = place(point.harts as f64, speed_up);
            let _ = write!(line, "{x:.1},{y:.1} ");
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#4a7fb5\"/>"
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{speed_up:.1}</text>",
                x - 8.0,
                y - 8.0
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x - 6.0,
                EDGE + SIDE + 16.0,
                point.harts
            );
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"#4a7fb5\" stroke-width=\"1.5\"/>"
        );
        svg.push_str("</svg>\n");
        svg
    }
}
