//! Services and servers of hosts without data of the embedder's own, compiled in this crate: see the module of the same
//! name in [`host`](crate::host).
#![cfg(all(debug_assertions, not(test), not(feature = "planted-faults")))]

use std::io;
use std::net::TcpListener;

use crate::instance::error::RunError;
use crate::serve::server::{Server, ServerBuilder};
use crate::service::builder::ServiceBuilder;
use crate::service::handle::Service;

#[used]
static BUILD: fn(ServiceBuilder) -> Result<Service, RunError> = ServiceBuilder::build;
#[used]
static START: fn(ServerBuilder, TcpListener) -> io::Result<Server> = ServerBuilder::start;
