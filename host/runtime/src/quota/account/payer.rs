//! Who pays for what an instance does, which changes when another run takes the instance over.

use std::sync::{Arc, Mutex};

use super::Account;
use crate::base::sync::lock;

/// The account of the run that an instance belongs to now.
pub(crate) struct Payer(Mutex<Arc<Account>>);

impl Payer {
    pub(crate) fn new(account: &Arc<Account>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(account.clone())))
    }

    pub(crate) fn account(&self) -> Arc<Account> {
        lock(&self.0).clone()
    }

    /// This one pays from now on.
    pub(crate) fn set(&self, account: &Arc<Account>) {
        let _old = std::mem::replace(&mut *lock(&self.0), account.clone());
    }
}
