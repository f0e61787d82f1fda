//! Does what it is told with `wasi:config` and `wasi:keyvalue`: `--invoke 'do(["set a 1", "get a"])'`, or by HTTP
//! `/set/a/1`. What it can be told is in [`told`].
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unsafe_code, reason = "most of it is generated")]

use hart_guest::{Failure, Options, Rights, task};
use wasi::config::store as config;
use wasi::keyvalue::store::{Bucket, Error, open};
use wasi::keyvalue::{atomics, batch};
use wasip2::exports::http::incoming_handler::Guest as Handler;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package hart:store-lab;

        world lab {
            import wasi:config/store@0.2.0-rc.1;
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
            export do: func(what: list<string>) -> list<string>;
        }

        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }

        package wasi:keyvalue@0.2.0-draft {
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<u64> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                }
            }
            interface atomics {
                use store.{bucket, error};
                increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;
            }
            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<option<tuple<string, list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
        }
    ",
    generate_all,
});

fn text(value: Option<Vec<u8>>) -> String {
    let text = |bytes| String::from_utf8(bytes).unwrap_or_else(|_| "not UTF-8".into());
    value.map_or_else(|| "none".into(), text)
}

/// What comes of it, or the error.
fn told(words: &[&str]) -> String {
    with_config(words).unwrap_or_else(|| stored(words).unwrap_or_else(|error| format!("{error:?}")))
}

fn with_config(words: &[&str]) -> Option<String> {
    Some(match *words {
        ["config", key] => match config::get(key) {
            Ok(value) => value.unwrap_or_else(|| "none".into()),
            Err(error) => format!("{error:?}"),
        },
        ["config"] => {
            let mut all = config::get_all().unwrap_or_default();
            all.sort();
            let all = all.iter().map(|(key, value)| format!("{key}={value}"));
            all.collect::<Vec<_>>().join(",")
        }
        // A task does it, without the right to files, to write, or to the environment, or with all.
        ["task", denied, ref what @ ..] => {
            let right = match denied {
                "filesystem" => Some(Rights::FILESYSTEM),
                "filesystem-write" => Some(Rights::FILESYSTEM_WRITE),
                "environment" => Some(Rights::ENVIRONMENT),
                _ => None,
            };
            let options = right.map_or_else(Options::new, |right| Options::new().deny(right));
            let joined = in_task.spawn_with(what.join(" "), &options);
            let joined = joined.map(|handle| handle.join());
            match joined {
                Ok(Ok(said)) => said,
                other => format!("{other:?}"),
            }
        }
        _ => return None,
    })
}

fn stored(words: &[&str]) -> Result<String, Error> {
    if let ["open", name] = *words {
        return open(name).map(|_| "opened".into());
    }
    let bucket = open("")?;
    Ok(match *words {
        ["get", key] => text(bucket.get(key)?),
        ["set", key, value] => {
            bucket.set(key, value.as_bytes())?;
            "set".into()
        }
        ["delete", key] => {
            bucket.delete(key)?;
            "deleted".into()
        }
        ["exists", key] => bucket.exists(key)?.to_string(),
        ["increment", key, by] => {
            atomics::increment(&bucket, key, by.parse().unwrap_or(1))?.to_string()
        }
        ["keys"] => {
            let (mut keys, mut cursor) = (Vec::new(), None);
            loop {
                let page = bucket.list_keys(cursor)?;
                keys.extend(page.keys);
                cursor = page.cursor;
                if cursor.is_none() {
                    break keys.join(",");
                }
            }
        }
        ["set-many", ref keys @ ..] => {
            let pairs = keys.iter().map(|key| (key.to_string(), b"many".to_vec()));
            batch::set_many(&bucket, &pairs.collect::<Vec<_>>())?;
            "set".into()
        }
        ["get-many", ref keys @ ..] => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let found = batch::get_many(&bucket, &keys)?.into_iter();
            let found = found.map(|pair| text(pair.map(|(_, value)| value)));
            found.collect::<Vec<_>>().join(",")
        }
        ["delete-many", ref keys @ ..] => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            batch::delete_many(&bucket, &keys)?;
            "deleted".into()
        }
        // Stores values of so many bytes until one is refused.
        ["fill", bytes] => fill(&bucket, bytes.parse().unwrap_or(1)),
        _ => "see the source".into(),
    })
}

fn fill(bucket: &Bucket, bytes: usize) -> String {
    let value = vec![b'v'; bytes];
    for count in 0_u64.. {
        if let Err(error) = bucket.set(&count.to_string(), &value) {
            return format!("{}: {error:?}", count > 0);
        }
    }
    unreachable!()
}

#[task]
fn in_task(what: String) -> Result<String, Failure> {
    Ok(told(&what.split(' ').collect::<Vec<_>>()))
}

struct Lab;

impl Guest for Lab {
    fn do_(what: Vec<String>) -> Vec<String> {
        let told = |what: &String| told(&what.split(' ').collect::<Vec<_>>());
        what.iter().map(told).collect()
    }
}

impl Handler for Lab {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let words: Vec<&str> = path.split('/').skip(1).collect();
        let said = told(&words);
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it was not taken before");
        ResponseOutparam::set(answer, Ok(response));
        let stream = body.write().expect("it was not taken before");
        let written = stream.blocking_write_and_flush(said.as_bytes());
        drop(stream);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

export!(Lab);
wasip2::http::proxy::export!(Lab);
