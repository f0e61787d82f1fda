//! Who gets a thread, when, and until when.

use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Io, IoThreads, Lend, Loan};
use crate::base::block;
use crate::quota::account::Account;
use crate::quota::account::tenant::TenantAccount;
use crate::quota::limits::Limits;
use crate::sched::core::Core;

struct Bed {
    core: Arc<Core>,
    threads: Arc<IoThreads>,
}

impl Bed {
    fn new(threads: usize) -> Self {
        Self {
            core: Core::new(1, None, None, None, None),
            threads: Io::new(threads).files.clone(),
        }
    }

    fn account(&self, tenant: Option<Arc<TenantAccount>>) -> Arc<Account> {
        self.core.account(Limits::new(), tenant)
    }

    fn lend(&self, run: u64) -> Pin<Box<Lend>> {
        Box::pin(self.threads.lend(run, &self.account(None)))
    }
}

/// What it has now.
fn look(lend: &mut Pin<Box<Lend>>) -> Option<Loan> {
    match lend.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(loan) => Some(loan),
        Poll::Pending => None,
    }
}

/// Fault: a run that has all threads, and others that wait for it.
#[test]
fn a_run_has_its_part() {
    let bed = Bed::new(8);
    let mut lends: Vec<_> = (0..4).map(|_| bed.lend(1)).collect();
    let mut loans: Vec<_> = lends.iter_mut().map(look).collect();
    let has: Vec<_> = loans.iter().map(Option::is_some).collect();
    assert_eq!(has, [true, true, false, false]);
    // Others have what is left.
    for run in 2..5 {
        for _ in 0..2 {
            loans.push(Some(look(&mut bed.lend(run)).expect("a thread")));
        }
    }
    assert!(look(&mut bed.lend(5)).is_none());
    // One of the first comes back: it is for the first run again, which was the first to wait.
    drop(loans[0].take());
    assert!(look(&mut lends[2]).is_some());
}

/// Fault: a tenant of many runs that has all threads.
#[test]
fn a_tenant_has_its_part() {
    let bed = Bed::new(8);
    let tenant = || {
        let tenant = bed.core.executor.tenant().build();
        TenantAccount::new(tenant, Limits::new())
    };
    let (one, other) = (tenant(), tenant());
    let lend = |run, tenant: &Arc<TenantAccount>| {
        let account = bed.account(Some(tenant.clone()));
        let mut lend = Box::pin(bed.threads.lend(run, &account));
        (look(&mut lend), lend)
    };
    let loans: Vec<_> = (0..6).map(|run| lend(run, &one)).collect();
    let has = loans.iter().filter(|(loan, _)| loan.is_some()).count();
    assert_eq!(has, 4);
    let others: Vec<_> = (10..16).map(|run| lend(run, &other)).collect();
    let has = others.iter().filter(|(loan, _)| loan.is_some()).count();
    assert_eq!(has, 4);
}

/// Fault: one queue for all, in which a run of many operations goes before all others.
#[test]
fn runs_take_turns() {
    let bed = Bed::new(1);
    let first = look(&mut bed.lend(1)).expect("a thread");
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting: Vec<_> = [1, 1, 1, 1, 2, 3, 2]
        .into_iter()
        .map(|run| (run, bed.lend(run)))
        .collect();
    for (_, lend) in &mut waiting {
        assert!(look(lend).is_none());
    }
    let mut loan = Some(first);
    while !waiting.is_empty() {
        drop(loan.take());
        let next = waiting
            .iter_mut()
            .enumerate()
            .find_map(|(at, (run, lend))| Some((at, *run, look(lend)?)));
        let (at, run, lent) = next.expect("somebody has the thread");
        order.lock().unwrap().push(run);
        waiting.remove(at);
        loan = Some(lent);
    }
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 1, 2, 1, 1]);
}

/// Fault: operations of a run that is gone, done before those of others.
#[test]
fn whoever_gives_up_never_begins() {
    let bed = Bed::new(1);
    let loan = look(&mut bed.lend(1)).expect("a thread");
    let mut given_up: Vec<_> = (0..100)
        .map(|at| {
            let mut lend = bed.lend(2 + at % 3);
            assert!(look(&mut lend).is_none());
            lend
        })
        .collect();
    let mut waits = bed.lend(9);
    assert!(look(&mut waits).is_none());
    // All but one, which has the thread already when it gives up.
    given_up.truncate(1);
    drop(loan);
    drop(given_up);
    assert!(look(&mut waits).is_some());
    let queue = bed.threads.queue.lock().unwrap();
    assert!(queue.is_quiet(), "something is left");
}

/// Fault: a thread that is said to be free while an operation of a guest that is gone has it.
#[test]
fn a_thread_is_lent_until_its_operation_ends() {
    let bed = Bed::new(1);
    let (begins, began) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let loan = look(&mut bed.lend(1)).expect("a thread");
    {
        let mut call = pin!(loan.block(move || {
            begins.send(()).unwrap();
            let _ = ends.recv();
        }));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        began.recv().unwrap();
    }
    let mut next = bed.lend(2);
    assert!(look(&mut next).is_none());
    drop(end);
    // It comes by itself.
    drop(block::on(next));
}

/// Fault: CPU time of these threads that nobody pays for.
#[test]
fn cpu_time_is_charged() {
    const CPU: Duration = Duration::from_millis(30);
    let bed = Bed::new(1);
    let account = bed.account(None);
    let spin = || {
        let now = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let nanoseconds = |time: rustix::time::Timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
        let until = nanoseconds(now()) + CPU.as_nanos() as i64;
        while nanoseconds(now()) < until {}
    };
    for times in 1..3 {
        let lend = bed.threads.lend(1, &account);
        block::on(async { lend.await.block(spin).await });
        let used = account.group.stats().cpu_time;
        assert!(used >= CPU * times, "{used:?}");
    }
    // Also where the guest is gone.
    let (begins, began) = mpsc::channel();
    let loan = look(&mut Box::pin(bed.threads.lend(1, &account))).expect("a thread");
    {
        let mut call = pin!(loan.block(move || {
            begins.send(()).unwrap();
            spin();
        }));
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        began.recv().unwrap();
    }
    drop(block::on(bed.lend(2)));
    let used = account.group.stats().cpu_time;
    assert!(used >= CPU * 3, "{used:?}");
}
