//! Damages and swaps entries of the cache: the right component still runs.
//!
//! An input is a list of edits, three bytes each, to the entry of one component. Two of the edits take the bytes of another
//! component's entry.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use hart_host::{Cache, Host};
use libfuzzer_sys::fuzz_target;

struct Ground {
    host: Host,
    /// The file of the first component's entry, and its contents.
    path: PathBuf,
    entry: Vec<u8>,
    /// The contents of another component's entry.
    other: Vec<u8>,
}

/// A component that answers with a number.
fn component(answer: u32) -> String {
    format!(
        r#"(component
        (core module $m (func (export "f") (result i32) (i32.const {answer})))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
    )
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("hart-fuzz-cache-{}", std::process::id()));
    let cache = Cache::Directory(directory.clone());
    let host = Host::builder().workers(1).instances(4).cache(cache);
    let host = host.build().expect("a host");
    let names = || -> Vec<PathBuf> {
        let files = fs::read_dir(&directory).expect("a directory");
        files.map(|file| file.expect("a file").path()).collect()
    };
    host.load(component(1).as_bytes()).expect("it loads");
    let first = names();
    let [path] = &first[..] else {
        panic!("one entry: {first:?}")
    };
    host.load(component(2).as_bytes()).expect("it loads");
    let second = names()
        .into_iter()
        .find(|name| name != path)
        .expect("two entries");
    Ground {
        entry: fs::read(path).expect("an entry"),
        other: fs::read(second).expect("an entry"),
        path: path.clone(),
        host,
    }
});

fuzz_target!(|data: &[u8]| {
    let ground = &*GROUND;
    let mut entry = ground.entry.clone();
    for edit in data.chunks_exact(3) {
        // The first bytes are the interesting ones; the rest is reached in steps.
        let at = match edit[1] {
            near @ ..128 => usize::from(near),
            far => usize::from(far - 127) * ground.entry.len() / 128,
        };
        let at = at.min(entry.len());
        match edit[0] % 6 {
            0 => entry.truncate(at),
            1 => entry.insert(at, edit[2]),
            2 if at < entry.len() => entry[at] ^= edit[2],
            3 => entry.extend_from_slice(&ground.other[..at.min(ground.other.len())]),
            4 => entry.clone_from(&ground.other),
            // The beginning of one, the end of the other.
            5 if at < ground.other.len() => {
                entry.truncate(at);
                entry.extend_from_slice(&ground.other[at..]);
            }
            _ => {}
        }
    }
    fs::write(&ground.path, &entry).expect("it can be written");
    let loaded = ground.host.load(component(1).as_bytes()).expect("it loads");
    let run = ground
        .host
        .invoke(&loaded, "f()")
        .expect("it is there")
        .start();
    let outcome = run.expect("it starts").wait().expect("it ends");
    assert_eq!(outcome.to_wave().expect("a number"), "1");
});
