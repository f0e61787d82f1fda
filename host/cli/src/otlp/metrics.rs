//! The figures of a host as instruments that are looked at when an export is due.
//!
//! They are those of `GET /metrics`, by the same names. An instrument that is looked at cannot be a histogram: of those there
//! are the sum and the count.

use crate::sync::locked;
use hart_host::{Histogram, Host, MetricsWriter};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How old figures may be, should the SDK look at instruments in another order than that in which they were made.
const FRESH: Duration = Duration::from_millis(50);

/// A name, and its values by labels.
struct Family {
    name: String,
    help: String,
    grows: bool,
    values: Vec<(Vec<KeyValue>, f64)>,
}

/// Takes what a host writes.
#[derive(Default)]
struct Families(Vec<Family>);

impl Families {
    fn of(host: &Host) -> Self {
        let mut families = Self::default();
        host.metrics().write(&mut families);
        families
    }

    fn begin(&mut self, name: String, help: &str, grows: bool) {
        self.0.push(Family {
            name,
            help: help.to_owned(),
            grows,
            values: Vec::new(),
        });
    }

    /// Adds a value to the family that is so many before the last one.
    fn add(&mut self, before_last: usize, labels: &[(&str, &str)], value: f64) {
        let label =
            |(name, value): &(&str, &str)| KeyValue::new((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(label).collect();
        if let Some(family) = self.0.iter_mut().rev().nth(before_last) {
            family.values.push((labels, value));
        }
    }
}

impl MetricsWriter for Families {
    fn counter(&mut self, name: &str, help: &str) {
        self.begin(name.to_owned(), help, true);
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.begin(name.to_owned(), help, false);
    }

    fn histogram(&mut self, name: &str, help: &str) {
        self.begin(format!("{name}_sum"), help, true);
        self.begin(format!("{name}_count"), help, true);
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.add(0, labels, value);
    }

    fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        self.add(1, labels, histogram.sum);
        self.add(0, labels, histogram.count() as f64);
    }
}

/// The figures of a host, as they were a moment ago.
struct Figures {
    host: Host,
    last: Mutex<(Instant, Families)>,
}

impl Figures {
    fn observe(&self, family: usize, to: &dyn AsyncInstrument<f64>) {
        let mut last = locked(&self.last);
        // The first instrument is looked at first, so an export has figures of its own.
        if family == 0 || last.0.elapsed() > FRESH {
            *last = (Instant::now(), Families::of(&self.host));
        }
        // Every host writes the same families in the same order.
        for (labels, value) in last.1.0.get(family).map_or(&[][..], |found| &found.values) {
            to.observe(*value, labels);
        }
    }
}

/// Has the figures of `host` exported.
pub(super) fn observe(provider: &SdkMeterProvider, host: &Host) {
    let meter = provider.meter("hart");
    let families = Families::of(host);
    let about: Vec<_> = { families.0.iter() }
        .map(|family| (family.name.clone(), family.help.clone(), family.grows))
        .collect();
    let figures = Arc::new(Figures {
        host: host.clone(),
        last: Mutex::new((Instant::now(), families)),
    });
    for (at, (name, help, grows)) in about.into_iter().enumerate() {
        let figures = figures.clone();
        let unit = unit(&name);
        if grows {
            meter
                .f64_observable_counter(name)
                .with_description(help)
                .with_unit(unit)
                .with_callback(move |to| figures.observe(at, to))
                .build();
        } else {
            meter
                .f64_observable_gauge(name)
                .with_description(help)
                .with_unit(unit)
                .with_callback(move |to| figures.observe(at, to))
                .build();
        }
    }
}

/// What the values of a name are.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total").trim_end_matches("_sum");
    match name {
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "By",
        _ => "",
    }
}
