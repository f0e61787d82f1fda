//! What the embedder's code is told of a run and of a task.

use crate::quota::limits::Limits;

/// A run, as [`Capability::prepare`](crate::Capability::prepare) and [hooks](crate::HostBuilder::on) are told of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RunInfo<'a> {
    /// A number that no other run of the host has.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
    /// The name of its tenant, if it has one.
    pub tenant: Option<&'a str>,
    /// What it may use.
    pub limits: Limits,
}

/// A task, as hooks are told of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TaskInfo<'a> {
    /// Its run.
    pub run: RunInfo<'a>,
    /// A number that no other task of the host has.
    pub id: u64,
    /// Its name. That of a task which a guest has spawned comes from there: untrusted.
    pub name: &'a str,
    /// How deep it is below the root, whose depth is 0.
    pub depth: u32,
}
