//! The `#[task]` attribute of `hart-guest`, which re-exports it and documents how to use it.
//!
//! This crate only checks what is written and names things; everything that happens at run time is
//! ordinary code in `hart-guest`.

mod check;
mod expand;

use proc_macro::TokenStream;

/// Makes a function a task: something that can be started in a new instance of this component.
///
/// See the front page of `hart-guest` for what a task is and what can be done with it.
///
/// ```text
/// #[hart_guest::task]
/// fn count(path: String, depth: u32) -> Result<u64, String> { .. }
/// ```
///
/// turns `count` into a `static count: Task<fn(String, u32) -> Result<u64, String>, Fallible>`. It
/// can still be called (`count(path, 3)`), and it can be spawned (`count.spawn((path, 3))`).
///
/// - An `async fn` is a task as well: a `Task<fn(String) -> TaskFuture<u64>, Async<Plain>>`, whose call gives a future.
///   In a program with a `main` its instance runs it with `block_on`; in one of `program!` it is a task of
///   component-model async.
/// - Arguments and what is returned must be owned types that serde can serialize and deserialize.
/// - A return type whose last path segment is `Result` makes the task fallible: the joiner gets its
///   error as `JoinError::Failed`. An alias of another name is taken as a plain value.
/// - `#[task(name = "count")]` sets the entry's name, which otherwise is `module::path::count`. It
///   must be unique in the component.
///
/// Because `count` becomes a static, no local variable in the same module can be called `count`.
/// Verbs make good names for tasks.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::task(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
