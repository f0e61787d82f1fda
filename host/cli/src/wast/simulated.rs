//! `--sim`: a script on simulated machines, one for each seed, until one fails.

use super::args::WastArgs;
use super::ground::Ground;
use super::report::{FAILED, report};
use super::script::{self, How};
use crate::failure::Failure;
use crate::output::{to_stderr, to_stdout};
use crate::simulation::{ORACLE, progress, quote};
use crate::units;
use hart_sim::{Config, Faults, Seeds, Session};
use std::io::IsTerminal;
use std::path::Path;

/// The machines that the options describe.
pub(super) struct Machines<'a> {
    args: &'a WastArgs,
    how: How,
    range: std::ops::Range<u64>,
    seeds: Seeds,
    slice: u64,
}

impl<'a> Machines<'a> {
    /// # Errors
    /// Faults that scripts do not expect, and a slice that is none.
    pub(super) fn new(args: &'a WastArgs, how: How) -> Result<Self, Failure> {
        let faults = args.faults.unwrap_or(Faults::none());
        if faults.harm_guests() {
            return Err(Failure::usage(format!(
                "--faults {faults}: some of these end guests that have done nothing wrong, which no script expects; name some of stall,slow,late,spurious,offline,jump"
            )));
        }
        let slice = match &args.scheduling.slice {
            None => hart_sim::SLICE,
            Some(slice) => match units::count(slice) {
                Ok(slice) if slice > 0 => slice,
                _ => {
                    return Err(Failure::usage(format!(
                        "--slice {slice}: with --sim it is a count of units of fuel above zero, like {}",
                        hart_sim::SLICE
                    )));
                }
            },
        };
        let range = args.seeds.as_ref().map_or(0..1, |seeds| seeds.0.clone());
        Ok(Self {
            args,
            how,
            seeds: Seeds::new(range.clone()).faults(faults),
            range,
            slice,
        })
    }

    /// Runs a script under every seed, until one fails; returns the exit code.
    pub(super) fn script(&self, path: &Path, shown: &str, text: &str) -> u8 {
        let terminal = std::io::stderr().is_terminal();
        let mut directives = 0;
        for seed in self.range.clone() {
            progress(terminal, &self.range, seed);
            let config = self.seeds.config(seed);
            let (verdict, broken) = match self.once(&config, path, text) {
                Ok(run) => run,
                Err(failure) => {
                    failure.at(path).report();
                    to_stdout(&format!("{shown}: FAILED, it cannot be run\n"));
                    return FAILED;
                }
            };
            directives = verdict.directives;
            if verdict.failures.is_empty() && broken.is_none() {
                continue;
            }
            if terminal {
                to_stderr("\r\x1b[K");
            }
            let code = report(shown, &verdict, &format!(", under seed {seed}"));
            if let Some(broken) = &broken {
                to_stderr(&format!("seed {seed}: {broken}"));
            }
            to_stderr(&format!("replay: {}\n", self.command(seed, path)));
            return match broken {
                Some(_) => ORACLE,
                None => code,
            };
        }
        if terminal {
            to_stderr("\r\x1b[K");
        }
        let seeds = self.range.end - self.range.start;
        to_stdout(&format!(
            "{shown}: ok, {directives} directives, {seeds} seeds\n"
        ));
        0
    }

    /// One seed: what came of the script, and the promise that was broken.
    fn once(
        &self,
        config: &Config,
        path: &Path,
        text: &str,
    ) -> Result<(script::Verdict, Option<hart_sim::Failure>), Failure> {
        let session = Session::new(config, self.slice)
            .map_err(|error| Failure::new(1, format!("cannot start: {error}")))?;
        let ground = Ground::simulated(session);
        let verdict = script::run(&ground, self.how, path, text);
        Ok((verdict, ground.finish()))
    }

    /// The command that does the same.
    fn command(&self, seed: u64, path: &Path) -> String {
        let mut words = vec![format!("hart wast --sim --seeds {seed}..{}", seed + 1)];
        let mut option = |name: &str, value: &str| words.push(format!("{name} {}", quote(value)));
        if let Some(faults) = self.args.faults {
            option("--faults", &faults.to_string());
        }
        if self.slice != hart_sim::SLICE {
            option("--slice", &self.slice.to_string());
        }
        if let Some(timeout) = self.args.limits.timeout {
            option("--timeout", &format!("{}ns", timeout.as_nanos()));
        }
        for limit in &self.args.limits.limits {
            option("-W", limit);
        }
        if self.how.any_reason {
            words.push("--ignore-error-messages".to_owned());
        }
        words.push(quote(&path.to_string_lossy()));
        words.join(" ")
    }
}
