//! What goes wrong.

use std::{fmt, str::FromStr};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A hart stands still for a while, wherever it is.
    Stall,
    /// Some harts are slower than others, all along.
    Slow,
    /// Interrupts arrive late.
    Late,
    /// A hart wakes for no reason.
    Spurious,
    /// A hart goes off line (its worker is dropped) and comes back with a new worker.
    Offline,
    /// A spawn of a future, a guest's instance or its memory that grows, finds no memory.
    Alloc,
    /// Some task is cancelled at a bad moment.
    Cancel,
    /// The executor is closed in the middle of it all.
    Close,
    /// The clock jumps ahead.
    Jump,
    /// A guest traps at a preemption point.
    Trap,
    /// A pool with few slots for guests.
    Pool,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Stall,
        Self::Slow,
        Self::Late,
        Self::Spurious,
        Self::Offline,
        Self::Alloc,
        Self::Cancel,
        Self::Close,
        Self::Jump,
        Self::Trap,
        Self::Pool,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Spurious => "spurious",
            Self::Offline => "offline",
            Self::Alloc => "alloc",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Jump => "jump",
            Self::Trap => "trap",
            Self::Pool => "pool",
        }
    }
}

/// Which kinds of fault there are, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    kinds: u16,
    light: bool,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every kind, now and then.
    pub fn light() -> Self {
        Self {
            light: true,
            ..Self::heavy()
        }
    }

    /// Every kind, all the time.
    pub fn heavy() -> Self {
        Self::of(Fault::ALL)
    }

    /// These kinds, all the time.
    pub fn of(kinds: impl IntoIterator<Item = Fault>) -> Self {
        let bits = kinds.into_iter().map(|kind| 1 << kind as u16);
        Self {
            kinds: bits.fold(0, |all, bit| all | bit),
            light: false,
        }
    }

    /// Whether there are faults of this kind.
    pub fn has(self, kind: Fault) -> bool {
        self.kinds & (1 << kind as u16) != 0
    }

    /// The same without one kind.
    #[must_use]
    pub fn without(mut self, kind: Fault) -> Self {
        self.kinds &= !(1 << kind as u16);
        self
    }

    /// The kinds.
    pub fn kinds(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |kind| self.has(*kind))
    }

    /// Nanoseconds between two of the faults that come from outside, on average.
    pub(crate) fn interval(self) -> u64 {
        if self.light { 400_000 } else { 40_000 }
    }

    /// One in how many preemption points is a trap.
    pub(crate) fn traps(self) -> u64 {
        if self.light { 20_000 } else { 1_000 }
    }

    /// One in how many times a guest's memory cannot grow. An instance asks for some at its start, and most
    /// guests end where they get none.
    pub(crate) fn refusals(self) -> u64 {
        if self.light { 2_000 } else { 100 }
    }

    /// Whether these can end a guest that has done nothing wrong, or refuse it something.
    pub fn harm_guests(self) -> bool {
        [
            Fault::Alloc,
            Fault::Cancel,
            Fault::Close,
            Fault::Trap,
            Fault::Pool,
        ]
        .into_iter()
        .any(|kind| self.has(kind))
    }

    /// One in how many interrupts is late, or allocations fail.
    pub(crate) fn rarity(self) -> u64 {
        if self.light { 200 } else { 12 }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds == 0 {
            return f.write_str("none");
        }
        if *self == Self::heavy() {
            return f.write_str("heavy");
        }
        if *self == Self::light() {
            return f.write_str("light");
        }
        let mut separator = "";
        for kind in self.kinds() {
            write!(f, "{separator}{}", kind.name())?;
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::none()),
            "light" => return Ok(Self::light()),
            "heavy" => return Ok(Self::heavy()),
            _ => {}
        }
        let kind = |name: &str| {
            Fault::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| {
                    let names: Vec<_> = Fault::ALL.iter().map(|kind| kind.name()).collect();
                    format!(
                        "no fault `{name}`: use none, light, heavy, or some of {}",
                        names.join(",")
                    )
                })
        };
        let kinds: Result<Vec<_>, _> = text.split(',').map(kind).collect();
        Ok(Self::of(kinds?))
    }
}
