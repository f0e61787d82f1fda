//! Values of core modules as scripts write them, and how they compare with what came back.

use wasmtime::{AnyRef, ExternRef, Result, Rooted, Store, Val, bail};
use wast::core::{AbstractHeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// A value outside of its store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    I32(i32),
    I64(i64),
    /// Floats as their bits: a NaN has some as well.
    F32(u32),
    F64(u64),
    V128(u128),
    Null(Kind),
    /// A reference to the host's value of this number.
    Extern(u32),
    /// The same as an `anyref`.
    Host(u32),
    /// Another reference, of which only that it is one can be told.
    Some(Kind),
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Func,
    Extern,
    Any,
    I31,
    Struct,
    Array,
    Exn,
    Cont,
}

/// The arguments of an `invoke`.
///
/// # Errors
/// A component's value such as `u32.const`.
pub(super) fn arguments(arguments: &[WastArg<'_>]) -> Result<Vec<Value>, String> {
    arguments
        .iter()
        .map(|argument| match argument {
            WastArg::Core(WastArgCore::I32(value)) => Ok(Value::I32(*value)),
            WastArg::Core(WastArgCore::I64(value)) => Ok(Value::I64(*value)),
            WastArg::Core(WastArgCore::F32(value)) => Ok(Value::F32(value.bits)),
            WastArg::Core(WastArgCore::F64(value)) => Ok(Value::F64(value.bits)),
            WastArg::Core(WastArgCore::V128(value)) => {
                Ok(Value::V128(u128::from_le_bytes(value.to_le_bytes())))
            }
            WastArg::Core(WastArgCore::RefNull(ty)) => Ok(Value::Null(kind(ty))),
            WastArg::Core(WastArgCore::RefExtern(number)) => Ok(Value::Extern(*number)),
            WastArg::Core(WastArgCore::RefHost(number)) => Ok(Value::Host(*number)),
            _ => Err(String::from(
                "a component's value as an argument of a core function; write `i32.const` and the like",
            )),
        })
        .collect()
}

/// To which of the kinds null has a type belongs.
fn kind(ty: &wast::core::HeapType<'_>) -> Kind {
    use AbstractHeapType::{Cont, Exn, Extern, Func, NoCont, NoExn, NoExtern, NoFunc};
    match ty {
        wast::core::HeapType::Abstract { ty, .. } => match ty {
            Func | NoFunc => Kind::Func,
            Extern | NoExtern => Kind::Extern,
            Exn | NoExn => Kind::Exn,
            Cont | NoCont => Kind::Cont,
            _ => Kind::Any,
        },
        _ => Kind::Func,
    }
}

/// Whether these are the results that were expected.
///
/// # Errors
/// A component's value, as in [`arguments`].
pub(super) fn are(expected: &[WastRet<'_>], actual: &[Value]) -> Result<bool, String> {
    if expected.len() != actual.len() {
        return Ok(false);
    }
    for (expected, actual) in expected.iter().zip(actual) {
        let WastRet::Core(expected) = expected else {
            return Err(String::from(
                "a component's value as a result of a core function; write `i32.const` and the like",
            ));
        };
        if !is(expected, *actual) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is(expected: &WastRetCore<'_>, actual: Value) -> bool {
    use Value::{Extern, F32, F64, Host, I32, I64, Null, Some, V128};
    match (expected, actual) {
        (WastRetCore::Either(any), actual) => any.iter().any(|expected| is(expected, actual)),
        (WastRetCore::I32(expected), I32(actual)) => *expected == actual,
        (WastRetCore::I64(expected), I64(actual)) => *expected == actual,
        (WastRetCore::F32(expected), F32(actual)) => is_f32(expected, actual),
        (WastRetCore::F64(expected), F64(actual)) => is_f64(expected, actual),
        (WastRetCore::V128(expected), V128(actual)) => is_v128(expected, actual),
        (WastRetCore::RefNull(None), Null(_)) => true,
        (WastRetCore::RefNull(Option::Some(ty)), Null(actual)) => kind(ty) == actual,
        (WastRetCore::RefExtern(Option::Some(expected)), Extern(actual))
        | (WastRetCore::RefHost(expected), Host(actual)) => *expected == actual,
        (WastRetCore::RefExtern(None), Extern(_) | Some(Kind::Extern))
        | (WastRetCore::RefFunc(_), Some(Kind::Func))
        | (WastRetCore::RefArray, Some(Kind::Array))
        | (WastRetCore::RefStruct, Some(Kind::Struct))
        | (WastRetCore::RefI31, Some(Kind::I31))
        | (WastRetCore::RefEq, Some(Kind::I31 | Kind::Struct | Kind::Array))
        | (
            WastRetCore::RefAny,
            Host(_) | Some(Kind::Any | Kind::I31 | Kind::Struct | Kind::Array),
        ) => true,
        _ => false,
    }
}

/// A canonical NaN has the highest bit of its fraction alone, an arithmetic one among others; its sign is any.
fn is_f32(expected: &NanPattern<wast::token::F32>, actual: u32) -> bool {
    match expected {
        NanPattern::Value(value) => value.bits == actual,
        NanPattern::CanonicalNan => actual & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => actual & 0x7fc0_0000 == 0x7fc0_0000,
    }
}

fn is_f64(expected: &NanPattern<wast::token::F64>, actual: u64) -> bool {
    match expected {
        NanPattern::Value(value) => value.bits == actual,
        NanPattern::CanonicalNan => actual & (u64::MAX >> 1) == 0x7ff8 << 48,
        NanPattern::ArithmeticNan => actual & (0x7ff8 << 48) == 0x7ff8 << 48,
    }
}

fn is_v128(expected: &V128Pattern, actual: u128) -> bool {
    let bytes = actual.to_le_bytes();
    let lanes = |width: usize| {
        bytes.chunks_exact(width).map(|lane| {
            let mut wide = [0; 8];
            wide[..lane.len()].copy_from_slice(lane);
            u64::from_le_bytes(wide)
        })
    };
    match expected {
        V128Pattern::I8x16(e) => e.iter().zip(lanes(1)).all(|(e, a)| *e == a as i8),
        V128Pattern::I16x8(e) => e.iter().zip(lanes(2)).all(|(e, a)| *e == a as i16),
        V128Pattern::I32x4(e) => e.iter().zip(lanes(4)).all(|(e, a)| *e == a as i32),
        V128Pattern::I64x2(e) => e.iter().zip(lanes(8)).all(|(e, a)| *e == a as i64),
        V128Pattern::F32x4(e) => e.iter().zip(lanes(4)).all(|(e, a)| is_f32(e, a as u32)),
        V128Pattern::F64x2(e) => e.iter().zip(lanes(8)).all(|(e, a)| is_f64(e, a)),
    }
}

/// The same value in a store.
///
/// # Errors
/// No memory for a reference.
pub(super) async fn into_store<S: Send + 'static>(
    store: &mut Store<S>,
    value: Value,
) -> Result<Val> {
    Ok(match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(value) => Val::V128(value.into()),
        Value::Null(Kind::Func) => Val::FuncRef(None),
        Value::Null(Kind::Extern) => Val::ExternRef(None),
        Value::Null(Kind::Exn) => Val::ExnRef(None),
        Value::Null(Kind::Cont) => Val::ContRef(None),
        Value::Null(_) => Val::AnyRef(None),
        Value::Extern(number) => {
            Val::ExternRef(Some(ExternRef::new_async(&mut *store, number).await?))
        }
        Value::Host(number) => {
            let reference = ExternRef::new_async(&mut *store, number).await?;
            Val::AnyRef(Some(AnyRef::convert_extern(&mut *store, reference)?))
        }
        Value::Some(_) => bail!("a reference that only its store has"),
    })
}

/// What there is to tell of a value outside of its store.
///
/// # Errors
/// A reference that is no more.
pub(super) fn from_store<S: 'static>(store: &mut Store<S>, value: &Val) -> Result<Value> {
    Ok(match value {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(None) => Value::Null(Kind::Func),
        Val::FuncRef(Some(_)) => Value::Some(Kind::Func),
        Val::ExternRef(None) => Value::Null(Kind::Extern),
        Val::ExternRef(Some(reference)) => {
            number(store, reference)?.map_or(Value::Some(Kind::Extern), Value::Extern)
        }
        Val::AnyRef(None) => Value::Null(Kind::Any),
        Val::AnyRef(Some(reference)) => {
            if reference.is_i31(&*store)? {
                Value::Some(Kind::I31)
            } else if reference.is_struct(&*store)? {
                Value::Some(Kind::Struct)
            } else if reference.is_array(&*store)? {
                Value::Some(Kind::Array)
            } else {
                let reference = ExternRef::convert_any(&mut *store, *reference)?;
                number(store, &reference)?.map_or(Value::Some(Kind::Any), Value::Host)
            }
        }
        Val::ExnRef(None) => Value::Null(Kind::Exn),
        Val::ExnRef(Some(_)) => Value::Some(Kind::Exn),
        Val::ContRef(None) => Value::Null(Kind::Cont),
        Val::ContRef(Some(_)) => Value::Some(Kind::Cont),
    })
}

/// The host's value that a reference refers to, if it is one that [`into_store`] has made.
fn number<S: 'static>(store: &Store<S>, reference: &Rooted<ExternRef>) -> Result<Option<u32>> {
    let value = reference.data(store)?;
    Ok(value.and_then(|value| value.downcast_ref::<u32>().copied()))
}
