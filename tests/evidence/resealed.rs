//! Bundles whose seal is good and whose content does not follow: what an honest key must not cover up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cto_harness::approval::{PendingRequest, sign_approval};
use cto_harness::eligibility::{self, ApprovalAnswer, ApprovalFacts, Grantor};
use cto_harness::evidence::{Envelope, MerkleTree, RootStatement};
use cto_harness::home::TrustedKey;
use cto_harness::verify::{Expect, Outcome, verify};
use cto_harness::vocab::{ApprovalId, MutationMode, PrincipalName, RiskClass, SealingKey, Timestamp};
use serde_json::{Value, json};

use crate::made_up::{Bench, Plan, contract_asking, facts, wrong};

/// Seals the folder again as it is, with the right key.
pub(crate) fn reseal(bench: &Bench, path: &Path, root: impl FnOnce(&mut RootStatement)) {
    crate::reseal::reseal(path, &bench.key, root);
}

/// Changes a file of a good bundle, seals again, and gives the reasons.
fn reasons(bench: &Bench, bundle: &Path, name: &str, edit: impl FnOnce(String) -> String) -> String {
    let copy = bench.copy(bundle, "resealed");
    let text = fs::read_to_string(copy.join(name)).unwrap();
    let changed = edit(text.clone());
    assert_ne!(text, changed, "{name}: the edit changes nothing");
    fs::write(copy.join(name), changed).unwrap();
    reseal(bench, &copy, |_| {});
    let report = bench.verify(&copy);
    assert_eq!(report.outcome, Outcome::Failed, "{name}");
    fs::remove_dir_all(&copy).unwrap();
    wrong(&report)
}

#[test]
fn resealing_alone_changes_nothing() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    reseal(&bench, &bundle, |_| {});
    assert_eq!(wrong(&bench.verify(&bundle)), "");
}

#[test]
fn a_report_that_does_not_follow() {
    let bench = Bench::new();
    let failed = Plan {
        sections: |sections| {
            let row = &mut sections.verification.as_mut().unwrap().commands[0];
            row.outcome = serde_json::from_value(json!("failed")).unwrap();
            row.on_result.as_mut().unwrap().status = "exited:1".to_owned();
            sections.expectations[0].met = false;
        },
        ..Plan::default()
    };
    let bundle = bench.sealed("b", &failed).path;
    assert_eq!(wrong(&bench.verify(&bundle)), "");
    let said = reasons(&bench, &bundle, "report.json", |text| {
        text.replacen("\"verdict\": \"fail\"", "\"verdict\": \"pass\"", 1)
    });
    assert!(
        said.contains("its verdict is not the root's") && said.contains("the sections give `fail`"),
        "{said}"
    );
    let said = reasons(&bench, &bundle, "report.json", |text| text.replace("src/a", "src/b"));
    assert!(said.contains("does not follow from events and report"), "{said}");
    let said =
        reasons(&bench, &bundle, "report.json", |text| text.replacen('{', "{\"report_version\":\"1\",", 1));
    assert!(said.contains("duplicate key"), "{said}");
    let said = reasons(&bench, &bundle, "report.json", |text| format!("{text} "));
    assert!(said.contains("the one form"), "{said}");
    let said =
        reasons(&bench, &bundle, "report.json", |text| format!("{{\"a\":{}1", "[".repeat(200_000)) + &text);
    assert!(said.contains("recursion limit"), "{said}");
}

#[test]
fn programs_that_the_log_does_not_tell() {
    let bench = Bench::new();
    let plan = Plan {
        sections: |sections| {
            sections.processes = Some(
                serde_json::from_value(json!({
                    "complete": true, "executed": 1, "processes": 1, "left_out": 0, "refused_calls": {}, "sought": {},
                    "rows": [{"process": 1, "parent": 0, "program": "/bin/true", "argv": "true", "cwd": "/",
                        "started": "2026-01-01T00:00:00.000000Z", "ended": null, "status": "exited:0"}],
                }))
                .unwrap(),
            );
        },
        ..Plan::default()
    };
    let said = wrong(&bench.verify(&bench.sealed("b", &plan).path));
    assert!(said.contains("not those of the event log") && said.contains("complete"), "{said}");
}

