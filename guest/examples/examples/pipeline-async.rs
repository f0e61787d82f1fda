//! `pipeline` with a root that waits asynchronously: the same stages and output, and the tree is one of futures.
//! All of them are pending in one instance at the same time; the tasks they wait for run on every core.

#[expect(dead_code, reason = "its own `main` is another program's")]
#[path = "../src/bin/pipeline.rs"]
mod pipeline;

use std::pin::Pin;

use futures::future::try_join;
use hart_guest::{Failure, task};
use pipeline::{arguments, merged, report, sort};

/// Merges two sorted parts.
#[task]
fn merge(left: Vec<u32>, right: Vec<u32>) -> Vec<u32> {
    merged(left, right)
}

type Sorting = Pin<Box<dyn Future<Output = Result<Vec<u32>, Failure>>>>;

fn sorted(depth: u32, leaf: u64, count: u64) -> Sorting {
    Box::pin(async move {
        if depth == 0 {
            return Ok(sort.spawn((leaf, count))?.await?);
        }
        let left = sorted(depth - 1, 2 * leaf, count);
        let right = sorted(depth - 1, 2 * leaf + 1, count);
        let (left, right) = try_join(left, right).await?;
        Ok(merge.spawn((left, right))?.await?)
    })
}

async fn run() -> Result<(), Failure> {
    let (depth, count) = arguments()?;
    report(&sorted(depth, 0, count).await?);
    Ok(())
}

hart_guest::program!(run);
