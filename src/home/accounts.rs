//! OS accounts: which uids a name stands for, as `/etc/passwd` has it.
//!
//! One uid may have many names and one name many uids, so accounts are held against each other by uid. Accounts
//! that lie elsewhere (a directory service) are not seen here: they are named by uid.

use std::collections::BTreeSet;
use std::io::ErrorKind;

/// The table of the operating system's accounts.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    rows: Vec<(String, u32)>,
    unreadable: Option<String>,
}

impl Accounts {
    /// The table of this machine. A machine without one has no names.
    #[must_use]
    pub fn read() -> Self {
        const TABLE: &str = "/etc/passwd";
        match std::fs::read(TABLE) {
            Ok(bytes) => Self::of(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::default(),
            Err(error) => {
                Self { rows: Vec::new(), unreadable: Some(format!("{TABLE} cannot be read: {error}")) }
            }
        }
    }

    /// The table that a text is; passwd(5): `name:password:uid:…`. What is no such line names nobody.
    #[must_use]
    pub fn of(passwd: &str) -> Self {
        let row = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
        };
        Self { rows: passwd.lines().filter_map(row).collect(), unreadable: None }
    }

    /// Why the table could not be read, if so.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// `uid:name` with the first name that a uid has, or `uid` when it has none.
    #[must_use]
    pub fn spelled(&self, uid: u32) -> String {
        match self.rows.iter().find(|(_, of)| *of == uid) {
            Some((name, _)) => format!("{uid}:{name}"),
            None => uid.to_string(),
        }
    }

    /// Every uid that an account written `uid:name`, `uid` or `name` stands for; none = it names nobody here.
    #[must_use]
    pub fn uids(&self, account: &str) -> BTreeSet<u32> {
        let (uid, name) = parts(account);
        let named = self.rows.iter().filter(|(of, _)| Some(of.as_str()) == name).map(|(_, uid)| *uid);
        uid.and_then(|uid| uid.parse().ok()).into_iter().chain(named).collect()
    }
}

/// Uid and name of `uid:name`, `uid` or `name`.
pub(crate) fn parts(account: &str) -> (Option<&str>, Option<&str>) {
    match account.split_once(':') {
        Some((uid, name)) => (Some(uid), Some(name)),
        None if is_uid(account) => (Some(account), None),
        None => (None, Some(account)),
    }
}

/// Whether a text is written as a uid.
pub(crate) fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_every_uid_that_one_of_its_names_has() {
        let table =
            Accounts::of("root:x:0:0::/:/bin/sh\ndeploy:x:0:0::/:\nada:x:1001:1::\nada:x:7:1::\nodd\n");
        for (account, uids) in [
            ("root", vec![0]),
            ("deploy", vec![0]),
            ("ada", vec![7, 1001]),
            ("1002:ada", vec![7, 1001, 1002]),
            ("1002", vec![1002]),
            ("5:nobody-here", vec![5]),
            ("nobody-here", vec![]),
            ("odd", vec![]),
            ("", vec![]),
            ("99999999999999", vec![]),
        ] {
            assert_eq!(table.uids(account).into_iter().collect::<Vec<_>>(), uids, "{account}");
        }
        assert_eq!(table.spelled(0), "0:root");
        assert_eq!(table.spelled(3), "3");
        assert!(Accounts::read().unreadable().is_none());
    }
}
