//! Answers signed with SSH keys, in software and hardware: what counts, and that one person never counts as two.

use std::collections::BTreeSet;

use super::*;
use crate::eligibility::{ApprovalAnswer, ApprovalFacts, Requester};
use crate::home::Accounts;
use crate::vocab::{
    ApprovalId, Digest, KeyKind, MutationMode, PrincipalName, PublicKey, RiskClass, RunId, SSH_NAMESPACE,
    SealingKey, Signature, Timestamp,
};

use crate::vocab::authenticator::{Authenticator, TOUCHED, VERIFIED};

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

fn principal(called: &str, keys: Vec<PublicKey>) -> Principal {
    let roles = BTreeSet::from([Role::Approve]);
    Principal { name: name(called), roles, accounts: Vec::new(), valid_from: None, valid_until: None, keys }
}

fn request() -> PendingRequest {
    let now = Timestamp::now();
    PendingRequest {
        request_id: ApprovalId::fresh().unwrap(),
        request_digest: Digest::of(b"request"),
        mode: MutationMode::SandboxRepo,
        risk: RiskClass::Critical,
        contract_digest: Digest::of(b"contract"),
        title: "T".to_owned(),
        created_at: now,
        expires_at: now.plus_seconds(600).unwrap(),
        requester_account: "1000:dev".to_owned(),
        requester: None,
        act: None,
    }
}

fn check(
    request: &PendingRequest,
    principals: &Principals,
    answers: Vec<SignedApproval>,
) -> Vec<ApprovalFacts> {
    let found: Vec<Found> = answers
        .into_iter()
        .map(|approval| Found { approval, request: Some(request.clone()), spending: Spending::Unspent })
        .collect();
    let requester =
        Requester { account: "1000:dev".to_owned(), principal: None, owns_principals: false, is_root: false };
    let against = Against {
        principals,
        accounts: &Accounts::default(),
        requester: &requester,
        request_digest: request.request_digest,
        mode: request.mode,
        risk: request.risk,
        run: &RunId::new(),
        sealing_key: &SealingKey::generate().unwrap().public(),
        now: Timestamp::now(),
    };
    check_approvals(&found, &against)
}

fn by_token(request: &PendingRequest, by: &str, token: &Authenticator, flags: u8) -> SignedApproval {
    let message = approval_message(request, ApprovalAnswer::Grant, &name(by));
    let signature = Signature::parse(&token.sign(SSH_NAMESPACE, &message, flags, 41)).unwrap();
    let key = PublicKey::parse(&token.line()).unwrap();
    SignedApproval::of(request, ApprovalAnswer::Grant, &name(by), &key, signature)
}

#[test]
fn a_hardware_keys_yes_counts_with_a_touch_and_tells_what_the_key_said() {
    for token in [Authenticator::ed25519(), Authenticator::p256()] {
        let (request, key) = (request(), PublicKey::parse(&token.line()).unwrap());
        let mut principals = Principals::default();
        principals.add(principal("ann", vec![key.clone()])).unwrap();
        assert_eq!(Principals::parse(&principals.to_toml().unwrap()).unwrap(), principals, "reads back");
        let rows = check(&request, &principals, vec![by_token(&request, "ann", &token, TOUCHED | VERIFIED)]);
        assert_eq!((rows[0].refused.len(), rows[0].key), (0, Some(key.key_id())), "{rows:?}");
        let with = rows[0].signed_with.unwrap();
        assert_eq!(
            (with.kind, with.hardware.map(|word| (word.user_verified, word.counter))),
            (key.kind(), Some((true, 41)))
        );

        let rows = check(&request, &principals, vec![by_token(&request, "ann", &token, VERIFIED)]);
        assert!(rows[0].refused[0].contains("touching") && rows[0].key.is_none(), "{rows:?}");
        assert_eq!(rows[0].signed_with, None, "nothing is told of what does not hold");
        let mut moved = by_token(&request, "ann", &token, TOUCHED);
        moved.answer = ApprovalAnswer::Deny;
        assert!(check(&request, &principals, vec![moved])[0].refused[0].contains("altered"));
    }
}

#[test]
fn a_signature_made_for_something_else_is_no_approval() {
    let (token, request) = (Authenticator::ed25519(), request());
    let key = PublicKey::parse(&token.line()).unwrap();
    let mut principals = Principals::default();
    principals.add(principal("ann", vec![key.clone()])).unwrap();
    let message = approval_message(&request, ApprovalAnswer::Grant, &name("ann"));
    for (namespace, good) in [(SSH_NAMESPACE, true), ("file", false), ("git", false)] {
        let signature = Signature::parse(&token.sign(namespace, &message, TOUCHED, 1)).unwrap();
        let answer = SignedApproval::of(&request, ApprovalAnswer::Grant, &name("ann"), &key, signature);
        let rows = check(&request, &principals, vec![answer]);
        assert_eq!(rows[0].refused.is_empty(), good, "{namespace}: {rows:?}");
    }
}

#[test]
fn one_secret_in_two_dresses_is_never_two_people() {
    let pem = SealingKey::generate().unwrap();
    let blob =
        [&11_u32.to_be_bytes()[..], b"ssh-ed25519", &32_u32.to_be_bytes(), pem.public().bytes()].concat();
    let line = ssh_key::PublicKey::from_bytes(&blob).unwrap().to_openssh().unwrap();
    let line = PublicKey::parse(&line).unwrap();
    assert_eq!(line.kind(), KeyKind::SshEd25519);
    let mut principals = Principals::default();
    principals.add(principal("ann", vec![pem.public()])).unwrap();
    let twice = principals.add(principal("bob", vec![line.clone()]));
    assert!(matches!(twice, Err(PrincipalsError::KeyTwice { .. })), "{twice:?}");
    assert!(
        matches!(principals.refuse_key(&line), Err(PrincipalsError::SealingKey(_))),
        "nor the sealing key"
    );
    // Her own second key is hers, and both of her answers are one person's.
    let token = Authenticator::ed25519();
    let mut principals = Principals::default();
    let keys = vec![pem.public(), PublicKey::parse(&token.line()).unwrap()];
    principals.add(principal("ann", keys)).unwrap();
    let request = request();
    let answers = vec![
        sign_approval(&request, ApprovalAnswer::Grant, &name("ann"), &pem),
        by_token(&request, "ann", &token, TOUCHED),
    ];
    let rows = check(&request, &principals, answers);
    assert!(rows.iter().all(|row| row.refused.is_empty() && row.by == name("ann")), "{rows:?}");
    let people: BTreeSet<_> = rows.iter().map(|row| &row.by).collect();
    assert_eq!(people.len(), 1);
}
