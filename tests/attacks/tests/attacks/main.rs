//! One test for each thing that a guest can make the host hold or do for it: the victim beside it is served, and
//! memory stays within what the guest's limits allow.

mod files;
mod loading;
mod memory;
mod pool;
mod work;
