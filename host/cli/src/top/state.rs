//! What is chosen on the screen of `hart top`: an order, a filter, a row.

use super::client::Change;
use super::view::{AppRow, RunRow, View};
use std::cmp::Reverse;

/// What comes first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Sort {
    /// What has used the most CPU time
    #[default]
    Cpu,
    /// What holds the most memory
    Memory,
    /// What waited longest for a core
    Wait,
    /// Apps with the slowest requests
    P99,
    /// Apps with the most requests
    Requests,
    /// By name
    Name,
}

/// The table that keys are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    Apps,
    Runs,
}

/// What is being typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prompt {
    Filter,
    /// Whether to end the chosen run.
    Kill,
    Weight,
    Rate,
}

pub(super) struct State {
    /// What is watched.
    pub(super) title: String,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) table: Table,
    /// The chosen row of that table.
    pub(super) row: usize,
    pub(super) prompt: Option<Prompt>,
    /// What the prompt is for. It stays, also when the chosen row goes meanwhile.
    pub(super) target: Option<(Table, String)>,
    /// What was typed.
    pub(super) typed: String,
    /// What came of the last change.
    pub(super) message: String,
    pub(super) is_paused: bool,
    /// Whether a row is shown as chosen.
    pub(super) is_live: bool,
    /// The name of an app or the number of a run that is chosen, so that it stays so when rows move.
    key: Option<String>,
}

/// What a key leads to.
pub(super) enum Step {
    Go,
    Leave,
    Ask(Change),
}

impl Sort {
    const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Memory,
        Self::Wait,
        Self::P99,
        Self::Requests,
        Self::Name,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Wait => "wait",
            Self::P99 => "p99",
            Self::Requests => "requests",
            Self::Name => "name",
        }
    }

    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self);
        Self::ALL[at.map_or(0, |at| (at + 1) % Self::ALL.len())]
    }
}

impl State {
    pub(super) fn new(title: String, sort: Sort, filter: String) -> Self {
        Self {
            title,
            sort,
            filter,
            table: Table::Apps,
            row: 0,
            prompt: None,
            target: None,
            typed: String::new(),
            message: String::new(),
            is_paused: false,
            is_live: false,
            key: None,
        }
    }

    /// The rows that are shown, in their order.
    pub(super) fn selected(&self, view: &View) -> View {
        let filter = self.filter.to_lowercase();
        let fits = |name: &str| name.to_lowercase().contains(&filter);
        let mut view = view.clone();
        view.apps.retain(|app| fits(&app.name));
        view.runs
            .retain(|run| fits(&run.name) || run.app.as_deref().is_some_and(fits));
        let most = |value: f64| Reverse(value.to_bits());
        let of_app = |app: &AppRow| match self.sort {
            Sort::Cpu => app.cpu,
            Sort::Memory => app.memory_bytes as f64,
            Sort::Wait => app.wait_seconds,
            Sort::P99 => app.p99_seconds,
            Sort::Requests => app.requests_per_second,
            Sort::Name => 0.0,
        };
        let of_run = |run: &RunRow| match self.sort {
            Sort::Memory => run.memory_bytes as f64,
            Sort::Wait => run.wait,
            Sort::Name => 0.0,
            Sort::Cpu | Sort::P99 | Sort::Requests => run.cpu,
        };
        // None is less than zero, so their bits are in the order of the numbers.
        view.apps
            .sort_by_cached_key(|app| (most(of_app(app)), app.name.clone()));
        view.runs
            .sort_by_cached_key(|run| (most(of_run(run)), run.name.clone(), run.id));
        view
    }

    /// The app or the run that is chosen.
    pub(super) fn chosen(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Chooses the row that is so far from the one that is chosen now.
    pub(super) fn go(&mut self, view: &View, by: isize) {
        self.row = self.row.saturating_add_signed(by);
        self.key = None;
        self.keep_selection(view);
    }

    /// Keys are for the other table.
    pub(super) fn turn(&mut self, view: &View) {
        self.table = match self.table {
            Table::Apps => Table::Runs,
            Table::Runs => Table::Apps,
        };
        (self.row, self.key) = (0, None);
        self.keep_selection(view);
    }

    /// Finds the chosen row again after rows have moved.
    pub(super) fn keep_selection(&mut self, view: &View) {
        self.is_live = true;
        let view = self.selected(view);
        if view.apps.is_empty() && !view.runs.is_empty() {
            self.table = Table::Runs;
        }
        let keys: Vec<String> = match self.table {
            Table::Apps => view.apps.into_iter().map(|app| app.name).collect(),
            Table::Runs => view.runs.iter().map(|run| run.id.to_string()).collect(),
        };
        let moved = { keys.iter() }.position(|key| Some(key) == self.key.as_ref());
        self.row = moved.unwrap_or(self.row).min(keys.len().saturating_sub(1));
        self.key = keys.into_iter().nth(self.row);
    }
}
