//! Values under keys, of one run.
//!
//! Each operation takes the time of a look-up or of one page: a guest cannot be preempted in it. So keys and what one call
//! may bring are bounded, and the order in which keys are listed is kept and not made.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::limits::LimitReached;

/// Keys that one call may name, and that one page of a list has.
pub(super) const BATCH: usize = 1000;

/// The longest key, bytes. All that a look-up meets are compared.
const KEY: usize = 4096;

/// Keys that a run may have: when it ends, all of them go in one go. A guess: some milliseconds.
const KEYS: usize = 1 << 16;

/// What a key takes besides its bytes and those of its value: its part of two trees, and two allocations. Rounded up.
const OVERHEAD: u64 = 256;

/// The store of a run.
pub(crate) struct KeyValue {
    account: Arc<Account>,
    /// Nothing until a guest comes: what the embedder put there is counted from then on.
    entries: Mutex<Option<Entries>>,
}

#[derive(Default)]
struct Entries {
    values: BTreeMap<Arc<str>, Entry>,
    /// The keys in the order in which they came. A cursor is a number here, so that what changes between two pages leaves
    /// out no other key.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    /// What is counted for them.
    held: u64,
}

struct Entry {
    number: u64,
    value: Box<[u8]>,
}

/// Why something was not stored, or not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Limit(LimitReached),
    LongKey,
    TooManyKeys,
    /// A call would bring more bytes than this.
    TooMuch(u64),
    NoNumber,
    Overflow,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(reached) => reached.fmt(f),
            Self::LongKey => write!(f, "a key has {KEY} bytes at most"),
            Self::TooManyKeys => write!(f, "the store has {KEYS} keys at most"),
            Self::TooMuch(most) => {
                write!(f, "more than {most} bytes in one call: ask for fewer keys")
            }
            Self::NoNumber => f.write_str("the value is no number"),
            Self::Overflow => f.write_str("the number would be too large"),
        }
    }
}

/// What a pair counts.
fn cost(key: &str, value: &[u8]) -> u64 {
    key.len() as u64 + value.len() as u64 + OVERHEAD
}

fn all(pairs: &[(String, Vec<u8>)]) -> u64 {
    pairs.iter().map(|(key, value)| cost(key, value)).sum()
}

