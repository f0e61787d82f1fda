//! Programs that wait with component-model async, as WASI 0.3 has it: ordinary `async` Rust.
//!
//! A [`Handle`](crate::Handle) can be awaited. While a join is pending the instance does whatever else its
//! futures have to do, on its one core; the tasks run on all of them. The root of such a program is an `async fn`
//! that [`program!`](crate::program) exports:
//!
//! ```
//! use hart_guest::{Failure, concurrent, task};
//! use std::time::Duration;
//!
//! #[task]
//! fn square(number: u64) -> u64 {
//!     number * number
//! }
//!
//! async fn run() -> Result<(), Failure> {
//!     let first = square.spawn(3)?;
//!     let second = square.spawn(4)?;
//!     let sum = first.await? + second.await?;
//!     let late = concurrent::timeout(Duration::from_secs(60), square.spawn(sum)?).await?;
//!     assert_eq!(late?, 625);
//!     Ok(())
//! }
//!
//! hart_guest::program!(run);
//! # fn main() {}
//! ```
//!
//! 1. The crate is a `cdylib` for `wasm32-wasip2`: it has no `main`. Such a component runs where component-model
//!    async does, as on hart.
//! 2. Awaiting works in what `program!` runs, in this program's [tasks](macro@crate::task) that are an `async fn`, and
//!    in other exports that are an `async func`. In an ordinary function [`join`](crate::Handle::join) waits: a task
//!    has an instance of its own, in which it may simply block. [`block_on`](crate::block_on) cannot run these
//!    futures, and what runs here is in no `block_on`: [`wait_for`] takes the place of [`sleep`](crate::sleep).
//! 3. What is no `async func` holds the whole instance while it waits, and with it all its futures: `join`, files
//!    and standard streams of `std`, `std::thread::sleep`.
//! 4. Natively each of these waits takes a thread.

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io::Write as _;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Waits for as long as `duration`, and lets the instance do other things.
#[cfg(target_family = "wasm")]
pub async fn wait_for(duration: Duration) {
    bindings::wasi::clocks::monotonic_clock::wait_for(crate::time::nanoseconds(duration)).await;
}

/// Waits for as long as `duration`, and lets others go on.
#[cfg(not(target_family = "wasm"))]
pub async fn wait_for(duration: Duration) {
    crate::native::on_thread(move || std::thread::sleep(duration)).await;
}

#[cfg(target_family = "wasm")]
mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated from wit/"
    )]

    wit_bindgen::generate!({
        path: [],
        inline: "
            package hart:concurrent;

            world concurrent {
                import wasi:clocks/monotonic-clock@0.3.0;
            }

            package wasi:clocks@0.3.0 {
                interface monotonic-clock {
                    wait-for: async func(how-long: u64);
                }
            }
        ",
        generate_all,
    });
}

/// The time was over before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl std::error::Error for Elapsed {}

/// Awaits `future`, but not for longer than `duration`; then it is dropped. A task whose join is dropped is
/// detached and goes on: [`Options`](crate::Options) have a timeout that ends it.
///
/// # Errors
///
/// [`Elapsed`] if the time was over first.
pub async fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future.into_future());
    let mut over = pin!(wait_for(duration));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        over.as_mut().poll(cx).map(|()| Err(Elapsed(())))
    })
    .await
}

/// Exports an `async fn` as what the program does: WASI 0.3's `wasi:cli/run`. To be called once, in the root of a
/// `cdylib` crate; see [`concurrent`](crate::concurrent).
///
/// The function takes nothing and returns `()` or a `Result` of it, whose error is printed and makes the exit code
/// 1. Natively this only checks that.
#[macro_export]
macro_rules! program {
    ($run:ident) => {
        #[doc(hidden)]
        #[allow(
            dead_code,
            missing_docs,
            unreachable_pub,
            clippy::undocumented_unsafe_blocks,
            clippy::multiple_unsafe_ops_per_block,
            reason = "most of it is generated"
        )]
        mod __hart_program {
            async fn ended_well() -> bool {
                $crate::concurrent::Ending::ends_well(super::$run().await)
            }

            $crate::__export_program!();

            mod entry {
                $crate::__export_entry!();
            }
        }
    };
}

/// Exports `ended_well`, in a component.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_program {
    () => {
        $crate::__private::wit_bindgen::generate!({
            path: [],
            inline: "
                package hart:program;

                world program {
                    export wasi:cli/run@0.3.0;
                }

                package wasi:cli@0.3.0 {
                    interface run {
                        run: async func() -> result;
                    }
                }
            ",
            runtime_path: "::hart_guest::__private::wit_bindgen::rt",
        });

        struct Program;

        impl exports::wasi::cli::run::Guest for Program {
            async fn run() -> ::core::result::Result<(), ()> {
                if ended_well().await { Ok(()) } else { Err(()) }
            }
        }

        export!(Program with_types_in self);
    };
}

/// Exports what the program's tasks begin with, where there are any instances of it.
#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_entry {
    () => {
        $crate::__private::wit_bindgen::generate!({
            path: [],
            inline: "
                package hart:program-entry;

                world program-entry {
                    export hart:exec/entry-async@0.1.0;
                }

                package hart:exec@0.1.0 {
                    interface entry-async {
                        run: async func(entry: string, input: list<u8>) -> result<list<u8>, list<u8>>;
                    }
                }
            ",
            runtime_path: "::hart_guest::__private::wit_bindgen::rt",
        });

        struct Tasks;

        impl exports::hart::exec::entry_async::Guest for Tasks {
            async fn run(
                entry: ::std::string::String,
                input: ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::vec::Vec<u8>> {
                $crate::__private::run_entry(entry, input).await
            }
        }

        export!(Tasks with_types_in self);
    };
}

/// Exports nothing: there is one instance.
#[cfg(not(all(target_family = "wasm", not(feature = "sequential"))))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_entry {
    () => {};
}

/// Exports nothing: a native program has no exports.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_program {
    () => {};
}

/// What the function of [`program!`](crate::program) may return.
pub trait Ending {
    /// Whether the program ended well; an error is printed.
    #[doc(hidden)]
    fn ends_well(self) -> bool;
}

impl Ending for () {
    fn ends_well(self) -> bool {
        true
    }
}

impl<E: fmt::Debug> Ending for Result<(), E> {
    fn ends_well(self) -> bool {
        match self {
            Ok(()) => true,
            Err(error) => {
                // Not `eprintln`, which panics where nobody reads standard error.
                let _ = writeln!(std::io::stderr(), "Error: {error:?}");
                false
            }
        }
    }
}
