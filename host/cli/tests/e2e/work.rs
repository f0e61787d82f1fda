//! `hart work`, `hart submit` and `hart jobs`, with a real nats-server. It is not in a checkout, so these tests run when they
//! are asked for: `cargo test --test e2e -- --ignored work::`.

pub(crate) mod basics;
pub(crate) mod faults;
pub(crate) mod jobs;
pub(crate) mod leases;
mod nats;
pub(crate) mod remote;
pub(crate) mod secure;
pub(crate) mod shares;
