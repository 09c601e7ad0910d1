//! `cto verify --repo --replay`: what was asked for is done, or the answer is no.

use std::fs;

use cto_harness::evidence::{Report, sarif, summary};
use cto_harness::home::Home;
use cto_harness::vocab::Digest;

use super::bench::{TestBench, fixture};
use super::reseal::reseal;

/// A fixture whose engine runs one shell text.
fn shell_fixture(bench: &TestBench, name: &str, text: &str) {
    bench.file(&format!("{name}/repo/a.txt"), "one\n");
    let script = format!("[[step]]\ndo = \"run\"\nargv = [\"/bin/sh\", \"-c\", '''{text}''']\n");
    bench.file(&format!("{name}/script.toml"), &script);
    bench.file(
        &format!("{name}/contract.toml"),
        r#"contract_version = "1"
task_id = "t"
title = "t"
instructions = "t"
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "T-1" }
risk_class = "RESTRICTED"
mutation_mode = "copied-fixture"
allowed_paths = ["**"]
forbidden_actions = []
approval_required = false
verification_commands = [{ run = "test -s made", timeout = 20 }]
evidence_expectations = []
engine = "fixture"
script = "script.toml"
"#,
    );
}

#[test]
fn a_patch_too_large_to_keep_is_read_again_and_derived() {
    let bench = TestBench::new();
    // More than the most that a verifier keeps of a file.
    shell_fixture(&bench, "big", "head -c 68000000 /dev/zero | tr '\\0' a > made");
    let contract = fs::read_to_string(bench.work().join("big/contract.toml")).unwrap();
    bench.file("big/contract.toml", &format!("{contract}limits = {{ patch_bytes = 100000000 }}\n"));
    bench.cto(&["run", "big"]).expect(0, &["PASS"]);
    bench
        .cto(&["verify", "latest", "--repo", "big", "--replay"])
        .expect(0, &["VERIFIED", "and the patch give tree", "1 commands came out as recorded"]);
}

#[test]
fn a_finding_kept_silent_is_found_in_the_patch_itself() {
    let bench = TestBench::new();
    shell_fixture(&bench, "binary", "printf 'a\\0b' > made");
    let said = bench.cto(&["run", "binary", "--json"]);
    said.expect(0, &[]);
    let bundle = std::path::PathBuf::from(said.result()["bundle"].as_str().unwrap());
    let mut report: Report = serde_json::from_slice(&fs::read(bundle.join("report.json")).unwrap()).unwrap();
    assert_eq!(report.sections.findings[0].code, "patch.binary");
    report.sections.findings.clear();
    let checks = sarif(&report, &report.harness);
    report.artifacts.insert("checks.sarif".to_owned(), Digest::of(&checks));
    fs::write(bundle.join("checks.sarif"), checks).unwrap();
    fs::write(bundle.join("report.md"), summary(&report)).unwrap();
    fs::write(bundle.join("report.json"), serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    let home = Home::at(bench.state().parent().unwrap()).unwrap();
    reseal(&bundle, &home.sealing_key().unwrap(), |_| {});
    bench.cto(&["verify", "latest"]).expect(0, &["VERIFIED", "the secret scan were not derived again"]);
    bench
        .cto(&["verify", "latest", "--repo", "binary"])
        .expect(1, &["DOES NOT HOLD", "it does not tell `patch.binary` of `made`"]);
}

#[test]
fn what_was_asked_for_and_could_not_be_done_is_no_success() {
    let bench = TestBench::new();
    let secret = fixture("secret-in-diff");
    bench.cto(&["run", &secret]).expect(3, &["BLOCKED"]);
    bench.cto(&["verify", "latest"]).expect(0, &["VERIFIED"]);
    bench.cto(&["verify", "latest", "--repo", &secret]).expect(1, &["NOT ALL DONE", "the patch is withheld"]);
    bench
        .cto(&["verify", "latest", "--repo", &secret, "--replay"])
        .expect(1, &["NOT ALL DONE", "the trees were not derived"]);
    // A run that was refused has nothing to derive, and that is an answer.
    let refused = fixture("missing-gated-field");
    bench.cto(&["run", &refused]).expect(3, &["BLOCKED"]);
    bench.cto(&["verify", "latest", "--repo", &refused, "--replay"]).expect(0, &["VERIFIED", "no patch"]);
}