#[test]
fn money_that_the_log_does_not_tell() {
    let bench = Bench::new();
    let plan = Plan {
        sections: |sections| {
            sections.usage.input_tokens = 5;
            sections.spend = serde_json::from_value(json!({"counted": {"provider": "p", "model": "m",
                "run_cap_micro_usd": 7, "thread_cap_micro_usd": 7, "day_cap_micro_usd": 7, "refused": null,
                "sums": {"reservations": 1, "reserved_micro_usd": 9, "settled_micro_usd": 9,
                    "unsettled_micro_usd": 0, "over_reservation_micro_usd": 0}}}))
            .unwrap();
        },
        ..Plan::default()
    };
    let said = wrong(&bench.verify(&bench.sealed("b", &plan).path));
    for told in ["other tokens", "other money", "not the contract's", "more was spent than the cap"] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn an_observation_that_was_not_in_force_to_the_end() {
    let bench = Bench::new();
    let verified = |name: &str, plan: Plan| bench.verify(&bench.sealed(name, &plan).path);
    // Honest: it blocks, and that is verified.
    let honest = Plan {
        sections: |sections| {
            sections.processes.as_mut().unwrap().complete = false;
            let row = &mut sections.sandbox.as_mut().unwrap().layers[1];
            row.ok = false;
            row.enforced.push_str("; its last word is missing");
        },
        ..Plan::default()
    };
    let report = verified("honest", honest);
    assert_eq!(report.outcome, Outcome::Verified, "{:?}", report.checks);
    let reasons = &report.contents.unwrap().report.reasons;
    assert!(reasons.iter().any(|reason| reason.code == "sandbox.layer-not-enforced"), "{reasons:?}");

    let silent = Plan {
        sections: |sections| sections.processes.as_mut().unwrap().complete = false,
        ..Plan::default()
    };
    let said = wrong(&verified("silent", silent));
    assert!(said.contains("its programs tell otherwise"), "{said}");

    let left_out = Plan {
        sections: |sections| drop(sections.sandbox.as_mut().unwrap().layers.pop()),
        ..Plan::default()
    };
    let report = verified("left-out", left_out);
    let said = wrong(&report);
    assert!(said.contains("layers are not those of the event log"), "{said}");
    let reasons = &report.contents.unwrap().report.reasons;
    assert!(reasons.iter().any(|reason| reason.code == "evidence.observation-missing"), "{reasons:?}");
}

#[test]
fn derived_files_that_do_not_follow() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    for name in ["trace.jsonl", "checks.sarif", "tests.ctrf.json", "report.md"] {
        let said = reasons(&bench, &bundle, name, |text| format!("{text}\n"));
        assert!(said.contains(&format!("`{name}` does not follow")), "{said}");
    }
}

#[test]
fn contract_decision_and_patch_that_are_others() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    let said = reasons(&bench, &bundle, "contract.json", |text| text.replace("src/**", "**"));
    assert!(said.contains("the contract's digest is not the root's"), "{said}");
    let said = reasons(&bench, &bundle, "contract.json", |text| format!("{text} "));
    assert!(said.contains("canonical"), "{said}");
    let said = reasons(&bench, &bundle, "decision.json", |text| {
        text.replace("\"landlock_abi\": 6", "\"landlock_abi\": 0")
    });
    assert!(said.contains("the decision's id is not its digest"), "{said}");
    let said = reasons(&bench, &bundle, "decision.json", |text| text.replacen('{', "{\"gate_set\": 1,", 1));
    assert!(said.contains("duplicate key"), "{said}");
    let said = reasons(&bench, &bundle, "patch.diff", |text| text.replace("+b", "+c"));
    assert!(said.contains("not the one that the report describes"), "{said}");
}

#[test]
fn a_decision_that_its_facts_do_not_give() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    // A liar who recomputes the id, too: the decision is made again from contract and facts.
    let mut value: Value = serde_json::from_slice(&fs::read(bundle.join("decision.json")).unwrap()).unwrap();
    value["facts"]["host"]["seen"]["seccomp"] = json!(false);
    let mut document: eligibility::DecisionDocument = serde_json::from_value(value).unwrap();
    document.decision_id = document.derive_id().unwrap();
    fs::write(bundle.join("decision.json"), serde_json::to_vec(&document).unwrap()).unwrap();
    reseal(&bench, &bundle, |root| root.predicate.decision = document.decision_id);
    let said = wrong(&bench.verify(&bundle));
    assert!(said.contains("contract and facts give another decision"), "{said}");
}

