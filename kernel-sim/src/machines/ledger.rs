//! Knows all that happens to jobs, on all machines, and sees when a promise is broken.

use hart_host::work::JobStatus;
use hart_host::work::rules::ANSWER;

use super::fault::Fault;
use super::plan::{Does, Plan, Terms};
use super::promises::Oracle;
use super::wire::{Found, JobNumber};
use crate::faults::Faults;

/// What happened to jobs.
pub(crate) struct Ledger {
    jobs: Vec<Facts>,
    slots: usize,
    terms: Terms,
    faults: Faults<Fault>,
    runs: u32,
    /// The first promise that was broken.
    pub(crate) broken: Option<(Oracle, String)>,
}

/// What happened to a job.
struct Facts {
    plan: Plan,
    /// It is in the stream, or was.
    is_submitted: bool,
    results: Vec<(Found, u64)>,
    letters: u32,
    live: Vec<Live>,
    /// Runs that came to their own ends.
    completed: Vec<u32>,
    runs: u32,
    /// The most often that it was delivered.
    delivered: u64,
    /// A worker may give it up: it was told so, or the stream delivers it no more.
    is_used_up: bool,
    /// Somebody asks for its end.
    is_cancelled: bool,
}

struct Live {
    machine: usize,
    run: u32,
    since: u64,
}

impl Ledger {
    pub(crate) fn new(plans: &[Plan], slots: usize, terms: Terms, faults: Faults<Fault>) -> Self {
        let facts = plans.iter().map(|plan| Facts {
            plan: *plan,
            is_submitted: false,
            results: Vec::new(),
            letters: 0,
            live: Vec::new(),
            completed: Vec::new(),
            runs: 0,
            delivered: 0,
            is_used_up: false,
            is_cancelled: false,
        });
        Self {
            jobs: facts.collect(),
            slots,
            terms,
            faults,
            runs: 0,
            broken: None,
        }
    }

