//! A function that can be spawned, and how its types go over the byte contract.

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{self, Outcome};
use crate::encoding::{self, Failed};
use crate::error::{JoinError, SpawnError};
use crate::handle::Handle;
use crate::options::Options;
use crate::registry::Entry;

/// A function that can be spawned: what [`#[task]`](macro@crate::task) makes of one.
///
/// `F` is the function's type, such as `fn(String, u32) -> u64`, and `K` says whether it is
/// [`Plain`] or [`Fallible`]. It dereferences to the function, so it can be called as well.
///
/// ```
/// use hart_guest::task;
///
/// #[task]
/// fn divide(dividend: u32, divisor: u32) -> Result<u32, String> {
///     dividend.checked_div(divisor).ok_or_else(|| "divided by 0".to_string())
/// }
///
/// # fn main() -> Result<(), hart_guest::SpawnError> {
/// assert_eq!(divide(6, 3), Ok(2)); // here, in this instance
/// assert_eq!(divide.spawn((6, 3))?.join(), Ok(2)); // in a new one
/// let error = divide.spawn((6, 0))?.join().unwrap_err();
/// assert_eq!(error.to_string(), "the task failed: divided by 0");
/// # Ok(())
/// # }
/// ```
pub struct Task<F: Signature, K: Kind<F::Returned> = Plain> {
    entry: &'static Entry,
    function: F,
    // Kept as functions so that only `#[task]`, and not every use of the task, asks serde's traits
    // of its types: a type that lacks them is reported once, where it is written.
    encode: fn(&F::Arguments) -> postcard::Result<Vec<u8>>,
    decode: fn(Outcome) -> Result<K::Output, JoinError<K::Error>>,
}

impl<F: Signature, K: Kind<F::Returned>> Task<F, K> {
    /// Called by the code that `#[task]` writes.
    #[doc(hidden)]
    pub const fn __new(entry: &'static Entry, function: F) -> Self
    where
        F::Arguments: Serialize,
        K: Codec<F::Returned>,
    {
        Self {
            entry,
            function,
            encode: encoding::encode::<F::Arguments>,
            decode: K::decode,
        }
    }

    /// The name by which a new instance is asked for this task.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// Starts the task in a new instance. One argument is given as it is, several as a tuple, none
    /// as `()`. Returns at once; the task starts when the host has room for it.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] where it was not started: after [`close`](crate::close), at a limit, without
    /// the right to, or when the arguments cannot be encoded.
    pub fn spawn(
        &self,
        arguments: F::Arguments,
    ) -> Result<Handle<K::Output, K::Error>, SpawnError> {
        self.spawn_prepared(arguments, &backend::Prepared::default())
    }

    /// Like [`spawn`](Self::spawn), with a name, limits or fewer rights for this one.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with(
        &self,
        arguments: F::Arguments,
        options: &Options,
    ) -> Result<Handle<K::Output, K::Error>, SpawnError> {
        self.spawn_prepared(arguments, &backend::Prepared::from(options))
    }

    pub(crate) fn spawn_prepared(
        &self,
        arguments: F::Arguments,
        options: &backend::Prepared,
    ) -> Result<Handle<K::Output, K::Error>, SpawnError> {
        let input = (self.encode)(&arguments).map_err(|error| {
            SpawnError::Other(format!("its arguments could not be encoded ({error})"))
        })?;
        let raw = backend::spawn(self.entry, input, options)?;
        Ok(Handle::new(raw, self.decode))
    }
}

impl<F: Signature, K: Kind<F::Returned>> Clone for Task<F, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Signature, K: Kind<F::Returned>> Copy for Task<F, K> {}

impl<F: Signature, K: Kind<F::Returned>> Deref for Task<F, K> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.function
    }
}

impl<F: Signature, K: Kind<F::Returned>> fmt::Debug for Task<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.name()).finish()
    }
}

/// A function pointer with up to 12 arguments.
///
/// Implemented for all of them and for nothing else.
pub trait Signature: Copy + sealed::Signature + 'static {
    /// What [`Task::spawn`] takes: one argument as it is, several as a tuple, none as `()`.
    type Arguments;

    /// What the function returns, [`Result`] or not.
    type Returned;

    /// Calls the function.
    fn call(self, arguments: Self::Arguments) -> Self::Returned;
}

/// Whether what a task returns is its result, or a `Result` with its error: [`Plain`] or
/// [`Fallible`].
pub trait Kind<R>: sealed::Kind + 'static {
    /// What joining gives.
    type Output;

    /// What it fails with.
    type Error;
}

/// The kind of a task whose returned value is its result. It cannot fail by itself, though joining
/// it can.
#[derive(Debug, Clone, Copy)]
pub enum Plain {}

/// The kind of a task that returns `Result<T, E>`.
#[derive(Debug, Clone, Copy)]
pub enum Fallible {}

impl<T> Kind<T> for Plain {
    type Output = T;
    type Error = Infallible;
}

