//! Requests that clients send: what, how, and when.

use crate::random::stream;
use hart_host::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, HOST},
    uri::PathAndQuery,
};
use std::time::Duration;

/// So many in so much time, such as bytes in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    nanoseconds: u64,
}

/// A request, and how its client behaves.
///
/// # Examples
///
/// ```
/// use hart_sim::{Rate, Request};
/// use std::time::Duration;
///
/// // A client on a slow line, which gives up.
/// let request = Request::new("POST".parse()?, "/echo".parse()?)
///     .body(10_000)
///     .body_rate(Rate::new(1_000, Duration::from_millis(1)))
///     .leaves(Duration::from_millis(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    headers: HeaderMap,
    pub(super) body: u64,
    pub(super) body_rate: Option<Rate>,
    pub(super) read_rate: Option<Rate>,
    pub(super) leaves: Option<u64>,
}

/// Requests, and when they are sent.
///
/// # Examples
///
/// ```
/// use hart_sim::{Rate, Request, Requests};
/// use std::time::Duration;
///
/// let hello = Request::new("GET".parse()?, "/hello".parse()?);
/// let second = Duration::from_secs(1);
/// let requests = Requests::new()
///     .at(Duration::from_millis(3), hello.clone())
///     .random(Rate::new(1_000, second), Duration::ZERO, second, hello);
/// assert_eq!(requests.expected(), 1_001);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "requests do nothing until they are sent"]
pub struct Requests {
    lines: Vec<(When, Request)>,
    /// The shortest and the longest way between a client and the service, nanoseconds.
    latency: (u64, u64),
}

/// A request of a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn<'a> {
    /// When it is sent.
    pub(super) time: u64,
    /// How long it takes to the service, and the answer back.
    pub(super) latency: u64,
    pub(super) request: &'a Request,
}

#[derive(Clone, Copy, Debug)]
enum When {
    At(u64),
    Random { rate: Rate, from: u64, length: u64 },
}

// === impl Rate ===

impl Rate {
    /// `count` in `time`; at least one, in at least a nanosecond.
    pub fn new(count: u64, time: Duration) -> Self {
        Self {
            count: count.max(1),
            nanoseconds: nanoseconds(time).max(1),
        }
    }

    /// Nanoseconds that so many take.
    pub(super) fn time_for(self, count: u64) -> u64 {
        self.time_for_parts(count, 1)
    }

    /// The same for `count / parts`.
    fn time_for_parts(self, count: u64, parts: u64) -> u64 {
        let time = u128::from(count) * u128::from(self.nanoseconds);
        let time = time / (u128::from(self.count) * u128::from(parts));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How many there are in so many nanoseconds.
    pub(super) fn count_in(self, nanoseconds: u64) -> u64 {
        let count = u128::from(nanoseconds) * u128::from(self.count) / u128::from(self.nanoseconds);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Request ===

impl Request {
    /// A request without a body, whose client takes the answer as fast as it comes.
    pub fn new(method: Method, target: PathAndQuery) -> Self {
        Self {
            method,
            target,
            headers: HeaderMap::new(),
            body: 0,
            body_rate: None,
            read_rate: None,
            leaves: None,
        }
    }

    /// Adds a header. `Host` and `Content-Length` are there without it.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Gives it a body of so many bytes: the letters from a to z, again and again.
    pub fn body(mut self, bytes: u64) -> Self {
        self.body = bytes;
        self
    }

    /// How fast the client sends the body. Default: at once.
    pub fn body_rate(mut self, bytes: Rate) -> Self {
        self.body_rate = Some(bytes);
        self
    }

    /// How fast the client reads the answer's body. Default: at once.
    pub fn read_rate(mut self, bytes: Rate) -> Self {
        self.read_rate = Some(bytes);
        self
    }

    /// The client leaves so long after it has begun, unless it has its answer.
    pub fn leaves(mut self, after: Duration) -> Self {
        self.leaves = Some(nanoseconds(after));
        self
    }

    /// What a server would read of it.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if !headers.contains_key(HOST) {
            headers.insert(HOST, HeaderValue::from_static("localhost"));
        }
        if self.body > 0 && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(CONTENT_LENGTH, self.body.into());
        }
        headers
    }
}

// === impl Requests ===

impl Requests {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, sent at this time.
    pub fn at(mut self, time: Duration, request: Request) -> Self {
        self.lines.push((When::At(nanoseconds(time)), request));
        self
    }

    /// Adds as many as come at this rate, from a time on for so long. When each of them comes is drawn from the seed: like
    /// calls of people who know nothing of each other.
    pub fn random(
        mut self,
        rate: Rate,
        from: Duration,
        length: Duration,
        request: Request,
    ) -> Self {
        let (from, length) = (nanoseconds(from), nanoseconds(length));
        self.lines
            .push((When::Random { rate, from, length }, request));
        self
    }

