//! Files with compiled code, one for each component and engine.
//!
//! # Protocol
//!
//! 1. A file's name is the digest of what decides about the code: the component and all settings of the engine,
//!    wasmtime's version included.
//! 2. It begins with a checksum of the rest, the code. One that does not match is as good as none: it was cut short, or
//!    damaged. wasmtime itself trusts what it is given. Against whoever means it only the directory helps, which nobody
//!    else can write to: such a one would write the checksum as well, whatever it is. A file that others can write to, or
//!    that is not ours, is not used either.
//! 3. It is written under a name of its own and then renamed, so that nobody finds the beginning of one. Of two
//!    that write the same at once the last one stays.
//! 4. When the files have become too many bytes, those go that have not been used for longest. Whoever reads one that
//!    goes has it open.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

/// What else a name depends on: how an entry is written.
const FORMAT: &[u8] = b"crc32, code";
/// Bytes that all entries may have. A guess: a thousand small programs, or ten very large ones.
const MOST: u64 = 512 << 20;
/// What is left when some had to go.
const LEFT: u64 = MOST / 10 * 7;
/// An entry that is used says so this often, at most: it costs a write.
const NOTE: Duration = Duration::from_secs(3600);
/// A file that is still being written after so long was left behind.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How names of files begin that are being written.
const UNFINISHED: &str = "unfinished-";

/// Compiled code in a directory that only we can write to.
#[derive(Debug)]
pub(in crate::host) struct Entries {
    pub(super) directory: PathBuf,
}

/// What the code of a component for an engine is kept under.
pub(in crate::host) struct Key(String);

impl Key {
    pub(in crate::host) fn new(engine: &Engine, binary: &[u8]) -> Self {
        struct Settings(Sha256);
        impl Hasher for Settings {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                // Of a hash only what was written to it is wanted.
                0
            }
        }
        let mut settings = Settings(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut settings);
        let mut all = Sha256::new();
        all.update(FORMAT);
        // Of a fixed length, so that what follows cannot be taken for a part of it.
        all.update(settings.0.finalize());
        all.update(binary);
        let digest = all.finalize();
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn checksum(code: &[u8]) -> [u8; 4] {
    crc32fast::hash(code).to_le_bytes()
}

impl Entries {
    /// The code that was kept, if it is there and whole.
    pub(in crate::host) fn find(&self, key: &Key) -> Option<Vec<u8>> {
        let mut file = File::open(self.directory.join(&key.0)).ok()?;
        let metadata = file.metadata().ok()?;
        #[cfg(unix)]
        if let Err(error) = super::check_owner(&metadata) {
            tracing::warn!("{} in the cache is not used: {error}", key.0);
            return None;
        }
        let mut sum = [0; 4];
        file.read_exact(&mut sum).ok()?;
        let mut code = Vec::new();
        file.read_to_end(&mut code).ok()?;
        if checksum(&code) != sum {
            tracing::warn!(
                "what the cache has as {} is damaged: it is made anew",
                key.0
            );
            return None;
        }
        let now = SystemTime::now();
        let used = metadata.modified();
        if used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > NOTE)) {
            // One that cannot be noted goes a little earlier.
            let _ = file.set_modified(now);
        }
        Some(code)
    }

    /// Keeps code. What cannot be kept is compiled again.
    pub(in crate::host) fn keep(&self, key: &Key, code: &[u8]) {
        if let Err(error) = self.write(key, code).and_then(|()| self.tidy()) {
            tracing::warn!(
                "compiled code is not kept in {}: {error}",
                self.directory.display()
            );
        }
    }

    fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{write}", std::process::id());
        let unfinished = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&unfinished).and_then(|mut file| {
            file.write_all(&checksum(code))?;
            file.write_all(code)
        });
        let renamed = written.and_then(|()| fs::rename(&unfinished, self.directory.join(&key.0)));
        if renamed.is_err() {
            // What is left is found by `tidy`.
            let _ = fs::remove_file(&unfinished);
        }
        renamed
    }

    /// Removes what is too much, and what was left behind.
    fn tidy(&self) -> io::Result<()> {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            // One that has just gone is none.
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let used = metadata.modified().unwrap_or(now);
            if !metadata.is_file() {
                continue;
            }
            if file
                .file_name()
                .as_encoded_bytes()
                .starts_with(UNFINISHED.as_bytes())
            {
                if now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
                    remove(&file.path());
                }
                continue;
            }
            bytes += metadata.len();
            entries.push((used, metadata.len(), file.path()));
        }
        if bytes > MOST {
            entries.sort();
            for (_, length, path) in entries {
                if bytes <= LEFT {
                    break;
                }
                remove(&path);
                bytes -= length;
            }
        }
        Ok(())
    }
}

/// Another process may have been faster.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} cannot be removed: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: a cache that grows without end, or that throws away what was just used; files that a process left behind
    /// when it was killed.
    #[test]
    fn what_was_not_used_for_longest_goes() {
        let directory = std::env::temp_dir().join(format!("hart-entries-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let entries = Entries {
            directory: directory.clone(),
        };
        let hours = |hours: u64| SystemTime::now() - Duration::from_secs(3600 * hours);
        let file = |name: &str, length: u64, used: SystemTime| {
            // Sparse: it takes no room.
            let file = File::create(directory.join(name)).unwrap();
            file.set_len(length).unwrap();
            file.set_modified(used).unwrap();
        };
        file("old", 200 << 20, hours(9));
        file("older", 200 << 20, hours(10));
        file("recent", 200 << 20, hours(2));
        file("unfinished-1-1", 1, hours(2));
        file("unfinished-2-1", 1, hours(0));
        let key = Key("new".into());
        entries.keep(&key, b"code");
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["new", "recent", "unfinished-2-1"]);
        assert_eq!(entries.find(&key).unwrap(), b"code");
        // One that is used becomes recent.
        let path = directory.join("new");
        File::open(&path).unwrap().set_modified(hours(20)).unwrap();
        entries.find(&key).unwrap();
        let age = SystemTime::now().duration_since(path.metadata().unwrap().modified().unwrap());
        assert!(age.is_ok_and(|age| age < NOTE));
        fs::remove_dir_all(&directory).unwrap();
    }
}
