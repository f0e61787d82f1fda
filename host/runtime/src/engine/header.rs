//! What a file with compiled code says of itself, before the code.
//!
//! wasmtime's own part is for wasmtime. How many stacks an instance may need, whether it has a heap and what its
//! bookkeeping takes are not in there: they are told from the component.

use wasmtime::Engine;

use crate::base::text;
use crate::engine::error::LoadError;
use crate::engine::profile::Profile;
use crate::engine::slots::{Kind, Needs};

/// How such a file begins: with something that is neither text, nor a component, nor another program. The last byte is
/// the version of what follows.
const MAGIC: &[u8; 8] = b"\x7fhart\0\0\x02";
/// Bytes before the code: so many that the code is where wasmtime likes it.
const LENGTH: usize = 128;
/// Where it says which hart wrote it, and in how many bytes.
const VERSION: std::ops::Range<usize> = 64..LENGTH;
/// This hart.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// The preemption modes, by their numbers in a header.
const MODES: [&str; 3] = ["epoch", "fuel", "none"];

/// What there is to know of native code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// What kind of pool it was compiled for.
    pub(crate) profile: Profile,
    /// How it is preempted: see [`Preemption::mode`].
    pub(crate) preemption: &'static str,
    /// Whether it may spawn tasks.
    pub(crate) spawns: bool,
    /// Whether it is [baseline](super::baseline) code.
    pub(crate) is_baseline: bool,
    pub(crate) needs: Needs,
    /// See [`one_run`](super::one_run).
    pub(crate) one_run: Option<u64>,
}

/// Whether the bytes are compiled code, of hart's or of wasmtime's.
pub(crate) fn is_precompiled(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..7]) || Engine::detect_precompiled(bytes).is_some()
}

impl Header {
    /// The file with this code.
    pub(crate) fn write(&self, code: &[u8]) -> Vec<u8> {
        let Needs {
            instances,
            heap,
            bookkeeping,
        } = self.needs;
        let mut file = MAGIC.to_vec();
        file.push(u8::from(self.kind == Kind::Concurrent));
        file.push(u8::from(heap));
        file.push(u8::from(self.profile == Profile::Dense));
        let mode = MODES.iter().position(|mode| *mode == self.preemption);
        file.push(
            mode.and_then(|mode| u8::try_from(mode).ok())
                .unwrap_or(u8::MAX),
        );
        file.push(u8::from(self.spawns));
        file.push(u8::from(self.is_baseline));
        file.resize(16, 0);
        file.extend(instances.to_le_bytes());
        file.extend(bookkeeping.to_le_bytes());
        file.extend((code.len() as u64).to_le_bytes());
        file.extend(self.one_run.unwrap_or(0).to_le_bytes());
        file.resize(VERSION.start, 0);
        file.extend(OURS.bytes().take(VERSION.len()));
        file.resize(LENGTH, 0);
        file.extend(code);
        file
    }
}

/// What a file says, and the code in it.
pub(crate) fn read(file: &[u8]) -> Result<(Header, &[u8]), LoadError> {
    let Some(rest) = file.strip_prefix(&MAGIC[..7]) else {
        return Err(if Engine::detect_precompiled(file).is_some() {
            LoadError::Incompatible("it was not compiled by hart".into())
        } else {
            LoadError::NotPrecompiled
        });
    };
    if rest.first() != MAGIC.last() {
        return Err(LoadError::Incompatible(format!(
            "another version of hart than {OURS} has written it"
        )));
    }
    let Some((start, code)) = file.split_at_checked(LENGTH) else {
        return Err(LoadError::Truncated);
    };
    let version = String::from_utf8_lossy(&start[VERSION]);
    let version = version.trim_end_matches('\0');
    if version != OURS {
        return Err(LoadError::Incompatible(text::line(&format!(
            "hart {version} has written it, and this is {OURS}"
        ))));
    }
    let Some(preemption) = MODES.get(usize::from(start[11])) else {
        return Err(LoadError::Incompatible("it says no preemption mode".into()));
    };
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&start[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    if number(32) != code.len() as u64 {
        return Err(LoadError::Truncated);
    }
    let header = Header {
        kind: if start[8] == 0 {
            Kind::Plain
        } else {
            Kind::Concurrent
        },
        profile: if start[10] == 0 {
            Profile::Fast
        } else {
            Profile::Dense
        },
        preemption,
        spawns: start[12] != 0,
        is_baseline: start[13] != 0,
        needs: Needs {
            heap: start[9] != 0,
            instances: number(16),
            bookkeeping: number(24),
        },
        one_run: Some(number(40)).filter(|slots| *slots > 0),
    };
    Ok((header, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: a file that says less than it was written with; one of another version, or cut short, that is taken.
    #[test]
    fn what_is_written_is_read() {
        for kind in [Kind::Plain, Kind::Concurrent] {
            for (heap, profile) in [(false, Profile::Dense), (true, Profile::Fast)] {
                let header = Header {
                    kind,
                    profile,
                    preemption: if heap { "fuel" } else { "none" },
                    spawns: !heap,
                    is_baseline: heap,
                    needs: Needs {
                        instances: 3,
                        heap,
                        bookkeeping: 1 << 40,
                    },
                    one_run: heap.then_some(7),
                };
                assert_eq!(
                    read(&header.write(b"code")).unwrap(),
                    (header, &b"code"[..])
                );
            }
        }
        let header = Header {
            kind: Kind::Plain,
            profile: Profile::Fast,
            preemption: "epoch",
            spawns: false,
            is_baseline: false,
            needs: Needs {
                instances: 1,
                heap: false,
                bookkeeping: 0,
            },
            one_run: None,
        };
        let file = header.write(b"code");
        for length in 8..file.len() {
            assert!(matches!(read(&file[..length]), Err(LoadError::Truncated)));
        }
        let mut other = file.clone();
        other[7] = 1;
        assert!(matches!(read(&other), Err(LoadError::Incompatible(_))));
        let mut newer = file.clone();
        newer[VERSION][0] = b'9';
        assert!(matches!(
            read(&newer),
            Err(LoadError::Incompatible(why)) if why.contains("hart 9")
        ));
        assert!(is_precompiled(&other) && !is_precompiled(b"\x7fELF"));
    }
}
