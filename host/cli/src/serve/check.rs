//! `hart serve --check`: says all that is wrong, and serves nothing.

use super::apps::Apps;
use super::tls;
use crate::config::plan::Plan;
use crate::config::problem::Problem;
use crate::failure::{Failure, USAGE};
use crate::output::{to_stderr, to_stdout};
use std::path::Path;

/// Loads what `plan` names, and tells what is wrong with that and what was found before; the exit code.
pub(super) fn check(file: &Path, plan: &Plan, mut problems: Vec<Problem>, apps: &Apps) -> u8 {
    if let Some(files) = &plan.top.tls
        && let Err(failure) = tls::read(files)
    {
        problems.push(problem(1, &failure));
    }
    // What is not there was found before.
    let there = plan
        .apps
        .iter()
        .filter(|app| !app.component.as_os_str().is_empty());
    let there: Vec<_> = there.cloned().collect();
    for (app, failure) in apps.change(&there).failures {
        problems.push(problem(app.line, &failure));
    }
    if problems.is_empty() {
        to_stdout(&format!("{} is fine\n", file.display()));
        return 0;
    }
    problems.sort_by_key(|problem| problem.line);
    let lines = problems.iter().map(|problem| match problem.line {
        0 => format!("{}\n", problem.text),
        _ => format!("{}\n", problem.show(file)),
    });
    to_stderr(&lines.collect::<String>());
    USAGE
}

fn problem(line: usize, failure: &Failure) -> Problem {
    Problem {
        line,
        text: failure.to_string(),
    }
}
