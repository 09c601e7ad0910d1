//! Killed while it publishes, at each step and at any moment: told, finished, and nothing twice.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::bench::until;
use super::publish::{Target, names};

/// What is told; the record; whether the objects and the branch are there.
type Left<'a> = (&'a str, Option<Value>, bool, bool);

/// What a kill leaves at each step, made by hand: the record and the target as they are then.
#[test]
fn killed_at_each_step_it_is_told_and_finished_and_nothing_is_there_twice() {
    let target = Target::new("\"commit\"");
    let said = target.run();
    said.expect(0, &[]);
    let (run, _) = names(&said);
    let (branch, commit) =
        (format!("cto/{run}"), said.result()["publication"]["commit"].as_str().unwrap().to_owned());
    let begun = json!({"state": "begun", "branch": branch, "commit": commit});
    let drop_ref = || drop(target.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]));
    let drop_pack = || {
        for entry in std::fs::read_dir(target.top.join(".git/objects/pack")).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    };
    let whole = || {
        assert_eq!(target.git(&["rev-parse", &branch]), commit);
        assert_eq!(target.branches().lines().count(), 1);
        let packs = std::fs::read_dir(target.top.join(".git/objects/pack")).unwrap().count();
        assert_eq!(packs, 2, "one pack and its index");
        target.bench.cto(&["runs"]).expect(0, &["pass, published"]);
    };
    let left: [Left<'_>; 5] = [
        ("pass, branch due", None, false, false),
        ("pass, publishing begun", Some(begun.clone()), false, false),
        ("pass, publishing begun", Some(begun.clone()), true, false),
        ("pass, publishing begun", Some(begun), true, true),
        ("pass, branch due", None, true, true),
    ];
    for (told, record, pack, reference) in left {
        if !reference {
            drop_ref();
        }
        if !pack {
            drop_pack();
        }
        target.rewrite(&run, record);
        target.bench.cto(&["runs"]).expect(0, &[told]);
        target.bench.cto(&["show", &run]).expect(0, &["cto publish"]);
        target.publish(&run).expect(0, &["done", &commit]);
        whole();
    }
}

/// What is seen of a run from outside when it gets somewhere; the kill comes at once then.
type Sight = fn(&Target) -> bool;

#[test]
fn a_kill_at_any_moment_leaves_one_branch_or_none_and_a_word_about_it() {
    let sights: [Sight; 6] = [
        |target| !root_of(target).is_empty(),
        |target| holds(record_of(target), "sealed"),
        |target| holds(target.bench.state().join("audit.jsonl"), "publish-branch"),
        |target| holds(record_of(target), "begun"),
        |target| std::fs::read_dir(target.top.join(".git/objects/pack")).unwrap().count() > 0,
        |target| target.top.join(".git/refs/heads/cto").exists(),
    ];
    let mut cut_short = 0;
    for (n, sight) in sights.into_iter().enumerate() {
        let target = Target::new("\"commit\"");
        let mut child = until(target.bench.call(&["run", "task.toml"]), "inspection");
        // Some are so short that the run may be over before anybody sees them.
        while !sight(&target) && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = target.bench.cto(&["runs", "--json"]);
        listed.expect(0, &[]);
        let row: Value = serde_json::from_str(listed.out.lines().next().unwrap()).unwrap();
        let (run, state) = (row["run_id"].as_str().unwrap(), row["state"].as_str().unwrap());
        // The root is the last thing of a bundle: from then on the run passed, whoever was killed.
        assert!(state.starts_with("pass, "), "sight {n}: {state}");
        cut_short += usize::from(state != "pass, published");
        target.publish(run).expect(0, &["done"]);
        assert_eq!(target.branches(), format!("refs/heads/cto/{run}"), "sight {n}: {state}");
        assert_eq!(target.git(&["show", &format!("cto/{run}:src/a.txt")]), "two");
        assert!(!target.git(&["fsck", "--strict"]).contains("error"));
        let packs = std::fs::read_dir(target.top.join(".git/objects/pack")).unwrap().count();
        assert_eq!(packs, 2, "sight {n}: {state}");
    }
    assert!(cut_short >= 2, "most kills came too late to mean anything");
}

fn holds(path: PathBuf, what: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(what))
}

/// The record of the one run.
fn record_of(target: &Target) -> PathBuf {
    let runs = std::fs::read_dir(target.bench.state().join("runs")).unwrap();
    runs.map(|entry| entry.unwrap().path().join("record.json")).next().unwrap()
}

/// The root of the one bundle, as far as it is there.
fn root_of(target: &Target) -> Vec<PathBuf> {
    let bundles = std::fs::read_dir(target.bench.work().join("evidence/runs")).unwrap();
    let roots = bundles.map(|entry| entry.unwrap().path().join("root.dsse.json"));
    roots.filter(|root| root.exists()).collect()
}
