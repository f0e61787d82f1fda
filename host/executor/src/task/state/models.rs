//! Models of the state word, for loom.

use super::*;
use crate::sync::Arc;
use loom::thread;

fn refs(state: &State) -> usize {
    state.0.load(Relaxed) / REF_ONE
}

/// An idle task: the list's reference, the handle's, and one for each of `wakers`.
fn idle(wakers: usize) -> State {
    State(AtomicUsize::new(JOIN_INTEREST | ((2 + wakers) * REF_ONE)))
}

/// Hunts: a wake during or after a poll that goes unseen: it leads to another poll, by the poller or by
/// whoever it tells to queue the task, and that poll sees what happened before the wake.
#[test]
fn wake_against_poll() {
    loom::model(|| {
        let shared = Arc::new((State::spawned(false, false), AtomicUsize::new(0)));
        assert_eq!(shared.0.start_poll(), StartPoll::Poll);
        let theirs = shared.clone();
        let waker = thread::spawn(move || {
            // Relaxed: the wake itself has to order it.
            theirs.1.store(1, Relaxed);
            theirs.0.wake_by_ref()
        });
        let seen = shared.1.load(Relaxed);
        let finished = shared.0.finish_poll();
        if finished == FinishPoll::Requeue {
            assert_eq!(shared.0.start_poll(), StartPoll::Poll);
            assert_eq!(shared.1.load(Relaxed), 1);
            assert_eq!(shared.0.finish_poll(), FinishPoll::Idle);
            assert_eq!(waker.join().unwrap(), Wake::Nothing);
        } else {
            assert_eq!(finished, FinishPoll::Idle);
            assert_eq!(waker.join().unwrap(), Wake::Schedule, "lost; seen {seen}");
            assert_eq!(shared.0.start_poll(), StartPoll::Poll);
            assert_eq!(shared.0.finish_poll(), FinishPoll::Idle);
        }
        assert_eq!(refs(&shared.0), 2);
    });
}

/// Hunts: two wakes of an idle task, by value and by reference: it is queued once, and the references are
/// the list's, the handle's and the queue's.
#[test]
fn wake_against_wake() {
    loom::model(|| {
        let state = Arc::new(idle(2));
        let theirs = state.clone();
        let other = thread::spawn(move || theirs.wake_by_value().0);
        let ours = state.wake_by_ref();
        assert_eq!(state.release_ref(), Released::Shared);
        let theirs = other.join().unwrap();
        assert!((ours == Wake::Schedule) != (theirs == Wake::Schedule));
        assert_eq!(refs(&state), 3);
    });
}

/// Hunts: a cancel between a worker's take from the queue and its poll, or during the poll: one of the two
/// has the future, and the cancel is seen.
#[test]
fn cancel_against_poll() {
    loom::model(|| {
        let state = Arc::new(State::spawned(false, false));
        let theirs = state.clone();
        let canceller = thread::spawn(move || {
            let cancel = theirs.cancel(Reason::Cancelled);
            if cancel == Cancel::DropFuture {
                let _ = theirs.complete(0, false);
            }
            cancel
        });
        let polled = state.start_poll();
        if polled == StartPoll::Poll {
            match state.finish_poll() {
                FinishPoll::Cancel(reason) => {
                    assert_eq!(reason, Reason::Cancelled);
                    let _ = state.complete(0, false);
                    assert_eq!(canceller.join().unwrap(), Cancel::Requested);
                }
                finished => {
                    assert_eq!(finished, FinishPoll::Idle);
                    assert_eq!(canceller.join().unwrap(), Cancel::DropFuture);
                }
            }
        } else {
            assert_eq!(canceller.join().unwrap(), Cancel::DropFuture);
        }
        assert!(state.is_complete());
    });
}

/// Hunts: a handle that publishes its waker, replaces it and goes, while the task completes: the waker field
/// belongs to one side at a time, and one of them drops what is in it.
#[test]
fn join_against_completion() {
    loom::model(|| {
        let shared = Arc::new((State::spawned(false, false), loom::cell::UnsafeCell::new(0)));
        assert_eq!(shared.0.start_poll(), StartPoll::Poll);
        let theirs = shared.clone();
        let completer = thread::spawn(move || match theirs.0.complete(1, false) {
            Completed::Done(released) => {
                assert_eq!(released, Released::Shared);
                (false, false)
            }
            Completed::DropOutput => (true, false),
            Completed::WakeJoiner { drop_output } => {
                theirs.1.with(|_| ());
                let dropped_waker = theirs.0.release_join_waker();
                if dropped_waker {
                    theirs.1.with_mut(|_| ());
                }
                (drop_output, dropped_waker)
            }
        });
        for _ in 0..2 {
            let write = match shared.0.start_join() {
                Join::Complete => break,
                Join::WriteWaker => true,
                Join::CompareWaker => {
                    shared.1.with(|_| ());
                    shared.0.retract_join_waker()
                }
            };
            if !write {
                break;
            }
            shared.1.with_mut(|_| ());
            if !shared.0.publish_join_waker() {
                break;
            }
        }
        let dropped = shared.0.drop_handle();
        if dropped.drop_waker {
            shared.1.with_mut(|_| ());
        }
        let (drop_output, drop_waker) = completer.join().unwrap();
        assert!(dropped.drop_output != drop_output, "dropped once");
        assert!(dropped.drop_waker != drop_waker, "dropped once");
    });
}

/// Hunts: a handle that goes without having been polled, while the task completes and gives up the poller's and the
/// list's reference in the same step: one side drops the result, and one releases the last reference.
#[test]
fn detach_against_completion() {
    loom::model(|| {
        let state = Arc::new(State::spawned(false, false));
        assert_eq!(state.start_poll(), StartPoll::Poll);
        let theirs = state.clone();
        let completer = thread::spawn(move || {
            let detached = theirs.is_detached();
            match theirs.complete(2, detached) {
                Completed::Done(released) => (detached, released),
                Completed::DropOutput => (true, theirs.release_refs(2)),
                Completed::WakeJoiner { .. } => unreachable!("there is no waker"),
            }
        });
        let (ours_drops, ours) = match state.detach() {
            Detached::Done(released) => (false, released),
            Detached::Complete => {
                let dropped = state.drop_handle();
                (dropped.drop_output, state.release_ref())
            }
        };
        let (theirs_drops, theirs) = completer.join().unwrap();
        assert!(ours_drops != theirs_drops, "the result is dropped once");
        assert!(
            (ours == Released::Last) != (theirs == Released::Last),
            "the task is freed once"
        );
    });
}