impl<T, E> Kind<Result<T, E>> for Fallible {
    type Output = T;
    type Error = E;
}

/// Both directions of what a task returns. Apart from [`Kind`] so that a type that serde does not
/// know is reported by one bound and not by all.
pub trait Codec<R>: Kind<R> {
    #[doc(hidden)]
    fn encode(returned: &R) -> Result<Vec<u8>, Vec<u8>>;

    #[doc(hidden)]
    fn decode(outcome: Outcome) -> Result<Self::Output, JoinError<Self::Error>>;
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Plain {
    fn encode(returned: &T) -> Result<Vec<u8>, Vec<u8>> {
        encoding::encode(returned).map_err(|error| not_encoded("result", &error))
    }

    fn decode(outcome: Outcome) -> Result<T, JoinError> {
        decode(outcome, |_| {
            JoinError::Other("it failed, although it is a task that cannot".to_string())
        })
    }
}

impl<T, E> Codec<Result<T, E>> for Fallible
where
    T: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned,
{
    fn encode(returned: &Result<T, E>) -> Result<Vec<u8>, Vec<u8>> {
        match returned {
            Ok(value) => encoding::encode(value).map_err(|error| not_encoded("result", &error)),
            Err(own) => Err(encoding::encode_own_error(own)
                .unwrap_or_else(|error| not_encoded("error", &error))),
        }
    }

    fn decode(outcome: Outcome) -> Result<T, JoinError<E>> {
        decode(outcome, |own| match encoding::decode(own) {
            Ok(error) => JoinError::Failed(error),
            Err(error) => JoinError::Other(format!("its error did not decode ({error})")),
        })
    }
}

fn decode<T: DeserializeOwned, E>(
    outcome: Outcome,
    own_error: impl FnOnce(&[u8]) -> JoinError<E>,
) -> Result<T, JoinError<E>> {
    match outcome {
        Ok(bytes) => encoding::decode(&bytes)
            .map_err(|error| JoinError::Other(format!("its result did not decode ({error})"))),
        Err(error) => Err(
            error.and_failed(|bytes| match encoding::split_error(&bytes) {
                Failed::Own(own) => own_error(own),
                Failed::Text(text) => JoinError::Other(text),
            }),
        ),
    }
}

fn not_encoded(what: &str, error: &postcard::Error) -> Vec<u8> {
    encoding::text_error(&format!("its {what} could not be encoded ({error})"))
}

/// Runs a task in its instance: decodes, calls, encodes.
pub fn run<F, K>(function: F, input: &[u8]) -> Result<Vec<u8>, Vec<u8>>
where
    F: Signature<Arguments: DeserializeOwned>,
    K: Codec<F::Returned>,
{
    let arguments = encoding::decode(input).map_err(|error| {
        encoding::text_error(&format!("its arguments did not decode ({error})"))
    })?;
    K::encode(&function.call(arguments))
}

/// Compiles only for what can be an argument.
pub const fn argument<T: Serialize + DeserializeOwned>() {}

/// Compiles only for what a task can return.
pub const fn returned<T: Serialize + DeserializeOwned>() {}

/// Compiles only for a `Result` that a task can return.
pub const fn returned_result<R>()
where
    Fallible: Codec<R>,
{
}

mod sealed {
    pub trait Signature {}
    pub trait Kind {}
    impl Kind for super::Plain {}
    impl Kind for super::Fallible {}
}

macro_rules! signatures {
    ($(($($argument:ident),*) as $arguments:ty;)*) => {$(
        impl<R: 'static, $($argument: 'static),*> sealed::Signature for fn($($argument),*) -> R {}

        impl<R: 'static, $($argument: 'static),*> Signature for fn($($argument),*) -> R {
            type Arguments = $arguments;
            type Returned = R;

            #[allow(non_snake_case, unused_parens, reason = "type parameters name the values too")]
            fn call(self, ($($argument),*): $arguments) -> R {
                self($($argument),*)
            }
        }
    )*};
}

signatures! {
    () as ();
    (A) as A;
    (A, B) as (A, B);
    (A, B, C) as (A, B, C);
    (A, B, C, D) as (A, B, C, D);
    (A, B, C, D, E) as (A, B, C, D, E);
    (A, B, C, D, E, F) as (A, B, C, D, E, F);
    (A, B, C, D, E, F, G) as (A, B, C, D, E, F, G);
    (A, B, C, D, E, F, G, H) as (A, B, C, D, E, F, G, H);
    (A, B, C, D, E, F, G, H, I) as (A, B, C, D, E, F, G, H, I);
    (A, B, C, D, E, F, G, H, I, J) as (A, B, C, D, E, F, G, H, I, J);
    (A, B, C, D, E, F, G, H, I, J, K) as (A, B, C, D, E, F, G, H, I, J, K);
    (A, B, C, D, E, F, G, H, I, J, K, L) as (A, B, C, D, E, F, G, H, I, J, K, L);
}
