//! What the SDK promises, on the two backends that run natively: threads, and `sequential` when that
//! feature is on. How it behaves on hart is tested with the built guests.

#![allow(missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use hart_guest::{
    Failure, JoinError, Options, ParMap, Rights, SpawnError, TaskError, block_on, close, par_map,
    scope, sleep, spawn_local, task, wait_any,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shape {
    name: String,
    corners: Vec<(f64, f64)>,
    tags: BTreeMap<String, Option<u8>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refused {
    TooLarge { limit: u32 },
}

#[task]
fn mirror(mut shape: Shape, (dx, dy): (f64, f64)) -> Shape {
    for corner in &mut shape.corners {
        *corner = (dx - corner.0, dy - corner.1);
    }
    shape
}

#[task]
fn answer() -> u32 {
    42
}

#[task]
fn nothing() {}

#[task]
fn limited(number: u32) -> Result<u32, Refused> {
    if number > 10 {
        Err(Refused::TooLarge { limit: 10 })
    } else {
        Ok(number)
    }
}

/// Documented, as a task may be.
#[task(name = "renamed")]
#[expect(clippy::too_many_arguments, reason = "as many as there may be")]
pub fn twelve(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
) -> Vec<u8> {
    vec![a, b, c, d, e, f, g, h, i, j, k, l]
}

#[task]
async fn asleep(milliseconds: u64, text: String) -> usize {
    let length = spawn_local(async move { text.len() });
    sleep(Duration::from_millis(milliseconds)).await;
    length.await.unwrap()
}

#[task(name = "asynchronous")]
async fn limited_later(number: u32) -> Result<u32, Refused> {
    yield_once().await;
    let here = limited(number)?;
    // A task of its own, awaited in this one's instance or thread.
    let there = limited.spawn(number).unwrap().await;
    assert_eq!(there, Ok(here));
    Ok(here)
}

async fn yield_once() {
    sleep(Duration::ZERO).await;
}

#[task]
fn grow(depth: u32) -> Result<u64, Failure> {
    if depth <= 1 {
        return Ok(1);
    }
    let (left, right) = (grow.spawn(depth - 1)?, grow.spawn(depth - 1)?);
    Ok(1 + left.join()? + right.join()?)
}

#[task]
fn spawns() -> Result<u32, String> {
    let handle = answer.spawn(()).map_err(|error| error.to_string())?;
    handle.join().map_err(|error| error.to_string())
}

#[task]
fn closes() -> (bool, bool) {
    let before = answer.spawn(()).is_ok();
    close();
    (before, matches!(answer.spawn(()), Err(SpawnError::Closed)))
}

#[test]
fn values_come_back_as_they_were() {
    let shape = Shape {
        name: "tri\0angle ∆".to_string(),
        corners: vec![(0.0, -1.5), (f64::MAX, 1e-300)],
        tags: BTreeMap::from([("a".to_string(), None), ("b".to_string(), Some(7))]),
    };
    let mirrored = mirror.spawn((shape.clone(), (1.0, 2.0))).unwrap().join();
    assert_eq!(mirrored, Ok(mirror(shape, (1.0, 2.0))));
}

#[test]
fn any_number_of_arguments_up_to_twelve() {
    assert_eq!(nothing.spawn(()).unwrap().join(), Ok(()));
    assert_eq!(answer.spawn(()).unwrap().join(), Ok(42));
    let all = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    let joined = twelve.spawn(all).unwrap().join();
    assert_eq!(joined, Ok((0..12).collect()));
}

#[test]
fn names() {
    assert_eq!(answer.name(), "tasks::answer");
    assert_eq!(twelve.name(), "renamed");
    assert_eq!(format!("{answer:?}"), r#"Task("tasks::answer")"#);
}

#[test]
fn an_error_keeps_its_type() {
    assert_eq!(limited.spawn(10).unwrap().join(), Ok(10));
    assert_eq!(
        limited.spawn(11).unwrap().join(),
        Err(JoinError::Failed(Refused::TooLarge { limit: 10 }))
    );
}

// Hunts a task whose future is dropped before it is over, an error that becomes a value on its way through the future,
// and a spawner's `block_on` that the task takes for its own.
#[test]
fn an_async_task_ends_when_its_future_does() {
    let text = || "seven77".to_string();
    assert_eq!(asleep.spawn((5, text())).unwrap().join(), Ok(7));
    assert_eq!(limited_later.name(), "asynchronous");
    assert_eq!(limited_later.spawn(10).unwrap().join(), Ok(10));
    assert_eq!(
        limited_later.spawn(11).unwrap().join(),
        Err(JoinError::Failed(Refused::TooLarge { limit: 10 }))
    );
    let (called, spawned, awaited) = block_on(async {
        let called = asleep(1, text()).await;
        let spawned = asleep.spawn((1, text())).unwrap().join();
        (called, spawned, asleep.spawn((1, text())).unwrap().await)
    });
    assert_eq!((called, spawned, awaited), (7, Ok(7), Ok(7)));
}

#[test]
fn a_tree_of_tasks_that_join_their_children() {
    assert_eq!(grow.spawn(11).unwrap().join(), Ok(2047));
}

#[test]
fn ids_differ_and_finished_tasks_say_so() {
    let (a, b) = (answer.spawn(()).unwrap(), answer.spawn(()).unwrap());
    assert_ne!(a.id(), b.id());
    assert_eq!(wait_any([&a]), Some(0));
    assert!(a.is_finished());
    a.cancel(); // too late to change anything
    assert_eq!((a.join(), b.join()), (Ok(42), Ok(42)));
}

#[test]
fn waiting_for_nothing_gives_nothing() {
    assert_eq!(wait_any::<u32, Failure>([]), None);
}

#[test]
fn a_denied_right_stays_denied_below() {
    let options = Options::new().deny(Rights::SPAWN);
    let error = spawns.spawn_with((), &options).unwrap().join().unwrap_err();
    assert!(
        matches!(&error, JoinError::Failed(text) if text.contains("this task may not spawn")),
        "{error:?}"
    );
    assert_eq!(spawns.spawn(()).unwrap().join(), Ok(42));
}

#[test]
fn close_ends_spawning_in_that_scope_alone() {
    assert_eq!(closes.spawn(()).unwrap().join(), Ok((true, true)));
    assert_eq!(answer.spawn(()).unwrap().join(), Ok(42));
}

#[test]
fn scope_gives_every_result_once() {
    let mut seen = scope(|scope| {
        for number in 0..50 {
            assert_eq!(scope.spawn(limited, number % 11), Ok(number as usize));
        }
        let mut seen = Vec::new();
        while let Some(finished) = scope.join_next() {
            seen.push((finished.index, finished.result?));
        }
        assert_eq!(scope.running(), 0);
        Ok(seen)
    })
    .unwrap();
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..50).map(|n| (n as usize, n % 11)).collect::<Vec<_>>()
    );
}

