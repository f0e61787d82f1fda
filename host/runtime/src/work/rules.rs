//! What a worker does with the jobs that it is sent: decisions alone, without a connection, a thread or a clock.
//!
//! An [`Intake`] has the jobs of one app that a worker holds: it says how many more to ask for, and what to do with a message
//! that arrives. A [`Course`] is one delivery of a job: it is told what happened, and says what to do next. The worker drives
//! both over NATS; the machines of `hart-sim` drive the same code over a network that loses, repeats and delays.
//!
//! ```
//! use hart_host::work::rules::{Action, Course, Event, Look, Orders};
//!
//! // A job that was delivered before may have its result.
//! let mut course = Course::new(2, 5);
//! let orders = Orders::default();
//! assert_eq!(course.begin(orders), Action::Look);
//! assert_eq!(course.on(Event::Looked(Look::Nothing), orders), Action::Run);
//! ```

mod course;
mod intake;
mod terms;

pub use course::{Action, Course, End, Event, Look, Orders, Stored, Verdict};
pub use intake::{Arrival, Intake};
pub use terms::{ANSWER, EXPIRY, EXTENDS, FAREWELL, LOOK, NO_ROOM, RETURNS, SPARE, used_up_to};