#[test]
fn event_logs_that_do_not_belong() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    let log = "events.normalized.jsonl";
    let edit = |what: &str, says: &str, edit: &dyn Fn(Vec<String>) -> Vec<String>| {
        let copy = bench.copy(&bundle, "log");
        let text = fs::read_to_string(copy.join(log)).unwrap();
        let lines = edit(text.lines().map(str::to_owned).collect());
        fs::write(copy.join(log), lines.join("\n") + "\n").unwrap();
        let mut tree = MerkleTree::new();
        for line in &lines {
            tree.push(line.as_bytes());
        }
        reseal(&bench, &copy, |root| {
            root.predicate.events.count = tree.size();
            root.predicate.events.root = tree.root();
        });
        let said = wrong(&bench.verify(&copy));
        assert!(said.contains(says), "{what}: {said}");
        fs::remove_dir_all(copy).unwrap();
    };
    edit("a gap", "its number is", &|mut lines| {
        lines.remove(5);
        lines
    });
    edit("swapped", "its number is", &|mut lines| {
        lines.swap(5, 6);
        lines
    });
    edit("another run", "it is of run-", &|mut lines| {
        let at = lines[5].find("run-").unwrap();
        lines[5].replace_range(at + 4..at + 5, "f");
        lines
    });
    edit("an older moment", "older than", &|mut lines| {
        let at = lines[5].find("\"time\":\"").unwrap() + 8;
        lines[5].replace_range(at..at + 4, "1999");
        lines
    });
    edit("a claim as seen", "stands as observed", &|mut lines| {
        let at = lines.iter().position(|line| line.contains("claimed")).unwrap();
        lines[at] = lines[at].replace("claimed", "observed");
        lines
    });
    edit("an unknown type", "not an event", &|mut lines| {
        lines[5] = lines[5].replace("tool.called", "tool.hidden").replace("tool.finished", "tool.hidden");
        lines
    });
    edit("a duplicate key", "not an event", &|mut lines| {
        lines[5] = lines[5].replacen('{', "{\"seq\":6,", 1);
        lines
    });
    edit("a long line", "longer than", &|mut lines| {
        lines[5] = lines[5].replacen("\"data\":", &format!("\"data\":{}", " ".repeat(2 << 20)), 1);
        lines
    });
    edit("a bomb", "not an event", &|mut lines| {
        lines[5] = lines[5].replacen("\"data\":", &format!("\"data\":{}", "[".repeat(100_000)), 1);
        lines
    });
    edit("a lost end", "does not end with", &|mut lines| {
        lines.pop();
        lines
    });
    edit("another content", "signs other events", &|mut lines| {
        lines[5] = lines[5].replace("xxxx", "yyyy");
        lines
    });
}

#[test]
fn checkpoints_of_another_key_or_out_of_order() {
    let bench = Bench::new();
    let other = Bench::new();
    let bundle = bench.sealed("b", &Plan { events: 600, ..Plan::default() }).path;
    let said = reasons(&bench, &bundle, "checkpoints", |text| {
        let blocks: Vec<_> = text.split_inclusive("\n\n").collect();
        // Two parts a head: body and signature.
        [&blocks[2..4], &blocks[..2], &blocks[4..]].concat().concat()
    });
    assert!(said.contains("fewer events than the one before"), "{said}");
    let said = reasons(&bench, &bundle, "checkpoints", |text| {
        let blocks: Vec<_> = text.split_inclusive("\n\n").collect();
        blocks[..blocks.len() - 4].concat()
    });
    assert!(said.contains("the last checkpoint signs"), "{said}");
    let said = reasons(&bench, &bundle, "checkpoints", |text| {
        let root: RootStatement = {
            let text = fs::read_to_string(bundle.join("root.dsse.json")).unwrap();
            serde_json::from_slice(&Envelope::parse(&text).unwrap().payload).unwrap()
        };
        let run = root.predicate.run_id;
        let heads = cto_harness::evidence::TreeHead::parse_all(&text, &run).unwrap();
        heads.iter().map(|signed| signed.head.signed(&run, &other.key)).collect()
    });
    assert!(said.contains("checkpoint 1 is not signed by"), "{said}");
}

