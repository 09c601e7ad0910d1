//! The file of principals: what reads back, what is refused, and that nobody is in it twice.

use std::collections::BTreeSet;

use super::{Principal, Principals, PrincipalsError, Role};
use crate::home::Accounts;
use crate::vocab::{PrincipalName, SealingKey, Timestamp};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000).unwrap().plus_seconds(seconds).unwrap()
}

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

fn principal(called: &str, key: &SealingKey, account: &str) -> Principal {
    Principal {
        name: name(called),
        roles: BTreeSet::from([Role::Approve]),
        accounts: vec![account.to_owned()],
        valid_from: None,
        valid_until: None,
        keys: vec![key.public()],
    }
}

#[test]
fn the_file_of_principals_reads_back_and_names_nobody_twice() {
    let (a, b) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    let mut all = Principals::default();
    let timed =
        Principal { valid_from: Some(at(0)), valid_until: Some(at(9)), ..principal("ann", &a, "1001:ann") };
    all.add(timed).unwrap();
    all.add(principal("bob", &b, "1002")).unwrap();
    let read = Principals::parse(&all.to_toml().unwrap()).unwrap();
    assert_eq!(read, all);
    assert_eq!(read.by_uid(1002, &Accounts::default()).map(|p| &p.name), Some(&name("bob")));
    assert!(read.by_uid(1003, &Accounts::of("1001:x:1003:1::\n")).is_none(), "a name of digits is none");

    let fresh = || SealingKey::generate().unwrap();
    assert!(matches!(all.add(principal("ann", &fresh(), "9")), Err(PrincipalsError::NameTwice(_))));
    assert!(matches!(all.add(principal("carl", &a, "9")), Err(PrincipalsError::KeyTwice { .. })));
    assert!(matches!(
        all.add(principal("carl", &fresh(), "7:ann")),
        Err(PrincipalsError::AccountTwice { .. })
    ));
    let no_key = Principal { keys: Vec::new(), ..principal("carl", &a, "9") };
    assert!(matches!(all.add(no_key), Err(PrincipalsError::NoKey(_))));
    let no_role = Principal { roles: BTreeSet::new(), ..principal("carl", &fresh(), "9") };
    assert!(matches!(all.add(no_role), Err(PrincipalsError::NoRole(_))));
    let never =
        Principal { valid_from: Some(at(1)), valid_until: Some(at(1)), ..principal("carl", &fresh(), "9") };
    assert!(matches!(all.add(never), Err(PrincipalsError::NeverValid(_))));
    for bad in ["", " ", "1:2:3", "1000:", ":x", "ann:1001", "1000: ann"] {
        let odd = principal("carl", &fresh(), bad);
        assert!(matches!(all.add(odd), Err(PrincipalsError::Account { .. })), "{bad:?}");
    }
}

#[test]
fn accounts_that_name_nobody_or_the_same_uid_are_refused() {
    let accounts = Accounts::of("root:x:0:0::/:\ndeploy:x:0:0::/:\nada:x:1001:1::\n");
    let (a, b) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    let with = |account: &str| {
        let mut all = Principals::default();
        all.add(principal("ann", &a, "root")).unwrap();
        all.add(principal("bob", &b, account)).unwrap();
        all
    };
    for (account, unclear, refused) in
        [("deploy", 0, true), ("1001", 0, false), ("ada", 0, false), ("nobody-here", 1, true)]
    {
        let all = with(account);
        assert_eq!(all.unclear(&accounts).len(), unclear, "{account}");
        assert_eq!(all.refuse_accounts(&name("bob"), &accounts).is_err(), refused, "{account}");
    }
}

#[test]
fn a_file_of_principals_that_is_not_well_formed_is_refused_and_an_empty_one_names_nobody() {
    assert_eq!(Principals::parse("").unwrap().iter().count(), 0);
    let key = SealingKey::generate().unwrap().public().to_pem();
    let good = format!("[[principal]]\nname = \"ann\"\nroles = [\"approve\"]\nkeys = [\"\"\"{key}\"\"\"]\n");
    assert_eq!(Principals::parse(&good).unwrap().iter().count(), 1);
    for bad in [
        "principals = []".to_owned(),
        format!("{good}extra = 1\n"),
        good.replace("approve", "admin"),
        good.replace("PUBLIC", "PRIVATE"),
        good.replace("\"ann\"", "\"../ann\""),
        format!("{good}{good}"),
        format!("{good}name = \"bob\"\n"),
    ] {
        assert!(Principals::parse(&bad).is_err(), "{bad}");
    }
}
