//! What goes over the byte contract. The crate's front page specifies it for other languages.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// First byte of an error: what follows is the task's own error.
const OWN: u8 = 0;
/// First byte of an error: what follows is a text of this crate.
const TEXT: u8 = 1;

/// What an error's bytes mean.
pub(crate) enum Failed<'a> {
    Own(&'a [u8]),
    Text(String),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> postcard::Result<Vec<u8>> {
    postcard::to_stdvec(value)
}

/// Decodes all of `bytes`: what is left over is an error too, for it means that the two sides do
/// not agree about the type.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> postcard::Result<T> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, _) => Err(postcard::Error::SerdeDeCustom),
    }
}

pub(crate) fn encode_own_error<E: Serialize>(error: &E) -> postcard::Result<Vec<u8>> {
    postcard::to_extend(error, vec![OWN])
}

pub(crate) fn text_error(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + text.len());
    bytes.push(TEXT);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn split_error(bytes: &[u8]) -> Failed<'_> {
    match bytes {
        [OWN, own @ ..] => Failed::Own(own),
        [TEXT, text @ ..] => Failed::Text(String::from_utf8_lossy(text).into_owned()),
        _ => Failed::Text(
            "the task's error is not in the encoding of this crate; was it written without it?"
                .to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_laid_out_one_after_the_other() {
        // The specification on the front page: a tuple adds nothing of its own.
        assert_eq!(
            encode(&("ab".to_string(), 300_u32, true)).unwrap(),
            [2, b'a', b'b', 0xac, 0x02, 1]
        );
        assert_eq!(encode(&7_u8).unwrap(), encode(&(7_u8,)).unwrap());
        assert_eq!(encode(&()).unwrap(), []);
    }

    #[test]
    fn left_over_bytes_are_refused() {
        assert_eq!(decode::<u8>(&[1]), Ok(1));
        assert!(decode::<u8>(&[1, 2]).is_err());
        assert!(decode::<u8>(&[]).is_err());
    }

    #[test]
    fn errors_say_whose_they_are() {
        assert_eq!(encode_own_error(&5_u8).unwrap(), [0, 5]);
        assert!(matches!(split_error(&[0, 5]), Failed::Own([5])));
        assert!(matches!(split_error(&text_error("no")), Failed::Text(text) if text == "no"));
        assert!(matches!(split_error(&[]), Failed::Text(_)));
    }
}
