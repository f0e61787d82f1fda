//! Models of the run queue, for loom.

use super::*;
use crate::{sync::Arc, task::stub};
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
            thread::spawn(move || queue.push(stub()))
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
        queue.push(stub());
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
        queue.push(stub());
        queue.push(stub());
        let theirs = queue.clone();
        let other = thread::spawn(move || drain(&theirs).0);
        let ours = drain(&queue).0;
        let theirs = other.join().unwrap();
        assert_eq!(ours + theirs + drain(&queue).0, 2);
    });
}

// === a worker's queue ===

/// The owner's side. Each model's main thread is the owner.
fn own(queue: &LocalQueue) -> LocalOwner<'_> {
    // SAFETY: no other thread of a model calls this for the same queue.
    unsafe { queue.owner() }
}

/// Pops everything, as the owner.
fn pop_all(queue: &LocalQueue) -> usize {
    let (mut in_a_row, mut popped) = (0, 0);
    while own(queue).pop(&mut in_a_row).0.is_some() {
        popped += 1;
    }
    popped
}

/// Steals half, as another worker; how many tasks.
fn steal(victim: &LocalQueue, last_resort: bool) -> usize {
    steal_and_notify(victim, last_resort).0
}

/// As [`steal`], and whether the thief has to notify: the owner found the backlog held.
fn steal_and_notify(victim: &LocalQueue, last_resort: bool) -> (usize, bool) {
    let thief = LocalQueue::new();
    let stolen = victim.steal_half(own(&thief), last_resort);
    assert_eq!(pop_all(&thief), stolen.more);
    let tasks = usize::from(stolen.first.is_some()) + stolen.more;
    (tasks, stolen.wanted)
}

/// Hunts: a thief that reads places of the ring which the owner empties and fills again, all the way round: nothing
/// is lost, and nothing comes out twice (a reference that was dropped twice would be caught by the stub's count).
#[test]
fn ring_push_and_pop_against_steal() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        for _ in 0..3 {
            own(&queue).push_back(stub());
        }
        let victim = queue.clone();
        let thief = thread::spawn(move || steal(&victim, false));
        let mut popped = 0;
        for _ in 0..3 {
            popped += usize::from(own(&queue).pop(&mut 0).0.is_some());
            own(&queue).push_back(stub());
        }
        let stolen = thief.join().unwrap();
        assert_eq!(popped + stolen + pop_all(&queue), 6);
        assert!(queue.is_empty());
    });
}

/// Hunts: two thieves at one ring, beside its owner.
#[test]
fn ring_pop_against_two_thieves() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        for _ in 0..3 {
            own(&queue).push_back(stub());
        }
        let thieves = [(); 2].map(|()| {
            let victim = queue.clone();
            thread::spawn(move || steal(&victim, false))
        });
        let popped = usize::from(own(&queue).pop(&mut 0).0.is_some());
        let stolen: usize = thieves.map(|thief| thief.join().unwrap()).iter().sum();
        assert_eq!(popped + stolen + pop_all(&queue), 3);
    });
}

/// Hunts: what does not fit into the ring goes to the backlog, from which the owner refills the ring while a thief
/// takes from both: nothing is lost, and a thief that finds nothing is either too late or told of it.
#[test]
fn overflow_and_refill_against_steal() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        for _ in 0..ring::RING + 1 {
            own(&queue).push_back(stub());
        }
        assert_eq!(queue.backlog().len(), 1);
        for _ in 0..ring::RING {
            assert!(own(&queue).pop(&mut 0).0.is_some());
        }
        own(&queue).push_back(stub());
        assert_eq!(queue.backlog().len(), 2);
        let victim = queue.clone();
        let thief = thread::spawn(move || steal(&victim, true));
        // The refill puts both into the ring, takes one, and says so.
        let (popped, missed) = own(&queue).pop(&mut 0);
        let stolen = thief.join().unwrap();
        let popped = usize::from(popped.is_some());
        // One is left here: the thief that found none may sleep now, and has to be told.
        let left = 2 - popped - stolen;
        assert!(left == 0 || stolen > 0 || missed, "nobody looks at it");
        assert_eq!(pop_all(&queue), left);
    });
}

/// Hunts: a thief and the owner at the slot for the next task, which the owner fills anew meanwhile.
#[test]
fn next_task_against_last_resort() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        own(&queue).push_next(stub());
        let victim = queue.clone();
        let thief = thread::spawn(move || steal(&victim, true));
        own(&queue).push_next(stub());
        let popped = usize::from(own(&queue).pop(&mut 0).0.is_some());
        let stolen = thief.join().unwrap();
        assert_eq!(popped + stolen + pop_all(&queue), 2);
    });
}

/// Hunts: the exception in rule 1 of the idle protocol. The owner puts a task back without a notification and takes
/// another, which was announced; whoever finds that one gone sees the first.
#[test]
fn whoever_sees_the_take_sees_the_requeue() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        // Announced: the thief knows of it, because it is there before the thread is.
        own(&queue).push_next(stub());
        let victim = queue.clone();
        let thief = thread::spawn(move || steal(&victim, true));
        own(&queue).push_back(stub());
        let first = own(&queue).pop(&mut 0).0.is_some();
        let stolen = thief.join().unwrap();
        assert!(first);
        assert!(stolen == 1, "a task that nobody looks at: it found neither");
        assert_eq!(pop_all(&queue), 0);
    });
}

/// Hunts: the same where what is put back goes to the backlog, because the owner saw another task there that a thief
/// takes meanwhile. Another thief, which found the backlog empty before and finds the owner's next task gone, looks
/// at the backlog once more, or the owner notifies.
#[test]
fn whoever_sees_the_take_sees_the_requeue_in_the_backlog() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        // Both announced: they are there before the thread is.
        own(&queue).push_next(stub());
        queue.backlog().push(stub());
        let victim = queue.clone();
        let thieves = thread::spawn(move || {
            // One that finds a task, and after it one that sleeps if it finds none.
            let first = steal(&victim, false);
            (first, steal(&victim, true))
        });
        own(&queue).push_back(stub());
        let (task, missed) = own(&queue).pop(&mut 0);
        assert!(task.is_some());
        let (_, second) = thieves.join().unwrap();
        let left = pop_all(&queue);
        assert!(left == 0 || second > 0 || missed, "nobody looks at it");
    });
}

/// Hunts: two tasks that were put back so, of which the owner takes one when it refills the ring: the other is looked
/// at by whoever found all that was announced gone, or the owner notifies.
#[test]
fn refill_of_several_requeued() {
    loom::model(|| {
        let queue = Arc::new(LocalQueue::new());
        own(&queue).push_next(stub());
        queue.backlog().push(stub());
        let victim = queue.clone();
        let thieves = thread::spawn(move || {
            let (_, notifies) = steal_and_notify(&victim, false);
            let (second, notifies_too) = steal_and_notify(&victim, true);
            (second, notifies || notifies_too)
        });
        let mut notified = false;
        let mut hand = Some(stub());
        for _ in 0..2 {
            own(&queue).push_back(hand.take().unwrap());
            let (task, missed) = own(&queue).pop(&mut 0);
            (hand, notified) = (task, notified | missed);
        }
        let (second, notifies) = thieves.join().unwrap();
        let left = pop_all(&queue);
        assert!(
            left == 0 || second > 0 || notified || notifies,
            "nobody looks at it"
        );
    });
}
