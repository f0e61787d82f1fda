//! The measurements as text.

use super::figures::{Measured, Sample, slower};
use super::route::Route;
use crate::output::one_line;
use std::fmt::Write as _;
use std::time::Duration;

/// Which route slows which by more than `at_most` times, a line each.
pub(super) fn blamed(routes: &[Route], measured: &[Measured], at_most: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for one in measured {
        let Some(beside) = one.beside else { continue };
        let is_alone = |other: &&Measured| other.route == one.route && other.beside.is_none();
        let alone = measured.iter().find(is_alone).expect("it was the first");
        let times = slower(&alone.sample, &one.sample);
        if times > at_most {
            lines.push(format!(
                "{} slows {}: p99 {} alone, {} beside it, {times:.0} x",
                one_line(&routes[beside].path),
                one_line(&routes[one.route].path),
                shown(alone.sample.within(0.99)),
                shown(one.sample.within(0.99)),
            ));
        }
    }
    lines
}

pub(super) fn authorities(routes: &[Route]) -> String {
    let mut names: Vec<&str> = routes.iter().map(|route| &*route.authority).collect();
    names.dedup();
    one_line(&names.join(", "))
}

/// As a row is called.
pub(super) fn name(routes: &[Route], one: &Measured) -> String {
    let path = |place: usize| one_line(&routes[place].path);
    match one.beside {
        None => format!("{} alone", path(one.route)),
        Some(beside) => format!("{} beside {}", path(one.route), path(beside)),
    }
}

fn shown(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

pub(super) fn table(routes: &[Route], measured: &[Measured]) -> String {
    let names: Vec<String> = measured.iter().map(|one| name(routes, one)).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>10}  {:>10}  {:>10}  {:>9}  {:>6}  {:>6}\n",
        "", "p50", "p99", "p99.9", "answered", "5xx", "none"
    );
    for (one, name) in measured.iter().zip(names) {
        let Sample {
            answered, refused, ..
        } = one.sample;
        let _ = writeln!(
            text,
            "{name:width$}  {:>10}  {:>10}  {:>10}  {answered:>9}  {refused:>6}  {:>6}",
            shown(one.sample.within(0.5)),
            shown(one.sample.within(0.99)),
            shown(one.sample.within(0.999)),
            one.sample.asked() - answered - refused
        );
    }
    text
}

pub(super) fn json(urls: &[String], measured: &[Measured]) -> String {
    let ms = |sample: &Sample, share| sample.within(share).as_secs_f64() * 1e3;
    let rows = measured.iter().map(|one| {
        serde_json::json!({
            "url": urls[one.route],
            "beside": one.beside.map(|beside| &urls[beside]),
            "p50_ms": ms(&one.sample, 0.5),
            "p99_ms": ms(&one.sample, 0.99),
            "p999_ms": ms(&one.sample, 0.999),
            "asked": one.sample.asked(),
            "answered": one.sample.answered,
            "server_errors": one.sample.refused,
        })
    });
    let rows: Vec<_> = rows.collect();
    format!("{}\n", serde_json::json!(rows))
}
