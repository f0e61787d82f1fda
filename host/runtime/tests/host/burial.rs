//! What becomes of a run that is ended, at whose expense, and how much of that its canceller does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::support::*;
use hart_host::{Host, Limits, Run, RunError};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system's; counting allocates nothing, and a thread that ends has no cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + layout.size()));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread asks for meanwhile.
fn asks_for(what: impl FnOnce()) -> usize {
    let before = ASKED.get();
    what();
    ASKED.get() - before
}

/// A run with so many tasks, nearly all of which wait for a slot; it spins.
fn crowd(host: &Host, tasks: u64) -> Run {
    let lab = lab(host);
    let limits = Limits::new()
        .tasks(tasks)
        .queued(tasks)
        .depth(1)
        .memory(4 << 30)
        .timeout(HANG);
    let script = spawn(&sleep(200).repeat()).repeat();
    let run = run(host, &lab, &script).limits(limits).start().unwrap();
    eventually("all are there", || run.stats().live_tasks >= tasks);
    run
}

/// Fault: whoever cancels goes through all tasks of the run.
#[test]
fn a_cancel_costs_its_caller_the_same_however_many_tasks_there_are() {
    let mut asked = Vec::new();
    for tasks in [10, 1_000, 10_000] {
        let host = builder().build().unwrap();
        let run = crowd(&host, tasks);
        asked.push(asks_for(|| run.cancel()));
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);
    }
    // A task of the executor or two, wherever they come from.
    assert!(asked.iter().all(|bytes| *bytes < 8 << 10), "{asked:?}");
}

/// Fault: what ends a run is nobody's work: a run that makes much of it has it done for nothing, before all others.
#[test]
fn what_ends_a_run_is_done_at_its_expense() {
    const TASKS: u64 = 10_000;
    for workers in [1, 2] {
        let host = builder().workers(workers).build().unwrap();
        // A neighbour that wants the core all the time.
        let neighbour = run(&host, &lab(&host), &spin())
            .limits(Limits::new().depth(0).timeout(HANG))
            .start()
            .unwrap();
        let run = crowd(&host, TASKS);
        let canceller = run.canceller();
        let before = canceller.stats();
        run.cancel();
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        let after = canceller.stats();
        // Nearly all of its tasks wait for a slot, and each is at least taken out of a queue and of a tree.
        let paid = (after.cpu_time - before.cpu_time).as_nanos();
        println!(
            "{workers} workers: paid {paid} ns, {} polls",
            after.polls - before.polls
        );
        assert!(paid >= u128::from(TASKS) * 500, "{paid} ns");
        neighbour.cancel();
        assert!(neighbour.wait().is_err());
        assert_nothing_left(&host);
    }
}

/// Fault: a task that ends by itself, after its scope was closed or it was cancelled, and before it was reached.
#[test]
fn who_joins_after_a_close_is_told_of_the_close() {
    for mode in MODES {
        let host = builder().workers(2).preemption(mode).build().unwrap();
        let lab = lab(&host);
        // Results of no bytes: 40 of a KiB each are more than the lab has room for, where many end before the close.
        let child = spawn(&busy(1)).join(0).give(0);
        let mut script = Script::default().times(40, &spawn(&child)).close();
        for task in 0..40 {
            script = script.join(task);
        }
        for _ in 0..20 {
            let said = output(&host, &lab, &script);
            // Whoever had ended before the close keeps its result.
            let closed = said.chars().filter(|said| *said == 'C').count();
            let kept = said.chars().filter(|said| *said == 'k').count();
            assert_eq!((closed + kept, said.len()), (40, 40), "{said}");
        }
        assert_nothing_left(&host);
    }
}
