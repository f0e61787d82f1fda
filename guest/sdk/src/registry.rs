//! Finding a task by its name in a new instance.
//!
//! On hart a task begins as a call of the exported `hart:exec/entry.run`, or of `entry-async.run`, with a name. The names are
//! registered by static constructors: `#[task]` puts a pointer to a function into `.init_array`,
//! which the linker gathers from every crate of the program, and which prepends that task's
//! [`Entry`] to a list. It costs a store or two for each task of the program at the start of an
//! instance, and no list that the author would have to keep.
//!
//! Natively tasks are not found by name, so nothing is registered.

use crate::called::Called;

/// A task as its instance is asked for it.
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) task: &'static dyn Run,
    #[cfg(all(target_family = "wasm", not(feature = "sequential")))]
    next: std::sync::OnceLock<Option<&'static Entry>>,
}

/// A [`Task`](crate::Task) of any type.
pub trait Run: Sync {
    /// Decodes the arguments, calls the function, and encodes what it returns.
    fn run(&self, input: &[u8]) -> Called<Vec<u8>, Vec<u8>>;
}

impl Entry {
    /// Called by the code that `#[task]` writes.
    pub const fn new(name: &'static str, task: &'static dyn Run) -> Self {
        Self {
            name,
            task,
            #[cfg(all(target_family = "wasm", not(feature = "sequential")))]
            next: std::sync::OnceLock::new(),
        }
    }
}

#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
mod list {
    use super::Entry;
    use crate::called::Called;
    use crate::encoding;
    use std::iter;
    use std::sync::Mutex;

    // A component has one thread: neither this lock nor the `OnceLock` costs more than a flag.
    static FIRST: Mutex<Option<&'static Entry>> = Mutex::new(None);

    fn first() -> Option<&'static Entry> {
        *FIRST
            .lock()
            .expect("no code that can panic holds this lock")
    }

    impl Entry {
        /// Called once for each task, by its static constructor.
        pub fn register(&'static self) {
            let mut first = FIRST
                .lock()
                .expect("no code that can panic holds this lock");
            if self.next.set(*first).is_ok() {
                *first = Some(self);
            }
        }
    }

    fn all() -> impl Iterator<Item = &'static Entry> {
        iter::successors(first(), |entry| entry.next.get().copied().flatten())
    }

    /// What `run` of `hart:exec/entry` and `hart:exec/entry-async` do.
    pub(crate) fn run(name: &str, input: &[u8]) -> Called<Vec<u8>, Vec<u8>> {
        let failed = |text: &str| Called::Ended(Err(encoding::text_error(text)));
        let mut found = all().filter(|entry| entry.name == name);
        match (found.next(), found.next()) {
            (Some(entry), None) => entry.task.run(input),
            (Some(_), Some(_)) => failed(&format!(
                "this component has more than one task named `{name}`; give them names with \
                 `#[task(name = \"..\")]`"
            )),
            (None, _) => {
                let mut names: Vec<_> = all().map(|entry| entry.name).collect();
                names.sort_unstable();
                Called::Ended(Err(encoding::no_such_task(&format!(
                    "this component has no task named `{name}`; it has: {}. A component that was \
                     composed into it keeps its tasks only if its entry is exported as well; in \
                     wac: `export part[\"hart:exec/entry@0.1.0\"] as part-entry;`",
                    names.join(", ")
                ))))
            }
        }
    }
}
#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
pub(crate) use list::run;

/// Registers a task. Called by the code that `#[task]` writes.
#[cfg(all(target_family = "wasm", not(feature = "sequential")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($entry:ident) => {
        const _: () = {
            extern "C" fn register() {
                $entry.register();
            }
            // SAFETY: `.init_array` holds pointers to functions without arguments and result, as
            // `register` is, which are called once before anything else runs and may not unwind;
            // `register` only takes an uncontended lock and stores two words.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static REGISTER: extern "C" fn() = register;
        };
    };
}

/// Registers a task. Called by the code that `#[task]` writes.
#[cfg(not(all(target_family = "wasm", not(feature = "sequential"))))]
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($entry:ident) => {};
}
