//! Reports that keep silent about what contract, decision or patch say: well sealed, and refused.

use std::fs;

use cto_harness::evidence::{Holding, LearningSection, Report};
use cto_harness::verify::Outcome;
use cto_harness::vocab::RiskClass;
use serde_json::json;

use crate::made_up::{Bench, Plan, contract_like, wrong};
use crate::resealed::reseal;

/// What is wrong with a good bundle of `plan` whose report was edited and sealed again.
fn said(plan: &Plan, edit: impl FnOnce(&mut Report)) -> String {
    let bench = Bench::new();
    let bundle = bench.sealed("b", plan).path;
    assert_eq!(wrong(&bench.verify(&bundle)), "");
    let file = bundle.join("report.json");
    let mut report: Report = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let before = report.clone();
    edit(&mut report);
    assert_ne!(before, report, "the edit changes nothing");
    fs::write(&file, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    reseal(&bench, &bundle, |_| {});
    let verified = bench.verify(&bundle);
    assert_eq!(verified.outcome, Outcome::Failed, "{verified:?}");
    wrong(&verified)
}

#[test]
fn a_hard_limit_without_its_group_is_not_believed() {
    let plan = Plan::default();
    let hard = |report: &mut Report| {
        report.sections.limits.iter_mut().for_each(|row| row.holding = Holding::Hard);
    };
    let said_of = said(&plan, hard);
    assert!(said_of.contains("held by a control group that is not among the layers"), "{said_of}");
    let said_of = said(&plan, |report| report.risk_class = RiskClass::Elevated);
    assert!(said_of.contains("demands hard limits of memory and processes"), "{said_of}");
}

#[test]
fn rows_that_the_contract_asks_for_and_that_are_gone() {
    let plan = Plan::default();
    let says = |edit: fn(&mut Report), text: &str| {
        let said = said(&plan, edit);
        assert!(said.contains(text), "{said}");
    };
    says(|report| report.sections.actions.clear(), "the forbidden actions are not the contract's");
    says(|report| report.sections.expectations.clear(), "other expectations");
    says(|report| report.sections.limits.clear(), "the limits are not the decision's");
    says(|report| report.sections.limits[0].requested += 1, "the limits are not the decision's");
    says(
        |report| report.sections.verification.as_mut().unwrap().commands.clear(),
        "0 commands were verified, the contract has 1",
    );
    says(|report| report.sections.limits[0].enforced = None, "a limit was not enforced as it was requested");
    says(
        |report| report.sections.actions[0].observable = "not observable here".to_owned(),
        "the result of an action",
    );
    says(
        |report| report.sections.learning = Some(LearningSection::default()),
        "report and decision do not agree whether the run learned",
    );
    says(
        |report| {
            let fragment = Some("learned.toml".to_owned());
            report.sections.learning = Some(LearningSection { fragment, whole: true });
        },
        "what was learned is not the file that the report names",
    );
    says(|report| report.harness.push('x'), "another harness than the root");
    says(|report| report.basis.clear(), "its table of what is observed and claimed is another");
    let engine = |report: &mut Report, edit: fn(&mut cto_harness::evidence::EngineSection)| {
        edit(report.sections.engine.as_mut().unwrap());
    };
    let said_of = said(&plan, |report| engine(report, |engine| engine.version = Some("9".to_owned())));
    assert!(said_of.contains("is not the one that was decided on"), "{said_of}");
    let said_of = said(&plan, |report| engine(report, |engine| engine.id = "codex".to_owned()));
    assert!(said_of.contains("did not select the engine `codex`"), "{said_of}");
    let other = |engine: &mut cto_harness::evidence::EngineSection| engine.prepared_by = Some(engine.program);
    let said_of = said(&plan, |report| engine(report, other));
    assert!(said_of.contains("by another check than the one that was decided on"), "{said_of}");
    let row = |report: &mut Report, edit: fn(&mut cto_harness::evidence::CommandRow)| {
        edit(&mut report.sections.verification.as_mut().unwrap().commands[0]);
    };
    let command = said(&plan, |report| row(report, |row| row.command = "true".to_owned()));
    assert!(command.contains("`sh test.sh` is not what was run"), "{command}");
    let status = said(&plan, |report| {
        row(report, |row| row.on_result.as_mut().unwrap().status = "exited:1".to_owned());
    });
    assert!(status.contains("is not what its ends give"), "{status}");
}

#[test]
fn an_expectation_called_met_that_is_not() {
    let contract = contract_like(|contract| {
        contract["evidence_expectations"] = json!([{"patch": "empty"}]);
    });
    let unmet = Plan {
        contract,
        sections: |sections| {
            let row = json!([{"expectation": "patch = empty", "met": false}]);
            sections.expectations = serde_json::from_value(row).unwrap();
        },
        ..Plan::default()
    };
    let said = said(&unmet, |report| report.sections.expectations[0].met = true);
    assert!(said.contains("other expectations"), "{said}");
}

#[test]
fn changed_paths_that_break_a_rule_in_silence() {
    let contract = contract_like(|contract| {
        contract["allowed_paths"] = json!(["src/**"]);
        contract["forbidden_actions"] = json!(["path:src/keep/**"]);
    });
    let plan = Plan {
        contract,
        sections: |sections| {
            sections.actions[0].action = "path:src/keep/**".to_owned();
        },
        ..Plan::default()
    };
    for (path, says) in [
        ("docs/a", "`patch.outside-allowed-paths` of `docs/a`"),
        ("src/keep/a", "the attempt `path:src/keep/**`: src/keep/a"),
        ("src\\\\/a", "`patch.outside-allowed-paths` of `src\\\\/a`"),
        ("d\\xff/a", "`patch.outside-allowed-paths` of `d\\xff/a`"),
        ("src/Cargo.toml", "`src/Cargo.toml` decides about checks"),
    ] {
        let said = said(&plan, |report| {
            path.clone_into(&mut report.sections.patch.as_mut().unwrap().files[0].path);
        });
        assert!(said.contains(says), "{said}");
    }
}
