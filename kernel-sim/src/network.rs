//! A network in front of a service: clients that send requests at virtual times, each a future outside every hart.

mod body;
mod client;
mod requests;
mod service;

pub use self::{
    client::{End, Exchange},
    requests::{Rate, Request, Requests},
    service::{HttpGuest, HttpOutcome},
};
