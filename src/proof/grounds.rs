//! What records are held against, read from this installation: principals, accounts, trust, the sealing key's public half.

use super::signed::HeldAgainst;
use crate::approval::Principals;
use crate::home::{Accounts, Home, Trust};
use crate::vocab::{PublicKey, Timestamp};

/// As it is now.
#[derive(Debug)]
pub struct Grounds {
    principals: Principals,
    accounts: Accounts,
    trust: Trust,
    sealing_key: PublicKey,
}

impl Grounds {
    /// Reads it; the error is a sentence. Without a file of principals nobody is one, and no record counts.
    pub fn read(home: &Home) -> Result<Self, String> {
        let principals = match home.load_principals().map_err(|error| error.to_string())? {
            Some(found) => Principals::parse(&found.text).map_err(|error| error.to_string())?,
            None => Principals::default(),
        };
        Ok(Self {
            principals,
            accounts: Accounts::read(),
            trust: home.trust().map_err(|error| error.to_string())?,
            sealing_key: home.sealing_key().map_err(|error| error.to_string())?.public(),
        })
    }

    /// At one moment.
    #[must_use]
    pub const fn at(&self, now: Timestamp) -> HeldAgainst<'_> {
        HeldAgainst {
            principals: &self.principals,
            accounts: &self.accounts,
            trust: &self.trust,
            sealing_key: &self.sealing_key,
            now,
        }
    }
}
