//! End-to-end tests: the real `hart`, in processes of its own, on real components.
//!
//! One program, so that it is linked once. Nothing here asserts how long something takes: where a
//! test could hang, a generous guard ends it with what was printed so far.

mod stores;
mod support;

mod accounts;
mod apps;
mod bad_input;
mod blame;
mod closed;
mod compose;
mod corrupt;
mod environment;
mod flags;
mod flight;
mod futures;
mod guests;
mod help;
mod invoke;
mod languages;
mod limits;
mod modules;
mod network;
mod new;
mod options;
mod otlp;
mod outcomes;
mod output;
mod pages;
mod pool;
mod preemption;
mod serve;
mod signals;
mod sim;
mod sim_requests;
mod tiers;
mod trace;
mod wast;
mod watched;
mod wordcount;
mod work;
