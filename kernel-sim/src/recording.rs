//! What workers did, read from the file that `--trace` and the flight recorder write, and its replay.

mod file;
mod program;
mod replay;

pub use file::{Recording, RecordingError};
pub use replay::{Change, Replay};
