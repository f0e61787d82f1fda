//! Tasks of another language, or of Rust without this crate, in the same component.

use crate::encoding::Returned;
use crate::error::SpawnError;
use crate::handle::Handle;
use crate::options::Options;

/// Starts a task that was not written with this crate, by its name, with the bytes that it reads: in a component that was
/// composed of parts in several languages.
///
/// Its result and its error come back as bytes, too. What the libraries of other languages make of them says
/// [the page about guests](https://github.com/hart-exec/hart/blob/main/guest/README.md#what-the-bytes-mean): Python and
/// JavaScript take an array in JSON and return JSON. An exception is [`JoinError::Other`](crate::JoinError::Other), with its
/// text.
///
/// ```no_run
/// use hart_guest::{Options, spawn_foreign};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In Python: `@hart.task def words(text): ..`
/// let task = spawn_foreign("words", br#"["to be or not to be"]"#, &Options::new())?;
/// let counts = task.join().map_err(|error| format!("{error:?}"))?;
/// println!("{}", String::from_utf8(counts)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Task::spawn`](crate::Task::spawn). Without hart there are no such tasks, and it is [`SpawnError::NoEntry`].
pub fn spawn_foreign(
    name: &str,
    input: &[u8],
    options: &Options,
) -> Result<Handle<Vec<u8>, Vec<u8>>, SpawnError> {
    let task = spawn(name, input, options)?;
    Ok(Handle::new(task, Returned::bytes()))
}

#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
use crate::backend::spawn_named as spawn;

#[cfg(not(all(target_family = "wasm", not(feature = "sequential"))))]
fn spawn(_: &str, _: &[u8], _: &Options) -> Result<crate::backend::RawTask, SpawnError> {
    Err(SpawnError::NoEntry)
}
