//! What a task may be denied.

use std::ops::{BitOr, BitOrAssign};

/// A set of rights: those that a task was denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    /// To spawn.
    pub(crate) const SPAWN: Self = Self(1);
    /// TCP, UDP and name look-ups.
    pub(crate) const NETWORK: Self = Self(1 << 1);
    /// Directories.
    pub(crate) const FILESYSTEM: Self = Self(1 << 2);
    /// To write in directories.
    pub(crate) const FILESYSTEM_WRITE: Self = Self(1 << 3);
    /// Environment variables.
    pub(crate) const ENVIRONMENT: Self = Self(1 << 4);
    /// Standard output and standard error.
    pub(crate) const OUTPUT: Self = Self(1 << 5);

    /// All of them, with their names in `hart:exec`.
    const ALL: [(Self, &'static str); 6] = [
        (Self::FILESYSTEM, "filesystem"),
        (Self::FILESYSTEM_WRITE, "filesystem-write"),
        (Self::NETWORK, "network"),
        (Self::ENVIRONMENT, "environment"),
        (Self::OUTPUT, "output"),
        (Self::SPAWN, "spawn"),
    ];

    /// The names of those that are in it.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let within = move |(right, _): &(Self, _)| self.contains(*right);
        Self::ALL.into_iter().filter(within).map(|(_, name)| name)
    }

    /// The one of this name.
    #[cfg(feature = "nats")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(right, _)| right)
    }

    /// Whether all of `rights` are in it.
    pub(crate) fn contains(self, rights: Self) -> bool {
        self.0 & rights.0 == rights.0
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
