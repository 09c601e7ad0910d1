//! Attacks on consent: replayed, expired, altered, self-granted, engine-made, and all the smaller ways.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::eligibility::{ApprovalAnswer, ApprovalFacts, Requester};
use crate::home::Accounts;
use crate::vocab::{
    ApprovalId, Digest, MutationMode, PrincipalName, RiskClass, RunId, SealingKey, Timestamp,
};

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

/// A folder with one request in it, one approver, and everybody's keys.
struct Bench {
    home: tempfile::TempDir,
    folder: ApprovalFolder,
    request: PendingRequest,
    principals: Principals,
    ann: SealingKey,
    sealing: SealingKey,
    requester: Requester,
    run: RunId,
    accounts: Accounts,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = ApprovalFolder::open(&home.path().join("approvals")).unwrap();
        let (ann, sealing) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
        let request = PendingRequest {
            request_id: ApprovalId::fresh().unwrap(),
            request_digest: Digest::of(b"request"),
            mode: MutationMode::SandboxRepo,
            risk: RiskClass::Dangerous,
            contract_digest: Digest::of(b"contract"),
            title: "A task".to_owned(),
            created_at: at(0),
            expires_at: at(100),
            requester_account: "1000:dev".to_owned(),
            requester: None,
            act: None,
        };
        folder.post(&request).unwrap();
        let mut principals = Principals::default();
        principals.add(principal("ann", &ann, "1001:ann")).unwrap();
        let requester = Requester {
            account: "1000:dev".to_owned(),
            principal: None,
            owns_principals: false,
            is_root: false,
        };
        Self {
            home,
            folder,
            request,
            principals,
            ann,
            sealing,
            requester,
            run: RunId::new(),
            accounts: Accounts::default(),
        }
    }

    fn granted(&self) -> SignedApproval {
        sign_approval(&self.request, ApprovalAnswer::Grant, &name("ann"), &self.ann)
    }

    fn check_at(&self, now: Timestamp) -> Vec<ApprovalFacts> {
        self.check_for(&self.requester, now)
    }

    fn check_for(&self, requester: &Requester, now: Timestamp) -> Vec<ApprovalFacts> {
        let found = self.folder.answers_for(self.request.request_digest).unwrap();
        check_approvals(
            &found.answers,
            &Against {
                principals: &self.principals,
                accounts: &self.accounts,
                requester,
                request_digest: self.request.request_digest,
                mode: self.request.mode,
                risk: self.request.risk,
                run: &self.run,
                sealing_key: &self.sealing.public(),
                now,
            },
        )
    }

    /// The reasons against the one answer on record.
    fn refused(&self) -> Vec<String> {
        let mut rows = self.check_at(at(50));
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0).refused
    }

    fn refused_for(&self, what: &str) {
        let refused = self.refused();
        assert!(refused.iter().any(|why| why.contains(what)), "`{what}` not in {refused:?}");
    }

    fn spend(&self, run: &RunId) -> Result<(), FolderError> {
        let (request_id, request_digest) = (self.request.request_id.clone(), self.request.request_digest);
        self.folder.spend(&SpentRecord { request_id, request_digest, run_id: run.clone(), spent_at: at(60) })
    }
}

#[test]
fn an_approvers_signature_over_this_request_counts() {
    let bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    let rows = bench.check_at(at(50));
    assert_eq!(rows[0].refused, Vec::<String>::new());
    assert_eq!((rows[0].answer, rows[0].key), (ApprovalAnswer::Grant, Some(bench.ann.public().key_id())));
}

#[test]
fn a_replayed_approval_is_refused_for_every_run_but_the_one_that_spent_it() {
    let bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    let first = RunId::new();
    bench.spend(&first).unwrap();
    bench.refused_for("spent by run-");
    assert!(matches!(bench.spend(&bench.run), Err(FolderError::Spent { .. })));
    bench.spend(&first).expect("the run that has it may ask again");
    let resumed = Bench { run: first, ..bench };
    assert_eq!(resumed.refused(), Vec::<String>::new());
}

#[test]
fn of_many_runs_at_once_one_gets_it() {
    let bench = Bench::new();
    let won = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.spend(&RunId::new()).is_ok())).collect();
        tries.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn an_approval_of_another_request_is_refused() {
    let bench = Bench::new();
    let mut other = bench.request.clone();
    (other.request_id, other.request_digest) = (ApprovalId::fresh().unwrap(), Digest::of(b"other"));
    bench.folder.post(&other).unwrap();
    bench.folder.answer(&sign_approval(&other, ApprovalAnswer::Grant, &name("ann"), &bench.ann)).unwrap();
    assert_eq!(bench.check_at(at(50)), Vec::new(), "it is not even looked at");

    let mut moved = sign_approval(&other, ApprovalAnswer::Grant, &name("ann"), &bench.ann);
    moved.request_id = bench.request.request_id.clone();
    bench.folder.answer(&moved).unwrap();
    bench.refused_for("altered");
    bench.refused_for("another request");
}

