//! Repositories that cannot be a target: a decision that says why and what to do, never a guess.

use super::bench::{Said, TestBench, contract};

/// The row of `target.base` in the decision about a target.
fn base_row(bench: &TestBench, target: &str) -> serde_json::Value {
    bench.file("contract.toml", &contract(target));
    let said = bench.cto(&["decide", "contract.toml", "--json"]);
    let decision: serde_json::Value = serde_json::from_str(said.out.lines().last().unwrap()).unwrap();
    let rows = decision["missing_gates"].as_array().unwrap();
    rows.iter().find(|row| row["gate"] == "target.base").unwrap().clone()
}

#[test]
fn what_is_not_there_is_missing_and_every_remedy_is_its_own() {
    let bench = TestBench::new();
    bench.file("plain/a.txt", "one\n");
    std::fs::create_dir_all(bench.work().join("broken/.git")).unwrap();
    bench.git(&bench.work(), &["init", "-q", "unborn"]);
    bench.repository("repo");
    for (target, state, remedy) in [
        ("missing", "missing", "Name an existing repository's top folder."),
        ("plain", "missing", "git init"),
        ("unborn", "missing", "Make a first commit."),
        ("repo/src", "missing", "Name the top"),
        ("https://example.invalid/x.git", "missing", "cto repo add"),
        ("broken", "errored", "readable for this account"),
    ] {
        let row = base_row(&bench, target);
        assert_eq!(row["state"], state, "{row}");
        assert!(row["remedy"].as_str().unwrap().contains(remedy), "{row}");
        assert!(!row["reason"].as_str().unwrap().contains(remedy), "{row}");
    }
}

fn decide(bench: &TestBench, target: &str) -> Said {
    bench.file("contract.toml", &contract(target));
    bench.cto(&["decide", "contract.toml"])
}

#[test]
fn what_is_no_repository_is_no_target() {
    let bench = TestBench::new();
    decide(&bench, "missing").expect(3, &["target.base"]);
    bench.file("plain/a.txt", "one\n");
    decide(&bench, "plain").expect(3, &["target.base", "git"]);
    bench.repository("repo");
    decide(&bench, "repo/src").expect(3, &["target.base"]);
    decide(&bench, "https://example.invalid/x.git").expect(3, &["not registered", "cto repo add"]);
    decide(&bench, "repo").expect(0, &["ELIGIBLE"]);
}

