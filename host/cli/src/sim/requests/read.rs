//! A file of requests.

use crate::failure::Failure;
use crate::units;
use hart_host::http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use hart_sim::{Rate, Request, Requests};
use std::path::Path;
use std::str::SplitAsciiWhitespace;
use std::time::Duration;

/// The most requests of a file: each is kept until the end, for what is said of it.
const MOST: u64 = 100_000;

/// What is wrong with a file.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    /// None: with all of it.
    line: Option<usize>,
    text: String,
}

impl Problem {
    pub(super) fn of(&self, file: &Path) -> Failure {
        let file = file.display();
        Failure::usage(match self.line {
            Some(line) => format!("{file}:{line}: {}", self.text),
            None => format!("{file}: {}", self.text),
        })
    }
}

/// Reads it, up to the first line that is wrong.
pub(super) fn requests(bytes: &[u8]) -> Result<Requests, Problem> {
    let mut requests = Requests::new();
    for (before, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let problem = |text| Problem {
            line: Some(before + 1),
            text,
        };
        let line = std::str::from_utf8(line)
            .map_err(|_| problem(String::from("this is no text in UTF-8")))?;
        let mut words = Words::new(line);
        let Some(first) = words.next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        requests = words.line(first, requests).map_err(problem)?;
        if requests.expected() > MOST {
            let text = format!("with this line there are more than {MOST} requests");
            return Err(problem(text));
        }
    }
    if requests.expected() == 0 {
        return Err(Problem {
            line: None,
            text: String::from("there is no request in it; write one as `at 0ms GET /`"),
        });
    }
    Ok(requests)
}

/// The words of a line, from left to right.
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        Self(line.split_ascii_whitespace())
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// The next one, which has to be there.
    fn after(&mut self, word: &str, example: &str) -> Result<&'a str, String> {
        self.next()
            .ok_or_else(|| format!("after `{word}` comes more; write it as `{word} {example}`"))
    }

    fn line(&mut self, first: &str, requests: Requests) -> Result<Requests, String> {
        match first {
            "at" => {
                let time = units::duration(self.after("at", "1.5ms GET /")?)?;
                let method = self.method()?;
                Ok(requests.at(time, self.request(method)?))
            }
            "rate" => {
                let rate = self.after("rate", "1000/s for 100ms GET /")?;
                let rate = rate_of(rate, "1000/s", units::count)?;
                let (mut from, mut length) = (Duration::ZERO, None);
                let method = loop {
                    match self.next() {
                        Some("from") => from = units::duration(self.after("from", "10ms")?)?,
                        Some("for") => {
                            length = Some(units::positive_duration(self.after("for", "100ms")?)?);
                        }
                        other => break method(other)?,
                    }
                };
                let length = length
                    .ok_or("how long do they come? write it as `rate 1000/s for 100ms GET /`")?;
                Ok(requests.random(rate, from, length, self.request(method)?))
            }
            "latency" => {
                let range = self.after("latency", "1ms..5ms")?;
                let (shortest, longest) = range.split_once("..").unwrap_or((range, range));
                let (shortest, longest) = (units::duration(shortest)?, units::duration(longest)?);
                match self.next() {
                    None if shortest <= longest => Ok(requests.latency(shortest, longest)),
                    _ => Err(format!("`latency {range}`: write it as `latency 1ms..5ms`")),
                }
            }
            other => Err(format!(
                "`{other}` begins no request; write one as `at 1.5ms GET /` or `rate 1000/s for 100ms GET /`"
            )),
        }
    }

    fn method(&mut self) -> Result<Method, String> {
        method(self.next())
    }

    /// From the path to the end of the line.
    fn request(&mut self, method: Method) -> Result<Request, String> {
        let path = self.after(method.as_str(), "/path")?;
        let target = path
            .parse::<PathAndQuery>()
            .ok()
            .filter(|_| path.starts_with('/'))
            .ok_or_else(|| format!("`{path}` is no path; write one like /hello?name=a"))?;
        let mut request = Request::new(method, target);
        let mut body_before = false;
        while let Some(word) = self.next() {
            let follows_body = std::mem::take(&mut body_before);
            request = match word {
                "header" => {
                    let (name, value) = header(self.after("header", "x-id=7")?)?;
                    request.header(name, value)
                }
                "body" => {
                    body_before = true;
                    request.body(units::size(self.after("body", "64KiB")?)?)
                }
                "at" if follows_body => request.body_rate(self.bytes("at")?),
                "reads" => request.read_rate(self.bytes("reads")?),
                "leaves" => match self.after("leaves", "after 3ms")? {
                    "after" => {
                        let patience = self.after("leaves after", "3ms")?;
                        request.leaves(units::duration(patience)?)
                    }
                    other => {
                        return Err(format!("`leaves {other}`: write it as `leaves after 3ms`"));
                    }
                },
                other => {
                    return Err(format!(
                        "`{other}` says nothing of a request; after its path come `header NAME=VALUE`, `body SIZE`, `body SIZE at SIZE/s`, `reads SIZE/s` or `leaves after TIME`"
                    ));
                }
            };
        }
        Ok(request)
    }

    fn bytes(&mut self, before: &str) -> Result<Rate, String> {
        let word = self.after(before, "10KiB/s")?;
        rate_of(word, "10KiB/s", units::size)
    }
}

