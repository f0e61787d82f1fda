//! What goes over the byte contract. The crate's front page specifies it for other languages.

use std::fmt;

use crate::backend::Outcome;
use crate::error::JoinError;
use crate::task::Portable;

/// First byte of an error: what follows is the task's own error.
const OWN: u8 = 0;
/// First byte of an error: what follows is a text of this crate.
const TEXT: u8 = 1;

/// How a type is encoded: a value, so that who has one need not know that the type can be.
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

/// What is left over is an error: it means that the two sides do not agree about the types.
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
            Ok(bytes) => self
                .value
                .all(&bytes)
                .map_err(|error| JoinError::Other(format!("its result did not decode ({error})"))),
            Err(error) => Err(error.and_failed(|bytes| self.decode_error(&bytes))),
        }
    }

    fn decode_error(&self, bytes: &[u8]) -> JoinError<E> {
        match (bytes, &self.error) {
            ([OWN, own @ ..], Some(wire)) => match wire.all(own) {
                Ok(error) => JoinError::Failed(error),
                Err(error) => JoinError::Other(format!("its error did not decode ({error})")),
            },
            ([TEXT, text @ ..], _) => JoinError::Other(String::from_utf8_lossy(text).into_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Signature, fallible, plain};

    #[test]
    fn arguments_are_laid_out_one_after_the_other() {
        // The specification on the front page, in bytes.
        type Three = fn(String, u32, bool);
        let wires = (Wire::new(), Wire::new(), Wire::new());
        let bytes = [2, b'a', b'b', 0xac, 0x02, 1];
        let arguments = ("ab".to_string(), 300, true);
        assert_eq!(Three::encode(&wires, &arguments).unwrap(), bytes);
        assert_eq!(Three::decode(&wires, &bytes), Ok(arguments));
        assert_eq!(<fn()>::encode(&(), &()).unwrap(), []);
    }

    #[test]
    fn missing_and_left_over_bytes_are_refused() {
        type One = fn(u8);
        let wires = (Wire::new(),);
        assert_eq!(One::decode(&wires, &[1]), Ok(1));
        assert_eq!(
            One::decode(&wires, &[1, 2]),
            Err("1 bytes too many".to_string())
        );
        assert!(One::decode(&wires, &[]).is_err());
    }

    #[test]
    fn errors_say_whose_they_are() {
        let returned = fallible::<Result<u8, u16>>();
        assert_eq!(returned.encode(&Ok(5)), Ok(vec![5]));
        assert_eq!(returned.encode(&Err(300)), Err(vec![0, 0xac, 0x02]));
        let decode = |bytes: &[u8]| returned.decode(Err(JoinError::Failed(bytes.to_vec())));
        assert_eq!(decode(&[0, 5]), Err(JoinError::Failed(5)));
        assert_eq!(
            decode(&text_error("no")),
            Err(JoinError::Other("no".to_string()))
        );
        for wrong in [&[][..], &[0], &[0, 5, 5], &[7]] {
            assert!(
                matches!(decode(wrong), Err(JoinError::Other(_))),
                "{wrong:?}"
            );
        }
        let failed = plain::<u8>().decode(Err(JoinError::Failed(vec![0])));
        assert!(matches!(failed, Err(JoinError::Other(_))));
    }
}
