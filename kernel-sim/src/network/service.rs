//! A guest that answers HTTP requests, on the machine.

use super::{
    client::{End, Exchange, Network},
    requests::Requests,
};
use crate::{
    config::Config,
    guest::{Guest, GuestError, Placed, Simulated},
    oracle::{Failure, Oracle},
    run::Outcome,
    session::Session,
};
use futures::{StreamExt, stream::FuturesUnordered};
use hart_host::Stdio;
use std::sync::Arc;

/// A service, and the requests that it is sent.
///
/// Each client is a future outside of every hart: it waits in the machine's time, and its request is a run of the host's,
/// as it is on a server. There is no protocol in between: requests and answers come as they are, and take no time on the
/// way but what the client takes, and what [`Requests::latency`] says.
///
/// The fault `cancel` makes clients leave, `late` lets what they send come late.
///
/// # Examples
///
/// ```no_run
/// use hart_sim::{Faults, Guest, Rate, Request, Requests, Seeds};
/// use std::time::Duration;
///
/// let hello = Request::new("GET".parse()?, "/hello".parse()?);
/// let second = Duration::from_secs(1);
/// let requests = Requests::new().random(Rate::new(1_000, second), Duration::ZERO, second, hello);
/// let service = Guest::new(&std::fs::read("service.wasm")?)?.serves(requests);
/// Seeds::new(0..100).faults(Faults::light()).check(&service);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a guest does nothing until it runs"]
pub struct HttpGuest {
    guest: Guest,
    requests: Requests,
    shows_output: bool,
}

/// What came of the requests.
#[derive(Debug)]
#[non_exhaustive]
pub struct HttpOutcome {
    /// The machine's side: statistics, the oracles, the trace.
    pub machine: Outcome,
    /// What became of each request, in the order in which they were sent. Where a promise was broken: of those that were
    /// over by then.
    pub exchanges: Vec<Exchange>,
    /// What the run depends on beside component, requests, seed and options.
    pub depends_on: Vec<String>,
}

impl Guest {
    /// A service instead of a command, and the requests that it is sent.
    pub fn serves(self, requests: Requests) -> HttpGuest {
        HttpGuest {
            guest: self,
            requests,
            shows_output: false,
        }
    }
}

impl HttpGuest {
    /// Passes what the guest writes to the process's own standard output and standard error. Default: it is dropped.
    pub fn show_output(mut self, shows: bool) -> Self {
        self.shows_output = shows;
        self
    }

    /// Sends it the requests, on a machine.
    ///
    /// # Errors
    ///
    /// If it could not be started: [`GuestError::Start`] if it is no service. What becomes of requests is in the outcome.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run).
    pub fn run(&self, config: &Config) -> Result<HttpOutcome, GuestError> {
        let config = config.of_guests();
        let files = self.guest.files()?;
        let _entered = files.as_ref().map(|files| files.enter());
        let scratch = self.guest.make_scratch()?;
        let Placed {
            machine,
            host,
            component,
        } = self.guest.place(&config, files.as_ref())?;
        let output = match self.shows_output {
            true => Stdio::Inherit,
            false => Stdio::Null,
        };
        let service = host
            .service(&component)
            .name(self.guest.title())
            .run(|run| {
                let run = self.guest.set_up(run, scratch.as_ref());
                run.stdout(output.clone()).stderr(output)
            })
            .build()
            .map_err(GuestError::Start)?;

        let network = Arc::new(Network::new(machine.clone()));
        let leaves = network.clone();
        let mut session = Session::over(&config, machine, host, move || leaves.one_leaves());
        let drawn = self.requests.draw(config.seed).into_iter().enumerate();
        let clients: FuturesUnordered<_> = drawn
            .map(|(number, drawn)| network.client(number, drawn, &service))
            .collect();
        let mut clients = Box::pin(clients.collect::<()>());
        if session.block_on(clients.as_mut()).is_ok() {
            drop(clients);
            drop(service);
        } else {
            // Harts stand still in the middle of it: nothing of it may be dropped under them.
            std::mem::forget(clients);
            std::mem::forget(service);
        }
        let mut outcome = session.finish();
        let exchanges = network.take_done();
        if outcome.failure.is_none() {
            outcome.failure = judge(&config, &outcome, &exchanges);
        }
        drop(scratch);
        Ok(HttpOutcome {
            machine: outcome,
            exchanges,
            depends_on: self.guest.depends_on(),
        })
    }
}

/// Whether the guest answered as one does that has nothing to complain of.
fn judge(config: &Config, outcome: &Outcome, exchanges: &[Exchange]) -> Option<Failure> {
    if config.faults.harm_guests() || !config.guest_must_succeed {
        return None;
    }
    let (exchange, why) = exchanges.iter().find_map(|exchange| match &exchange.end {
        End::Failed(why) => Some((exchange, why)),
        _ => None,
    })?;
    Some(Failure {
        oracle: Oracle::Answered,
        seen: format!("{} {}: {why}", exchange.method, exchange.target),
        step: outcome.stats.steps,
        at: outcome.stats.time,
        last: outcome.last.clone(),
    })
}

impl Simulated for HttpGuest {
    fn outcome(&self, config: &Config) -> Result<Outcome, GuestError> {
        Ok(self.run(config)?.machine)
    }
}
