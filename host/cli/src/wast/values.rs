//! Component values as scripts write them, and how they compare with what came back.

use wasmtime::component::Val;
use wast::component::WastVal;
use wast::core::{NanPattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// The arguments of an `invoke`.
///
/// # Errors
/// A core value such as `i32.const`: components have none.
pub(super) fn arguments(arguments: &[WastArg<'_>]) -> Result<Vec<Val>, String> {
    arguments
        .iter()
        .map(|argument| match argument {
            WastArg::Component(value) => Ok(convert(value)),
            // Floats are written in the same way for core functions.
            WastArg::Core(WastArgCore::F32(value)) => Ok(float32(value)),
            WastArg::Core(WastArgCore::F64(value)) => Ok(float64(value)),
            _ => Err(String::from(
                "a core value as an argument of a component's function; write `u32.const` and the like",
            )),
        })
        .collect()
}

/// The results of an `assert_return`.
///
/// # Errors
/// A core value, as in [`arguments`].
pub(super) fn results(results: &[WastRet<'_>]) -> Result<Vec<Val>, String> {
    results
        .iter()
        .map(|result| match result {
            WastRet::Component(value) => Ok(convert(value)),
            WastRet::Core(WastRetCore::F32(NanPattern::Value(value))) => Ok(float32(value)),
            WastRet::Core(WastRetCore::F64(NanPattern::Value(value))) => Ok(float64(value)),
            WastRet::Core(WastRetCore::F32(_)) => Ok(Val::Float32(f32::NAN)),
            WastRet::Core(WastRetCore::F64(_)) => Ok(Val::Float64(f64::NAN)),
            _ => Err(String::from(
                "a core value as a result of a component's function; write `u32.const` and the like",
            )),
        })
        .collect()
}

fn convert(value: &WastVal<'_>) -> Val {
    match value {
        WastVal::Bool(v) => Val::Bool(*v),
        WastVal::U8(v) => Val::U8(*v),
        WastVal::S8(v) => Val::S8(*v),
        WastVal::U16(v) => Val::U16(*v),
        WastVal::S16(v) => Val::S16(*v),
        WastVal::U32(v) => Val::U32(*v),
        WastVal::S32(v) => Val::S32(*v),
        WastVal::U64(v) => Val::U64(*v),
        WastVal::S64(v) => Val::S64(*v),
        WastVal::F32(v) => float32(v),
        WastVal::F64(v) => float64(v),
        WastVal::Char(v) => Val::Char(*v),
        WastVal::String(v) => Val::String((*v).to_owned()),
        WastVal::List(v) => Val::List(v.iter().map(convert).collect()),
        WastVal::Record(v) => Val::Record(
            v.iter()
                .map(|(name, value)| ((*name).to_owned(), convert(value)))
                .collect(),
        ),
        WastVal::Tuple(v) => Val::Tuple(v.iter().map(convert).collect()),
        WastVal::Variant(case, payload) => {
            Val::Variant((*case).to_owned(), convert_payload(payload.as_deref()))
        }
        WastVal::Enum(case) => Val::Enum((*case).to_owned()),
        WastVal::Option(payload) => Val::Option(convert_payload(payload.as_deref())),
        WastVal::Result(Ok(payload)) => Val::Result(Ok(convert_payload(payload.as_deref()))),
        WastVal::Result(Err(payload)) => Val::Result(Err(convert_payload(payload.as_deref()))),
        WastVal::Flags(v) => Val::Flags(v.iter().map(|name| (*name).to_owned()).collect()),
    }
}

fn float32(value: &F32) -> Val {
    Val::Float32(f32::from_bits(value.bits))
}

fn float64(value: &F64) -> Val {
    Val::Float64(f64::from_bits(value.bits))
}

fn convert_payload(payload: Option<&WastVal<'_>>) -> Option<Box<Val>> {
    payload.map(|value| Box::new(convert(value)))
}

/// Whether `actual` is what `expected` says: any NaN is as good as any other, flags have no order,
/// and a list of fixed length is a list.
pub(super) fn same(expected: &Val, actual: &Val) -> bool {
    match (expected, actual) {
        (Val::Float32(e), Val::Float32(a)) => {
            e.to_bits() == a.to_bits() || (e.is_nan() && a.is_nan())
        }
        (Val::Float64(e), Val::Float64(a)) => {
            e.to_bits() == a.to_bits() || (e.is_nan() && a.is_nan())
        }
        (Val::List(e), Val::List(a) | Val::FixedLengthList(a)) | (Val::Tuple(e), Val::Tuple(a)) => {
            all_same(e, a)
        }
        (Val::Record(e), Val::Record(a)) => {
            e.len() == a.len()
                && e.iter()
                    .zip(a)
                    .all(|((e_name, e), (a_name, a))| e_name == a_name && same(e, a))
        }
        (Val::Variant(e_case, e), Val::Variant(a_case, a)) => {
            e_case == a_case && same_payload(e.as_deref(), a.as_deref())
        }
        (Val::Option(e), Val::Option(a)) => same_payload(e.as_deref(), a.as_deref()),
        (Val::Result(Ok(e)), Val::Result(Ok(a))) | (Val::Result(Err(e)), Val::Result(Err(a))) => {
            same_payload(e.as_deref(), a.as_deref())
        }
        (Val::Flags(e), Val::Flags(a)) => {
            e.len() == a.len() && e.iter().all(|name| a.contains(name))
        }
        (expected, actual) => expected == actual,
    }
}

/// [`same`], for lists of values.
pub(super) fn all_same(expected: &[Val], actual: &[Val]) -> bool {
    expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| same(e, a))
}

fn same_payload(expected: Option<&Val>, actual: Option<&Val>) -> bool {
    match (expected, actual) {
        (Some(expected), Some(actual)) => same(expected, actual),
        (None, None) => true,
        _ => false,
    }
}

/// Values for people, with their types: `u32(1)` and `s32(1)` are different results.
pub(super) fn show(values: &[Val]) -> String {
    match values {
        [] => String::from("nothing"),
        [value] => format!("{value:?}"),
        values => format!("{values:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts comparisons that take a wrong value for the right one; a runner that does so passes
    /// everything.
    #[test]
    fn different_values_differ() {
        let payload = |value| Some(Box::new(Val::U8(value)));
        let values = [
            Val::Bool(true),
            Val::U8(1),
            Val::S8(1),
            Val::U32(1),
            Val::Float32(0.0),
            Val::Float32(-0.0),
            Val::Float64(0.0),
            Val::String(String::from("a")),
            Val::Char('a'),
            Val::List(vec![Val::U8(1)]),
            Val::List(vec![Val::U8(1), Val::U8(2)]),
            Val::Tuple(vec![Val::U8(1)]),
            Val::Record(vec![(String::from("a"), Val::U8(1))]),
            Val::Record(vec![(String::from("b"), Val::U8(1))]),
            Val::Variant(String::from("a"), payload(1)),
            Val::Variant(String::from("a"), None),
            Val::Variant(String::from("b"), payload(1)),
            Val::Enum(String::from("a")),
            Val::Option(payload(1)),
            Val::Option(payload(2)),
            Val::Option(None),
            Val::Result(Ok(payload(1))),
            Val::Result(Err(payload(1))),
            Val::Result(Ok(None)),
            Val::Flags(vec![String::from("a")]),
            Val::Flags(vec![String::from("a"), String::from("b")]),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(same(a, b), i == j, "{a:?} and {b:?}");
            }
        }
        let nan = |bits| Val::Float32(f32::from_bits(bits));
        assert!(same(&nan(0x7fc0_0000), &nan(0x7fc0_0001)));
        let flags = |names: [&str; 2]| Val::Flags(names.map(String::from).to_vec());
        assert!(same(&flags(["a", "b"]), &flags(["b", "a"])));
    }
}
