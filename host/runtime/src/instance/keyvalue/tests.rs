//! What is stored, and what is counted for it.

use std::sync::Arc;

use super::store::{BATCH, KeyValue, Refused};
use crate::quota::account::Account;
use crate::quota::limits::{LimitKind, Limits};
use crate::sched::core::Core;

struct Bed {
    account: Arc<Account>,
    store: KeyValue,
    _core: Arc<Core>,
}

impl Bed {
    fn new(memory: u64) -> Self {
        let core = Core::new(1, None, None, None, None);
        let account = core.account(Limits::new().memory(memory), None);
        Self {
            store: KeyValue::new(&account),
            account,
            _core: core,
        }
    }

    fn set(&self, pairs: &[(&str, &[u8])]) -> Result<(), Refused> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.to_vec()));
        self.store
            .set(pairs.collect(), |bytes| self.account.hold(bytes))
    }

    fn increment(&self, key: &str, delta: u64) -> Result<u64, Refused> {
        let key = key.to_owned();
        self.store
            .increment(key, delta, |bytes| self.account.hold(bytes))
    }

    fn delete(&self, key: &str) {
        self.store.delete(&[key.to_owned()]);
    }
}

/// Fault: bytes that are not counted, counted twice or never given back.
#[test]
fn what_is_stored_is_counted() {
    let bed = Bed::new(1 << 20);
    bed.set(&[("a", b"12345"), ("bb", b"")]).unwrap();
    let both = 2 * 256 + 1 + 5 + 2;
    assert_eq!(bed.account.memory(), both);
    bed.set(&[("a", b"1")]).unwrap();
    assert_eq!(bed.account.memory(), both - 4);
    // The same key twice in one call.
    bed.set(&[("a", b"123"), ("a", b"12")]).unwrap();
    assert_eq!(bed.account.memory(), both - 3);
    assert_eq!(bed.store.get("a").unwrap(), b"12");
    bed.delete("bb");
    bed.delete("bb");
    assert_eq!(bed.account.memory(), 256 + 1 + 2);
    assert_eq!(bed.increment("n", 9).unwrap(), 9);
    assert_eq!(bed.increment("n", 1).unwrap(), 10);
    assert_eq!(bed.account.memory(), 2 * 256 + 1 + 2 + 1 + 2);
    bed.store.clear();
    assert_eq!(bed.account.memory(), 0);
    bed.set(&[("a", b"12345")]).unwrap();
    let Bed { account, store, .. } = bed;
    drop(store);
    assert_eq!(account.memory(), 0);
}

/// Fault: something that is held although a limit forbids it, or that is gone because something else was refused.
#[test]
fn what_has_no_room_is_refused() {
    let bed = Bed::new(2_000);
    bed.set(&[("a", b"first")]).unwrap();
    let before = bed.account.memory();
    for refused in [
        bed.set(&[("b", &[0; 2_000])]),
        bed.set(&[("a", &[0; 2_000])]),
        bed.set(&[("b", &[0; 700]), ("c", &[0; 700])]),
    ] {
        let Err(Refused::Limit(reached)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(reached.limit, LimitKind::Memory);
    }
    let long = "k".repeat(4097);
    assert_eq!(bed.set(&[(&long, b"")]), Err(Refused::LongKey));
    assert_eq!(bed.increment(&long, 1), Err(Refused::LongKey));
    assert_eq!(bed.increment("a", 1), Err(Refused::NoNumber));
    assert_eq!(bed.account.memory(), before);
    assert_eq!(bed.store.get("a").unwrap(), b"first");
    assert!(!bed.store.has("b"));
    bed.increment("n", u64::MAX).unwrap();
    let before = bed.account.memory();
    assert_eq!(bed.increment("n", 1), Err(Refused::Overflow));
    assert_eq!(bed.account.memory(), before);
}

/// Fault: a store with so many keys that the end of its run takes long.
#[test]
fn keys_are_bounded() {
    let bed = Bed::new(1 << 30);
    for key in 0..65_536 {
        bed.set(&[(&key.to_string(), b"")]).unwrap();
    }
    let full = bed.account.memory();
    assert_eq!(bed.set(&[("a", b"")]), Err(Refused::TooManyKeys));
    assert_eq!(bed.increment("a", 1), Err(Refused::TooManyKeys));
    assert_eq!(bed.account.memory(), full);
    bed.set(&[("0", b"x"), ("1", b"y")]).unwrap();
    bed.delete("0");
    bed.set(&[("a", b"")]).unwrap();
}

/// Fault: pages that leave out a key or show it twice, also while keys come and go; a cursor that is out of range.
#[test]
fn all_keys_are_listed_once() {
    let bed = Bed::new(1 << 30);
    assert_eq!(bed.store.list(0), (Vec::new(), None));
    let names: Vec<String> = (0..BATCH + 500).map(|number| number.to_string()).collect();
    for name in &names {
        bed.set(&[(name, b"")]).unwrap();
    }
    let (mut keys, cursor) = bed.store.list(0);
    assert_eq!(keys.len(), BATCH);
    bed.delete("0");
    bed.set(&[("late", b"")]).unwrap();
    let (more, end) = bed.store.list(cursor.unwrap());
    assert_eq!(end, None);
    keys.extend(more);
    assert_eq!(keys.pop().unwrap(), "late");
    assert_eq!(keys, names);
    assert_eq!(bed.store.list(u64::MAX), (Vec::new(), None));
}

/// Fault: one small request for many bytes.
#[test]
fn one_call_brings_only_so_much() {
    let bed = Bed::new(1 << 20);
    bed.set(&[("a", &[0; 1_000])]).unwrap();
    let ask = |count: usize| {
        let keys = vec!["a".to_owned(); count];
        bed.store.get_many(keys, 10_000).map(|found| found.len())
    };
    assert_eq!(ask(7), Ok(7));
    assert_eq!(ask(8), Err(Refused::TooMuch(10_000)));
    let none = bed.store.get_many(vec!["b".into()], 10).unwrap();
    assert_eq!(none, [None]);
}

/// Fault: what the embedder put there is not counted, or comes back after the guest has changed it.
#[test]
fn a_store_begins_with_what_the_embedder_put_there() {
    let bed = Bed::new(1_000);
    let first = [("a", "1"), ("b", "2"), ("a", "3")]
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    let begin = || bed.store.begin(&first, |bytes| bed.account.hold(bytes));
    begin().unwrap();
    assert_eq!(bed.account.memory(), 2 * 258);
    assert_eq!(bed.store.get("a").unwrap(), b"3");
    bed.delete("b");
    begin().unwrap();
    assert!(!bed.store.has("b"));
    let bed = Bed::new(500);
    let begun = bed.store.begin(&first, |bytes| bed.account.hold(bytes));
    assert!(matches!(begun, Err(Refused::Limit(_))), "{begun:?}");
    assert_eq!(bed.account.memory(), 0);
}
