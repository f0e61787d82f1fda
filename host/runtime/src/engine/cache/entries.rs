//! Files with compiled code, one for each component and engine.
//!
//! # Protocol
//!
//! 1. A file's name is the digest of what decides about the code: the component and all settings of the engine,
//!    wasmtime's version included.
//! 2. It begins with that digest, and a checksum of it and of the rest, the code. One that does not match is as good as
//!    none: it was cut short, or damaged, or has another name than it was written for. wasmtime itself trusts what it is
//!    given. Against whoever means it only the directory helps, which nobody else can write to: such a one would write
//!    the checksum as well, whatever it is. A file that others can write to, that is not ours, or that is no file but a
//!    link or a pipe, is not used either.
//! 3. It is written under a name that nobody else makes, for it is drawn by lot and must not be there, and then renamed,
//!    so that nobody finds the beginning of one. Ids of processes would not do: those in containers have the same. Of
//!    two that write the same at once the last one stays.
//! 4. When the files have become too many bytes, those go that have not been used for longest. Whoever reads one that
//!    goes has it open.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use crate::engine::cache::owner::check_owner;

/// What else a name depends on: how an entry is written.
const FORMAT: &[u8] = b"key, crc32, code; settings, digest";
/// Bytes of a key.
const KEY: usize = 32;
/// Bytes that all entries may have. A guess: a thousand small programs, or ten very large ones.
const MOST: u64 = 512 << 20;
/// What is left when some had to go.
const LEFT: u64 = MOST / 10 * 7;
/// An entry that is used says so this often, at most: it costs a write.
const NOTE: Duration = Duration::from_secs(3600);
/// A file that is still being written, or locked, after so long was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How the names begin of files that are locked by who makes the entry. They are empty.
const LOCK: &str = "making-";
/// How names of files begin that are being written.
const UNFINISHED: &str = "unfinished-";

/// Compiled code in a directory that only we can write to.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    pub(crate) directory: PathBuf,
}

/// What there is of a component in the names of its entries.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; KEY]);

impl Digest {
    pub(crate) fn of(binary: &[u8]) -> Self {
        Self(Sha256::digest(binary).into())
    }
}

/// What the code of a component for an engine is kept under.
pub(crate) struct Key([u8; KEY]);

impl Key {
    pub(crate) fn new(engine: &Engine, digest: &Digest) -> Self {
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
        // Each of a fixed length, so that none can be taken for a part of another.
        all.update(settings.0.finalize());
        all.update(digest.0);
        Self(all.finalize().into())
    }

    /// The name of the file.
    fn name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn checksum(&self, code: &[u8]) -> [u8; 4] {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0);
        hasher.update(code);
        hasher.finalize().to_le_bytes()
    }
}

/// Opens a file, and nothing that only looks like one: a pipe is not waited for, a link is not followed.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOFOLLOW,
    );
    options.open(path)
}

impl Entries {
    /// The code that was kept, if it is there and whole.
    pub(crate) fn find(&self, key: &Key) -> Option<Vec<u8>> {
        let name = key.name();
        let mut file = open(&self.directory.join(&name)).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() {
            tracing::warn!("{name} in the cache is not used: it is no file");
            return None;
        }
        if let Err(error) = check_owner(&metadata, 0o022, "can be written by others") {
            tracing::warn!("{name} in the cache is not used: {error}");
            return None;
        }
        let (mut whose, mut sum) = ([0; KEY], [0; 4]);
        file.read_exact(&mut whose).ok()?;
        file.read_exact(&mut sum).ok()?;
        let mut code = Vec::new();
        file.read_to_end(&mut code).ok()?;
        if whose != key.0 || key.checksum(&code) != sum {
            tracing::warn!("what the cache has as {name} is damaged: it is made anew");
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
    pub(crate) fn keep(&self, key: &Key, code: &[u8]) {
        if let Err(error) = self.write(key, code).and_then(|()| self.tidy()) {
            tracing::warn!(
                "compiled code is not kept in {}: {error}",
                self.directory.display()
            );
        }
    }

    /// Waits until nobody else makes this entry, in this process or another; they wait until what this returns is dropped.
    /// `None` where that cannot be had.
    pub(crate) fn lock(&self, key: &Key) -> Option<Lock> {
        let path = self.directory.join(format!("{LOCK}{}", key.name()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            libc::O_NONBLOCK | libc::O_NOFOLLOW,
        );
        let file = options.open(&path).ok()?;
        file.lock().ok()?;
        Some(Lock { _file: file, path })
    }

    fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        let (unfinished, mut file) = self.create()?;
        let written = file
            .write_all(&key.0)
            .and_then(|()| file.write_all(&key.checksum(code)))
            .and_then(|()| file.write_all(code));
        let renamed =
            written.and_then(|()| fs::rename(&unfinished, self.directory.join(key.name())));
        if renamed.is_err() {
            // What is left is found by `tidy`.
            let _ = fs::remove_file(&unfinished);
        }
        renamed
    }

    /// A file that was not there before. Step 3.
    fn create(&self) -> io::Result<(PathBuf, File)> {
        /// Draws before something else must be wrong.
        const DRAWS: u32 = 16;

        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..DRAWS {
            // Each has keys of its own, which come from the system and not from an id or a clock.
            let lot = std::hash::RandomState::new().build_hasher().finish();
            let path = self.directory.join(format!("{UNFINISHED}{lot:016x}"));
            match options.open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
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
            let name = file.file_name();
            let begins = |with: &str| name.as_encoded_bytes().starts_with(with.as_bytes());
            if begins(UNFINISHED) || begins(LOCK) {
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

/// Held by who makes an entry.
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Who waits for it has it open, and then finds the entry. Who comes after that makes another one.
        remove(&self.path);
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
        file("making-1", 0, hours(2));
        file("making-2", 0, hours(0));
        let key = Key([7; KEY]);
        let new = key.name();
        entries.keep(&key, b"code");
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [&*new, "making-2", "recent", "unfinished-2-1"]);
        assert_eq!(entries.find(&key).unwrap(), b"code");
        // One that is used becomes recent.
        let path = directory.join(&new);
        File::open(&path).unwrap().set_modified(hours(20)).unwrap();
        entries.find(&key).unwrap();
        let age = SystemTime::now().duration_since(path.metadata().unwrap().modified().unwrap());
        assert!(age.is_ok_and(|age| age < NOTE));
        fs::remove_dir_all(&directory).unwrap();
    }
    /// Fault: two processes of the same id (in containers) that write into one file, or a name that somebody else made.
    #[test]
    fn nobody_writes_into_the_same_file() {
        let directory = std::env::temp_dir().join(format!("hart-names-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let entries = Entries {
            directory: directory.clone(),
        };
        let made: Vec<_> = (0..200).map(|_| entries.create().unwrap().0).collect();
        let different: std::collections::HashSet<_> = made.iter().collect();
        assert_eq!(different.len(), made.len());
        // The hashes of nothing with new keys: no other process has those.
        let id = std::process::id().to_string();
        let tells = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().contains(&id);
        assert!(made.iter().filter(tells).count() < made.len() / 2);
        fs::remove_dir_all(&directory).unwrap();
    }
}
