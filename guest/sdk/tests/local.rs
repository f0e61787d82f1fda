//! In-guest futures, on the backends that run natively. In a component they are run by the tests of the
//! command line, with the guest `futures`.

#![allow(missing_docs, reason = "tests")]

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use hart_guest::{JoinError, block_on, sleep, spawn_local, task};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Counts its drops, and is on one thread only.
#[derive(Clone, Default)]
struct Drops(Rc<Cell<usize>>);

impl Drops {
    fn guard(&self) -> impl Drop + 'static {
        struct Guard(Rc<Cell<usize>>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        Guard(self.0.clone())
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_string(),
    }
}

/// Goes to the back of the queue.
async fn turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Hunts futures that are lost among many, and those that are woken at another's time: they sleep for
/// different times and take turns in between.
#[test]
fn ten_thousand_futures() {
    let count = if cfg!(miri) { 100 } else { 10_000 };
    let ended = Rc::new(Cell::new(0));
    block_on(async {
        let handles: Vec<_> = (0..count)
            .map(|number: u64| {
                let ended = ended.clone();
                spawn_local(async move {
                    turn().await;
                    let time = MILLISECOND * (number % 7) as u32;
                    let started = Instant::now();
                    sleep(time).await;
                    assert!(started.elapsed() >= time, "{number} is early");
                    turn().await;
                    ended.set(ended.get() + 1);
                    number
                })
            })
            .collect();
        for (number, handle) in (0..).zip(handles) {
            assert_eq!(handle.await, Ok(number));
        }
    });
    assert_eq!(ended.get(), count);
}

/// Hunts sleepers that are kept out by futures that never wait.
#[test]
fn busy_futures_do_not_keep_out_sleepers() {
    let woken = Rc::new(Cell::new(false));
    block_on(async {
        for _ in 0..3 {
            drop(spawn_local(async {
                loop {
                    turn().await;
                }
            }));
        }
        let theirs = woken.clone();
        let sleeper = spawn_local(async move {
            sleep(MILLISECOND).await;
            theirs.set(true);
        });
        // Busy, too.
        while !woken.get() {
            turn().await;
        }
        assert_eq!(sleeper.await, Ok(()));
    });
}

/// Hunts what is left when `block_on` ends: queued, waiting, asleep; and handles that outlive it.
#[test]
fn what_is_left_is_dropped_before_it_returns() {
    let drops = Drops::default();
    let mut handles = Vec::new();
    block_on(async {
        let (queued, waiting, asleep) = (drops.guard(), drops.guard(), drops.guard());
        handles.push(spawn_local(async move {
            pending::<()>().await;
            drop(waiting);
        }));
        handles.push(spawn_local(async move {
            sleep(Duration::from_secs(1_000_000)).await;
            drop(asleep);
        }));
        turn().await;
        turn().await;
        handles.push(spawn_local(async move { drop(queued) }));
        assert_eq!(drops.0.get(), 0);
    });
    assert_eq!(drops.0.get(), 3);
    block_on(async {
        for handle in handles {
            assert!(handle.is_finished());
            assert_eq!(handle.await, Err(JoinError::Closed));
        }
    });
}

/// Hunts destructors of what is left that find no `block_on`, or an executor that takes what they spawn.
#[test]
fn a_destructor_may_spawn() {
    struct Spawns(Drops, Rc<RefCell<Option<hart_guest::LocalHandle<()>>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let guard = self.0.guard();
            *self.1.borrow_mut() = Some(spawn_local(async move { drop(guard) }));
        }
    }

    let (drops, late) = (Drops::default(), Rc::default());
    block_on(async {
        let spawns = Spawns(drops.clone(), Rc::clone(&late));
        drop(spawn_local(async move {
            pending::<()>().await;
            drop(spawns);
        }));
        turn().await;
    });
    assert_eq!(drops.0.get(), 1, "refused, and dropped");
    let late = late.take().unwrap();
    assert!(late.is_finished());
    assert_eq!(block_on(late), Err(JoinError::Closed));
}

/// Hunts a cancel that waits for a wake, and one that takes a result away.
#[test]
fn cancelling_drops_at_once_and_keeps_results() {
    let drops = Drops::default();
    block_on(async {
        let guard = drops.guard();
        let waits = spawn_local(async move {
            pending::<()>().await;
            drop(guard);
        });
        let ended = spawn_local(async { 7 });
        turn().await;
        turn().await;
        assert!(ended.is_finished() && !waits.is_finished());
        waits.cancel();
        ended.cancel();
        assert_eq!(drops.0.get(), 1);
        assert_eq!(waits.await, Err(JoinError::Cancelled));
        assert_eq!(ended.await, Ok(7));
    });
}

/// Hunts a panic that reaches more than its joiner, or does not say what it was.
#[test]
fn a_panic_reaches_its_joiner() {
    let drops = Drops::default();
    let guard = drops.guard();
    block_on(async {
        let panics = spawn_local(async move {
            let _guard = guard;
            panic!("no {}", "luck");
        });
        let beside = spawn_local(async { 1 });
        let result: Result<(), _> = panics.await;
        assert_eq!(result, Err(JoinError::Trapped("no luck".to_string())));
        assert_eq!(beside.await, Ok(1));
    });
    assert_eq!(drops.0.get(), 1);
}