impl KeyValue {
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self {
            account: account.clone(),
            entries: Mutex::default(),
        }
    }

    /// Puts `first` there, unless that was done before. `hold` counts bytes for the account.
    pub(super) fn begin(
        &self,
        first: &[(String, Vec<u8>)],
        hold: impl Fn(u64) -> Result<(), LimitReached>,
    ) -> Result<(), Refused> {
        if lock(&self.entries).is_some() {
            return Ok(());
        }
        // Not under the lock: others' stores may be dropped for it.
        let bytes = all(first);
        hold(bytes).map_err(Refused::Limit)?;
        let mut entries = lock(&self.entries);
        if entries.is_some() {
            self.account.release(bytes);
            return Ok(());
        }
        let begun = entries.insert(Entries::default());
        begun.held = bytes;
        let pairs = first.iter();
        let surplus: u64 = pairs
            .map(|(key, value)| begun.put(key, value.clone()))
            .sum();
        begun.held -= surplus;
        self.account.release(surplus);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let entries = lock(&self.entries);
        let entry = entries.as_ref()?.values.get(key)?;
        Some(entry.value.to_vec())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        let entries = lock(&self.entries);
        let entries = entries.as_ref();
        entries.is_some_and(|entries| entries.values.contains_key(key))
    }

    /// The values of `keys` that there are, in their order: `most` bytes in all.
    #[expect(clippy::type_complexity, reason = "it is what the interface returns")]
    pub(super) fn get_many(
        &self,
        keys: Vec<String>,
        most: u64,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Refused> {
        let entries = lock(&self.entries);
        let Some(entries) = entries.as_ref() else {
            return Ok(keys.iter().map(|_| None).collect());
        };
        let mut bytes = 0;
        let found = keys.into_iter().map(|key| {
            let Some(entry) = entries.values.get(key.as_str()) else {
                return Ok(None);
            };
            bytes += cost(&key, &entry.value);
            match bytes > most {
                true => Err(Refused::TooMuch(most)),
                false => Ok(Some((key, entry.value.to_vec()))),
            }
        });
        found.collect()
    }

    /// Stores all of `pairs` or none. `hold` counts bytes for the account.
    pub(super) fn set(
        &self,
        pairs: Vec<(String, Vec<u8>)>,
        hold: impl Fn(u64) -> Result<(), LimitReached>,
    ) -> Result<(), Refused> {
        if pairs.iter().any(|(key, _)| key.len() > KEY) {
            return Err(Refused::LongKey);
        }
        let bytes = all(&pairs);
        // Not under the lock, and also for what is replaced: both are there for a moment.
        hold(bytes).map_err(Refused::Limit)?;
        let mut entries = lock(&self.entries);
        let entries = entries.get_or_insert_default();
        let is_new = |pair: &&(String, Vec<u8>)| !entries.values.contains_key(pair.0.as_str());
        if entries.values.len() + pairs.iter().filter(is_new).count() > KEYS {
            self.account.release(bytes);
            return Err(Refused::TooManyKeys);
        }
        let pairs = pairs.into_iter();
        let replaced: u64 = pairs.map(|(key, value)| entries.put(&key, value)).sum();
        entries.held += bytes;
        entries.held -= replaced;
        self.account.release(replaced);
        Ok(())
    }

    pub(super) fn delete(&self, keys: &[String]) {
        let mut entries = lock(&self.entries);
        let Some(entries) = entries.as_mut() else {
            return;
        };
        let deleted: u64 = keys.iter().map(|key| entries.take(key)).sum();
        entries.held -= deleted;
        self.account.release(deleted);
    }

    /// A page of keys from `cursor` on, and where the next one begins, if there is one.
    pub(super) fn list(&self, cursor: u64) -> (Vec<String>, Option<u64>) {
        let entries = lock(&self.entries);
        let Some(entries) = entries.as_ref() else {
            return (Vec::new(), None);
        };
        let mut rest = entries
            .order
            .range((Bound::Included(cursor), Bound::Unbounded));
        let page = rest.by_ref().take(BATCH).map(|(_, key)| key.to_string());
        let page = page.collect();
        (page, rest.next().map(|(number, _)| *number))
    }

    /// Adds `delta` to the number under `key`, which is 0 where there is none, and returns the sum.
    pub(super) fn increment(
        &self,
        key: String,
        delta: u64,
        hold: impl Fn(u64) -> Result<(), LimitReached>,
    ) -> Result<u64, Refused> {
        /// The longest number.
        const DIGITS: u64 = 20;

        if key.len() > KEY {
            return Err(Refused::LongKey);
        }
        // As for a new one, and for the longest number: what is too much is given back.
        let bytes = cost(&key, &[]) + DIGITS;
        hold(bytes).map_err(Refused::Limit)?;
        let mut entries = lock(&self.entries);
        let entries = entries.get_or_insert_default();
        let sum = entries.sum(&key, delta);
        let surplus = match &sum {
            Ok(sum) => {
                let value = sum.to_string().into_bytes();
                let surplus = DIGITS - value.len() as u64;
                surplus + entries.put(&key, value)
            }
            Err(_) => bytes,
        };
        entries.held += bytes;
        entries.held -= surplus;
        self.account.release(surplus);
        sum
    }

    /// Its run is over.
    pub(crate) fn clear(&self) {
        let entries = lock(&self.entries).take();
        if let Some(entries) = entries {
            let held = entries.held;
            drop(entries);
            self.account.release(held);
        }
    }
}

impl Drop for KeyValue {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Entries {
    /// Stores a pair; returns what the one that it replaces was counted for.
    fn put(&mut self, key: &str, value: Vec<u8>) -> u64 {
        let value = value.into_boxed_slice();
        if let Some(entry) = self.values.get_mut(key) {
            let before = cost(key, &entry.value);
            entry.value = value;
            return before;
        }
        let key: Arc<str> = key.into();
        let number = self.next;
        self.next += 1;
        self.order.insert(number, key.clone());
        self.values.insert(key, Entry { number, value });
        0
    }

    /// Removes a key; returns what it was counted for.
    fn take(&mut self, key: &str) -> u64 {
        let Some(entry) = self.values.remove(key) else {
            return 0;
        };
        self.order.remove(&entry.number);
        cost(key, &entry.value)
    }

    /// The number under `key` and `delta`.
    fn sum(&self, key: &str, delta: u64) -> Result<u64, Refused> {
        let Some(entry) = self.values.get(key) else {
            let is_full = self.values.len() >= KEYS;
            return if is_full {
                Err(Refused::TooManyKeys)
            } else {
                Ok(delta)
            };
        };
        let number = std::str::from_utf8(&entry.value).ok();
        let number = number.and_then(|text| text.parse::<u64>().ok());
        let number = number.ok_or(Refused::NoNumber)?;
        number.checked_add(delta).ok_or(Refused::Overflow)
    }
}
