//! Who is first where keys grow while the clock runs.
//!
//! A key is a [`Line`] over time. The lines of groups with polls in flight rise as steeply as many polls divided by a
//! weight, so one may pass another without any event in the lane. This is a kinetic tournament: a binary tree with a line
//! at each leaf, and at each node the lower one of the two below.
//!
//! 1. A node also has the time up to which all of its subtree is right: until a winner is passed by the one that it beat.
//! 2. [`set`](Tournament::set) changes a leaf and the nodes above it, up to the first one that stays as it is.
//! 3. [`first`](Tournament::first) decides anew at those nodes whose time has passed, and at no other.
//!
//! So both take `O(log n)` steps, and a line that passes another does so once. Lines of the same slope, which are those of
//! groups of the same weight, never do.

#[cfg(all(test, not(loom)))]
mod tests;

use alloc::{vec, vec::Vec};

/// A key that grows with time, from zero on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What it would be at time zero.
    pub(super) start: i128,
    /// What a nanosecond adds.
    pub(super) slope: u64,
}

impl Line {
    #[inline]
    pub(super) fn at(self, now: u64) -> i128 {
        self.start + i128::from(self.slope) * i128::from(now)
    }

    /// Until when this one, which is not above `other` at `now`, stays so.
    #[inline]
    fn leads_until(self, other: Self, now: u64) -> u64 {
        if self.slope <= other.slope {
            return u64::MAX;
        }
        let faster = self.slope - other.slope;
        let ahead = other.at(now) - self.at(now);
        match u64::try_from(ahead) {
            Ok(ahead) => now.saturating_add(ahead / faster),
            Err(_) => {
                let wait = ahead / i128::from(faster);
                now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Of a subtree.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Node {
    /// The lowest line.
    line: Line,
    /// Up to when that is right.
    until: u64,
    /// The leaf that has it, or [`NONE`].
    leaf: u32,
}

const NONE: u32 = u32::MAX;

const EMPTY: Node = Node {
    line: Line { start: 0, slope: 0 },
    until: u64::MAX,
    leaf: NONE,
};

impl Node {
    /// The node above these two.
    #[inline]
    fn above(left: Self, right: Self, now: u64) -> Self {
        if right.leaf == NONE {
            return left;
        }
        if left.leaf == NONE {
            return right;
        }
        let (first, second) = if left.line.at(now) <= right.line.at(now) {
            (left, right)
        } else {
            (right, left)
        };
        let passed = first.line.leads_until(second.line, now);
        Self {
            until: passed.min(left.until).min(right.until),
            ..first
        }
    }
}

pub(super) struct Tournament {
    /// The root at 1, what is below `n` at `2n` and `2n + 1`, the leaves in the second half.
    nodes: Vec<Node>,
}

impl Tournament {
    /// With so many leaves, a power of two; all are empty.
    pub(super) fn new(leaves: usize) -> Self {
        debug_assert!(leaves.is_power_of_two(), "a full tree");
        Self {
            nodes: vec![EMPTY; 2 * leaves],
        }
    }

    fn leaf(&self, leaf: usize) -> usize {
        self.nodes.len() / 2 + leaf
    }

    /// The line at a leaf.
    pub(super) fn get(&self, leaf: usize) -> Option<Line> {
        let node = &self.nodes[self.leaf(leaf)];
        (node.leaf != NONE).then_some(node.line)
    }

    /// Puts a line to a leaf, or none. `now` does not go back.
    ///
    /// Nothing is done for a line that is the same but for a nanosecond: that of a group which was charged for what it had
    /// in flight.
    pub(super) fn set(&mut self, leaf: usize, line: Option<Line>, now: u64) {
        let mut at = self.leaf(leaf);
        if let (Some(before), Some(line)) = (self.get(leaf), line)
            && before.slope == line.slope
            && before.start.abs_diff(line.start) <= u128::from(line.slope)
        {
            return;
        }
        let mut node = line.map_or(EMPTY, |line| Node {
            line,
            until: u64::MAX,
            leaf: leaf as u32,
        });
        while self.nodes[at] != node {
            self.nodes[at] = node;
            if at == 1 {
                break;
            }
            node = Node::above(self.nodes[at & !1], self.nodes[at | 1], now);
            at /= 2;
        }
    }

    /// The leaf with the lowest line at `now`, which does not go back.
    #[inline]
    pub(super) fn first(&mut self, now: u64) -> Option<(Line, usize)> {
        if self.nodes[1].until < now {
            self.settle(1, now);
        }
        let first = &self.nodes[1];
        (first.leaf != NONE).then_some((first.line, first.leaf as usize))
    }

    fn settle(&mut self, at: usize, now: u64) {
        for below in [2 * at, 2 * at + 1] {
            if self.nodes[below].until < now {
                self.settle(below, now);
            }
        }
        self.nodes[at] = Node::above(self.nodes[2 * at], self.nodes[2 * at + 1], now);
    }
}