#[test]
fn scope_reports_what_its_body_did_not_look_at() {
    let outcome = scope(|scope| {
        scope.spawn(limited, 1)?;
        scope.spawn(limited, 100)?;
        Ok(())
    });
    assert_eq!(
        outcome,
        Err(TaskError::Join(JoinError::Failed(Refused::TooLarge {
            limit: 10
        })))
    );
}

#[test]
fn par_map_keeps_the_order() {
    let squares = ParMap::new()
        .at_once(3)
        .run(limited, (0..=10).rev())
        .unwrap();
    assert_eq!(squares, (0..=10).rev().collect::<Vec<_>>());
    assert_eq!(par_map(limited, []), Ok(Vec::new()));
}

#[test]
fn par_map_stops_asking_for_items_after_a_failure() {
    let mut asked = 0;
    let items = (0..1000).inspect(|_| asked += 1).map(|_| 11);
    let outcome = ParMap::new().at_once(4).run(limited, items);
    assert!(matches!(
        outcome,
        Err(TaskError::Join(JoinError::Failed(_)))
    ));
    assert!(asked <= 5, "{asked}");
}

#[test]
fn a_failure_is_handed_on_without_growing() {
    #[task]
    fn fails(levels: u32) -> Result<(), Failure> {
        if levels == 0 {
            return Err(Failure::new("the bottom").context("at"));
        }
        Ok(fails.spawn(levels - 1)?.join()?)
    }
    let error = fails.spawn(3).unwrap().join().unwrap_err();
    assert_eq!(error.to_string(), "the task failed: at: the bottom");
    let either = TaskError::from(error);
    assert_eq!(Failure::from(either).text(), "at: the bottom");
}

