//! How values become bytes and come back. The crate's front page specifies the encoding for other languages.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{JoinError, Outcome};

/// First byte of an error: what follows is the task's own error.
const OWN: u8 = 0;
/// First byte of an error: what follows is a text of this crate.
const TEXT: u8 = 1;
/// The same, where this crate has no task of that name: the host asks the next entry, if the component has one.
const NO_SUCH_TASK: u8 = 2;

/// What can be an argument, a result or an error of a task: an owned type that serde can serialize
/// and deserialize. Every such type implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between tasks",
    label = "not serializable and deserializable as an owned value",
    note = "arguments and results go to another instance as bytes: they need `#[derive(serde::Serialize, serde::Deserialize)]`, or the `serde` feature of the crate that they are from",
    note = "for an error such as `std::io::Error`, which cannot have that, return `hart_guest::Failure`: `?` converts every error to it"
)]
pub trait Portable: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Portable for T {}

/// How a type is encoded: a value instead of a bound, so that code that has one needs no bound.
pub struct Wire<T> {
    append: fn(&T, Vec<u8>) -> postcard::Result<Vec<u8>>,
    take: fn(&[u8]) -> postcard::Result<Taken<'_, T>>,
}

/// A value and the bytes behind it.
type Taken<'a, T> = (T, &'a [u8]);

impl<T: Portable> Wire<T> {
    pub(crate) const fn new() -> Self {
        Self {
            append: |value, bytes| postcard::to_extend(value, bytes),
            take: |bytes| postcard::take_from_bytes(bytes),
        }
    }
}

impl Wire<Vec<u8>> {
    /// Bytes as they are: all that there are.
    const fn bytes() -> Self {
        Self {
            append: |value, mut bytes| {
                bytes.extend_from_slice(value);
                Ok(bytes)
            },
            take: |bytes| Ok((bytes.to_vec(), &[])),
        }
    }
}

impl<T> Wire<T> {
    /// Puts `value` behind `bytes`.
    pub(crate) fn append(&self, value: &T, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        (self.append)(value, bytes).map_err(|error| error.to_string())
    }

    /// Takes a value from the front of `bytes`.
    pub(crate) fn take<'a>(&self, bytes: &'a [u8]) -> Result<Taken<'a, T>, String> {
        (self.take)(bytes).map_err(|error| error.to_string())
    }

    /// Decodes all of `bytes`.
    fn all(&self, bytes: &[u8]) -> Result<T, String> {
        let (value, rest) = self.take(bytes)?;
        end(rest)?;
        Ok(value)
    }
}

/// Bytes that are left over are an error: the two sides do not agree about the types.
pub(crate) fn end(rest: &[u8]) -> Result<(), String> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("{} bytes too many", rest.len()))
    }
}

impl<T> Clone for Wire<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Wire<T> {}

/// How what a task returns is encoded. A task that cannot fail has no `error`.
pub struct Returned<T, E> {
    pub(crate) value: Wire<T>,
    pub(crate) error: Option<Wire<E>>,
}

impl<T, E> Clone for Returned<T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E> Copy for Returned<T, E> {}

impl Returned<Vec<u8>, Vec<u8>> {
    /// For tasks whose encoding is not known here.
    pub(crate) const fn bytes() -> Self {
        Self {
            value: Wire::bytes(),
            error: Some(Wire::bytes()),
        }
    }
}

impl<T, E> Returned<T, E> {
    /// What the task's instance does with what the task returned.
    pub(crate) fn encode(&self, returned: &Result<T, E>) -> Result<Vec<u8>, Vec<u8>> {
        let not_encoded = |what: &str, error: &dyn fmt::Display| {
            text_error(&format!("its {what} could not be encoded ({error})"))
        };
        match (returned, &self.error) {
            (Ok(value), _) => {
                let bytes = self.value.append(value, Vec::new());
                bytes.map_err(|error| not_encoded("result", &error))
            }
            (Err(own), Some(wire)) => Err(wire
                .append(own, vec![OWN])
                .unwrap_or_else(|error| not_encoded("error", &error))),
            (Err(_), None) => unreachable!("it cannot fail"),
        }
    }

