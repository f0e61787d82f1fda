//! Statuses of responses, few enough to count each: a guest may choose any of 900.

/// Those that are told apart. Another one counts for its class.
const KNOWN: [u16; 19] = [
    200, 201, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 413, 429, 500, 503, 504,
];
/// The others, by their first digit.
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// How many there are in all.
pub(super) const COUNT: usize = KNOWN.len() + CLASSES.len();

/// Where a status is counted.
pub(super) fn place(status: u16) -> usize {
    let known = KNOWN.iter().position(|known| *known == status);
    known.unwrap_or_else(|| match usize::from(status / 100) {
        class if class < CLASSES.len() => KNOWN.len() + class,
        _ => KNOWN.len(),
    })
}

/// What is counted there.
pub(super) fn name(place: usize) -> String {
    match KNOWN.get(place) {
        Some(status) => status.to_string(),
        None => CLASSES[place - KNOWN.len()].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a guest that makes a series of its own for each status.
    #[test]
    fn statuses_are_few() {
        let names = [200, 404, 299, 418, 599, 600, 999, 0].map(|status| name(place(status)));
        let expected = ["200", "404", "2xx", "4xx", "5xx", "other", "other", "other"];
        assert_eq!(names, expected);
    }
}
