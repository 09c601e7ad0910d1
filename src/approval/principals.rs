//! The file of principals: who may submit, approve and operate, with which keys, from when until when.
//!
//! Guarantees: names, keys and accounts each belong to one principal, so that one person cannot count as two.
//! There is no file by default, and an empty one names nobody. Reads no file and no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::home::{Accounts, is_uid, parts};
use crate::vocab::{Digest, PrincipalName, PublicKey, Timestamp};

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Ask for runs.
    Submit,
    /// Say yes or no to requests of others.
    Approve,
    /// Configure, admit, enable.
    Operate,
}

impl std::str::FromStr for Role {
    type Err = PrincipalsError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "submit" => Ok(Self::Submit),
            "approve" => Ok(Self::Approve),
            "operate" => Ok(Self::Operate),
            _ => Err(PrincipalsError::Role(crate::vocab::shown(text))),
        }
    }
}

/// A person or machine account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Unique in the file.
    pub name: PrincipalName,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// OS accounts: `uid:name`, `uid` or `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// From when; `None` = always was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when, exclusive; `None` = until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// Public keys, SPKI PEM (Ed25519) or OpenSSH lines; at least one.
    pub keys: Vec<PublicKey>,
}

impl Principal {
    /// Whether `moment` lies in its validity.
    #[must_use]
    pub fn valid_at(&self, moment: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= moment)
            && self.valid_until.is_none_or(|until| moment < until)
    }

    /// Whether one of its accounts has a uid in common with `account`, or a part of its text.
    #[must_use]
    pub fn has_account(&self, account: &str, accounts: &Accounts) -> bool {
        let uids = accounts.uids(account);
        let meets = |own: &String| overlapping_texts(own, account) || !accounts.uids(own).is_disjoint(&uids);
        self.accounts.iter().any(meets)
    }

    fn has_secret(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|own| own.is_same_secret(key))
    }

    fn has_text_of(&self, account: &str) -> bool {
        self.accounts.iter().any(|own| overlapping_texts(own, account))
    }

    /// Its key with this id.
    #[must_use]
    pub fn key(&self, id: Digest) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.key_id() == id)
    }
}

/// Whether both spellings have the same uid, or the same name, whoever that is.
fn overlapping_texts(a: &str, b: &str) -> bool {
    let ((a_uid, a_name), (b_uid, b_name)) = (parts(a), parts(b));
    (a_uid.is_some() && a_uid == b_uid) || (a_name.is_some() && a_name == b_name)
}

fn is_account(account: &str) -> bool {
    let (uid, name) = parts(account);
    let good_name =
        |n: &str| !n.is_empty() && n.trim() == n && !n.contains(':') && !n.chars().any(char::is_control);
    uid.is_none_or(is_uid) && name.is_none_or(good_name)
}

/// Why a file of principals is refused.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalsError {
    /// Not TOML, or not of this shape.
    #[error("the file of principals is not well formed: {0}")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Two of the same name.
    #[error("principal `{0}` is there twice: give each another name, or remove one first")]
    NameTwice(PrincipalName),
    /// One key in two places.
    #[error("key {key} belongs to `{first}` already: `{second}` needs a key of its own")]
    KeyTwice {
        /// Which key.
        key: Digest,
        /// Who has it.
        first: PrincipalName,
        /// Who would have it too.
        second: PrincipalName,
    },
    /// One account in two places.
    #[error("account `{account}` belongs to `{first}` already: one account stands for one principal")]
    AccountTwice {
        /// Which account.
        account: String,
        /// Who has it.
        first: PrincipalName,
    },
    /// Nothing to sign with.
    #[error("principal `{0}` has no key: add one with `--key FILE`")]
    NoKey(PrincipalName),
    /// Nothing to do.
    #[error("principal `{0}` has no role: name at least one of submit, approve, operate")]
    NoRole(PrincipalName),
    /// An account that names nobody.
    #[error("principal `{name}` has account `{account}`: write `uid:name`, `uid` or `name`")]
    Account {
        /// Whose.
        name: PrincipalName,
        /// What was written.
        account: String,
    },
    /// An account that this machine does not know.
    #[error("account `{account}` of principal `{name}` is not in /etc/passwd: give the numeric uid instead")]
    NobodysAccount {
        /// Whose.
        name: PrincipalName,
        /// What was written.
        account: String,
    },
    /// Ends before it begins.
    #[error("principal `{0}` is never valid: `valid_until` is not after `valid_from`")]
    NeverValid(PrincipalName),
    /// Not a role.
    #[error("`{0}` is not a role: submit, approve or operate")]
    Role(String),
    /// Nobody of that name.
    #[error("no principal is named `{0}`")]
    Unknown(PrincipalName),
    /// The machine's sealing key.
    #[error("the sealing key is never a principal's: make `{0}` a key of its own")]
    SealingKey(PrincipalName),
    /// It could not be written as TOML.
    #[error("the file of principals could not be written: {0}")]
    Write(#[source] Box<toml::ser::Error>),
}

