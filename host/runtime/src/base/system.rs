//! What the system says in its files.

use std::io::Read as _;

/// Reads one of them whole. They have no length that could be asked for, so there is room for most of them at once.
pub(crate) fn read(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(16 << 10);
    let mut file = std::fs::File::open(file).ok()?;
    file.read_to_end(&mut bytes).ok()?;
    // Paths in there may be in any encoding.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
