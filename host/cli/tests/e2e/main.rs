//! End-to-end tests: the real `hart`, in processes of its own, on real components.
//!
//! One program, so that it is linked once. Nothing here asserts how long something takes: where a
//! test could hang, a generous guard ends it with what was printed so far.

mod support;

mod bad_input;
mod corrupt;
mod futures;
mod guests;
mod help;
mod limits;
mod new;
mod outcomes;
mod pool;
mod preemption;
mod sim;
mod trace;
mod wast;
mod wordcount;
