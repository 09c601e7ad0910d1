//! `cto verify --repo --replay`: what was asked for is done, or the answer is no.

use super::bench::{TestBench, fixture};

#[test]
fn a_patch_too_large_to_keep_is_read_again_and_derived() {
    let bench = TestBench::new();
    bench.file("big/repo/a.txt", "one\n");
    // One step above the most that a verifier keeps of a file.
    bench.file(
        "big/script.toml",
        "[[step]]\ndo = \"run\"\nargv = [\"/bin/sh\", \"-c\", \"head -c 68000000 /dev/zero | tr '\\\\0' a > big.txt\"]\n",
    );
    bench.file(
        "big/contract.toml",
        r#"contract_version = "1"
task_id = "big"
title = "t"
instructions = "t"
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "T-1" }
risk_class = "RESTRICTED"
mutation_mode = "copied-fixture"
allowed_paths = ["**"]
forbidden_actions = []
approval_required = false
verification_commands = [{ run = "test -s big.txt", timeout = 20 }]
evidence_expectations = []
engine = "fixture"
script = "script.toml"
"#,
    );
    bench.cto(&["run", "big"]).expect(0, &["PASS"]);
    bench
        .cto(&["verify", "latest", "--repo", "big", "--replay"])
        .expect(0, &["VERIFIED", "and the patch give tree", "1 commands came out as recorded"]);
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