#[test]
fn forms_that_this_version_does_not_read_are_named() {
    let bench = TestBench::new();
    let work = bench.work();
    let repo = bench.repository("repo");
    bench.git(&work, &["init", "-q", "unborn"]);
    decide(&bench, "unborn").expect(3, &["target.base", "commit"]);
    bench.git(&work, &["clone", "-q", "--bare", "repo", "bare"]);
    decide(&bench, "bare").expect(3, &["target.base", "bare"]);
    std::fs::write(repo.join("src/a.txt"), "two\n").unwrap();
    bench.git(&repo, &["commit", "-qam", "second"]);
    let url = format!("file://{}", repo.display());
    bench.git(&work, &["clone", "-q", "--depth=1", &url, "shallow"]);
    decide(&bench, "shallow").expect(3, &["target.base", "shallow"]);
    bench.git(&work, &["init", "-q", "--object-format=sha256", "sha256"]);
    std::fs::write(work.join("sha256/a"), "a").unwrap();
    bench.git(&work.join("sha256"), &["add", "-A"]);
    bench.git(&work.join("sha256"), &["commit", "-qm", "a"]);
    decide(&bench, "sha256").expect(3, &["target.base", "sha256"]);
    let super_repo = bench.repository("super");
    bench.git(&super_repo, &["submodule", "--quiet", "add", &url, "sub"]);
    bench.git(&super_repo, &["commit", "-qm", "sub"]);
    decide(&bench, "super").expect(3, &["target.base", "submodule"]);
    let lfs = bench.repository("lfs");
    std::fs::write(lfs.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    bench.git(&lfs, &["add", "-A"]);
    bench.git(&lfs, &["commit", "-qm", "lfs"]);
    decide(&bench, "lfs").expect(3, &["target.base", "lfs"]);
    let local = bench.repository("local");
    decide(&bench, "local").expect(0, &[]);
    std::fs::create_dir_all(local.join(".git/info")).unwrap();
    std::fs::write(local.join(".git/info/attributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        .unwrap();
    decide(&bench, "local").expect(3, &["target.base", "lfs"]);
    let huge = bench.repository("huge");
    endless(&bench, &huge);
    decide(&bench, "huge").expect(3, &["target.base", "huge", "1,000,000"]);
    // Also where only HEAD is such a commit and the base is not.
    bench.file("contract.toml", &contract("huge").replace("risk_class", "base_ref = \"old\"\nrisk_class"));
    bench.cto(&["decide", "contract.toml"]).expect(3, &["target.base", "huge"]);
}

/// Makes HEAD of a repository a tree of ten folders, each the same ten folders, and so on.
fn endless(bench: &TestBench, repo: &std::path::Path) {
    let script = "t=$(git rev-parse HEAD^{tree})
        for level in $(seq 30); do
            t=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\\t%s\\n' $t $n; done | git mktree)
        done
        git reset -q --soft $(git -c user.name=a -c user.email=a@b.invalid commit-tree -p HEAD -m x $t)";
    let made = std::process::Command::new("sh").args(["-ec", script]).current_dir(repo).status().unwrap();
    assert!(made.success());
    bench.git(repo, &["branch", "old", "HEAD~1"]);
}

#[test]
fn a_dirty_tree_blocks_unless_the_contract_says_otherwise() {
    let bench = TestBench::new();
    let repo = bench.repository("repo");
    std::fs::write(repo.join("new.txt"), "new\n").unwrap();
    decide(&bench, "repo").expect(3, &["target.clean-start", "new.txt"]);
    let text = contract("repo").replace("approval_required", "clean_start = false\napproval_required");
    bench.file("contract.toml", &text);
    bench.cto(&["decide", "contract.toml"]).expect(0, &["ELIGIBLE"]);
}

#[test]
fn the_folder_for_bundles_hides_no_dirt_and_is_no_part_of_the_target() {
    let bench = TestBench::new();
    let repo = bench.repository("repo");
    std::fs::write(repo.join("src/a.txt"), "changed\n").unwrap();
    bench.file("contract.toml", &contract("repo"));
    std::os::unix::fs::symlink(&repo, bench.work().join("link")).unwrap();
    for out in ["repo", "repo/.", "repo/src", "repo/new/../src", "link", "link/src", "repo/.git/runs"] {
        let said = bench.cto(&["run", "contract.toml", "--out", out]);
        said.expect(2, &["bundles cannot go to", "remedy"]);
    }
    assert!(!repo.join(".gitignore").exists() && !repo.join("src/.gitignore").exists());
    bench.file("repo/notes/mine.txt", "mine\n");
    for _ in 0..2 {
        let said = bench.cto(&["run", "contract.toml", "--out", "repo/notes"]);
        said.expect(3, &["target.clean-start", "src/a.txt", "notes/mine.txt"]);
        assert!(!said.out.contains("report.json"), "{}", said.out);
    }
    bench.git(&repo, &["checkout", "-q", "src/a.txt"]);
    std::fs::remove_file(repo.join("notes/mine.txt")).unwrap();
    for out in ["repo/notes", "repo/evidence", "."] {
        bench.cto(&["run", "contract.toml", "--out", out]).expect(0, &[]);
    }
    bench.cto(&["run", "contract.toml", "--out", "repo/evidence"]).expect(0, &[]);
    assert!(repo.join("evidence/.gitignore").exists() && !bench.work().join(".gitignore").exists());
}

#[test]
fn the_run_sees_the_base_commit_and_nothing_else_and_the_target_is_left_alone() {
    let bench = TestBench::new();
    let repo = bench.repository("repo");
    bench.cto(&["repo", "add", "repo", "--ownership", "sandbox", "--owner", "a"]).expect(0, &[]);
    bench.file("script.toml", "[[step]]\ndo = \"write\"\npath = \"src/b.txt\"\ntext = \"two\\n\"\n");
    let text =
        contract("repo").replace("SAFE", "RESTRICTED").replace("\"none\"", "\"sandbox-repo\"").replace(
            "allowed_paths = []",
            "allowed_paths = [\"src/**\"]\npermissions = [\"commit\"]\nscript = \"script.toml\"",
        );
    bench.file("contract.toml", &text);
    let said = bench.cto(&["run", "contract.toml", "--json"]);
    said.expect(0, &[]);
    assert!(!repo.join("src/b.txt").exists(), "the work tree is never written");
    let branch = said.result()["branch"].as_str().unwrap().to_owned();
    bench.git(&repo, &["cat-file", "-e", &format!("{branch}:src/b.txt")]);
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    bench.cto(&["verify", &bundle, "--repo", "repo", "--replay"]).expect(0, &["trees", "VERIFIED"]);
}
