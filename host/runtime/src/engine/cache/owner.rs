//! Whose files are.

use std::io;

/// A directory, or an entry. What is there already may have been written by whoever could: it is never made safe, only
/// refused. The superuser may write anywhere, so the owner is compared and not just tried.
pub(super) fn check_owner(metadata: &std::fs::Metadata, denied: u32, why: &str) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(
            "it belongs to another user; name a directory of your own",
        ));
    }
    if metadata.mode() & denied != 0 {
        return Err(io::Error::other(format!(
            "it {why}, so that others may get at it; remove it, or name a directory with mode 0700"
        )));
    }
    Ok(())
}
