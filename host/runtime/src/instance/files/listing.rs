//! What is in a directory: memory of the run, until the guest has read it or does not want it any more.
//!
//! wasmtime-wasi reads a directory to its end, however large it is, and counts it for nobody.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

use crate::instance::streams::Buffer;
use crate::quota::limits::LimitReached;

/// A name and what has it, or why that cannot be told.
pub(super) type Entry = Result<(FileType, String), Unreadable>;

/// What is wrong with an entry.
pub(super) enum Unreadable {
    Io(io::Error),
    NotUtf8,
}

/// Why there is no listing.
pub(super) enum Failed {
    Io(io::Error),
    /// The run may not hold so much.
    Limit(LimitReached),
}

/// The entries of a directory that were not read yet.
pub(super) struct Listing {
    entries: std::vec::IntoIter<Entry>,
    _held: Buffer,
}

impl Listing {
    /// Reads the directory. An entry is counted before the next one is read. Blocks.
    pub(super) fn read(directory: &File, mut held: Buffer) -> Result<Self, Failed> {
        // What was granted may be open for paths only.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(directory, c".", flags, Mode::empty());
        let directory = opened.map_err(|error| Failed::Io(error.into()))?;
        let read = Dir::read_from(&directory).map_err(|error| Failed::Io(error.into()))?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in read {
            let entry = match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => continue,
                Ok(entry) => named(&directory, &entry),
                Err(error) => Err(Unreadable::Io(error.into())),
            };
            bytes += size_of::<Entry>() + entry.as_ref().map_or(0, |(_, name)| name.len());
            held.hold(bytes).map_err(Failed::Limit)?;
            let is_last = matches!(entry, Err(Unreadable::Io(_)));
            entries.push(entry);
            if is_last {
                break;
            }
        }
        Ok(Self {
            entries: entries.into_iter(),
            _held: held,
        })
    }
}

impl Iterator for Listing {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entries.next()
    }
}

fn named(directory: impl std::os::fd::AsFd, entry: &rustix::fs::DirEntry) -> Entry {
    let name = entry.file_name();
    let kind = match entry.file_type() {
        FileType::Unknown => {
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|error| Unreadable::Io(error.into()))?;
            FileType::from_raw_mode(stat.st_mode)
        }
        known => known,
    };
    let name = name.to_str().map_err(|_| Unreadable::NotUtf8)?;
    Ok((kind, name.to_owned()))
}
