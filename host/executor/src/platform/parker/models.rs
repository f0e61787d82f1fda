//! Models of parking, for loom.

use super::*;
use crate::sync::{Arc, AtomicBool, Ordering::Relaxed};

/// Hunts: a token that is lost between a worker's look for one and its sleep, and one that says nothing of what
/// was done before it was left.
#[test]
fn unpark_against_park() {
    loom::model(|| {
        let shared = Arc::new((Parker::default(), AtomicBool::new(false)));
        let theirs = shared.clone();
        let waking = thread::spawn(move || {
            theirs.1.store(true, Relaxed);
            theirs.0.unpark();
        });
        shared.0.park(|| None);
        assert!(shared.1.load(Relaxed));
        waking.join().unwrap();
    });
}

/// Hunts: two tokens at once of which one is left behind for a sleep that nobody ends, or by which one of two
/// sleeps does not end: the second waker comes when the first sleep may be over, or not.
#[test]
fn two_tokens() {
    loom::model(|| {
        let shared = Arc::new((Parker::default(), AtomicUsize::new(0)));
        let wakers = [(); 2].map(|()| {
            let theirs = shared.clone();
            thread::spawn(move || {
                theirs.1.fetch_add(1, Relaxed);
                theirs.0.unpark();
            })
        });
        // As a worker: it looks at what there is to do after every sleep.
        while shared.1.load(Relaxed) < 2 {
            shared.0.park(|| None);
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}