    /// How far away clients are: each request takes so long to the service, and so does the answer on its way back. It is
    /// drawn from the seed for each of them, between the two. A client that leaves is missed at once. Default: no time.
    pub fn latency(mut self, shortest: Duration, longest: Duration) -> Self {
        let shortest = nanoseconds(shortest);
        self.latency = (shortest, nanoseconds(longest).max(shortest));
        self
    }

    /// How many there are, on the average over all seeds.
    pub fn expected(&self) -> u64 {
        let counts = self.lines.iter().map(|(when, _)| match when {
            When::At(_) => 1,
            When::Random { rate, length, .. } => rate.count_in(*length),
        });
        counts.fold(0, u64::saturating_add)
    }

    /// Those of a seed, in order.
    pub(super) fn draw(&self, seed: u64) -> Vec<Drawn<'_>> {
        let mut drawn = Vec::new();
        for (line, (when, request)) in self.lines.iter().enumerate() {
            match *when {
                When::At(time) => drawn.push((time, request)),
                When::Random { rate, from, length } => {
                    let mut rng = stream(seed, (3 << 32) + line as u64);
                    let mut time = 0_u64;
                    loop {
                        // A millionth of the average is fine enough.
                        let pause = -(1.0 - rng.f64()).ln() * 1e6;
                        time = time.saturating_add(rate.time_for_parts(pause as u64, 1_000_000));
                        if time >= length {
                            break;
                        }
                        drawn.push((from.saturating_add(time), request));
                    }
                }
            }
        }
        // Stable: those of the same time come in the order of the lines.
        drawn.sort_by_key(|(time, _)| *time);
        let mut rng = stream(seed, 4 << 32);
        let (shortest, longest) = self.latency;
        let drawn = drawn.into_iter().map(|(time, request)| Drawn {
            time,
            latency: rng.u64(shortest..=longest),
            request,
        });
        drawn.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn request() -> Request {
        Request::new(Method::GET, PathAndQuery::from_static("/"))
    }

    // Hunts times that come from elsewhere than the seed, that lie outside of their span, or that are too many or too few.
    #[test]
    fn times_are_drawn_from_the_seed() {
        let requests = Requests::new()
            .random(Rate::new(5_000, SECOND), SECOND, SECOND, request())
            .at(SECOND * 2, request());
        assert_eq!(requests.expected(), 5_001);
        let times = |seed| {
            let drawn = requests.draw(seed).into_iter();
            drawn.map(|drawn| drawn.time).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
        for seed in 0..20 {
            let times = times(seed);
            assert!((4_600..5_400).contains(&times.len()), "{}", times.len());
            assert!(times.is_sorted());
            assert_eq!(times.last(), Some(&2_000_000_000));
            assert!(times[0] >= 1_000_000_000);
        }
    }

    // Hunts distances that are the same for all, that come from elsewhere than the seed, or that lie outside of their range.
    #[test]
    fn distances_are_drawn_from_the_seed() {
        let requests = Requests::new().random(Rate::new(100, SECOND), SECOND, SECOND, request());
        let far = requests
            .clone()
            .latency(Duration::from_nanos(10), Duration::from_nanos(1_000));
        let latencies = |requests: &Requests, seed| {
            let drawn = requests.draw(seed).into_iter();
            drawn.map(|drawn| drawn.latency).collect::<Vec<_>>()
        };
        assert!(latencies(&requests, 1).iter().all(|latency| *latency == 0));
        let drawn = latencies(&far, 1);
        assert_eq!(drawn, latencies(&far, 1));
        assert_ne!(drawn, latencies(&far, 2));
        assert!(drawn.iter().all(|latency| (10..=1_000).contains(latency)));
        assert!(drawn.iter().any(|latency| *latency != drawn[0]));
        // When they are sent is as it was.
        let times = |requests: &Requests| {
            let drawn = requests.draw(1).into_iter();
            drawn.map(|drawn| drawn.time).collect::<Vec<_>>()
        };
        assert_eq!(times(&requests), times(&far));
    }

    // Hunts rates whose arithmetic overflows, or that stand still.
    #[test]
    fn rates_are_exact() {
        let rate = Rate::new(10_000, Duration::from_millis(1));
        assert_eq!(rate.time_for(1), 100);
        assert_eq!(rate.count_in(250), 2);
        let slow = Rate::new(1, SECOND * 3_600);
        assert_eq!(slow.time_for(2), 7_200_000_000_000);
        assert_eq!(slow.count_in(1_000_000), 0);
        assert_eq!(slow.time_for(u64::MAX), u64::MAX);
        assert_eq!(Rate::new(0, Duration::ZERO).time_for(7), 7);
    }
}
