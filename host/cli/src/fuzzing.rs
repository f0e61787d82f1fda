//! What the fuzz targets reach of the command. No promise about it is kept from one version to the next.

use crate::wast;

/// Runs a script on a host that all calls share, and forgets what came of it. Each of its calls has a short time.
pub fn wast(text: &str) {
    wast::fuzz(text);
}
