//! What goes wrong.

use std::{fmt, marker::PhantomData, str::FromStr};

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

/// Kinds of fault: those of a machine's harts, or those of several machines.
pub trait Kind: Copy + 'static {
    /// All of them, at most 16.
    const ALL: &'static [Self];

    /// Its name on the command line.
    fn name(self) -> &'static str;

    /// Its number, which no other has.
    fn number(self) -> u16;
}

impl Kind for Fault {
    const ALL: &'static [Self] = &[
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

    fn name(self) -> &'static str {
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

    fn number(self) -> u16 {
        self as u16
    }
}

/// Which kinds of fault there are, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults<K = Fault> {
    kinds: u16,
    light: bool,
    of: PhantomData<K>,
}

impl<K: Kind> Default for Faults<K> {
    fn default() -> Self {
        Self::of([])
    }
}

impl<K: Kind> Faults<K> {
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
        Self::of(K::ALL.iter().copied())
    }

    /// These kinds, all the time.
    pub fn of(kinds: impl IntoIterator<Item = K>) -> Self {
        let bits = kinds.into_iter().map(|kind| 1 << kind.number());
        Self {
            kinds: bits.fold(0, |all, bit| all | bit),
            light: false,
            of: PhantomData,
        }
    }

    /// Whether there are faults of this kind.
    pub fn has(self, kind: K) -> bool {
        self.kinds & (1 << kind.number()) != 0
    }

    /// Whether each kind comes only now and then.
    pub fn are_light(self) -> bool {
        self.light
    }

    /// The same without one kind.
    #[must_use]
    pub fn without(mut self, kind: K) -> Self {
        self.kinds &= !(1 << kind.number());
        self
    }

    /// The kinds.
    pub fn kinds(self) -> impl Iterator<Item = K> {
        K::ALL.iter().copied().filter(move |kind| self.has(*kind))
    }

    /// One in how many interrupts is late, messages are lost or allocations fail.
    pub(crate) fn rarity(self) -> u64 {
        if self.light { 200 } else { 12 }
    }
}

impl Faults {
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
}

impl<K: Kind> fmt::Display for Faults<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds == 0 {
            return f.write_str("none");
        }
        if self.kinds == Self::heavy().kinds {
            return f.write_str(if self.light { "light" } else { "heavy" });
        }
        let mut separator = "";
        for kind in self.kinds() {
            write!(f, "{separator}{}", kind.name())?;
            separator = ",";
        }
        Ok(())
    }
}

impl<K: Kind> FromStr for Faults<K> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::none()),
            "light" => return Ok(Self::light()),
            "heavy" => return Ok(Self::heavy()),
            _ => {}
        }
        let kind = |name: &str| {
            K::ALL
                .iter()
                .copied()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| {
                    let names: Vec<_> = K::ALL.iter().map(|kind| kind.name()).collect();
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
