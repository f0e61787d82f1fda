//! The text that Prometheus reads, in both of its formats.

use std::fmt::Write as _;

use crate::base::histogram::{Histogram, cumulated};

/// Which format the text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) 1.0.
    OpenMetrics,
}

/// Takes the metrics of a host, one family after the other, each with its values: [`MetricsText`], or what the embedder
/// exports them by. To [`Metrics::write`](crate::Metrics::write).
pub trait MetricsWriter {
    /// Begins a counter. Its name ends with `_total`; `help` is one line.
    fn counter(&mut self, name: &str, help: &str);

    /// Begins a gauge; `help` is one line.
    fn gauge(&mut self, name: &str, help: &str);

    /// Begins a histogram; `help` is one line.
    fn histogram(&mut self, name: &str, help: &str);

    /// A value of the counter or gauge. Labels have any text as their value.
    fn value(&mut self, labels: &[(&str, &str)], value: f64);

    /// A value of the histogram.
    fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram);
}

impl MetricsWriter for MetricsText {
    fn counter(&mut self, name: &str, help: &str) {
        Self::counter(self, name, help);
    }

    fn gauge(&mut self, name: &str, help: &str) {
        Self::gauge(self, name, help);
    }

    fn histogram(&mut self, name: &str, help: &str) {
        Self::histogram(self, name, help);
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        Self::value(self, labels, value);
    }

    fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        Self::distribution(self, labels, histogram);
    }
}

/// Writes metrics as text: those of a [host](crate::Metrics::write), and the embedder's own after them.
///
/// ```
/// use hart_host::{Host, MetricsFormat, MetricsText};
///
/// let host = Host::builder().metrics(true).build()?;
/// let mut text = MetricsText::new(MetricsFormat::Prometheus);
/// host.metrics().write(&mut text);
/// text.counter("orders_total", "Orders taken.");
/// text.value(&[("shop", "one \"and\" only")], 3.0);
/// let text = text.finish();
/// assert!(text.ends_with("orders_total{shop=\"one \\\"and\\\" only\"} 3\n"));
/// # Ok::<(), hart_host::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricsText {
    format: MetricsFormat,
    text: String,
    /// The name of the family that values are of.
    family: String,
}

impl MetricsFormat {
    /// The format that a client asks for: its header `Accept`, or an empty text.
    ///
    /// ```
    /// use hart_host::MetricsFormat;
    ///
    /// let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    /// assert_eq!(MetricsFormat::accepted(accept), MetricsFormat::OpenMetrics);
    /// assert_eq!(MetricsFormat::accepted("*/*"), MetricsFormat::Prometheus);
    /// ```
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The header `Content-Type` of such a text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl MetricsText {
    /// A text without metrics.
    pub fn new(format: MetricsFormat) -> Self {
        Self {
            format,
            text: String::new(),
            family: String::new(),
        }
    }

    /// Begins a counter. Its name ends with `_total`; `help` is one line.
    pub fn counter(&mut self, name: &str, help: &str) {
        let family = match self.format {
            MetricsFormat::Prometheus => name,
            // There the suffix is that of the value.
            MetricsFormat::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        };
        self.begin(name, family, "counter", help);
    }

    /// Begins a gauge; `help` is one line.
    pub fn gauge(&mut self, name: &str, help: &str) {
        self.begin(name, name, "gauge", help);
    }

    /// Begins a histogram; `help` is one line.
    pub fn histogram(&mut self, name: &str, help: &str) {
        self.begin(name, name, "histogram", help);
    }

    fn begin(&mut self, name: &str, family: &str, kind: &str, help: &str) {
        self.family = name.to_owned();
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    }

    /// A value of the counter or gauge. Labels have any text as their value.
    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// A value of the histogram. Its ranges are powers of two.
    pub fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let is_bytes = self.family.ends_with("_bytes");
        for (end, count) in cumulated(histogram, is_bytes) {
            self.line("_bucket", labels, Some(&decimal(end)), count as f64);
        }
        let count = histogram.count() as f64;
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, histogram.sum);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: f64) {
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            let _ = write!(self.text, "{before}{name}=\"");
            for c in value.chars() {
                match c {
                    '"' | '\\' => self.text.extend(['\\', c]),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// The text.
    pub fn finish(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A bound as OpenMetrics wants it, with a point.
fn decimal(bound: f64) -> String {
    format!("{bound:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts names of counters that one of the two formats does not take, and an end that is missing.
    #[test]
    fn the_formats_differ_in_counters_and_in_the_end() {
        let text = |format| {
            let mut text = MetricsText::new(format);
            text.counter("a_total", "It counts.");
            text.value(&[], 1.0);
            text.gauge("b", "It measures.");
            text.value(&[("x", "1\n2"), ("y", "\\")], 0.5);
            text.finish()
        };
        let rest =
            "a_total 1\n# HELP b It measures.\n# TYPE b gauge\nb{x=\"1\\n2\",y=\"\\\\\"} 0.5\n";
        assert_eq!(
            text(MetricsFormat::Prometheus),
            format!("# HELP a_total It counts.\n# TYPE a_total counter\n{rest}")
        );
        assert_eq!(
            text(MetricsFormat::OpenMetrics),
            format!("# HELP a It counts.\n# TYPE a counter\n{rest}# EOF\n")
        );
    }
}
