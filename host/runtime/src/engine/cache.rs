//! Where compiled code is kept between runs of a program.
//!
//! What is in the directory is run as native code, so nobody else may write there: mode 0700, and it
//! must be ours. A cache that cannot be had is reported and done without.

mod entries;
mod owner;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub(crate) use entries::{Digest, Entries, Key};
use owner::check_owner;

/// Where compiled code is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nowhere.
    #[default]
    Off,
    /// In the user's cache directory: `$XDG_CACHE_HOME/hart`, or else `~/.cache/hart`, with mode 0700.
    User,
    /// In a directory of the embedder's choice, which is made with mode 0700 if it is not there. One that
    /// belongs to another user, or which others may read or write, is not used.
    Directory(PathBuf),
}

/// Opens the cache, or reports why there is none.
pub(crate) fn open(cache: &Cache) -> Option<Entries> {
    let directory = match cache {
        Cache::Off => return None,
        Cache::User => default_directory()?,
        Cache::Directory(directory) => directory.clone(),
    };
    match prepare(&directory) {
        Ok(directory) => Some(Entries { directory }),
        Err(error) => {
            tracing::warn!(
                "compiled code is not cached in {}: {error:#}",
                directory.display()
            );
            None
        }
    }
}

fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .map(|base| base.join("hart"))
}

/// Makes the directory ours alone; returns its absolute path.
fn prepare(directory: &Path) -> io::Result<PathBuf> {
    // Of `link/` or `link/.` the system would not say that it is a link.
    let directory = &*directory.components().collect::<PathBuf>();
    let metadata = match std::fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true);
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(directory)?;
            std::fs::symlink_metadata(directory)?
        }
        known => known?,
    };
    // A link that somebody else placed could lead anywhere.
    if metadata.is_symlink() {
        return Err(io::Error::other(
            "it is a symbolic link; name the directory itself",
        ));
    }
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    check_owner(&metadata, 0o077, "has another mode than 0700")?;
    // Links on the way there are followed now, and not again.
    directory.canonicalize()
}

/// The directory with code that a guest must not write to: that of this host's cache, or, without one, the one where
/// other programs of this user have theirs.
pub(crate) fn to_be_guarded(cache: &Cache) -> Option<PathBuf> {
    match cache {
        Cache::Directory(directory) => Some(directory.clone()),
        Cache::Off | Cache::User => default_directory(),
    }
}

/// Whether `granted` is the directory of the cache, or one that has it in it, or would have it if it were there. Links and
/// mounts are seen through.
pub(crate) fn is_within(cache: &Path, granted: &Path) -> bool {
    // Of a cache that is not there yet, the directory in which it would be made: a guest could be first, with code of its
    // own.
    let Some(cache) = std::path::absolute(cache).ok().and_then(|cache| {
        let mut ancestors = cache.ancestors();
        ancestors.find_map(|path| path.canonicalize().ok())
    }) else {
        return false;
    };
    let identity = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let granted = identity(granted);
    granted.is_some() && cache.ancestors().any(|path| identity(path) == granted)
}
