//! A function that can be spawned, and how its types go over the byte contract.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::backend;
use crate::called::{Called, TaskFuture};
use crate::encoding::{self, Portable, Returned, Wire};
use crate::error::SpawnError;
use crate::handle::Handle;
use crate::options::Options;
use crate::registry::{Entry, Run};

/// A function that can be spawned: what [`#[task]`](macro@crate::task) makes of one.
///
/// `F` is the function's type, such as `fn(String, u32) -> u64`, and `K` says whether it is
/// [`Plain`] or [`Fallible`], and [`Async`]. It dereferences to the function, so it can be called as well.
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
    // Values rather than bounds, so that a type that cannot be encoded is reported once, where the
    // task's signature names it, and not at every use of the task.
    arguments: F::Wires,
    returned: Returned<K::Output, K::Error>,
}

impl<F: Signature, K: Kind<F::Returned>> Task<F, K> {
    /// Called by the code that `#[task]` writes.
    #[doc(hidden)]
    pub const fn __new(
        entry: &'static Entry,
        function: F,
        arguments: F::Wires,
        returned: Returned<K::Output, K::Error>,
    ) -> Self {
        Self {
            entry,
            function,
            arguments,
            returned,
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
        let input = F::encode(&self.arguments, &arguments).map_err(|error| {
            SpawnError::Other(format!("its arguments could not be encoded ({error})"))
        })?;
        let raw = backend::spawn(self.entry, input, options)?;
        Ok(Handle::new(raw, self.returned))
    }
}

impl<F: Signature, K: Kind<F::Returned>> Run for Task<F, K> {
    fn run(&self, input: &[u8]) -> Called<Vec<u8>, Vec<u8>> {
        let arguments = match F::decode(&self.arguments, input) {
            Ok(arguments) => arguments,
            Err(error) => {
                let text = format!("its arguments did not decode ({error})");
                return Called::Ended(Err(encoding::text_error(&text)));
            }
        };
        let returned = self.returned;
        match K::called(self.function.call(arguments)) {
            Called::Ended(result) => Called::Ended(returned.encode(&result)),
            Called::Future(future) => {
                Called::Future(Box::pin(async move { returned.encode(&future.await) }))
            }
        }
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
pub trait Signature: Copy + Send + Sync + sealed::Signature + 'static {
    /// What [`Task::spawn`] takes: one argument as it is, several as a tuple, none as `()`.
    type Arguments;

    /// What the function returns, [`Result`] or not.
    type Returned;

    #[doc(hidden)]
    type Wires: Copy + Send + Sync + 'static;

    #[doc(hidden)]
    fn call(self, arguments: Self::Arguments) -> Self::Returned;

    #[doc(hidden)]
    fn encode(wires: &Self::Wires, arguments: &Self::Arguments) -> Result<Vec<u8>, String>;

    #[doc(hidden)]
    fn decode(wires: &Self::Wires, input: &[u8]) -> Result<Self::Arguments, String>;
}

/// Whether what a task returns is its result, or a `Result` with its error: [`Plain`] or
/// [`Fallible`]; or a future of one of them: [`Async`].
#[diagnostic::on_unimplemented(
    message = "`{R}` is called a result, but is not `std::result::Result`",
    note = "`#[task]` takes a return type whose name is `Result` to be one; use another name for it"
)]
pub trait Kind<R>: sealed::Kind + 'static {
    /// What joining gives.
    type Output: 'static;

    /// What it fails with.
    type Error: 'static;

    #[doc(hidden)]
    fn called(returned: R) -> Called<Self::Output, Self::Error>;
}

/// The kind of a task whose returned value is its result. It cannot fail by itself, though joining
/// it can.
#[derive(Debug, Clone, Copy)]
pub enum Plain {}

/// The kind of a task that returns `Result<T, E>`.
#[derive(Debug, Clone, Copy)]
pub enum Fallible {}

/// The kind of a task that is an `async fn`; `K` is that of what its future gives.
///
/// ```
/// use hart_guest::{block_on, sleep, spawn_local, task};
/// use std::time::Duration;
///
/// #[task]
/// async fn longest(milliseconds: Vec<u64>) -> Result<u64, String> {
///     let sleepers = milliseconds.iter().map(|&time| {
///         spawn_local(async move {
///             sleep(Duration::from_millis(time)).await;
///             time
///         })
///     });
///     let mut found = None;
///     for sleeper in sleepers.collect::<Vec<_>>() {
///         found = found.max(Some(sleeper.await.map_err(|error| error.to_string())?));
///     }
///     found.ok_or_else(|| "nobody slept".to_string())
/// }
///
/// # fn main() -> Result<(), hart_guest::SpawnError> {
/// assert_eq!(longest.spawn(vec![1, 3, 2])?.join(), Ok(3)); // in a new instance
/// assert_eq!(block_on(longest(vec![2, 1])), Ok(2)); // here, in this one
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Async<K>(Infallible, PhantomData<K>);

