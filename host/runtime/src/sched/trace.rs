//! What workers really did: recorded while they run, written as Chrome's trace format afterwards.
//!
//! 1. Where a runtime is traced, the futures of its tasks are wrapped ([`Traced`]), and so is its platform:
//!    where it is not, nothing of this is on any path.
//! 2. Each worker appends to a *row* of its own, whose lock nobody else wants while it runs.
//! 3. Rows are made of chunks. A chunk has records, of 40 bytes each, and the names that they refer to, so that
//!    nothing that is shared between workers is touched, and names go with the records that they belong to.
//! 4. The last records are kept, as many as was said: a row that needs a chunk when all are used gives up its
//!    own oldest.
//! 5. [`Trace::write`] copies the rows and writes them. Rows that gave up chunks begin at different times:
//!    the picture begins where all of them are whole.

pub(crate) mod draw;
pub(crate) mod place;
pub(crate) mod recorder;
pub(crate) mod task;
pub(crate) mod writer;
