//! Memory that can be given back before a limit is reached.

use crate::quota::account::Account;

/// Holds memory, counted for accounts, that it can do without.
pub(crate) trait Relief: Send + Sync {
    /// Gives back what counts against limits that `account` is subject to; says whether there was anything.
    fn relieve(&self, account: &Account) -> bool;
}
