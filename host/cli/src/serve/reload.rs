//! Loads what has changed, on a thread of its own, when it is asked to or when a file changes.

use super::apps::Apps;
use super::stamp::{Stamp, read_settled};
use crate::config::plan::{AppPlan, Plan, Purpose, Top};
use crate::config::problem::Problem;
use crate::config::read::read;
use crate::failure::Failure;
use crate::load;
use crate::output::{one_line, to_stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// How often files are looked at.
const WATCH: Duration = Duration::from_millis(500);

/// Where the plan comes from.
pub(super) enum Source {
    /// The command line: one app.
    Args(Box<AppPlan>),
    /// A file, whose apps begin as this one.
    File { file: PathBuf, base: Box<AppPlan> },
}

/// Asks the thread.
pub(super) struct Reloader(SyncSender<()>);

impl Source {
    /// The plan as it is now, as far as it makes sense, and what does not.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn plan(&self) -> Result<(Plan, Vec<Problem>), Failure> {
        match self {
            Self::Args(app) => Ok((
                Plan {
                    apps: vec![(**app).clone()],
                    ..Plan::default()
                },
                Vec::new(),
            )),
            Self::File { file, base } => {
                let text = || {
                    std::fs::read_to_string(file)
                        .map_err(|error| Failure::usage(load::read(&error)).at(file))
                };
                let (text, _) = read_settled(file, text)?;
                Ok(read(file, &text, base, Purpose::Serve))
            }
        }
    }

    /// The plan as it is now, if nothing is wrong with it; otherwise one line.
    fn sound_plan(&self) -> Result<Plan, String> {
        let (plan, problems) = self.plan().map_err(|failure| failure.to_string())?;
        let (Some(first), Self::File { file, .. }) = (problems.first(), self) else {
            return Ok(plan);
        };
        let more = match problems.len() {
            1 => String::new(),
            many => format!(" (and {} more: hart serve --check)", many - 1),
        };
        Err(format!("{}{more}", first.show(file)))
    }
}

impl Reloader {
    /// Starts the thread. `top` is what the file said of the server itself.
    ///
    /// # Errors
    /// If there is no thread.
    pub(super) fn start(
        source: Source,
        top: Top,
        apps: Arc<Apps>,
        watch: bool,
    ) -> std::io::Result<Self> {
        // One that waits is enough: it finds all that has changed until then.
        let (ask, asked) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("hart-reload".into())
            .spawn(move || run(&source, &top, &apps, &asked, watch))?;
        Ok(Self(ask))
    }

    /// Has it look for what has changed.
    pub(super) fn ask(&self) {
        let _ = self.0.try_send(());
    }
}

fn run(source: &Source, top: &Top, apps: &Apps, asked: &Receiver<()>, watch: bool) {
    let mut known = stamps(source, apps);
    let mut last = known.clone();
    loop {
        let asked = match watch {
            true => asked.recv_timeout(WATCH),
            false => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match asked {
            Ok(()) => {
                known = stamps(source, apps);
                reload(source, top, apps);
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = stamps(source, apps);
                // Twice the same: whoever writes it has finished, as far as can be seen.
                let is_new = now != known && now == last;
                if is_new {
                    reload(source, top, apps);
                    known.clone_from(&now);
                }
                last = now;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Of all files that matter.
fn stamps(source: &Source, apps: &Apps) -> Vec<(PathBuf, Option<Stamp>)> {
    let own = match source {
        Source::Args(_) => None,
        Source::File { file, .. } => Some(file.clone()),
    };
    let components = apps.plans().into_iter().map(|plan| plan.component);
    let files = own.into_iter().chain(components);
    files
        .map(|file| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        })
        .collect()
}

fn reload(source: &Source, top: &Top, apps: &Apps) {
    let plan = match source.sound_plan() {
        Ok(plan) => plan,
        Err(why) => return say(&format!("nothing is loaded anew: {why}")),
    };
    if plan.top != *top && matches!(source, Source::File { .. }) {
        say("what the file says of the server itself holds from the next start on");
    }
    let changed = apps.change(&plan.apps);
    for (plan, failure) in &changed.failures {
        say(&format!(
            "the app `{}` stays as it was: {failure}",
            plan.name
        ));
    }
    match changed.names.is_empty() {
        true if changed.failures.is_empty() => say("nothing has changed"),
        true => {}
        false => say(&format!("loaded anew: {}", changed.names.join(", "))),
    }
}

fn say(text: &str) {
    to_stderr(&format!("hart: {}\n", one_line(text)));
}
