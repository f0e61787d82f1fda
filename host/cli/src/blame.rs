//! `hart blame URL..`: whether one route of a server slows the others.

mod figures;
mod load;
mod picture;
mod report;
mod route;

use crate::failure::Failure;
use crate::output::{to_stderr, to_stdout};
use crate::units::{at_least_one, positive_duration, show_duration};
use clap::Args;
use figures::{Measured, Sample};
use load::Client;
use route::Route;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};

const EXAMPLES: &str = "\
Examples:
  hart blame http://127.0.0.1:8080/hello http://127.0.0.1:8080/report
  hart blame --load 32 --picture blame.svg http://127.0.0.1:8080/{hello,report,search}

Each route is measured alone, and beside each of the others while that one is loaded. Requests come at a
fixed rate, whatever the server does, and a request's time begins when it was to be sent: a server that
stalls is charged for all who would have come meanwhile.

Exit codes: 0 if no route slows another; 1 if one does, by more than --at-most times; 2 if a route cannot
be asked.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BlameArgs {
    /// Requests that are kept going on the route that is loaded
    #[arg(long, value_name = "N", default_value = "8", value_parser = at_most_1000)]
    load: usize,

    /// Requests a second to the route that is measured
    #[arg(long, value_name = "N", default_value = "100", value_parser = at_most_10000)]
    rate: usize,

    /// How long each measurement takes
    #[arg(long, value_name = "D", default_value = "5s", value_parser = at_most_10_minutes)]
    time: Duration,

    /// How long a request is waited for; one without an answer counts as having taken so long
    #[arg(long, value_name = "D", default_value = "10s", value_parser = at_most_10_minutes)]
    timeout: Duration,

    /// How many times as long as alone a route's p99 may take beside another
    #[arg(long, value_name = "X", default_value = "10")]
    at_most: f64,

    /// Write a picture of it, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,

    /// Print an array of JSON
    #[arg(long)]
    json: bool,

    /// Ask a server that is not on this machine: it is yours, and others that use it know
    #[arg(long)]
    i_own_this_server: bool,

    /// Routes, of which each is measured and loaded
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
}

/// How long a load is there before it is measured beside it.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measured requests that are under way at once, at most.
const UNDER_WAY: usize = 512;

/// How often a route is asked whether it has recovered from a load.
const PROBE: Duration = Duration::from_millis(50);

fn at_most_1000(text: &str) -> Result<usize, String> {
    bounded(text, 1_000)
}

fn at_most_10000(text: &str) -> Result<usize, String> {
    bounded(text, 10_000)
}

fn bounded(text: &str, most: usize) -> Result<usize, String> {
    match at_least_one(text)? {
        number if number > most => Err(format!("`{text}` is too much; use up to {most}")),
        number => Ok(number),
    }
}

fn at_most_10_minutes(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        time if time > Duration::from_secs(600) => {
            Err(format!("`{text}` is too long; use up to 10m"))
        }
        time => Ok(time),
    }
}

/// Finds out; the process's exit code.
///
/// # Errors
/// Bad usage, and a route that does not answer when nobody else asks.
pub(crate) fn blame(args: &BlameArgs) -> Result<u8, Failure> {
    let routes: Vec<Route> = args
        .urls
        .iter()
        .map(|url| Route::new(url, args.i_own_this_server))
        .collect::<Result<_, _>>()?;
    if routes.len() < 2 {
        return Err(Failure::usage(
            "one route has no other to slow; name two, as in http://127.0.0.1:8080/a http://127.0.0.1:8080/b",
        ));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("no way to wait for a network: {error}")))?;
    let measurements = routes.len() * routes.len();
    to_stderr(&format!(
        "hart: {measurements} measurements, {} each\n",
        show_duration(args.time)
    ));
    let measured = measure(args, &routes, &tokio)?;
    if let Some(file) = &args.picture {
        let title = format!(
            "{} (hart blame, {} at once)",
            report::authorities(&routes),
            args.load
        );
        std::fs::write(file, picture::draw(&title, &routes, &measured))
            .map_err(|error| Failure::usage(error).at(file))?;
    }
    to_stdout(&match args.json {
        true => report::json(&args.urls, &measured),
        false => report::table(&routes, &measured),
    });
    let blamed = report::blamed(&routes, &measured, args.at_most);
    for line in &blamed {
        to_stderr(&format!("hart: {line}\n"));
    }
    Ok(u8::from(!blamed.is_empty()))
}

/// All routes alone, before any is loaded; then each beside each.
fn measure(args: &BlameArgs, routes: &[Route], tokio: &Runtime) -> Result<Vec<Measured>, Failure> {
    let (tokio, rate) = (tokio.handle(), args.rate as u32);
    let client = |route: &Route| Client::new(route, args.timeout, UNDER_WAY);
    let mut alone = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        let client = client(route);
        // What the first request needs, no other does.
        client.measure(tokio, 1, Duration::from_secs(1));
        let sample = client.measure(tokio, rate, args.time);
        if sample.answered == 0 {
            return Err(Failure::usage(format!(
                "{}: it does not answer, or only with errors; start the server, and ask for a path that it has",
                args.urls[place]
            )));
        }
        alone.push(sample);
    }
    let mut measured = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        measured.push(Measured {
            route: place,
            beside: None,
            sample: alone[place].clone(),
        });
        for (other, loaded) in routes.iter().enumerate() {
            if other == place {
                continue;
            }
            let loader = Client::new(loaded, args.timeout, args.load);
            let loads: Vec<_> = (0..args.load).map(|_| loader.load(tokio)).collect();
            thread::sleep(WARM_UP);
            let client = client(route);
            let sample = client.measure(tokio, rate, args.time);
            drop(loads);
            measured.push(Measured {
                route: place,
                beside: Some(other),
                sample,
            });
            recover(&client, tokio, &alone[place], args.timeout);
        }
    }
    Ok(measured)
}

/// Waits until the route answers as it does alone, as long as a request is waited for: not every server ends what nobody
/// waits for.
fn recover(client: &Arc<Client>, tokio: &Handle, alone: &Sample, most: Duration) {
    let began = Instant::now();
    let usual = 2 * alone.within(0.99).max(Duration::from_millis(5));
    let mut good = 0;
    while good < 3 && began.elapsed() < most {
        let probe = client.measure(tokio, 1, PROBE);
        good = if probe.within(1.0) <= usual {
            good + 1
        } else {
            0
        };
    }
}