#[test]
fn errors_are_errors() {
    fn both() -> Result<u32, Box<dyn Error>> {
        Ok(answer.spawn(())?.join()?)
    }
    assert_eq!(both().unwrap(), 42);
}

#[test]
fn rights_show_their_names() {
    let rights = Rights::OUTPUT | Rights::NETWORK;
    assert_eq!(format!("{rights:?}"), "Rights(NETWORK | OUTPUT)");
    assert!(Rights::all().contains(rights) && !rights.contains(Rights::SPAWN));
}

/// What needs more than one thing to happen at a time.
#[cfg(not(feature = "sequential"))]
mod threads {
    use super::*;
    use std::time::Instant;

    #[task]
    fn spin() {
        loop {
            hart_guest::yield_now();
        }
    }

    #[task]
    fn panics(number: u32) -> u32 {
        assert!(number != 13, "unlucky {number}");
        number
    }

    #[task]
    fn spins_below() -> Result<(), Failure> {
        spin.spawn(())?.join()?;
        Ok(())
    }

    #[test]
    fn a_panic_reaches_its_joiner_alone() {
        let tasks = [12, 13, 14].map(|number| panics.spawn(number).unwrap());
        let joined = tasks.map(hart_guest::Handle::join);
        assert_eq!(
            joined,
            [
                Ok(12),
                Err(JoinError::Trapped("unlucky 13".to_string())),
                Ok(14)
            ]
        );
    }

    // Hunts a panic in a future that ends a thread of the pool, and a future that goes on after its task was cancelled.
    #[test]
    fn an_async_task_panics_and_is_cancelled_as_others_are() {
        #[task]
        async fn panics_later(number: u32) {
            sleep(Duration::from_millis(1)).await;
            panic!("later {number}");
        }

        #[task]
        async fn sleeps_for_ever() {
            loop {
                sleep(Duration::from_millis(1)).await;
            }
        }

        assert_eq!(
            panics_later.spawn(5).unwrap().join(),
            Err(JoinError::Trapped("later 5".to_string()))
        );
        let sleeper = sleeps_for_ever.spawn(()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(!sleeper.is_finished());
        sleeper.cancel();
        assert_eq!(sleeper.join(), Err(JoinError::Cancelled));
    }

    #[test]
    fn cancel_ends_a_task_and_what_it_spawned() {
        let task = spins_below.spawn(()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(!task.is_finished());
        task.cancel();
        assert_eq!(task.join(), Err(JoinError::Cancelled));
    }

    #[test]
    fn a_timeout_ends_a_task() {
        let start = Instant::now();
        let options = Options::new().timeout(Duration::from_millis(50));
        let task = spins_below.spawn_with((), &options).unwrap();
        assert_eq!(task.join(), Err(JoinError::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn close_ends_what_was_spawned() {
        let task = spin.spawn(()).unwrap();
        close();
        assert_eq!(task.join(), Err(JoinError::Closed));
        assert!(matches!(spin.spawn(()), Err(SpawnError::Closed)));
    }

    #[test]
    fn leaving_a_scope_early_ends_its_tasks() {
        let outcome = scope(|scope| {
            scope.spawn(spins_below, ())?;
            Err::<(), _>(TaskError::Spawn(SpawnError::Other("early".to_string())))
        });
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "the task was not started: early"
        );
    }

    #[test]
    fn spawning_without_end_is_stopped() {
        #[task]
        fn fork() -> Result<(), Failure> {
            for child in [fork.spawn(())?, fork.spawn(())?] {
                child.join()?;
            }
            Ok(())
        }
        let error = fork.spawn(()).unwrap().join().unwrap_err();
        assert!(error.to_string().contains("the limit of "), "{error}");
    }
}