#[test]
fn a_root_of_another_kind_or_in_another_form() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    reseal(&bench, &bundle, |root| root.predicate_type = "urn:other:v1".to_owned());
    assert!(wrong(&bench.verify(&bundle)).contains("not known here"));
    reseal(&bench, &bundle, |root| {
        root.predicate_type = cto_harness::evidence::PREDICATE_TYPE.to_owned();
        root.subject.swap(1, 2);
    });
    assert!(wrong(&bench.verify(&bundle)).contains("another order"));
}

/// Facts of a run that needs a yes, and has one by `ann`.
fn approved(bench: &Bench, signer: &SealingKey) -> std::path::PathBuf {
    let (contract, mut facts) = (contract_asking(), facts(&contract_asking()));
    let asked = eligibility::decide(&contract, &facts);
    let asked = asked.document();
    assert!(!asked.eligible() && asked.approval_required);
    let request = PendingRequest {
        request_id: ApprovalId::fresh().unwrap(),
        request_digest: asked.request_digest,
        mode: MutationMode::CopiedFixture,
        risk: RiskClass::Restricted,
        contract_digest: contract.digest(),
        title: "T".to_owned(),
        created_at: Timestamp::now(),
        expires_at: Timestamp::now().plus_seconds(600).unwrap(),
        requester_account: "1000:dev".to_owned(),
        requester: None,
        act: None,
    };
    let ann = PrincipalName::parse("ann").unwrap();
    let approval = sign_approval(&request, ApprovalAnswer::Grant, &ann, signer);
    facts.approvals.push(ApprovalFacts {
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
    });
    let file = serde_json::to_vec_pretty(&approval).unwrap();
    let approvals = BTreeMap::from([("approvals/ann.json".to_owned(), file)]);
    let plan = Plan { contract, facts: Some(facts), approvals, ..Plan::default() };
    bench.sealed("approved", &plan).path
}

#[test]
fn an_approval_counts_only_by_an_approver_of_the_trust_file() {
    let (bench, ann, eve) = (Bench::new(), SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    let bundle = approved(&bench, &ann);
    let ask = |name: &str, key: &SealingKey| {
        let mut trust = bench.trust();
        trust.approver.push(TrustedKey { name: name.to_owned(), key: key.public() });
        verify(&bundle, &trust, &Expect::default(), Timestamp::now()).unwrap()
    };
    let report = ask("ann", &ann);
    assert!(report.is_verified_pass(), "{}", wrong(&report));
    for report in [ask("ann", &eve), ask("eve", &ann), bench.verify(&bundle)] {
        assert_eq!(report.outcome, Outcome::IntactApproverUnknown);
        assert!(wrong(&report).contains("names no such approver: ann"), "{}", wrong(&report));
    }
    let file = bundle.join("approvals/ann.json");
    let text = fs::read_to_string(&file).unwrap();
    for (changed, says) in [
        (text.replace("\"signature\": \"", "\"signature\": \"0"), "is not a signed approval"),
        (text.replace("RESTRICTED", "SAFE"), "is not in the bundle"),
        ("{}".to_owned(), "is not a signed approval"),
    ] {
        fs::write(&file, changed).unwrap();
        reseal(&bench, &bundle, |_| {});
        let said = wrong(&ask("ann", &ann));
        assert!(said.contains(says), "{said}");
    }
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["signature"] = json!("00".repeat(64));
    fs::write(&file, serde_json::to_vec(&value).unwrap()).unwrap();
    reseal(&bench, &bundle, |_| {});
    let said = wrong(&ask("ann", &ann));
    assert!(said.contains("the signature of `ann`"), "{said}");
}

#[test]
fn the_sealing_key_never_approves() {
    let bench = Bench::new();
    let bundle = approved(&bench, &bench.key);
    let mut trust = bench.trust();
    trust.approver.push(TrustedKey { name: "ann".to_owned(), key: bench.key.public() });
    let report = verify(&bundle, &trust, &Expect::default(), Timestamp::now()).unwrap();
    assert!(wrong(&report).contains("signed with the sealing key"), "{}", wrong(&report));
}
