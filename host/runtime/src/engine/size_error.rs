//! What to say of a component that does not fit: how much it takes, how much there is, and what would do.

use crate::base::setting::size;
use crate::engine::slots::{RESERVATIONS, TABLE_ELEMENTS, TABLES_PER_SLOT};

/// One of its memories begins with so many bytes.
pub(crate) fn memory(bytes: u64, most: u64) -> String {
    let way_out = match RESERVATIONS.iter().rev().find(|each| **each >= bytes) {
        Some(enough) => format!(
            "it takes a `memory-reservation` of {}: the pool profile `fast` has that, with fewer instances where address space is short",
            size(*enough)
        ),
        None => format!("no setting gives more than {}", size(RESERVATIONS[0])),
    };
    format!(
        "it begins with a memory of {bytes} bytes, and {most} are the most here (the setting `memory-reservation`); {way_out}"
    )
}

/// One of its tables begins with so many elements.
pub(crate) fn table(elements: u64, most: usize) -> String {
    let way_out = if elements <= TABLE_ELEMENTS as u64 {
        format!("the pool profile `fast` allows {TABLE_ELEMENTS}")
    } else {
        format!("no setting allows more than {TABLE_ELEMENTS}: split it")
    };
    format!(
        "it begins with a table of {elements} elements, and {most} are the most here; {way_out}"
    )
}

/// One of its modules defines so many things of a kind.
pub(crate) fn count(what: &str, count: u32, most: u32) -> String {
    format!(
        "one of its modules has {count} {what}, and {most} are the most; no setting allows more: split it"
    )
}

/// An instance takes so many bytes of the heap.
pub(crate) fn bookkeeping(whose: &str, bytes: u64, most: u64) -> String {
    format!(
        "{whose} takes {bytes} bytes of bookkeeping (for its functions, globals and imports), and {most} are the most; no setting allows more: split it"
    )
}

/// wasmtime's word, if it is that something does not fit.
pub(crate) fn from_wasmtime(detail: &str) -> Option<String> {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect()
    };
    // The parser says where in the bytes it stopped. It has limits of its own, which no pool raises.
    if detail.contains("(at offset 0x") {
        return None;
    }
    // What comes before is the name of a module, or a slot in it.
    let after = |phrase: &str| detail.find(phrase).map(|at| numbers(&detail[at..]));
    let known = if let Some(numbers) = after("instance allocation for this component requires") {
        let [bytes, most, ..] = numbers[..] else {
            return None;
        };
        bookkeeping("an instance", bytes, most)
    } else if let Some(numbers) = after("instance allocation for this module requires") {
        let [bytes, most, ..] = numbers[..] else {
            return None;
        };
        bookkeeping("an instance of one of its modules", bytes, most)
    } else if let Some(numbers) = after("defined tables count of") {
        let [tables, most, ..] = numbers[..] else {
            return None;
        };
        let slots = tables.div_ceil(u64::from(TABLES_PER_SLOT));
        format!(
            "one of its modules has {tables} tables, and the pool has {most}: raise `instances` to {slots}"
        )
    } else {
        let phrases = [
            "exceeds the configured maximum",
            "exceeds the limit",
            "exceeds the per-instance limit",
            "exceeds the total",
            "exceeds the limits",
        ];
        if !phrases.iter().any(|phrase| detail.contains(phrase)) {
            return None;
        }
        detail.to_owned()
    };
    Some(known)
}