    /// What the joiner does with what it got.
    pub(crate) fn decode(&self, outcome: Outcome) -> Result<T, JoinError<E>> {
        match outcome {
            Ok(bytes) => self.value.all(&bytes).map_err(|error| {
                JoinError::Other(match bytes.is_empty() {
                    // A value that is no bytes would have decoded.
                    true => "the task called exit(0) and returned no value".to_string(),
                    false => format!("its result did not decode ({error})"),
                })
            }),
            Err(error) => Err(error.and_failed(|bytes| self.decode_error(&bytes))),
        }
    }

    fn decode_error(&self, bytes: &[u8]) -> JoinError<E> {
        match (bytes, &self.error) {
            ([OWN, own @ ..], Some(wire)) => match wire.all(own) {
                Ok(error) => JoinError::Failed(error),
                Err(error) => JoinError::Other(format!("its error did not decode ({error})")),
            },
            ([TEXT | NO_SUCH_TASK, text @ ..], _) => {
                JoinError::Other(String::from_utf8_lossy(text).into_owned())
            }
            _ => JoinError::Other(
                "its error is not in the encoding of hart-guest; was the task written without it?"
                    .to_string(),
            ),
        }
    }
}

/// The bytes of an error of this crate.
pub(crate) fn text_error(text: &str) -> Vec<u8> {
    [&[TEXT], text.as_bytes()].concat()
}

/// The same, for the name of a task that is not there.
#[cfg(any(test, all(target_family = "wasm", not(feature = "sequential"))))]
pub(crate) fn no_such_task(text: &str) -> Vec<u8> {
    [&[NO_SUCH_TASK], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned<T: Portable, E: Portable>() -> Returned<T, E> {
        Returned {
            value: Wire::new(),
            error: Some(Wire::new()),
        }
    }

    #[test]
    fn bytes_stay_as_they_are() {
        let bytes = Returned::bytes();
        for sent in [vec![], vec![0], vec![1, 2, 3]] {
            assert_eq!(bytes.encode(&Ok(sent.clone())), Ok(sent.clone()));
            assert_eq!(bytes.decode(Ok(sent.clone())), Ok(sent.clone()));
            let error = bytes.encode(&Err(sent.clone())).unwrap_err();
            assert_eq!(
                bytes.decode(Err(JoinError::Failed(error))),
                Err(JoinError::Failed(sent))
            );
        }
        let text = bytes.decode(Err(JoinError::Failed(text_error("no"))));
        assert_eq!(text, Err(JoinError::Other("no".to_string())));
    }

    #[test]
    fn errors_say_whose_they_are() {
        let returned = returned::<u8, u16>();
        assert_eq!(returned.encode(&Ok(5)), Ok(vec![5]));
        assert_eq!(returned.encode(&Err(300)), Err(vec![0, 0xac, 0x02]));
        let decode = |bytes: &[u8]| returned.decode(Err(JoinError::Failed(bytes.to_vec())));
        assert_eq!(decode(&[0, 5]), Err(JoinError::Failed(5)));
        assert_eq!(
            decode(&text_error("no")),
            Err(JoinError::Other("no".to_string()))
        );
        assert_eq!(
            decode(&no_such_task("none")),
            Err(JoinError::Other("none".to_string()))
        );
        for wrong in [&[][..], &[0], &[0, 5, 5], &[7]] {
            assert!(
                matches!(decode(wrong), Err(JoinError::Other(_))),
                "{wrong:?}"
            );
        }
        let cannot_fail = Returned::<u8, u16> {
            value: Wire::new(),
            error: None,
        };
        let failed = cannot_fail.decode(Err(JoinError::Failed(vec![0])));
        assert!(matches!(failed, Err(JoinError::Other(_))));
    }
}
