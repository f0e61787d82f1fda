//! What a dead letter holds: a job that failed, and why.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::names::{LEFT_OUT, REASON};

/// The most bytes of headers that a letter has from its job. The server takes 64 KiB, and the reason comes on top.
const MOST_HEADERS: usize = 48 << 10;

/// The letter of a job that was read. The job's headers and input take at most `room` bytes; what does not fit is left out.
pub(super) fn of_job(
    job: Option<&HeaderMap>,
    input: &Bytes,
    room: usize,
    reason: &str,
) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let (mut input, mut reason) = (input.clone(), reason.to_owned());
    let mut left_out = false;
    let mut size = job.map_or(0, size);
    if size > MOST_HEADERS.min(room) {
        reason = format!("{reason} (its headers of {size} bytes are left out here)");
        left_out = true;
        size = 0;
    } else {
        for (name, values) in job.into_iter().flat_map(HeaderMap::iter) {
            let name_of: &str = name.as_ref();
            // The server would obey those again, and might refuse the letter.
            let of_server = name_of.starts_with("Nats-");
            for value in values.iter().filter(|_| !of_server) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    if size + input.len() > room {
        let bytes = input.len();
        reason = format!("{reason} (its input of {bytes} bytes is left out here)");
        left_out = true;
        input = Bytes::new();
    }
    if left_out {
        headers.insert(LEFT_OUT, "true");
    }
    headers.insert(REASON, reason);
    (headers, input)
}

/// The headers of a letter that holds nothing of its job.
pub(super) fn of_none(reason: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(LEFT_OUT, "true");
    headers.insert(REASON, reason);
    headers
}

/// Whether a letter holds all of its job, so that the job can be submitted again.
pub(super) fn is_whole(headers: &HeaderMap) -> bool {
    headers.get(LEFT_OUT).is_none()
}

/// What headers take in a message.
fn size(headers: &HeaderMap) -> usize {
    let each = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        // A colon, a space and the end of the line.
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + 4)
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use super::super::names::ENTRY;
    use super::*;

    const ROOM: usize = 1 << 20;

    fn job(bytes: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ENTRY, "e");
        headers.insert("X", "x".repeat(bytes));
        headers
    }

    fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> &'a str {
        headers.get(name).map_or("", |value| value.as_str())
    }

    /// Hunts a letter that lacks a part of its job, or that has what the server takes for its own.
    #[test]
    fn a_letter_has_its_job() {
        let mut job = job(10);
        job.append("X", "second");
        job.insert("Nats-Expected-Stream", "HART");
        let (headers, input) = of_job(Some(&job), &Bytes::from_static(b"in"), ROOM, "why");
        assert_eq!(&input[..], b"in");
        assert_eq!(
            (text(&headers, ENTRY), text(&headers, REASON)),
            ("e", "why")
        );
        assert_eq!(headers.get_all("X").count(), 2);
        assert!(headers.get("Nats-Expected-Stream").is_none());
        assert!(is_whole(&headers));
    }

    /// Hunts a letter that the server refuses as it is too large: it is sent for ever.
    #[test]
    fn what_does_not_fit_is_left_out_and_told() {
        let input = Bytes::from_static(b"input");
        let (headers, kept) = of_job(Some(&job(MOST_HEADERS)), &input, ROOM, "why");
        assert_eq!(kept, input);
        assert!(headers.get(ENTRY).is_none() && headers.get("X").is_none());
        assert!(text(&headers, REASON).contains("its headers of"));
        assert!(!is_whole(&headers));

        let small = job(10);
        let (headers, kept) = of_job(Some(&small), &input, size(&small) + 4, "why");
        assert!(kept.is_empty());
        assert_eq!(text(&headers, ENTRY), "e");
        assert!(text(&headers, REASON).contains("its input of 5 bytes"));
        assert!(!is_whole(&headers));

        let (headers, kept) = of_job(Some(&small), &input, size(&small) + 5, "why");
        assert_eq!(kept, input);
        assert!(is_whole(&headers));
        assert!(!is_whole(&of_none("why")));
    }
}
