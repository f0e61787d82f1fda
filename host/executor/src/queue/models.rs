//! Models of the run queue, for loom.

use super::*;
use crate::sync::Arc;
use loom::thread;

/// Takes what can be taken now, as a worker would; how many, and whether it was asked to notify.
fn drain(queue: &RunQueue) -> (usize, bool) {
    let Some(mut taker) = queue.try_take() else {
        return (0, false);
    };
    let mut taken = 0;
    while taker.pop().is_some() {
        taken += 1;
    }
    (taken, taker.release())
}

/// Hunts: a push that is half done while another is complete, and a take in between. Nothing is lost,
/// nothing comes out twice, and the length is right in the end.
#[test]
fn push_against_push_and_take() {
    loom::model(|| {
        let queue = Arc::new(RunQueue::new());
        let pushers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || queue.push(TaskRef::stub()))
        });
        let (early, _) = drain(&queue);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        let (late, _) = drain(&queue);
        assert_eq!(early + late, 2);
        assert_eq!(queue.len(), 0);
    });
}

/// Hunts: a worker that turns away from a queue because another takes from it, in the moment that the other
/// gives it back: either it gets the queue, or the other is told.
#[test]
fn take_against_release() {
    loom::model(|| {
        let queue = Arc::new(RunQueue::new());
        let _ = queue.push(TaskRef::stub());
        let mut taker = queue.try_take().unwrap();
        let theirs = queue.clone();
        let other = thread::spawn(move || match theirs.try_take() {
            None => true,
            Some(taker) => {
                let _ = taker.release();
                false
            }
        });
        drop(taker.pop());
        let wanted = taker.release();
        let turned_away = other.join().unwrap();
        assert!(wanted || !turned_away, "nobody looks at the queue again");
        assert!(queue.try_take().is_some());
    });
}

/// Hunts: the right to take, held twice. loom sees the accesses to the queue's tail.
#[test]
fn take_against_take() {
    loom::model(|| {
        let queue = Arc::new(RunQueue::new());
        let _ = queue.push(TaskRef::stub());
        let _ = queue.push(TaskRef::stub());
        let theirs = queue.clone();
        let other = thread::spawn(move || drain(&theirs).0);
        let ours = drain(&queue).0;
        let theirs = other.join().unwrap();
        assert_eq!(ours + theirs + drain(&queue).0, 2);
    });
}
