//! The screen of `hart top`: the same for a terminal and for `--once`.

use super::state::{Prompt, State, Table};
use super::view::{AppRow, RunRow, View, WorkerRow};
use crate::output::printable;
use crate::units::{show_duration, show_size};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Widget as _};
use std::time::Duration;

/// The width of one picture without a terminal.
const WIDTH: u16 = 118;

/// Rows of workers at most; more workers are told together.
const WORKER_ROWS: usize = 8;

/// How wide a worker is shown.
const WORKER_WIDTH: u16 = 38;

/// Rows of each table in one picture without a terminal.
const ROWS: usize = 50;

const APPS: [(&str, u16); 13] = [
    ("APP", 18),
    ("WEIGHT", 6),
    ("CPU", 5),
    ("SHARE", 5),
    ("DUE", 5),
    ("REQ/S", 8),
    ("5XX/S", 6),
    ("P50", 8),
    ("P99", 8),
    ("WAIT", 8),
    ("PREEMPTED", 9),
    ("RUN+QUEUE", 9),
    ("MEMORY", 9),
];

const RUNS: [(&str, u16); 11] = [
    ("RUN", 8),
    ("NAME", 22),
    ("APP", 14),
    ("WEIGHT", 6),
    ("CPU", 5),
    ("SHARE", 5),
    ("WAIT", 6),
    ("PREEMPTED", 9),
    ("PREEMPT/S", 9),
    ("TASKS", 6),
    ("MEMORY", 9),
];

