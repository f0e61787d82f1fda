//! Compiled code on disk that is not what was written there, or is being written.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use hart_host::{Cache, Host, Preemption};

const ADD: &str = r#"(component
    (core module $m (memory 1) (data (i32.const 0) "image")
        (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f"))))"#;

/// A directory for a cache, which goes when this does.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("hart-cache-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn host(&self, preemption: Preemption) -> Host {
        let cache = Cache::Directory(self.0.clone());
        builder()
            .preemption(preemption)
            .cache(cache)
            .build()
            .unwrap()
    }

    /// Files with compiled code.
    fn entries(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.0).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// The only entry.
    fn entry(&self) -> PathBuf {
        let entries = self.entries();
        let [entry] = &entries[..] else {
            panic!("{entries:?}")
        };
        entry.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of a temporary directory is nobody's loss.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load_and_add(host: &Host) -> String {
    let component = host.load(ADD.as_bytes()).unwrap();
    let run = host.invoke(&component, "add(40, 2)").unwrap();
    run.start().unwrap().wait().unwrap().to_wave().unwrap()
}

/// Bytes of an entry before the code: its key and a checksum.
const BEFORE: usize = 32 + 4;

/// An entry as the cache writes it: its key, a checksum of that and the code, then the code.
fn entry_of(key: &[u8], code: &[u8]) -> Vec<u8> {
    let key = &key[..32];
    let checksum = crc32fast::hash(&[key, code].concat()).to_le_bytes();
    [key, &checksum, code].concat()
}

/// wasmtime's part of what `precompile` makes.
fn code(host: &Host) -> Vec<u8> {
    host.precompile(ADD.as_bytes()).unwrap().split_off(128)
}

/// Fault: a damaged entry that crashes the host, is an error, or stays there to be met again: one that was cut short, is
/// empty, is something else, belongs to other settings or to another version.
#[test]
pub fn an_entry_that_cannot_be_used_is_made_anew() {
    let directory = Directory::new("damaged");
    let epoch = Preemption::epoch();
    assert_eq!(load_and_add(&directory.host(epoch)), "42");
    let entry = directory.entry();
    let good = std::fs::read(&entry).unwrap();
    let entry_of = |code: &[u8]| entry_of(&good, code);
    let other_mode = builder().preemption(Preemption::fuel()).build().unwrap();
    let (code, other_mode) = (code(&directory.host(epoch)), code(&other_mode));
    let mut other_version = code.clone();
    let at = other_version.windows(2).position(|pair| pair == b"48");
    other_version[at.unwrap()..][..2].copy_from_slice(b"47");

    // Otherwise nothing below tells anything: a good entry is used, and left alone.
    std::fs::write(&entry, entry_of(&code)).unwrap();
    assert_eq!(load_and_add(&directory.host(epoch)), "42");
    assert!(
        std::fs::read(&entry).unwrap() == entry_of(&code),
        "an entry is as `entry_of` writes it"
    );

    let cut = |bytes: &[u8], at: usize| bytes[..at].to_vec();
    let mut damaged = vec![
        Vec::new(),
        b"something else".to_vec(),
        vec![0; 100_000],
        entry_of(b"something else"),
        entry_of(&other_mode),
        entry_of(&other_version),
    ];
    for length in [1, 32, 35, BEFORE, 100, good.len() / 2, good.len() - 1] {
        damaged.push(cut(&good, length));
    }
    for length in [1, 8, 64, 200, code.len() / 2, code.len() - 1] {
        damaged.push(entry_of(&cut(&code, length)));
        damaged.push(cut(&entry_of(&code), length));
    }
    for (at, bytes) in damaged.iter().enumerate() {
        std::fs::write(&entry, bytes).unwrap();
        assert_eq!(load_and_add(&directory.host(epoch)), "42", "damage {at}");
        assert!(
            &std::fs::read(&entry).unwrap() != bytes,
            "damage {at} is still there"
        );
    }
}

/// Fault: a flipped bit: wrong code, or a panic of wasmtime's, which trusts what it is given.
#[test]
fn a_flipped_bit_is_found() {
    let directory = Directory::new("flipped");
    let host = directory.host(Preemption::epoch());
    assert_eq!(load_and_add(&host), "42");
    let entry = directory.entry();
    let good = std::fs::read(&entry).unwrap();
    let bits = good.len() * 8;
    let before = (0..BEFORE * 8).step_by(11);
    for bit in before.chain((BEFORE * 8..bits).step_by(bits / 60 + 1)) {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&entry, &flipped).unwrap();
        assert_eq!(load_and_add(&host), "42", "bit {bit}");
        assert!(
            std::fs::read(&entry).unwrap() == good,
            "bit {bit} is still wrong"
        );
    }
}

