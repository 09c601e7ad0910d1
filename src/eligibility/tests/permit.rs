//! The permit: only from a yes, only while it is fresh, and with the terms that were decided.

use super::samples::*;
use crate::eligibility::*;
use crate::vocab::{MutationMode as Mode, RiskClass as Risk};

#[test]
fn a_yes_gives_a_permit_with_the_decided_terms() {
    let c = contract(false, Some(Mode::OwnedNoncriticalRepo), Risk::Critical);
    let f = facts(false, &c);
    let decision = decided(&c, &f);
    let document = decision.document().clone();
    let permit = decision.permit(at(1)).unwrap();
    let Observed::Seen(program) = &f.engines[&id(BUILT_IN)].program else { panic!("sample") };
    assert_eq!((permit.engine(), permit.program()), (&id(BUILT_IN), program.digest));
    assert_eq!((permit.mode(), permit.risk()), (Mode::OwnedNoncriticalRepo, Risk::Critical));
    assert_eq!((permit.contract_digest(), permit.decision_id()), (contract_digest(), document.decision_id));
    assert_eq!((permit.limits(), permit.request_digest()), (&c.limits, document.request_digest));
    assert_eq!(permit.approvals().len(), 2);
    let spent = permit.spend();
    assert_eq!((spent.decision_id(), spent.approvals().len()), (document.decision_id, 2));
}

#[test]
fn a_no_gives_its_reasons() {
    let c = contract(false, None, Risk::Safe);
    let refused = decided(&c, &facts(false, &c)).permit(at(0)).unwrap_err();
    let PermitRefused::Blocked(reasons) = refused else { panic!("{refused}") };
    assert!(reasons.iter().any(|r| r.code == "gate.contract.mutation-mode"));
}

#[test]
fn a_yes_does_not_keep() {
    let c = contract(false, Some(Mode::None), Risk::Safe);
    let f = facts(false, &c);
    for (now, good) in [(-1, false), (0, true), (FACTS_FRESH_SECONDS, true), (FACTS_FRESH_SECONDS + 1, false)]
    {
        let permit = decided(&c, &f).permit(at(now));
        assert_eq!(permit.is_ok(), good, "{now}");
    }
}

#[test]
fn an_approval_that_ended_meanwhile_ends_the_yes() {
    let c = contract(false, Some(Mode::OwnedNoncriticalRepo), Risk::Elevated);
    let mut f = facts(false, &c);
    f.approvals[0].expires_at = at(10);
    assert!(decided(&c, &f).permit(at(9)).is_ok());
    assert_eq!(decided(&c, &f).permit(at(10)).unwrap_err(), PermitRefused::Expired(at(10)));
}

/// Holds only for types without the trait: with it, two impls fit and the call below is ambiguous.
macro_rules! lacks {
    ($type:ty: $($bound:path),+) => {$({
        trait Ambiguous<A> { fn here() {} }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Has;
        impl<T: $bound> Ambiguous<Has> for T {}
        <$type as Ambiguous<_>>::here();
    })+};
}

#[test]
fn a_permit_cannot_be_copied_defaulted_or_written_and_read() {
    lacks!(ExecutionPermit: Clone, Copy, Default, serde::Serialize, serde::de::DeserializeOwned);
    lacks!(SpentPermit: Clone, Copy, Default, serde::Serialize, serde::de::DeserializeOwned);
    lacks!(Decision: Clone, Copy, Default, serde::Serialize, serde::de::DeserializeOwned);
}
