//! Who said yes, with which keys, in a bundle: two different people for CRITICAL, and no trick that makes one of them two.

use std::collections::BTreeMap;
use std::fs;

use cto_harness::approval::{PendingRequest, SignedApproval, approval_message, sign_approval};
use cto_harness::contract::SealedContract;
use cto_harness::eligibility::{self, ApprovalAnswer, ApprovalFacts, Facts, Grantor, Observed};
use cto_harness::home::{Trust, TrustedKey};
use cto_harness::verify::{CheckState, Expect, VerifyReport, verify};
use cto_harness::vocab::{
    ApprovalId, MutationMode, PrincipalName, PublicKey, RiskClass, SSH_NAMESPACE, SealingKey, Signature,
    Timestamp,
};
use serde_json::json;

use crate::authenticator::{Authenticator, TOUCHED, VERIFIED};
use crate::made_up::{Bench, Plan, contract_like, facts};
use crate::resealed::reseal;

fn critical() -> (SealedContract, Facts) {
    let contract = contract_like(|contract| contract["risk_class"] = json!("CRITICAL"));
    let mut facts = facts(&contract);
    facts.requester.owns_principals = false;
    if let Observed::Seen(host) = &mut facts.host {
        host.hard_memory = true;
    }
    (contract, facts)
}

fn request(contract: &SealedContract, facts: &Facts) -> PendingRequest {
    let asked = eligibility::decide(contract, facts);
    assert!(asked.document().waits_only_for_approval(), "{:?}", asked.document().missing_gates);
    PendingRequest {
        request_id: ApprovalId::fresh().unwrap(),
        request_digest: asked.document().request_digest,
        mode: MutationMode::CopiedFixture,
        risk: RiskClass::Critical,
        contract_digest: contract.digest(),
        title: "T".to_owned(),
        created_at: Timestamp::now(),
        expires_at: Timestamp::now().plus_seconds(600).unwrap(),
        requester_account: "1000:dev".to_owned(),
        requester: None,
        act: None,
    }
}

fn fact(approval: &SignedApproval) -> ApprovalFacts {
    ApprovalFacts {
        id: approval.request_id.clone(),
        by: approval.by.clone(),
        request_digest: approval.request_digest,
        mode: approval.mode,
        risk: approval.risk,
        expires_at: approval.expires_at,
        answer: approval.answer,
        granted_by: Grantor::Human,
        key: Some(approval.key),
        signed_with: Some(approval.signature.made_with()),
        refused: Vec::new(),
    }
}

fn by_pem(request: &PendingRequest, name: &str, key: &SealingKey) -> SignedApproval {
    sign_approval(request, ApprovalAnswer::Grant, &PrincipalName::parse(name).unwrap(), key)
}

fn by_token(request: &PendingRequest, name: &str, key: &Authenticator) -> SignedApproval {
    let (name, grant) = (PrincipalName::parse(name).unwrap(), ApprovalAnswer::Grant);
    let message = approval_message(request, grant, &name);
    let text = key.sign(SSH_NAMESPACE, &message, TOUCHED | VERIFIED, 12);
    let public = PublicKey::parse(&key.line()).unwrap();
    SignedApproval::of(request, grant, &name, &public, Signature::parse(&text).unwrap())
}

/// Facts with these answers, and whether the gates are all passed then.
fn decided(answers: &[SignedApproval], contract: &SealedContract, facts: &Facts) -> (Facts, bool) {
    let facts = Facts { approvals: answers.iter().map(fact).collect(), ..facts.clone() };
    let eligible = eligibility::decide(contract, &facts).document().eligible();
    (facts, eligible)
}

fn trusting(bench: &Bench, approvers: &[(&str, PublicKey)]) -> Trust {
    let mut trust = bench.trust();
    trust.approver = approvers
        .iter()
        .map(|(name, key)| TrustedKey { name: (*name).to_owned(), key: key.clone() })
        .collect();
    trust
}

fn ask(bundle: &std::path::Path, trust: &Trust) -> VerifyReport {
    verify(bundle, trust, &Expect::default(), Timestamp::now()).unwrap()
}

/// How the check of approvals ended. The made-up sandbox holds no memory hard, as CRITICAL demands; that is another check.
fn told(report: &VerifyReport) -> (CheckState, &str) {
    let check = report.checks.iter().find(|check| check.name == "approvals").unwrap();
    (check.state, &check.detail)
}

#[test]
fn critical_takes_two_people_one_with_pem_and_one_with_hardware_say() {
    for bob in [Authenticator::ed25519(), Authenticator::p256()] {
        two_people(&bob);
    }
}

