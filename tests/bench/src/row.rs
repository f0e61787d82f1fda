//! What comes out: rows.

use serde::Serialize;

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    /// The median of hart's rounds, in `unit`.
    pub(crate) hart: f64,
    /// The median of the peer's rounds, in `unit`.
    pub(crate) peer: f64,
    pub(crate) peer_name: &'static str,
    /// The median of the rounds' ratios; above 1 hart is ahead.
    pub(crate) ratio: f64,
    pub(crate) rounds: usize,
    /// Rounds that were thrown away because the cores were not ours.
    pub(crate) repeated: usize,
    /// What else was measured in these rounds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) figures: Vec<Figure>,
}

/// A figure beside the one that is compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) hart: f64,
    /// None where the peer has no such thing.
    pub(crate) peer: Option<f64>,
}

impl Row {
    /// A row of rates, in thousands a second, one of each side for each round.
    pub(crate) fn of_rates(
        suite: &'static str,
        case: &str,
        peer_name: &'static str,
        harts: &[f64],
        peers: &[f64],
        repeated: usize,
    ) -> Self {
        let ratios: Vec<f64> = harts.iter().zip(peers).map(|(h, p)| h / p).collect();
        Self {
            suite,
            case: case.to_owned(),
            unit: "k/s",
            hart: median(harts),
            peer: median(peers),
            peer_name,
            ratio: median(&ratios),
            rounds: harts.len(),
            repeated,
            figures: Vec::new(),
        }
    }

    pub(crate) fn print_head() {
        println!(
            "{:<36} {:>12} {:>12}  {:<16} {:>7}  rounds",
            "case", "hart", "peer", "peer is", "ratio"
        );
    }

    pub(crate) fn print(&self) {
        let repeated = match self.repeated {
            0 => String::new(),
            n => format!(" (+{n} repeated)"),
        };
        println!(
            "{:<36} {:>9.3} {} {:>9.3} {}  {:<16} {:>6.2}x  {}{repeated}",
            format!("{}/{}", self.suite, self.case),
            self.hart,
            self.unit,
            self.peer,
            self.unit,
            self.peer_name,
            self.ratio,
            self.rounds,
        );
        for figure in &self.figures {
            let peer = figure
                .peer
                .map_or(String::new(), |peer| format!("{peer:>9.3} {}", figure.unit));
            println!(
                "{:<36} {:>9.3} {} {peer}",
                format!("    {}", figure.name),
                figure.hart,
                figure.unit,
            );
        }
    }
}

/// The middle of the values; the lower of two.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The geometric mean of the values.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// What a share of `part` (0.5: half) of the values is at most.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
