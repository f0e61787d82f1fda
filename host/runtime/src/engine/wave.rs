//! Which export a name means, and calls written in WAVE.
//!
//! The full name of a function in an interface is `a:b/one@1.2.0#f`, and `outer#inner#f` where instances nest. A name
//! may be shorter as long as it means one function: without the version, without the package, without the interface;
//! with `.` or `/` in place of `#`; with the version at the end, as wasmtime has it (`a:b/one.f@1.2.0`); with the `%`
//! of WIT before a word; and without the `[static]` of a resource's function.

use wasmtime::component::{Type, Val, wasm_wave};

use crate::base::text;
use crate::engine::component::Function;
use crate::engine::error::CallError;

/// Reads `f(1, "x")` against the functions that a component exports.
pub(crate) fn parse(functions: &[Function], wave: &str) -> Result<(String, Vec<Val>), CallError> {
    let syntax = |error: &dyn std::fmt::Display| CallError::Syntax(text::line(&error.to_string()));
    let name = wave.split('(').next().unwrap_or_default();
    if name.trim().is_empty() {
        return Err(syntax(&"it begins with no function's name"));
    }
    // Fewer names can be read as WAVE than a component may export; a stand-in of the same length keeps the places that
    // errors tell.
    let readable = "f".repeat(name.len()) + &wave[name.len()..];
    let call =
        wasm_wave::untyped::UntypedFuncCall::parse(&readable).map_err(|error| syntax(&error))?;
    let function = find(functions, name.trim())?;
    if !function.is_plain() {
        return Err(CallError::Arguments(format!(
            "`{}` takes or returns a handle, which cannot be written down",
            text::line(&function.name)
        )));
    }
    let types: Vec<Type> = function.ty.params().map(|(_, ty)| ty).collect();
    let args = call
        .to_wasm_params::<Val>(types.iter())
        .map_err(|error| CallError::Arguments(text::line(&error.to_string())))?;
    Ok((function.name.clone(), args))
}

/// The one of `functions` that `name` means: the one of which it leaves out least.
pub(crate) fn find<'a>(functions: &'a [Function], name: &str) -> Result<&'a Function, CallError> {
    let asked = name.replace('%', "");
    let matching: Vec<(u32, &Function)> = functions
        .iter()
        .filter_map(|function| Some((left_out(&function.name, &asked)?, function)))
        .collect();
    let least = matching.iter().map(|(left_out, _)| *left_out).min();
    let mut best = matching
        .iter()
        .filter(|(left_out, _)| Some(*left_out) == least)
        .map(|(_, function)| *function);
    match (best.next(), best.next()) {
        (Some(function), None) => Ok(function),
        (Some(first), Some(second)) => Err(CallError::Ambiguous {
            name: text::line(name),
            exports: names([first, second].into_iter().chain(best)),
        }),
        (None, _) => Err(CallError::NoExport {
            name: text::line(name),
            exports: names(functions.iter().filter(|function| function.is_plain())),
        }),
    }
}

fn names<'a>(functions: impl Iterator<Item = &'a Function>) -> Vec<String> {
    functions
        .map(|function| text::line(&function.name))
        .collect()
}

/// How much `asked` leaves out of `full`, a full name; `None` if it does not mean that one.
fn left_out(full: &str, asked: &str) -> Option<u32> {
    let Some((instance, rest)) = full.split_once('#') else {
        // `[method]r.m`, `[static]r.m`, `[constructor]r`
        let bare = full.split_once(']').map(|(_, bare)| bare);
        return match asked {
            _ if asked == full => Some(0),
            _ if Some(asked) == bare => Some(1),
            _ => None,
        };
    };
    let (name, version) = match instance.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (instance, None),
    };
    let interface = name.rsplit_once('/').map(|(_, interface)| (interface, 1));
    // Without the instance less is said than by any of the names below.
    let mut least = left_out(rest, asked).map(|rest| rest.max(3));
    for (head, shortened) in [(name, 0)].into_iter().chain(interface) {
        let Some(tail) = asked.strip_prefix(head) else {
            continue;
        };
        let first = version.and_then(|version| tail.strip_prefix('@')?.strip_prefix(version));
        let last = version.and_then(|version| tail.strip_suffix(version)?.strip_suffix('@'));
        let none = u32::from(version.is_some());
        for (tail, missing) in [(first, 0), (last, 0), (Some(tail), none)] {
            let below = tail
                .and_then(|tail| tail.strip_prefix(['#', '.', '/']))
                .and_then(|tail| left_out(rest, tail));
            if let Some(below) = below {
                let all = below + shortened + missing;
                least = Some(least.map_or(all, |least| least.min(all)));
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: a listed name that means nothing, and a short one that means a function of which more was left out than
    /// of another.
    #[test]
    fn names_may_be_shorter() {
        let full = "a:b/one@1.2.0#f";
        for (asked, expected) in [
            ("a:b/one@1.2.0#f", Some(0)),
            ("a:b/one@1.2.0.f", Some(0)),
            ("a:b/one@1.2.0/f", Some(0)),
            ("a:b/one.f@1.2.0", Some(0)),
            ("a:b/one#f", Some(1)),
            ("a:b/one.f", Some(1)),
            ("one@1.2.0.f", Some(1)),
            ("one.f", Some(2)),
            ("f", Some(3)),
            ("b/one.f", None),
            ("a:b/one@1.2.1.f", None),
            ("a:b/one", None),
            ("two.f", None),
            ("", None),
        ] {
            assert_eq!(left_out(full, asked), expected, "{asked}");
        }
        assert_eq!(left_out("f", "f"), Some(0));
        assert_eq!(left_out("[static]r.make", "r.make"), Some(1));
        assert_eq!(
            left_out("o#i#[static]r.make", "o.i.[static]r.make"),
            Some(0)
        );
        assert_eq!(left_out("o#i#f", "i.f"), Some(3));
        assert_eq!(left_out("o#i#f", "o.f"), Some(3));
    }
}
