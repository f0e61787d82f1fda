//! What the suites `spawn` and `density` make instances of. It imports nothing of hart, so that any WASI
//! runtime has it.
//!
//! Exports, each called once in a new instance: `noop`, `small` (allocates 64 KiB and writes to every page
//! of it), `format` (formats a string), `park` (sleeps).

use std::hint::black_box;
use std::time::Duration;

/// Bytes in a page of the host.
const PAGE: usize = 4096;

fn small() -> u32 {
    let mut bytes = vec![0_u8; 64 << 10];
    for page in bytes.chunks_mut(PAGE) {
        page[0] = 1;
    }
    black_box(&bytes).iter().map(|byte| u32::from(*byte)).sum()
}

fn format(number: u32) -> u32 {
    let text = format!("{number} tasks, {:>8.3} each", f64::from(number) / 7.0);
    black_box(text).len() as u32
}

fn park(milliseconds: u32) {
    std::thread::sleep(Duration::from_millis(milliseconds.into()));
}

#[cfg(target_family = "wasm")]
mod exports {
    #![allow(
        missing_docs,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated"
    )]

    wit_bindgen::generate!({
        inline: "
            package bench:spawned;
            world spawned {
                export noop: func();
                export small: func() -> u32;
                export format: func(number: u32) -> u32;
                export park: func(milliseconds: u32);
            }",
    });

    export!(Component with_types_in self);

    struct Component;

    impl Guest for Component {
        fn noop() {}

        fn small() -> u32 {
            super::small()
        }

        fn format(number: u32) -> u32 {
            super::format(number)
        }

        fn park(milliseconds: u32) {
            super::park(milliseconds);
        }
    }
}

fn main() {
    // So that the native program uses them, too.
    park(0);
    println!("{} {}", small(), format(7));
}
