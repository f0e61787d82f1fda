//! `-H`: headers that every request has.

use crate::failure::Failure;
use hart_host::http::{HeaderMap, HeaderName, HeaderValue};

/// Reads `NAME: VALUE`, and `@FILE` with one in each line.
///
/// # Errors
/// A file that cannot be read, or what is no header.
pub(super) fn read(arguments: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for argument in arguments {
        let Some(path) = argument.strip_prefix('@') else {
            add(&mut headers, argument)?;
            continue;
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("-H @{path}: {error}; give a file of headers"))
        })?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            add(&mut headers, line)?;
        }
    }
    Ok(headers)
}

fn add(headers: &mut HeaderMap, line: &str) -> Result<(), Failure> {
    let wrong = |what| Failure::usage(format!("-H {line}: {what}; write NAME: VALUE"));
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| wrong("there is no `:`"))?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| wrong("what is before the `:` is no name of a header"))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| wrong("what is after the `:` is no value of a header"))?;
    headers.append(name, value);
    Ok(())
}
