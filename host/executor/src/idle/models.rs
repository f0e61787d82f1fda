//! Models of the idle protocol, for loom.

use super::*;
use crate::sync::{Arc, Mutex};
use loom::{sync::Condvar, thread};

/// A machine of two workers and a queue that only counts.
struct Machine {
    idle: Idle,
    queued: AtomicUsize,
    tokens: [(Mutex<bool>, Condvar); 2],
    running: (Mutex<usize>, Condvar),
}

impl Machine {
    fn notify(&self) {
        if let Notify::Unpark(worker) = self.idle.notify(2, 0) {
            let (token, unparked) = &self.tokens[worker];
            *token.lock() = true;
            unparked.notify_one();
        }
    }

    fn enqueue(&self) {
        self.queued.fetch_add(1, Relaxed);
        self.notify();
    }

    fn take(&self) -> bool {
        self.queued
            .fetch_update(Relaxed, Relaxed, |queued| queued.checked_sub(1))
            .is_ok()
    }

    /// A worker that takes one task, and keeps its thread until `tasks` run at the same time.
    fn work(&self, worker: WorkerId, tasks: usize) {
        let mut searching = false;
        while !self.take() {
            searching = searching || self.idle.try_search(2);
            if self.take() {
                break;
            }
            self.idle.announce(worker, searching);
            if self.queued.load(Relaxed) == 0 {
                let (token, unparked) = &self.tokens[worker];
                let mut token = token.lock();
                while !*token {
                    token = unparked.wait(token).unwrap();
                }
                *token = false;
            }
            self.idle.retract(worker);
            searching = true;
        }
        if searching && self.idle.found() {
            self.notify();
        }
        let (running, changed) = &self.running;
        let mut running = running.lock();
        *running += 1;
        changed.notify_all();
        while *running < tasks {
            running = changed.wait(running).unwrap();
        }
    }
}

fn machine() -> Arc<Machine> {
    Arc::new(Machine {
        idle: Idle::new(),
        queued: AtomicUsize::new(0),
        tokens: [(); 2].map(|()| (Mutex::new(false), Condvar::new())),
        running: (Mutex::new(0), Condvar::new()),
    })
}

/// Hunts: a task that is queued between a worker's last look and its sleep.
#[test]
fn enqueue_against_announce() {
    loom::model(|| {
        let machine = machine();
        let theirs = machine.clone();
        let worker = thread::spawn(move || theirs.work(0, 1));
        machine.enqueue();
        worker.join().unwrap();
    });
}

/// Hunts: a second task that is announced to nobody because somebody searches. Who searched finds the
/// first, and the last searcher has to wake one more: both tasks must run at the same time.
#[test]
fn last_searcher() {
    loom::model(|| {
        let machine = machine();
        let theirs = machine.clone();
        let first = thread::spawn(move || theirs.work(0, 2));
        let theirs = machine.clone();
        let second = thread::spawn(move || theirs.work(1, 2));
        machine.enqueue();
        machine.enqueue();
        first.join().unwrap();
        second.join().unwrap();
        // Counts that are off would keep somebody asleep later. Nobody is asleep, nobody searches.
        assert_eq!(machine.idle.word.load(Relaxed), 0);
        assert_eq!(machine.idle.asleep[0].load(Relaxed), 0);
    });
}

/// Hunts: a thread that counts a searcher for a sleeper which others take before it, while another thread that queues
/// relies on this count: both tasks must run at the same time, so nobody may stay asleep.
#[test]
fn counted_in_vain() {
    loom::model(|| {
        let machine = machine();
        let workers = [0, 1].map(|worker| {
            let theirs = machine.clone();
            thread::spawn(move || theirs.work(worker, 2))
        });
        let theirs = machine.clone();
        let other = thread::spawn(move || theirs.enqueue());
        machine.enqueue();
        other.join().unwrap();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(machine.idle.word.load(Relaxed), 0);
        assert_eq!(machine.idle.asleep[0].load(Relaxed), 0);
    });
}

/// Hunts: a worker that is woken by its name, by another thread and by itself at once, and is counted twice or not at
/// all.
#[test]
fn woken_by_name() {
    loom::model(|| {
        let idle = Arc::new(Idle::new());
        idle.announce(0, false);
        idle.announce(1, false);
        let theirs = idle.clone();
        let itself = thread::spawn(move || {
            theirs.retract(0);
            let _ = theirs.found();
        });
        let theirs = idle.clone();
        let any = thread::spawn(move || theirs.wake_one(2));
        let named = idle.wake_this(0, 2);
        itself.join().unwrap();
        let named = match named {
            Notify::Unpark(worker) => Some(worker),
            _ => None,
        };
        let woken = [any.join().unwrap(), named];
        // Those that were woken and have not stopped searching: worker 1 at most, who cannot be woken twice.
        let searching = woken.iter().filter(|&&woken| woken == Some(1)).count();
        assert!(searching <= 1 && (woken[0] != woken[1] || woken[0].is_none()));
        assert_eq!(idle.word.load(Relaxed), searching);
        assert_eq!(
            idle.asleep[0].load(Relaxed),
            if searching == 1 { 0 } else { 2 }
        );
    });
}

/// Hunts: a searcher that moves tasks to its own queue and leaves while another still searches, so that it wakes
/// nobody: the other, when it announces its sleep, sees the move.
#[test]
fn found_publishes_what_was_moved() {
    loom::model(|| {
        let machine = machine();
        assert!(machine.idle.try_search(2));
        machine.idle.word.fetch_add(SEARCHING_ONE, Relaxed);
        let theirs = machine.clone();
        let mover = thread::spawn(move || {
            // A store, which unlike the additions to a queue's length a later load may miss.
            theirs.queued.store(1, Relaxed);
            theirs.idle.found()
        });
        machine.idle.announce(1, true);
        let seen = machine.queued.load(Relaxed);
        let last = mover.join().unwrap();
        assert!(last || seen == 1, "nobody looks at it");
    });
}
