//! From bytes to a component that can be instantiated, on an engine with a pool.
//!
//! May use [`base`](crate::base), [`quota`](crate::quota) and [`sched`](crate::sched).

pub(crate) mod analysis;
pub(crate) mod baseline;
pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod component;
pub(crate) mod config;
pub(crate) mod cost;
pub(crate) mod dense;
pub(crate) mod error;
pub(crate) mod header;
pub(crate) mod inspect;
pub(crate) mod inspection;
pub(crate) mod instance_size;
pub(crate) mod keep;
pub(crate) mod load;
pub(crate) mod module;
pub(crate) mod one_run;
pub(crate) mod optimize;
pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod profile;
pub(crate) mod room;
pub(crate) mod size_error;
pub(crate) mod skeleton;
pub(crate) mod slots;
pub(crate) mod tier;
pub(crate) mod wave;