/// Race: an entry that is read while others write it, cut it short and remove it.
#[test]
fn an_entry_may_change_at_any_time() {
    let directory = Directory::new("races");
    assert_eq!(load_and_add(&directory.host(Preemption::epoch())), "42");
    let entry = directory.entry();
    let good = std::fs::read(&entry).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(3);
            while !stop.load(Ordering::Relaxed) {
                // What is there in between is a beginning of it. A directory that is not there is made anew.
                let _ = match random.u8(0..3) {
                    0 => std::fs::remove_file(&entry),
                    1 => std::fs::write(&entry, &good[..random.usize(0..good.len())]),
                    _ => std::fs::write(&entry, &good),
                };
            }
        });
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        // Each with a cache of its own, as processes have.
                        let host = directory.host(Preemption::epoch());
                        assert_eq!(load_and_add(&host), "42");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        stop.store(true, Ordering::Relaxed);
        for ended in ended {
            ended.unwrap();
        }
    });
}

/// Fault: the code of one component that is run as another's: an entry under another's name, whole and with a checksum
/// that is right.
#[test]
fn an_entry_under_another_name_is_not_used() {
    let directory = Directory::new("names");
    let host = directory.host(Preemption::epoch());
    let subtract = ADD.replace("i32.add", "i32.sub");
    assert_eq!(load_and_add(&host), "42");
    let add = directory.entry();
    host.load(subtract.as_bytes()).unwrap();
    let entries = directory.entries();
    let other = entries.iter().find(|entry| **entry != add).unwrap();
    std::fs::copy(other, &add).unwrap();
    assert_eq!(load_and_add(&host), "42");
    assert!(std::fs::read(&add).unwrap() != std::fs::read(other).unwrap());
}

/// Fault: a load that waits for ever for a pipe in the cache, or that follows a link out of it.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_not_read() {
    let directory = Directory::new("pipes");
    let host = directory.host(Preemption::epoch());
    assert_eq!(load_and_add(&host), "42");
    let entry = directory.entry();
    let elsewhere = Directory::new("elsewhere");
    std::fs::create_dir(&elsewhere.0).unwrap();
    let code = elsewhere.0.join("code");
    std::fs::rename(&entry, &code).unwrap();
    std::os::unix::fs::symlink(&code, &entry).unwrap();
    assert_eq!(load_and_add(&host), "42");
    let now = entry.symlink_metadata().unwrap();
    assert!(now.is_file(), "the link is still there");

    std::fs::remove_file(&entry).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&entry).status();
    assert!(made.unwrap().success());
    // Nobody writes to it. Whoever waits for that does so for ever.
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(load_and_add(&host));
    });
    let loaded = is_done.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(loaded.unwrap(), "42");
    assert!(entry.symlink_metadata().unwrap().is_file());
}

/// Fault: a guest that writes its own native code: the cache in a directory that it was granted, by whatever path.
#[test]
#[cfg(unix)]
fn no_guest_may_write_to_the_cache() {
    use hart_host::{DirAccess, RunError};

    let outside = Directory::new("granted");
    let cache = outside.0.join("deep/down/cache");
    let link = outside.0.join("link");
    std::fs::create_dir_all(&outside.0).unwrap();
    let host = builder()
        .cache(Cache::Directory(cache.clone()))
        .build()
        .unwrap();
    std::os::unix::fs::symlink(outside.0.join("deep"), &link).unwrap();
    let component = host.load(ADD.as_bytes()).unwrap();
    let run = |granted: &std::path::Path, access| {
        let run = host.invoke(&component, "add(40, 2)").unwrap();
        run.dir(granted, "/", access).start().map(drop)
    };
    let beside = outside.0.join("beside");
    std::fs::create_dir(&beside).unwrap();
    for granted in [&outside.0, &outside.0.join("deep"), &link, &cache] {
        let Err(RunError::Setup(said)) = run(granted, DirAccess::ReadWrite) else {
            panic!("{} was granted", granted.display());
        };
        assert!(said.contains("cache of compiled code"), "{said}");
        run(granted, DirAccess::ReadOnly).unwrap();
    }
    run(&beside, DirAccess::ReadWrite).unwrap();
    // One that is gone would be made again, by the next program; or by the guest, before that.
    std::fs::remove_dir_all(outside.0.join("deep")).unwrap();
    let Err(RunError::Setup(said)) = run(&outside.0, DirAccess::ReadWrite) else {
        panic!("the place of the cache was granted");
    };
    assert!(said.contains("cache of compiled code"), "{said}");
    run(&beside, DirAccess::ReadWrite).unwrap();
}
