//! Components that answer HTTP requests: each request is a run of its own.
//!
//! May use [`host`](crate::host) and everything below it.
//!
//! # The way of a request
//!
//! 1. [`Service::handle`](service::Service::handle) takes a [`Ticket`](queue::Ticket) from the service's queue, or waits
//!    for one. A full queue refuses.
//! 2. It launches a run whose root gives the request to the guest ([`guest`]). The run is a group of the executor, so
//!    requests share the cores fairly, whatever each of them does.
//! 3. The guest's response comes through a [`Reply`](exchange::Reply). Its body goes on while the guest writes it.
//! 4. A client that goes away drops the body, or the future of step 1: either ends the run. A guest that ends before the
//!    body has marks the [`Exchange`](exchange::Exchange) as broken, and the body ends with an error.
//! 5. The run holds the ticket. It goes back when nothing of the guest is left, not when the response is sent: its instance
//!    is gone, or waits for the next request.

pub(crate) mod body;
pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod guest;
pub(crate) mod handle;
pub(crate) mod queue;
pub(crate) mod request_body;
pub(crate) mod settings;