/// Everybody who is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principals {
    all: Vec<Principal>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    principal: Vec<Principal>,
}

impl Principals {
    /// Reads the text of `principals.toml`. Strict: unknown fields and everything doubled are errors.
    pub fn parse(text: &str) -> Result<Self, PrincipalsError> {
        let wire: Wire = toml::from_str(text).map_err(|e| PrincipalsError::Syntax(Box::new(e)))?;
        let mut principals = Self::default();
        for principal in wire.principal {
            principals.add(principal)?;
        }
        Ok(principals)
    }

    /// The text of `principals.toml`.
    pub fn to_toml(&self) -> Result<String, PrincipalsError> {
        let wire = Wire { principal: self.all.clone() };
        toml::to_string(&wire).map_err(|e| PrincipalsError::Write(Box::new(e)))
    }

    /// Adds one, if nothing of it belongs to somebody already.
    pub fn add(&mut self, new: Principal) -> Result<(), PrincipalsError> {
        well_formed(&new)?;
        for other in &self.all {
            if other.name == new.name {
                return Err(PrincipalsError::NameTwice(new.name));
            }
            if let Some(key) = new.keys.iter().find(|key| other.has_secret(key)) {
                let (first, second) = (other.name.clone(), new.name);
                return Err(PrincipalsError::KeyTwice { key: key.key_id(), first, second });
            }
            if let Some(account) = new.accounts.iter().find(|account| other.has_text_of(account)) {
                return Err(PrincipalsError::AccountTwice {
                    account: account.clone(),
                    first: other.name.clone(),
                });
            }
        }
        self.all.push(new);
        Ok(())
    }

    /// Removes one.
    pub fn remove(&mut self, name: &PrincipalName) -> Result<Principal, PrincipalsError> {
        let at = self
            .all
            .iter()
            .position(|p| &p.name == name)
            .ok_or_else(|| PrincipalsError::Unknown(name.clone()))?;
        Ok(self.all.remove(at))
    }

    /// Refuses a file in which a principal's key is this machine's sealing key.
    pub fn refuse_key(&self, sealing: &PublicKey) -> Result<(), PrincipalsError> {
        match self.all.iter().find(|p| p.has_secret(sealing)) {
            Some(principal) => Err(PrincipalsError::SealingKey(principal.name.clone())),
            None => Ok(()),
        }
    }

    /// By name.
    #[must_use]
    pub fn find(&self, name: &PrincipalName) -> Option<&Principal> {
        self.all.iter().find(|p| &p.name == name)
    }

    /// By the uid of an OS account.
    #[must_use]
    pub fn by_uid(&self, uid: u32, accounts: &Accounts) -> Option<&Principal> {
        self.all.iter().find(|p| p.accounts.iter().any(|own| accounts.uids(own).contains(&uid)))
    }

    /// What keeps from telling whose accounts these are: a table that cannot be read, names that are not in it.
    #[must_use]
    pub fn unclear(&self, accounts: &Accounts) -> Vec<String> {
        let nobody = |p: &Principal| {
            let own = p.accounts.iter().filter(|own| accounts.uids(own).is_empty());
            own.map(|own| format!("account `{own}` of principal `{}` names nobody here", p.name)).collect()
        };
        let names = self.all.iter().flat_map(|p| -> Vec<String> { nobody(p) });
        accounts.unreadable().map(str::to_owned).into_iter().chain(names).collect()
    }

    /// Refuses accounts that name nobody here, or somebody else's uid.
    pub fn refuse_accounts(&self, of: &PrincipalName, accounts: &Accounts) -> Result<(), PrincipalsError> {
        let Some(new) = self.find(of) else { return Ok(()) };
        for account in &new.accounts {
            let uids = accounts.uids(account);
            if uids.is_empty() {
                let (name, account) = (of.clone(), account.clone());
                return Err(PrincipalsError::NobodysAccount { name, account });
            }
            let others = || self.all.iter().filter(|other| &other.name != of);
            if let Some(first) = others().find(|other| other.has_account(account, accounts)) {
                let (account, first) = (account.clone(), first.name.clone());
                return Err(PrincipalsError::AccountTwice { account, first });
            }
        }
        Ok(())
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Principal> {
        self.all.iter()
    }
}

fn well_formed(p: &Principal) -> Result<(), PrincipalsError> {
    if p.keys.is_empty() {
        return Err(PrincipalsError::NoKey(p.name.clone()));
    }
    if p.roles.is_empty() {
        return Err(PrincipalsError::NoRole(p.name.clone()));
    }
    if let Some(account) = p.accounts.iter().find(|account| !is_account(account)) {
        return Err(PrincipalsError::Account { name: p.name.clone(), account: crate::vocab::shown(account) });
    }
    match (p.valid_from, p.valid_until) {
        (Some(from), Some(until)) if until <= from => Err(PrincipalsError::NeverValid(p.name.clone())),
        _ => Ok(()),
    }
}