    fn breaks(&mut self, oracle: Oracle, seen: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some((oracle, seen()));
        }
    }

    fn expect(&mut self, oracle: Oracle, holds: bool, seen: impl FnOnce() -> String) {
        if !holds {
            self.breaks(oracle, seen);
        }
    }

    fn job(&mut self, job: JobNumber) -> &mut Facts {
        &mut self.jobs[job as usize]
    }

    // === What the stream has ===

    pub(crate) fn submitted(&mut self, job: JobNumber) {
        self.job(job).is_submitted = true;
    }

    /// A worker is told how often a job came back from workers that stopped.
    pub(crate) fn counted(&mut self, job: JobNumber, returned: u64) {
        let deliveries = u64::from(self.terms.deliveries);
        let facts = self.job(job);
        facts.is_used_up |= facts.delivered.saturating_sub(returned) > deliveries;
    }

    /// The stream delivers a job for the last time.
    pub(crate) fn used_up(&mut self, job: JobNumber) {
        self.job(job).is_used_up = true;
    }

    pub(crate) fn delivered(&mut self, job: JobNumber, delivered: u64) {
        let facts = self.job(job);
        facts.delivered = facts.delivered.max(delivered);
    }

    /// The job's message is no longer in the stream.
    pub(crate) fn leaves(&mut self, job: JobNumber) {
        let has_result = !self.job(job).results.is_empty();
        self.expect(Oracle::NotLost, has_result, || {
            format!("job {job} leaves the stream without a result")
        });
    }

    pub(crate) fn result_stored(&mut self, job: JobNumber, found: Found, now: u64) {
        let may_be_given_up = self.faults.kinds().any(Fault::takes_deliveries);
        let facts = self.job(job);
        facts.results.push((found, now));
        let results = facts.results.len();
        let says = match (found.run, facts.plan.does) {
            (Some(run), Does::Ends(status)) => {
                status == found.status && facts.completed.contains(&run)
            }
            // Where a machine does not crash, such a job fails.
            (Some(run), Does::Crashes) => {
                found.status == JobStatus::Failed && facts.completed.contains(&run)
            }
            (Some(_), Does::Spins) => false,
            (None, _) => match found.status {
                JobStatus::Cancelled => facts.is_cancelled,
                JobStatus::Failed => facts.is_used_up && may_be_given_up,
                _ => false,
            },
        };
        self.expect(Oracle::TrueResult, says, || {
            format!("job {job} has the result {found:?}, and nothing of that kind happened")
        });
        self.expect(Oracle::OneResult, results == 1, || {
            format!("job {job} has {results} results")
        });
    }

    pub(crate) fn letter_stored(&mut self, job: JobNumber) {
        self.job(job).letters += 1;
        let result = self.result(job);
        let is_failed = result.is_some_and(|found| found.status == JobStatus::Failed);
        self.expect(Oracle::DeadLetter, is_failed, || {
            format!("job {job} has a dead letter, and its result is {result:?}")
        });
    }

    fn result(&self, job: JobNumber) -> Option<Found> {
        let first = self.jobs[job as usize].results.first();
        first.map(|(found, _)| *found)
    }

    // === What the client asks for and hears ===

    pub(crate) fn cancels(&mut self, job: JobNumber) {
        self.job(job).is_cancelled = true;
    }

    pub(crate) fn cancel_confirmed(&mut self, job: JobNumber) {
        let has_result = self.result(job).is_some();
        self.expect(Oracle::Cancel, has_result, || {
            format!("the cancel of job {job} is confirmed, and it has no result")
        });
    }

    pub(crate) fn replied(&mut self, job: JobNumber, found: Found) {
        let stored = self.result(job);
        self.expect(Oracle::Reply, stored == Some(found), || {
            format!("the submitter of job {job} is told {found:?}, and its result is {stored:?}")
        });
    }

    // === What machines do ===

    /// A run begins, and gets its number. Where the machine had to look for a result first, and was answered, it got the
    /// job at `asked_at`.
    pub(crate) fn run_begins(
        &mut self,
        machine: usize,
        job: JobNumber,
        asked_at: Option<u64>,
        now: u64,
    ) -> u32 {
        let run = self.runs;
        self.runs += 1;
        let on_machine = |facts: &Facts| {
            let here = facts.live.iter().filter(|live| live.machine == machine);
            here.count()
        };
        let busy: usize = self.jobs.iter().map(on_machine).sum();
        let slots = self.slots;
        self.expect(Oracle::Room, busy < slots, || {
            format!("machine {machine} begins a run in addition to {busy}, with {slots} slots")
        });
        let faults = self.faults;
        let breaks_leases = faults.kinds().any(Fault::breaks_leases);
        let facts = self.job(job);
        let twice = on_machine(facts) > 0;
        let is_elsewhere = !twice && !facts.live.is_empty();
        let stored_at = facts.results.first().map(|(_, at)| *at);
        let again = matches!((stored_at, asked_at), (Some(stored), Some(asked)) if stored < asked);
        facts.runs += 1;
        let runs = facts.runs;
        facts.live.push(Live {
            machine,
            run,
            since: now,
        });
        let alone = (runs == 1 || faults != Faults::none()) && (!is_elsewhere || breaks_leases);
        self.expect(Oracle::RunsOnce, !twice, || {
            format!("machine {machine} runs job {job} while it runs it")
        });
        self.expect(Oracle::RunsAlone, alone, || {
            format!("machine {machine} runs job {job}, for the {runs}. time")
        });
        self.expect(Oracle::NotAgain, !again, || {
            format!("machine {machine} runs job {job} again, which has a result")
        });
        run
    }

    pub(crate) fn run_ends(&mut self, job: JobNumber, run: u32, completed: bool) {
        let facts = self.job(job);
        facts.live.retain(|live| live.run != run);
        if completed {
            facts.completed.push(run);
        }
    }

    // === How it ends ===

    /// Runs whose jobs have had results for long, while nothing has gone wrong since `quiet`.
    pub(crate) fn look_for_leftovers(&mut self, quiet: u64, now: u64) {
        let answer = u64::try_from(ANSWER.as_nanos()).unwrap_or(u64::MAX);
        let bound = 2 * (self.terms.lease + answer);
        for job in 0..self.jobs.len() {
            let facts = &self.jobs[job];
            let Some((_, stored)) = facts.results.first() else {
                continue;
            };
            let late =
                |live: &&Live| now > quiet.max(*stored).max(live.since).saturating_add(bound);
            if let Some(live) = facts.live.iter().find(late) {
                let (machine, stored) = (live.machine, *stored);
                self.breaks(Oracle::EndsEverywhere, || {
                    format!("machine {machine} still runs job {job}, which has a result since {stored} ns")
                });
            }
        }
    }

    /// All jobs have their results, and nothing runs.
    pub(crate) fn is_settled(&self) -> bool {
        let settled = |facts: &Facts| {
            facts.is_submitted && !facts.results.is_empty() && facts.live.is_empty()
        };
        self.jobs.iter().all(settled)
    }

    /// Everything has come to its end.
    pub(crate) fn closes(&mut self) {
        for job in 0..self.jobs.len() {
            let facts = &self.jobs[job];
            let failed = facts.results.first().map(|(found, _)| found.status);
            let is_missed = failed == Some(JobStatus::Failed) && facts.letters == 0;
            self.expect(Oracle::DeadLetter, !is_missed, || {
                format!("job {job} failed and has no dead letter")
            });
        }
    }

    /// The machines do not come to an end.
    pub(crate) fn stuck(&mut self, what: &str) {
        let unsettled = |facts: &&Facts| facts.results.is_empty() || !facts.live.is_empty();
        let without = self.jobs.iter().filter(unsettled).count();
        let first = self.jobs.iter().position(|facts| unsettled(&facts));
        let first = first.map_or(String::new(), |job| format!(", job {job} for one"));
        self.breaks(Oracle::Progress, || {
            format!("{without} jobs have no result or still run{first}; {what}")
        });
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs
    }

    /// How many jobs ended with this.
    pub(crate) fn ended(&self, status: JobStatus) -> usize {
        let results = self.jobs.iter().filter_map(|facts| facts.results.first());
        results.filter(|(found, _)| found.status == status).count()
    }
}
