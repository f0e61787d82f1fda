//! `--scale` and `--workload`: the same work on machines of several sizes.

use super::args::SimArgs;
use super::guest::Prepared;
use super::output::{save, write};
use crate::ended;
use crate::failure::Failure;
use crate::output::{to_stderr, to_stdout};
use crate::simulation::ORACLE;
use hart_sim::{Config, Curve, Outcome, Point};

/// Runs it on each machine, prints the curve, and draws it where asked to.
pub(super) fn run(args: &SimArgs) -> Result<u8, Failure> {
    let prepared = match args.workload {
        Some(_) => None,
        None => match Prepared::new(args)? {
            Some(prepared) => Some(prepared),
            None => return Ok(0),
        },
    };
    let base = args.config();
    let list = match &args.scale {
        Some(list) => list.0.clone(),
        None => vec![base.harts],
    };
    let mut points = Vec::with_capacity(list.len());
    for harts in list {
        let mut config = base.clone();
        config.harts = harts;
        let outcome = one(args, prepared.as_ref(), &config)?;
        if let Some(broken) = &outcome.failure {
            to_stderr(&broken.to_string());
            let oracle = broken.oracle;
            return Err(Failure::new(
                ORACLE,
                format!("with {harts} harts: oracle {oracle} failed"),
            ));
        }
        if args.stats {
            to_stderr(&outcome.stats.to_string());
        }
        points.push(Point::new(&outcome));
    }
    let title = match (&args.workload, &prepared) {
        (Some(workload), _) => workload.to_string(),
        (None, Some(prepared)) => prepared.title(args),
        (None, None) => String::new(),
    };
    let curve = Curve { title, points };
    to_stdout(&curve.to_text());
    if let Some(path) = &args.svg {
        save(path, &curve.to_svg())?;
    }
    Ok(0)
}

fn one(args: &SimArgs, prepared: Option<&Prepared>, config: &Config) -> Result<Outcome, Failure> {
    let Some(prepared) = prepared else {
        let workload = args.workload.clone().unwrap_or_default();
        return Ok(hart_sim::run(config, move |sim| workload.start(sim)));
    };
    let run = prepared.explained(prepared.guest().run(config))?;
    let ended = run
        .result
        .map_err(|error| ended::explain(&error).at(prepared.path()))?;
    if ended.exit_code != 0 && run.machine.failure.is_none() {
        write(&ended.stdout, &ended.stderr)?;
        let code = (ended.exit_code & 0xff) as u8;
        return Err(
            Failure::new(code.max(1), format!("the guest exits with {code}")).at(prepared.path()),
        );
    }
    Ok(run.machine)
}
