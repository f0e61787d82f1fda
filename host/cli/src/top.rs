//! `hart top`: what runs, live.

mod client;
mod keys;
mod screen;
mod state;
mod view;

use crate::admin::address::AdminAddress;
use crate::failure::Failure;
use crate::output::to_stderr;
use crate::units::positive_duration;
use clap::Args;
use client::Client;
use ratatui::crossterm::event;
use state::{Sort, State, Step};
use std::io::{IsTerminal as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};
use view::View;

const EXAMPLES: &str = "\
Examples:
  hart serve --admin hart.sock app.wasm &   or: hart run --admin hart.sock app.wasm
  hart top                                  watch it; q leaves
  hart top --once --sort p99                one picture of a second
  hart top --once --json | jq '.apps[0]'    the same for scripts
  hart top --json                           a line of JSON each second

Shares are of the CPU time that all apps, or all runs, have used since the last look. DUE is what an app's
weight says it gets while all those that have work want more.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopArgs {
    /// The socket of `--admin`, or its address
    #[arg(value_name = "SOCKET", default_value = "hart.sock", value_parser = AdminAddress::parse)]
    socket: AdminAddress,

    /// Print one picture, and end
    #[arg(long)]
    once: bool,

    /// Print JSON, one line for each look
    #[arg(long)]
    json: bool,

    /// How long to count between two looks
    #[arg(long, value_name = "D", default_value = "1s", value_parser = positive_duration)]
    interval: Duration,

    /// What comes first
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t)]
    sort: Sort,

    /// Show only what has this text in its name
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

/// Watches until somebody leaves or there is nothing to watch any more; the process's exit code.
///
/// # Errors
/// A socket where nobody answers, an output that is no terminal.
pub(crate) fn top(args: &TopArgs) -> Result<u8, Failure> {
    let client = Client::new(args.socket.clone())?;
    let mut looks = Looks::begin(&client)?;
    let mut state = State::new(args.socket.to_string(), args.sort, args.filter.clone());
    if args.once || args.json {
        loop {
            thread::sleep(args.interval);
            let Some(view) = looks.next()? else {
                return match args.once {
                    true => Err(Failure::new(
                        1,
                        format!("{}: it ended meanwhile", args.socket),
                    )),
                    false => Ok(0),
                };
            };
            let text = match args.json {
                true => format!("{}\n", state.selected(&view).json()),
                false => screen::text(&view, &state),
            };
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(text.as_bytes());
            // A reader that went away (`hart top --json | head`) needs no more.
            if written.and_then(|()| stdout.flush()).is_err() || args.once {
                return Ok(0);
            }
        }
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "standard output is no terminal; add --once for one picture, or --json",
        ));
    }
    let failed = |error| Failure::new(1, format!("the terminal does not work: {error}"));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let watched = watch(
        &mut terminal,
        &client,
        &mut looks,
        &mut state,
        args.interval,
    );
    ratatui::restore();
    if let Watched::Gone = watched.map_err(failed)?? {
        to_stderr(&format!(
            "hart: {}: nothing runs there any more\n",
            args.socket
        ));
    }
    Ok(0)
}

/// Why watching ended.
enum Watched {
    Left,
    Gone,
}

/// Shows what runs and does what keys ask for. Two kinds of errors: of the terminal, and of what is watched.
fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    client: &Client,
    looks: &mut Looks<'_>,
    state: &mut State,
    interval: Duration,
) -> std::io::Result<Result<Watched, Failure>> {
    let mut view = View::default();
    // The first picture comes soon, of a short time.
    let mut due = Instant::now() + interval.min(Duration::from_millis(200));
    loop {
        state.keep_selection(&view);
        terminal.draw(|frame| screen::draw(frame.area(), frame.buffer_mut(), &view, state))?;
        let rest = due.saturating_duration_since(Instant::now());
        if event::poll(rest)? {
            match keys::take(&event::read()?, &view, state) {
                Step::Leave => return Ok(Ok(Watched::Left)),
                Step::Ask(request) => state.message = client.change(&request),
                Step::Go => {}
            }
        }
        if Instant::now() < due {
            continue;
        }
        due = Instant::now() + interval;
        if state.is_paused {
            continue;
        }
        match looks.next() {
            Ok(Some(next)) => view = next,
            Ok(None) => return Ok(Ok(Watched::Gone)),
            Err(failure) => return Ok(Err(failure)),
        }
    }
}

/// Looks at what runs, again and again.
struct Looks<'a> {
    client: &'a Client,
    last: client::Look,
}

impl<'a> Looks<'a> {
    fn begin(client: &'a Client) -> Result<Self, Failure> {
        let last = client.look()?;
        Ok(Self { client, last })
    }

    /// What has happened since the last look; `None` where nobody answers any more.
    fn next(&mut self) -> Result<Option<View>, Failure> {
        let look = match self.client.look() {
            Ok(look) => look,
            Err(_) if !self.client.is_there() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let view = View::between(&self.last, &look);
        self.last = look;
        Ok(Some(view))
    }
}
