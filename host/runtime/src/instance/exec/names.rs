//! Strings of `hart:exec`, whose length is looked at before they are copied.

use wasmtime::ValRaw;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Lift};
use wasmtime::{Result, ensure};

/// Code units that a name may have; 64 bytes of it are kept at most.
const MOST: u32 = 64 << 10;

/// A name as a guest gave it.
pub(crate) struct Name(pub(crate) String);

/// A string that is longer is not even looked at: to transcode a large one takes long, and nothing else runs on the core
/// meanwhile.
fn check(length: u32) -> Result<()> {
    /// In the encoding that has two forms, the one that was chosen.
    const UTF16_TAG: u32 = 1 << 31;

    let units = length & !UTF16_TAG;
    ensure!(
        units <= MOST,
        "a name of {units} code units: names of tasks and entries may have {MOST}"
    );
    Ok(())
}

// SAFETY: it is laid out and type-checked as a string.
unsafe impl ComponentType for Name {
    type Lower = <str as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <str as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <str as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: a string is read as `String` reads it, from the same pointer and length, which `check` does not change.
unsafe impl Lift for Name {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &[ValRaw; 2],
    ) -> Result<Self> {
        check(src[1].get_u32())?;
        String::linear_lift_from_flat(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        let length = bytes.get(4..8).and_then(|length| length.try_into().ok());
        check(length.map_or(u32::MAX, u32::from_le_bytes))?;
        String::linear_lift_from_memory(cx, ty, bytes).map(Self)
    }
}
