//! Where compiled code is kept between runs of a program.
//!
//! What is in the directory is run as native code, so nobody else may write there: mode 0700, and it
//! must be ours. A cache that cannot be had is reported and done without.

mod entries;

use std::io;
use std::path::{Path, PathBuf};

pub(super) use entries::{Entries, Key};

/// Where compiled code is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nowhere.
    Off,
    /// In `$XDG_CACHE_HOME/hart`, or else `~/.cache/hart`, with mode 0700.
    #[default]
    Default,
    /// In a directory of the embedder's choice, which is made with mode 0700 if it is not there. One that
    /// belongs to another user, or in which others may write, is not used.
    Directory(PathBuf),
}

/// Opens the cache, or reports why there is none.
pub(super) fn open(cache: &Cache) -> Option<Entries> {
    let directory = match cache {
        Cache::Off => return None,
        Cache::Default => default_directory()?,
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
            #[cfg(unix)]
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
    #[cfg(unix)]
    check_owner(&metadata)?;
    // Links on the way there are followed now, and not again.
    directory.canonicalize()
}

/// A directory, or an entry. What is there already may have been written by whoever could: it is never made safe, only
/// refused. The superuser may write anywhere, so the owner is compared and not just tried.
#[cfg(unix)]
fn check_owner(metadata: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(
            "it belongs to another user; name a directory of your own",
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "others may write there; remove it, or name a directory with mode 0700",
        ));
    }
    Ok(())
}