fn two_people(bob: &Authenticator) {
    let (bench, (contract, facts)) = (Bench::new(), critical());
    let request = request(&contract, &facts);
    let ann = SealingKey::generate().unwrap();
    let answers = [by_pem(&request, "ann", &ann), by_token(&request, "bob", bob)];
    for one in &answers {
        assert!(!decided(std::slice::from_ref(one), &contract, &facts).1, "one is not enough");
    }
    // One person with two keys stays one.
    let twice = [by_pem(&request, "ann", &ann), by_token(&request, "ann", bob)];
    assert!(!decided(&twice, &contract, &facts).1);
    let (facts, eligible) = decided(&answers, &contract, &facts);
    assert!(eligible);

    let approvals: BTreeMap<String, Vec<u8>> = answers
        .iter()
        .map(|one| (format!("approvals/{}.json", one.by), serde_json::to_vec_pretty(one).unwrap()))
        .collect();
    let plan = Plan { contract, facts: Some(facts), approvals, ..Plan::default() };
    let bundle = bench.sealed("critical", &plan).path;
    let mut lie = plan;
    let key = PublicKey::parse(&bob.line()).unwrap();
    let good = trusting(&bench, &[("ann", ann.public()), ("bob", key.clone())]);
    let asked = |trust: &Trust| told(&ask(&bundle, trust)).0;
    assert_eq!(asked(&good), CheckState::Ok);
    assert_eq!(asked(&trusting(&bench, &[("ann", ann.public())])), CheckState::Untrusted);
    let other = PublicKey::parse(&Authenticator::ed25519().line()).unwrap();
    let other = trusting(&bench, &[("ann", ann.public()), ("bob", other)]);
    assert_eq!(asked(&other), CheckState::Untrusted);

    // What a hardware key said is part of what is checked: in the facts, and in the signature.
    let file = bundle.join("approvals/bob.json");
    let text = fs::read_to_string(&file).unwrap();
    let untouched = bob.sign(SSH_NAMESPACE, &answers[1].signed_bytes(), VERIFIED, 12);
    for signature in [untouched, bob.sign(SSH_NAMESPACE, &answers[1].signed_bytes(), TOUCHED, 13)] {
        let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
        changed["signature"] = json!(signature);
        fs::write(&file, serde_json::to_vec(&changed).unwrap()).unwrap();
        reseal(&bench, &bundle, |_| {});
        let report = ask(&bundle, &good);
        assert!(told(&report).1.contains("is not in the bundle"), "{:?}", told(&report));
    }
    // A sealer who leaves the key's word out of the facts: the signature is held against the key all the same.
    let mut untouched = answers[1].clone();
    let text = bob.sign(SSH_NAMESPACE, &answers[1].signed_bytes(), VERIFIED, 12);
    untouched.signature = Signature::parse(&text).unwrap();
    lie.approvals.insert("approvals/bob.json".to_owned(), serde_json::to_vec_pretty(&untouched).unwrap());
    lie.facts.as_mut().unwrap().approvals[1].signed_with = None;
    let report = ask(&bench.sealed("lie", &lie).path, &good);
    assert!(told(&report).1.contains("without anybody touching it"), "{:?}", told(&report));
}

/// A sealer who lies: one key, which the trust file of a careless reader has under two names.
#[test]
fn one_key_under_two_names_is_not_two_people() {
    let (bench, (contract, facts)) = (Bench::new(), critical());
    let request = request(&contract, &facts);
    let ann = SealingKey::generate().unwrap();
    let answers = [by_pem(&request, "ann", &ann), by_pem(&request, "bob", &ann)];
    assert!(!decided(&answers, &contract, &facts).1, "the gate counts keys, too");
    let (mut facts, _) = decided(&answers, &contract, &facts);
    facts.approvals[1].key = Some(SealingKey::generate().unwrap().public().key_id());
    assert!(eligibility::decide(&contract, &facts).document().eligible(), "so the facts have to lie");
    let approvals: BTreeMap<String, Vec<u8>> = answers
        .iter()
        .map(|one| (format!("approvals/{}.json", one.by), serde_json::to_vec_pretty(one).unwrap()))
        .collect();
    let plan = Plan { contract, facts: Some(facts), approvals, ..Plan::default() };
    let bundle = bench.sealed("lie", &plan).path;
    let report = ask(&bundle, &trusting(&bench, &[("ann", ann.public()), ("bob", ann.public())]));
    assert_eq!(told(&report).0, CheckState::Failed, "{:?}", told(&report));
}