#[test]
fn an_expired_approval_is_refused() {
    let bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    assert!(bench.check_at(at(99))[0].refused.is_empty());
    let late = bench.check_at(at(100)).remove(0).refused;
    assert!(late.iter().any(|why| why.contains("expired")), "{late:?}");
}

#[test]
fn every_altered_field_breaks_the_signature() {
    let changes: Vec<fn(&mut SignedApproval)> = vec![
        |a| a.mode = MutationMode::CandidateDefault,
        |a| a.risk = RiskClass::Safe,
        |a| a.expires_at = at(1_000_000),
        |a| a.request_digest = Digest::of(b"other"),
        |a| a.by = name("bob"),
        |a| a.answer = ApprovalAnswer::Deny,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.principals.add(principal("bob", &SealingKey::generate().unwrap(), "1002:bob")).unwrap();
        let mut altered = bench.granted();
        change(&mut altered);
        assert!(!altered.signed_by(&bench.ann.public()), "change {n}");
        bench.folder.answer(&altered).unwrap();
        let row = bench.check_at(at(50)).remove(0);
        assert!(row.key.is_none() && !row.refused.is_empty(), "change {n}");
    }
}

#[test]
fn an_approval_that_outlives_its_request_is_refused() {
    let bench = Bench::new();
    let longer = PendingRequest { expires_at: at(1_000_000), ..bench.request.clone() };
    bench.folder.answer(&sign_approval(&longer, ApprovalAnswer::Grant, &name("ann"), &bench.ann)).unwrap();
    bench.refused_for("the request on record ends");
}

#[test]
fn the_requester_cannot_approve_by_whatever_name() {
    let mut bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    bench.accounts = Accounts::of("second:x:8:1::\nann:x:8:1::\n");
    for account in ["1001:ann", "1001:alias", "1001", "7:ann", "8:second", "8", "second"] {
        let requester = Requester { account: account.to_owned(), ..bench.requester.clone() };
        let rows = bench.check_for(&requester, at(50));
        assert!(rows[0].refused.iter().any(|why| why.contains("self-granted")), "{account}: {rows:?}");
    }
    let as_principal = Requester { principal: Some(name("ann")), ..bench.requester.clone() };
    assert!(!bench.check_for(&as_principal, at(50))[0].refused.is_empty());

    let mut bench = Bench::new();
    bench.request.request_id = ApprovalId::fresh().unwrap();
    bench.request.requester_account = "1001:ann".to_owned();
    bench.folder.post(&bench.request).unwrap();
    bench.folder.answer(&bench.granted()).unwrap();
    bench.refused_for("self-granted");
}

type Change = fn(&mut Principal);

#[test]
fn strangers_wrong_keys_wrong_roles_and_other_times_are_refused() {
    let bench = Bench::new();
    bench
        .folder
        .answer(&sign_approval(&bench.request, ApprovalAnswer::Grant, &name("eve"), &bench.ann))
        .unwrap();
    bench.refused_for("not a principal");

    let bench = Bench::new();
    let other = SealingKey::generate().unwrap();
    bench.folder.answer(&sign_approval(&bench.request, ApprovalAnswer::Grant, &name("ann"), &other)).unwrap();
    bench.refused_for("not one of `ann`");

    let changes: [(Change, &str); 3] = [
        (|p| p.roles = BTreeSet::from([Role::Operate, Role::Submit]), "role `approve`"),
        (|p| p.valid_until = Some(at(50)), "not valid"),
        (|p| p.valid_from = Some(at(51)), "not valid"),
    ];
    for (change, why) in changes {
        let mut bench = Bench::new();
        let mut ann = bench.principals.remove(&name("ann")).unwrap();
        change(&mut ann);
        bench.principals.add(ann).unwrap();
        bench.folder.answer(&bench.granted()).unwrap();
        bench.refused_for(why);
    }
}

#[test]
fn the_sealing_key_is_never_a_principals() {
    let mut bench = Bench::new();
    bench.principals.add(principal("mach", &bench.sealing, "0:root")).unwrap();
    assert!(bench.principals.refuse_key(&bench.sealing.public()).is_err());
    let signed = sign_approval(&bench.request, ApprovalAnswer::Grant, &name("mach"), &bench.sealing);
    bench.folder.answer(&signed).unwrap();
    bench.refused_for("sealing key");
}

#[test]
fn other_modes_and_risks_than_asked_for_are_refused() {
    let mut bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    bench.request.mode = MutationMode::CandidateDefault;
    bench.refused_for("it is for mode");
    bench.request.risk = RiskClass::Critical;
    bench.refused_for("it is for risk class");
}

#[test]
fn an_answer_without_a_request_on_record_is_refused() {
    let mut bench = Bench::new();
    bench.request.request_id = ApprovalId::fresh().unwrap();
    bench.folder.answer(&bench.granted()).unwrap();
    bench.refused_for("on record");
}

