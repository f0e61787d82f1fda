//! `wordcount` with a root that waits asynchronously: the same arguments, tasks and output.

#[expect(dead_code, reason = "its own `main` is another program's")]
#[path = "../src/bin/wordcount.rs"]
mod wordcount;

use std::collections::VecDeque;

use hart_guest::{Failure, parallelism};
use wordcount::{batches, count_files, report};

async fn run() -> Result<(), Failure> {
    let mut batches = batches()?;
    let mut pending = VecDeque::new();
    let mut counted = Vec::new();
    // Twice as many as can run, so that there is always one to go on with. In order: a word may go on in the
    // next file.
    for batch in batches.by_ref() {
        pending.push_back(count_files.spawn(batch)?);
        if pending.len() > 2 * parallelism().get()
            && let Some(first) = pending.pop_front()
        {
            counted.push(first.await?);
        }
    }
    for task in pending {
        counted.push(task.await?);
    }
    if report(batches, counted)? {
        Ok(())
    } else {
        Err(Failure::new("not everything could be read"))
    }
}

hart_guest::program!(run);