impl<T: 'static> Kind<T> for Plain {
    type Output = T;
    type Error = Infallible;

    fn called(returned: T) -> Called<T, Infallible> {
        Called::Ended(Ok(returned))
    }
}

impl<T: 'static, E: 'static> Kind<Result<T, E>> for Fallible {
    type Output = T;
    type Error = E;

    fn called(returned: Result<T, E>) -> Called<T, E> {
        Called::Ended(returned)
    }
}

impl<R: 'static, K: Kind<R>> Kind<TaskFuture<R>> for Async<K> {
    type Output = K::Output;
    type Error = K::Error;

    fn called(returned: TaskFuture<R>) -> Called<K::Output, K::Error> {
        Called::Future(Box::pin(
            async move { K::called(returned.await).finish().await },
        ))
    }
}

/// What `#[task]` writes for each argument.
pub const fn argument<T: Portable>() -> Wire<T> {
    Wire::new()
}

/// What `#[task]` writes for a return type that is no `Result`.
pub const fn plain<T: Portable>() -> Returned<T, Infallible> {
    Returned {
        value: Wire::new(),
        error: None,
    }
}

/// What `#[task]` writes for a return type that is a `Result`.
pub const fn fallible<R>() -> Returned<<Fallible as Kind<R>>::Output, <Fallible as Kind<R>>::Error>
where
    Fallible: Kind<R, Output: Portable, Error: Portable>,
{
    Returned {
        value: Wire::new(),
        error: Some(Wire::new()),
    }
}

mod sealed {
    pub trait Signature {}
    pub trait Kind {}
    impl Kind for super::Plain {}
    impl Kind for super::Fallible {}
    impl<K: Kind> Kind for super::Async<K> {}
}

// `$arguments` is written with the letters that are the types' names, and so is both the type of all
// arguments and the pattern that takes them apart.
macro_rules! signatures {
    ($($arguments:tt: $($argument:ident $wire:ident)*;)*) => {$(
        impl<R: 'static, $($argument: 'static),*> sealed::Signature for fn($($argument),*) -> R {}

        #[allow(non_snake_case, reason = "type parameters name the values too")]
        impl<R: 'static, $($argument: 'static),*> Signature for fn($($argument),*) -> R {
            type Arguments = $arguments;
            type Returned = R;
            type Wires = ($(Wire<$argument>,)*);

            fn call(self, $arguments: $arguments) -> R {
                self($($argument),*)
            }

            fn encode(wires: &Self::Wires, $arguments: &$arguments) -> Result<Vec<u8>, String> {
                let ($($wire,)*) = wires;
                let bytes = Vec::new();
                $(let bytes = $wire.append($argument, bytes)?;)*
                Ok(bytes)
            }

            fn decode(wires: &Self::Wires, input: &[u8]) -> Result<$arguments, String> {
                let ($($wire,)*) = wires;
                $(let ($argument, input) = $wire.take(input)?;)*
                encoding::end(input)?;
                Ok($arguments)
            }
        }
    )*};
}

signatures! {
    (): ;
    A: A a;
    (A, B): A a B b;
    (A, B, C): A a B b C c;
    (A, B, C, D): A a B b C c D d;
    (A, B, C, D, E): A a B b C c D d E e;
    (A, B, C, D, E, F): A a B b C c D d E e F f;
    (A, B, C, D, E, F, G): A a B b C c D d E e F f G g;
    (A, B, C, D, E, F, G, H): A a B b C c D d E e F f G g H h;
    (A, B, C, D, E, F, G, H, I): A a B b C c D d E e F f G g H h I i;
    (A, B, C, D, E, F, G, H, I, J): A a B b C c D d E e F f G g H h I i J j;
    (A, B, C, D, E, F, G, H, I, J, K): A a B b C c D d E e F f G g H h I i J j K k;
    (A, B, C, D, E, F, G, H, I, J, K, L): A a B b C c D d E e F f G g H h I i J j K k L l;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_laid_out_one_after_the_other() {
        // The specification on the front page, in bytes.
        type Three = fn(String, u32, bool);
        let wires = (Wire::new(), Wire::new(), Wire::new());
        let bytes = [2, b'a', b'b', 0xac, 0x02, 1];
        let arguments = ("ab".to_string(), 300, true);
        assert_eq!(Three::encode(&wires, &arguments).unwrap(), bytes);
        assert_eq!(Three::decode(&wires, &bytes), Ok(arguments));
        assert_eq!(<fn()>::encode(&(), &()).unwrap(), []);
    }

    #[test]
    fn missing_and_left_over_bytes_are_refused() {
        type One = fn(u8);
        let wires = (Wire::new(),);
        assert_eq!(One::decode(&wires, &[1]), Ok(1));
        assert_eq!(
            One::decode(&wires, &[1, 2]),
            Err("1 bytes too many".to_string())
        );
        assert!(One::decode(&wires, &[]).is_err());
    }
}
