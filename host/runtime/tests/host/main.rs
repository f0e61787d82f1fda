//! Tests of the host crate: one program, because linking one takes long.
#![expect(unreachable_pub, reason = "nothing here is for others")]

mod accounts;
mod admission;
mod budget;
mod builders;
mod burial;
mod cache;
mod clocks;
mod concurrent;
mod config;
mod data;
mod dense;
mod ends;
mod files;
mod handles;
mod host_calls;
mod inner_runs;
mod isolation;
mod kept_bytes;
mod layers;
mod limits;
mod live;
mod load;
mod loading;
mod look_ups;
mod neighbours;
mod pool;
mod preemption;
mod reuse;
mod settings;
mod shares;
mod soak;
mod stuck;
mod support;
mod tasks;
mod woken;
