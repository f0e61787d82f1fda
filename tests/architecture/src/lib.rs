//! Reads the sources of a workspace, builds the graph of who imports whom, and checks it against three rules.
//!
//! 1. No circle: no file imports itself by way of others.
//! 2. No forbidden arrow: a room (a folder, or a file that stands alone) uses only what the table of the architecture
//!    page allows it.
//! 3. No file is too long.
//!
//! # What counts as an import
//!
//! A `use` line, and a path such as `crate::a::b`, `super::b` or `a::b`, in code, in an attribute or in a macro's arguments.
//! Each counts as an import of the file that *defines* the name: re-exports are followed. A `mod` line shapes the tree of
//! modules and imports nothing by itself. A file that only declares modules and re-exports imports nothing. Code under
//! `#[cfg(test)]` is not read.
//!
//! Calls of methods are not seen: `value.method()` names no file.

mod graph;
mod modules;
mod page;
mod paths;
mod rules;
mod source;

pub use graph::{Arrow, Graph};
pub use page::{Page, Room, Table};
pub use rules::{Rules, check};
pub use source::{Package, workspace};
