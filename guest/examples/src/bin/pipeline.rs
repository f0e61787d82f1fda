//! Sorts numbers in a tree of tasks with stages that wait for each other: make, sort, merge.
//!
//! ```text
//! pipeline [DEPTH] [NUMBERS]         by default 4 and 20000: 2^4 leaves with 20,000 numbers each
//! ```

use hart_guest::{Failure, task, yield_now};

/// The first stage: numbers that look random and are the same in every run.
#[task]
fn make(leaf: u64, count: u64) -> Vec<u32> {
    let mut state = leaf.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut numbers = Vec::new();
    for index in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.push((state >> 32) as u32);
        if index % 1000 == 999 {
            yield_now();
        }
    }
    numbers
}

/// The second stage, which waits for the first.
#[task]
pub(crate) fn sort(leaf: u64, count: u64) -> Result<Vec<u32>, Failure> {
    let mut numbers = make.spawn((leaf, count))?.join()?;
    yield_now();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The third stage: a tree, whose leaves are the second one.
#[task]
fn merge(depth: u32, leaf: u64, count: u64) -> Result<Vec<u32>, Failure> {
    if depth == 0 {
        return Ok(sort.spawn((leaf, count))?.join()?);
    }
    let left = merge.spawn((depth - 1, 2 * leaf, count))?;
    let right = merge.spawn((depth - 1, 2 * leaf + 1, count))?;
    yield_now();
    let (left, right) = (left.join()?, right.join()?);

    Ok(merged(left, right))
}

/// Merges two sorted parts.
pub(crate) fn merged(left: Vec<u32>, right: Vec<u32>) -> Vec<u32> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        merged.extend(if a <= b { left.next() } else { right.next() });
    }
    merged.extend(left.chain(right));
    merged
}

/// The depth of the tree and how many numbers a leaf has.
pub(crate) fn arguments() -> Result<(u32, u64), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let (depth, count) = (number(4)?, number(20_000)?);
    Ok((u32::try_from(depth)?, count))
}

fn main() -> Result<(), Failure> {
    let (depth, count) = arguments()?;
    report(&merge.spawn((depth, 0, count))?.join()?);
    Ok(())
}

pub(crate) fn report(numbers: &[u32]) {
    let sum = numbers.iter().fold(0_u64, |sum, &number| {
        sum.wrapping_mul(31).wrapping_add(u64::from(number))
    });
    println!("{} numbers, sorted: {}", numbers.len(), numbers.is_sorted());
    println!(
        "first {:?}, last {:?}, checksum {sum:016x}",
        numbers.first(),
        numbers.last()
    );
}
