//! What a group gets of the machine, compared with others.

use std::time::Duration;

use hart_executor::group::{DEFAULT_SLICE, DEFAULT_WEIGHT};

use crate::base::error::BuildError;

/// What a group gets of the machine, compared with others.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) weight: u32,
    pub(crate) slice: Duration,
}

impl Share {
    /// The usual weight, with this slice.
    pub(crate) fn of_slice(slice: Duration) -> Self {
        Self {
            slice,
            ..Self::default()
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: DEFAULT_WEIGHT,
            slice: DEFAULT_SLICE,
        }
    }
}

/// Refuses a weight that would never run.
pub(crate) fn check_weight(weight: u32) -> Result<(), BuildError> {
    if weight == 0 {
        return Err(BuildError::Setting(
            "a weight of zero would never run: use at least 1".into(),
        ));
    }
    Ok(())
}

/// Refuses a CPU rate that would never run.
pub(crate) fn check_rate(millicores: u32) -> Result<(), BuildError> {
    if millicores == 0 {
        return Err(BuildError::Setting(
            "a CPU rate of zero would never run: use at least 1, a thousandth of a core".into(),
        ));
    }
    Ok(())
}
