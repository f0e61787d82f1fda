//! Why a call has no result.

use std::fmt;
use std::sync::Arc;

use crate::instance::error::RunError;
use crate::quota::limits::LimitReached;

/// Why a call of an [`Instance`](crate::Instance) has no result.
#[derive(Clone)]
#[non_exhaustive]
pub enum InstanceError {
    /// As many calls wait as may: [`InstanceBuilder::queue`](crate::InstanceBuilder::queue).
    Full {
        /// How many that is.
        limit: usize,
    },
    /// Its time was over before its turn came. The instance goes on.
    Expired(LimitReached),
    /// The call ended the instance: it trapped, it returned an error, or it used up a limit.
    Failed(Arc<RunError>),
    /// The instance had ended before the call's turn came, and there is no next one.
    Ended(Arc<RunError>),
}

impl InstanceError {
    /// Why the instance ended, if that is why there is no result.
    pub fn reason(&self) -> Option<&RunError> {
        match self {
            Self::Failed(reason) | Self::Ended(reason) => Some(reason),
            Self::Full { .. } | Self::Expired(_) => None,
        }
    }

    /// The limit that was reached, if that is the reason.
    pub fn limit(&self) -> Option<LimitReached> {
        match self {
            Self::Expired(limit) => Some(*limit),
            _ => self.reason().and_then(RunError::limit),
        }
    }
}

impl fmt::Display for InstanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "{limit} calls wait for the instance already"),
            Self::Expired(limit) => write!(f, "its turn did not come in time: {limit}"),
            Self::Failed(reason) => write!(f, "the call ended the instance: {reason}"),
            Self::Ended(reason) => write!(f, "the instance has ended: {reason}"),
        }
    }
}

impl fmt::Debug for InstanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Full { .. } => "Full",
            Self::Expired(_) => "Expired",
            Self::Failed(_) => "Failed",
            Self::Ended(_) => "Ended",
        };
        write!(f, "{variant}: {self}")
    }
}

impl std::error::Error for InstanceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason().and_then(|reason| reason.source())
    }
}