/// Hunts a `block_on` that panics and leaves the thread as if it were still in it, or futures alive.
#[test]
fn a_panic_of_the_outer_future_ends_block_on() {
    let drops = Drops::default();
    let guard = drops.guard();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        block_on(async move {
            drop(spawn_local(async move {
                pending::<()>().await;
                drop(guard);
            }));
            panic!("out");
        })
    }));
    assert_eq!(message(panic.unwrap_err()), "out");
    assert_eq!(drops.0.get(), 1);
    assert_eq!(block_on(async { 1 }), 1);
}

/// Hunts misuse that hangs, or that says nothing of use.
#[test]
fn misuse_is_named() {
    let nested = catch_unwind(|| block_on(async { block_on(async {}) }));
    assert!(message(nested.unwrap_err()).contains("`block_on` was called inside of `block_on`"));
    let in_task = block_on(async { spawn_local(async { block_on(async {}) }).await });
    let Err(JoinError::Trapped(text)) = in_task else {
        panic!("{in_task:?}");
    };
    assert!(text.contains("inside of `block_on`"), "{text}");

    let outside = catch_unwind(|| spawn_local(async {}));
    let text = message(outside.unwrap_err());
    assert!(
        text.contains("`spawn_local` was used outside of `block_on`"),
        "{text}"
    );
    let asleep = catch_unwind(|| {
        let mut sleep = pin!(sleep(MILLISECOND));
        let _ = sleep
            .as_mut()
            .poll(&mut std::task::Context::from_waker(Waker::noop()));
    });
    let text = message(asleep.unwrap_err());
    assert!(
        text.contains("`sleep` was used outside of `block_on`"),
        "{text}"
    );
}

/// Hunts sleeps that stay registered when they lose a race: they would wake tasks that are gone, and pile up.
#[test]
fn a_dropped_sleep_ends() {
    struct Counts(Mutex<usize>);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    let counts = Arc::new(Counts(Mutex::new(0)));
    let waker = Waker::from(counts.clone());
    block_on(async {
        {
            let mut lost = pin!(sleep(MILLISECOND));
            let polled = lost
                .as_mut()
                .poll(&mut std::task::Context::from_waker(&waker));
            assert!(polled.is_pending());
            assert_eq!(Arc::strong_count(&counts), 3, "registered");
        }
        assert_eq!(Arc::strong_count(&counts), 2, "and not any more");
        sleep(2 * MILLISECOND).await;
    });
    assert_eq!(*counts.0.lock().unwrap(), 0);
}

/// Hunts a sleep that keeps to the first waker that it saw.
#[test]
fn a_sleep_may_be_polled_by_others() {
    block_on(async {
        let mut asleep = Box::pin(sleep(20 * MILLISECOND));
        let polled = asleep
            .as_mut()
            .poll(&mut std::task::Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        asleep.await;
    });
}

/// Hunts a wake from another thread that is lost while `block_on` sleeps, or falls asleep, and a future that
/// ends up on that thread: wakers are the only thing that other threads can have.
#[test]
fn other_threads_wake() {
    let rounds = if cfg!(miri) { 10 } else { 300 };
    let drops = Drops::default();
    block_on(async {
        for _ in 0..rounds {
            let guard = drops.guard();
            let mut rung = None::<Arc<Mutex<bool>>>;
            let waits = spawn_local(poll_fn(move |cx| {
                let _here = &guard;
                if let Some(rung) = &rung {
                    return match *rung.lock().unwrap() {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    };
                }
                let flag = Arc::new(Mutex::new(false));
                rung = Some(flag.clone());
                let waker = cx.waker().clone();
                thread::spawn(move || {
                    *flag.lock().unwrap() = true;
                    waker.wake_by_ref();
                    // Often the last to have a reference to the task.
                    drop(waker);
                });
                Poll::Pending
            }));
            assert_eq!(waits.await, Ok(()));
        }
    });
    assert_eq!(drops.0.get(), rounds);
}

#[task]
fn sleeps(milliseconds: u64) -> u64 {
    block_on(async move {
        let handle = spawn_local(async move {
            sleep(Duration::from_millis(milliseconds)).await;
            milliseconds
        });
        handle.await.unwrap()
    })
}

#[task]
fn is_inside() -> bool {
    catch_unwind(|| drop(spawn_local(async {}))).is_ok()
}

/// Hunts tasks that take their caller's `block_on` for their own, where they run on its thread: it would
/// refuse them theirs, or run what they spawn.
#[test]
fn tasks_have_their_own() {
    let total = block_on(async {
        // More than there are threads: some run on this one.
        let tasks: Vec<_> = (0..40).map(|_| sleeps.spawn(2).unwrap()).collect();
        let mut total = 0;
        for task in tasks {
            total += task.join().unwrap();
        }
        let inside: Vec<_> = (0..40).map(|_| is_inside.spawn(()).unwrap()).collect();
        for task in inside {
            assert_eq!(task.join(), Ok(false));
        }
        // Still inside.
        total + spawn_local(async { 1 }).await.unwrap()
    });
    assert_eq!(total, 81);
}