fn method(word: Option<&str>) -> Result<Method, String> {
    let word = word.ok_or("a method and a path come next, like `GET /hello`")?;
    let is_usual = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    word.parse()
        .ok()
        .filter(|_| is_usual)
        .ok_or_else(|| format!("`{word}` is no method; write one like GET"))
}

fn header(word: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("`{word}` is no header; write one like x-id=7, without blanks");
    let (name, value) = word.split_once('=').ok_or_else(wrong)?;
    let name = name.parse().map_err(|_| wrong())?;
    let value = value.parse().map_err(|_| wrong())?;
    Ok((name, value))
}

/// `AMOUNT/UNIT`, such as `1000/s` or `64KiB/ms`.
fn rate_of(
    word: &str,
    example: &str,
    amount: impl Fn(&str) -> Result<u64, String>,
) -> Result<Rate, String> {
    let wrong = || format!("`{word}` is no rate; write one like {example}, above zero");
    let (count, unit) = word.split_once('/').ok_or_else(wrong)?;
    let count = amount(count).map_err(|_| wrong())?;
    let is_unit = unit.chars().all(char::is_alphabetic);
    let time = units::duration(&format!("1{unit}")).map_err(|_| wrong())?;
    match count {
        1.. if is_unit => Ok(Rate::new(count, time)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (Option<usize>, String) {
        let problem = requests(text.as_bytes()).unwrap_err();
        (problem.line, problem.text)
    }

    // Hunts lines that mean something else than they say, and comments that are read.
    #[test]
    fn lines_are_read() {
        let text = "# a comment\n\n\tat 1ms GET /a?b=c header x=1 header y= body 1KiB at 1B/ms\r\n\
            rate 10/s for 1s from 1ms GET / reads 1/h leaves after 2ms\n";
        let requests = requests(text.as_bytes()).unwrap();
        assert_eq!(requests.expected(), 11);
        let shown = format!("{requests:?}");
        for part in [
            "/a?b=c",
            "body: 1024",
            "count: 1, nanoseconds: 1000000",
            "leaves: Some(2000000)",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    // Hunts problems of another line, and lines that are wrong and are taken.
    #[test]
    fn problems_name_their_line() {
        for (text, line, says) in [
            ("", None, "no request"),
            ("# nothing\n", None, "no request"),
            ("rate 1/h for 1s GET /\n", None, "no request"),
            ("at 0ms GET /\nat 1 GET /", Some(2), "`1` is not a duration"),
            ("at", Some(1), "after `at`"),
            ("at 1ms", Some(1), "method"),
            ("at 1ms get /", Some(1), "`get` is no method"),
            ("at 1ms GET", Some(1), "after `GET`"),
            ("at 1ms GET hello", Some(1), "`hello` is no path"),
            ("at 1ms GET /a<b>", Some(1), "is no path"),
            ("at 1ms GET / body", Some(1), "after `body`"),
            ("at 1ms GET / body -1", Some(1), "`-1` is not a size"),
            ("at 1ms GET / at 1/s", Some(1), "`at` says nothing"),
            (
                "at 1ms GET / body 1 header a=b at 1/s",
                Some(1),
                "`at` says nothing",
            ),
            ("at 1ms GET / reads 0/s", Some(1), "`0/s` is no rate"),
            ("at 1ms GET / reads 1/2s", Some(1), "`1/2s` is no rate"),
            ("at 1ms GET / reads 1", Some(1), "`1` is no rate"),
            ("at 1ms GET / header a", Some(1), "`a` is no header"),
            ("at 1ms GET / header =a", Some(1), "is no header"),
            ("at 1ms GET / leaves 3ms", Some(1), "leaves after 3ms"),
            ("at 1ms GET / soon", Some(1), "`soon` says nothing"),
            ("rate 5/s GET /", Some(1), "how long"),
            ("rate 5 for 1s GET /", Some(1), "`5` is no rate"),
            ("rate 5/s for 0s GET /", Some(1), "zero"),
            ("\nrate 1000/ms for 1s GET /", Some(2), "more than 100000"),
            ("GET /", Some(1), "`GET` begins no request"),
            ("latency", Some(1), "after `latency`"),
            ("latency 1", Some(1), "`1` is not a duration"),
            ("latency 2ms..1ms", Some(1), "latency 1ms..5ms"),
            ("latency 1ms at", Some(1), "latency 1ms..5ms"),
            ("latency 1ms", None, "no request"),
        ] {
            let (at, text_of) = problem(text);
            assert_eq!(at, line, "{text}");
            assert!(text_of.contains(says), "{text}: {text_of}");
        }
        assert!(requests(b"at 0ms GET /\xff").is_err());
        assert!(requests(b"\xff").is_err());
    }
}