#[test]
fn what_an_engine_leaves_in_a_work_tree_or_bundle_is_nothing() {
    let bench = Bench::new();
    let signed = serde_json::to_vec(&bench.granted()).unwrap();
    let file = format!("{}.ann.json", bench.request.request_id);
    for place in ["work/approvals/granted", "run/approvals", "approvals"] {
        let folder = bench.home.path().join(place);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(&file), &signed).unwrap();
    }
    assert_eq!(bench.check_at(at(50)), Vec::new());

    let granted = bench.home.path().join("approvals/granted");
    std::os::unix::fs::symlink(bench.home.path().join("run/approvals").join(&file), granted.join(&file))
        .unwrap();
    let found = bench.folder.answers_for(bench.request.request_digest).unwrap();
    assert!(found.answers.is_empty(), "a link to it is not read either");
    assert_eq!(found.unreadable.len(), 1);
}

#[test]
fn odd_files_count_for_nothing_and_a_broken_spent_record_counts_as_spent() {
    let bench = Bench::new();
    let dir = bench.home.path().join("approvals");
    let good = serde_json::to_string(&bench.granted()).unwrap();
    std::fs::write(dir.join("granted/other-name.json"), &good).unwrap();
    std::fs::write(dir.join("granted/torn.json"), &good[..good.len() / 2]).unwrap();
    let surplus = good.replacen('{', "{\"extra\":1,", 1);
    std::fs::write(dir.join(format!("granted/{}.ann.json", bench.request.request_id)), surplus).unwrap();
    std::fs::write(dir.join("granted/huge.json"), vec![b' '; 70_000]).unwrap();
    std::fs::write(dir.join(format!("granted/{}.ann.json", ApprovalId::fresh().unwrap())), "{").unwrap();
    let found = bench.folder.answers_for(bench.request.request_digest).unwrap();
    assert_eq!((found.answers.len(), found.unreadable.len()), (0, 1), "{:?}", found.unreadable);

    let bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    let spent = bench.home.path().join(format!("approvals/spent/{}.json", bench.request.request_id));
    std::fs::write(&spent, b"{\"request_id\":").unwrap();
    bench.refused_for("cannot be read");
    assert!(bench.spend(&bench.run).is_err());
}

#[test]
fn an_answer_or_request_that_cannot_be_read_is_told_and_not_passed_over() {
    for place in ["granted", "denied"] {
        let bench = Bench::new();
        let dir = bench.home.path().join("approvals");
        bench.folder.answer(&bench.granted()).unwrap();
        let torn = dir.join(format!("{place}/{}.bob.json", bench.request.request_id));
        std::fs::write(&torn, "{\"answer\":").unwrap();
        let found = bench.folder.answers_for(bench.request.request_digest).unwrap();
        assert_eq!((found.answers.len(), found.unreadable.len()), (1, 1));
        assert!(found.unreadable[0].contains("bob.json"), "{:?}", found.unreadable);
        let other = bench.folder.answers_for(Digest::of(b"another request")).unwrap();
        assert!(other.unreadable.is_empty(), "{:?}", other.unreadable);
        std::fs::remove_file(&torn).unwrap();
        std::fs::write(dir.join(format!("pending/{}.json", bench.request.request_id)), "{").unwrap();
        let found = bench.folder.answers_for(bench.request.request_digest).unwrap();
        assert_eq!((found.answers.len(), found.unreadable.len()), (0, 1));
    }
}

#[test]
fn a_principal_answers_once_and_asking_again_makes_no_second_request() {
    let bench = Bench::new();
    bench.folder.answer(&bench.granted()).unwrap();
    assert!(matches!(bench.folder.answer(&bench.granted()), Err(FolderError::Answered { .. })));
    let digest = bench.request.request_digest;
    let open = |account: &str, now| bench.folder.open_request(digest, account, now).unwrap();
    assert_eq!(open("1000:dev", at(50)), Some(bench.request.clone()));
    assert_eq!(open("1002:else", at(50)), None);
    assert_eq!(open("1000:dev", at(100)), None);
    bench.spend(&bench.run).unwrap();
    assert_eq!(open("1000:dev", at(50)), None);
    assert!(drafts(bench.home.path()).is_empty());
}

/// Files whose name begins with a dot, anywhere in the approvals folder.
fn drafts(home: &Path) -> Vec<std::ffi::OsString> {
    let parts = ["pending", "granted", "denied", "spent"].map(|part| home.join("approvals").join(part));
    let names =
        parts.iter().flat_map(|part| std::fs::read_dir(part).unwrap()).map(|e| e.unwrap().file_name());
    names.filter(|name| name.as_encoded_bytes().starts_with(b".")).collect()
}

#[test]
fn a_denial_stands_and_the_requester_may_deny() {
    let bench = Bench::new();
    let no = sign_approval(&bench.request, ApprovalAnswer::Deny, &name("ann"), &bench.ann);
    bench.folder.answer(&no).unwrap();
    let own = Requester { account: "1001:ann".to_owned(), ..bench.requester.clone() };
    let rows = bench.check_for(&own, at(50));
    assert_eq!((rows[0].answer, rows[0].refused.len()), (ApprovalAnswer::Deny, 0));
}
