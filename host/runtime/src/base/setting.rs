//! What a host chose for itself, each with the reason.

use std::fmt;

/// A choice that a host made, or was told. From [`Host::settings`](crate::Host::settings).
///
/// The names are stable; values and reasons are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// What was chosen, such as `instances`.
    pub name: &'static str,
    /// How.
    pub value: String,
    /// Why.
    pub reason: String,
}

impl Setting {
    pub(crate) fn new(
        name: &'static str,
        value: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            name,
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.name, self.value, self.reason)
    }
}

/// Bytes for people: in the largest unit that gives a whole number.
pub(crate) fn size(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    units
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || format!("{bytes} bytes"),
            |(unit, name)| format!("{} {name}", bytes / unit),
        )
}