/// One picture as text.
pub(super) fn text(view: &View, state: &State) -> String {
    let rows = view.apps.len().min(ROWS) + view.runs.len().min(ROWS);
    let height = 5 + worker_rows(view, WIDTH) + u16::try_from(rows).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, WIDTH, height);
    let mut buffer = Buffer::empty(area);
    draw(area, &mut buffer, view, state);
    let line = |y| {
        (0..WIDTH)
            .map(|x| buffer[(x, y)].symbol())
            .collect::<String>()
    };
    let lines: Vec<String> = (0..height).map(|y| line(y).trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

/// Draws all of it.
pub(super) fn draw(area: Rect, buffer: &mut Buffer, view: &View, state: &State) {
    let view = state.selected(view);
    let footer = u16::from(state.is_live);
    let lines = [
        Constraint::Length(1),
        Constraint::Length(worker_rows(&view, area.width)),
        Constraint::Fill(1),
        Constraint::Length(footer),
    ];
    let [head, workers, tables, foot] = Layout::vertical(lines).areas(area);
    Line::from(header(&view, state)).bold().render(head, buffer);
    draw_workers(workers, buffer, &view.workers);
    draw_tables(tables, buffer, &view, state);
    Line::from(footer_text(state)).dim().render(foot, buffer);
}

fn header(view: &View, state: &State) -> String {
    let host = &view.host;
    let paused = if state.is_paused { "  PAUSED" } else { "" };
    // The name comes last: it may be long.
    format!(
        "{} runs  {} tasks ({} queued)  pool {}/{}  {} warm  {}  lag p99 {}  {:.0} epochs/s{paused}  {}",
        host.runs,
        host.tasks,
        host.queued_tasks,
        host.slots_used,
        host.slots,
        host.warm_instances,
        show_size(host.memory_bytes),
        time(host.lag_p99_seconds),
        host.epochs_per_second,
        printable(&state.title),
    )
}

fn worker_rows(view: &View, width: u16) -> u16 {
    let in_row = usize::from(width / WORKER_WIDTH).max(1);
    let rows = view.workers.len().div_ceil(in_row).min(WORKER_ROWS);
    u16::try_from(rows).unwrap_or(1)
}

fn draw_workers(area: Rect, buffer: &mut Buffer, workers: &[WorkerRow]) {
    let in_row = (area.width / WORKER_WIDTH).max(1);
    for (at, worker) in workers.iter().enumerate() {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        let (x, y) = (at % in_row * WORKER_WIDTH, at / in_row);
        if y >= area.height {
            return;
        }
        let full = (worker.utilization * 12.0).round() as usize;
        let line = format!(
            "{:>3} [{:<12}] {:>3.0}% {:>5.0} steals/s",
            worker.id,
            "|".repeat(full),
            worker.utilization * 100.0,
            worker.steals_per_second,
        );
        let place = Rect::new(area.x + x, area.y + y, WORKER_WIDTH, 1).intersection(area);
        Line::from(line).render(place, buffer);
    }
}

fn draw_tables(area: Rect, buffer: &mut Buffer, view: &View, state: &State) {
    // A gap before each table.
    let gap = 1;
    let needed = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(1);
    let apps = match view.apps.len() {
        0 => 0,
        // Both have half where both have more.
        rows => needed(rows).min(
            (area.height / 2).max(
                area.height
                    .saturating_sub(2 * gap + needed(view.runs.len())),
            ),
        ),
    };
    let lines = [
        Constraint::Length(if apps > 0 { gap } else { 0 }),
        Constraint::Length(apps),
        Constraint::Length(gap),
        Constraint::Fill(1),
    ];
    let [_, apps, _, runs] = Layout::vertical(lines).areas(area);
    let chosen = |table| (state.is_live && state.table == table).then_some(state.row);
    draw_table(
        apps,
        buffer,
        &APPS,
        view.apps.iter().map(app),
        chosen(Table::Apps),
    );
    draw_table(
        runs,
        buffer,
        &RUNS,
        view.runs.iter().map(run),
        chosen(Table::Runs),
    );
}

/// The rows that there is room for, with the chosen one among them.
fn draw_table<const N: usize>(
    area: Rect,
    buffer: &mut Buffer,
    columns: &[(&'static str, u16); N],
    rows: impl Iterator<Item = [String; N]>,
    chosen: Option<usize>,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let first = (chosen.unwrap_or(0) + 1).saturating_sub(room);
    let widths = columns.map(|(_, width)| width);
    // Texts begin at the left, numbers end at the right.
    let cells = |cells: [String; N]| {
        let cells = cells.into_iter().zip(columns).enumerate();
        Row::new(cells.map(|(at, (text, (name, width)))| {
            let is_text = at == 0 || matches!(*name, "NAME" | "APP");
            let width = usize::from(*width);
            Cell::from(match is_text {
                true => format!("{text:<width$}"),
                false => format!("{text:>width$}"),
            })
        }))
    };
    let rows = rows.enumerate().skip(first).take(room);
    let rows = rows.map(|(at, row)| match Some(at) == chosen {
        true => cells(row).style(Style::new().reversed()),
        false => cells(row),
    });
    let head = cells(columns.map(|(name, _)| name.to_owned())).bold();
    ratatui::widgets::Table::new(rows, widths)
        .header(head)
        .render(area, buffer);
}

fn app(row: &AppRow) -> [String; 13] {
    [
        row.name.clone(),
        row.weight.map_or_else(none, |weight| weight.to_string()),
        cpu(row.cpu, row.cpu_rate),
        percent(row.share),
        row.due.map_or_else(none, percent),
        format!("{:.1}", row.requests_per_second),
        format!("{:.1}", row.errors_per_second),
        time(row.p50_seconds),
        time(row.p99_seconds),
        time(row.wait_seconds),
        time(row.preempted_seconds),
        format!("{}+{}", row.running, row.waiting),
        show_size(row.memory_bytes),
    ]
}

fn run(row: &RunRow) -> [String; 11] {
    [
        row.id.to_string(),
        row.name.clone(),
        row.app.clone().unwrap_or_else(none),
        row.weight.to_string(),
        cpu(row.cpu, row.cpu_rate),
        percent(row.share),
        percent(row.wait),
        percent(row.preempted),
        format!("{:.0}", row.preemptions_per_second),
        row.tasks.to_string(),
        show_size(row.memory_bytes),
    ]
}

fn none() -> String {
    "-".into()
}

/// Cores that were used; with a `!` where that is all that the rate allows.
fn cpu(used: f64, rate: Option<f64>) -> String {
    let mark = if rate.is_some_and(|rate| used >= rate * 0.95) {
        "!"
    } else {
        ""
    };
    format!("{used:.2}{mark}")
}

fn percent(part: f64) -> String {
    format!("{:.0}%", part * 100.0)
}

fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => show_duration(time),
        _ => none(),
    }
}

fn footer_text(state: &State) -> String {
    let typed = &state.typed;
    let target = state.target.as_ref();
    let chosen = target.map_or_else(String::new, |(_, name)| printable(name));
    match state.prompt {
        Some(Prompt::Filter) => format!("show what has in its name: {typed}_"),
        Some(Prompt::Kill) => format!("end run {chosen}? y, then Enter: {typed}_"),
        Some(Prompt::Weight) => format!("weight of {chosen}: {typed}_"),
        Some(Prompt::Rate) => format!("cores that {chosen} may use, 0 for no limit: {typed}_"),
        None if !state.message.is_empty() => printable(&state.message),
        None => {
            let filter = match state.filter.is_empty() {
                true => String::new(),
                false => format!(" ({})", printable(&state.filter)),
            };
            format!(
                "q leave  Tab apps/runs  s sort: {}  / filter{filter}  k kill  w weight  c cpu rate  f flight file  Space pause",
                state.sort.name()
            )
        }
    }
}
