//! What is written alike for both versions of WASI: their interfaces have the same functions, in modules of their own.

/// Replaces these interfaces in a linker, and answers those for random numbers. The modules are those in scope at the call.
macro_rules! replaced {
    ($clock:ident, $seed:ident) => {
        /// Replaces what would reach the outside.
        pub(in crate::guest) fn add_to_linker(
            linker: &mut Linker<GuestState<Outside>>,
        ) -> wasmtime::Result<()> {
            linker.allow_shadowing(true);
            let view: fn(&mut GuestState<Outside>) -> View<'_> = |state| View { state };
            monotonic_clock::add_to_linker::<_, HasView>(linker, view)?;
            $clock::add_to_linker::<_, HasView>(linker, view)?;
            random::add_to_linker::<_, HasView>(linker, view)?;
            insecure::add_to_linker::<_, HasView>(linker, view)?;
            insecure_seed::add_to_linker::<_, HasView>(linker, view)?;
            linker.allow_shadowing(false);
            Ok(())
        }

        impl random::Host for View<'_> {
            fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
                self.bytes(len)
            }

            fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
                Ok(self.number())
            }
        }

        impl insecure::Host for View<'_> {
            fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
                self.bytes(len)
            }

            fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
                Ok(self.number())
            }
        }

        impl insecure_seed::Host for View<'_> {
            fn $seed(&mut self) -> wasmtime::Result<(u64, u64)> {
                Ok((self.number(), self.number()))
            }
        }
    };
}

pub(super) use replaced;
