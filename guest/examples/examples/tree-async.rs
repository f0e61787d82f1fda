//! `tree` with tasks that are `async fn`s: each of them awaits its two children at the same time, and does other
//! things meanwhile.

use std::time::Duration;

use futures::future::try_join;
use hart_guest::{Failure, concurrent, task};

/// Also says how often the instance did something else while its children grew.
#[task]
async fn grow(depth: u32) -> Result<(u64, u64), Failure> {
    if depth <= 1 {
        return Ok((1, 0));
    }
    let children = async {
        let left = async { Ok::<_, Failure>(grow.spawn(depth - 1)?.await?) };
        let right = async { Ok::<_, Failure>(grow.spawn(depth - 1)?.await?) };
        try_join(left, right).await
    };
    let beside = async {
        concurrent::wait_for(Duration::from_millis(1)).await;
        Ok(1)
    };
    let ((left, right), beside) = try_join(children, beside).await?;
    Ok((1 + left.0 + right.0, beside + left.1 + right.1))
}

async fn run() -> Result<(), Failure> {
    let depth = std::env::args()
        .nth(1)
        .map_or(Ok(10), |depth| depth.parse())?;
    let (tasks, beside) = grow.spawn(depth)?.await?;
    println!("{tasks} tasks, {beside} of them with something beside");
    Ok(())
}

hart_guest::program!(run);
