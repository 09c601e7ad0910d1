//! `verify.sh`, run as people run it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::made_up::{Bench, Plan};

/// Exit status, and both outputs.
pub(crate) fn run(bench: &Bench, bundle: &Path) -> (i32, String) {
    run_by("sh", bench, bundle)
}

/// The same by a shell of that name.
fn run_by(shell: &str, bench: &Bench, bundle: &Path) -> (i32, String) {
    let (script, key) = (bench.place.path().join("verify.sh"), bench.place.path().join("key.pem"));
    fs::write(&script, cto_harness::verify::script()).unwrap();
    fs::write(&key, bench.key.public().to_pem()).unwrap();
    let done = Command::new(shell)
        .arg(&script)
        .arg(&key)
        .arg(bundle)
        .current_dir(bench.place.path())
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_sealed_bundle_is_intact_and_the_script_says_what_it_leaves() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    let (status, said) = run(&bench, &sealed.path);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("INTACT") && said.contains("verdict pass") && said.contains("Left to `cto verify`"),
        "{said}"
    );
    // A relative name works too.
    let (status, said) = run(&bench, Path::new("b"));
    assert_eq!(status, 0, "{said}");
}

#[test]
fn wrong_use_is_told_apart_from_a_wrong_bundle() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    run(&bench, &sealed.path);
    let ask = |arguments: &[&Path]| {
        let script = bench.place.path().join("verify.sh");
        Command::new("sh").arg(script).args(arguments).output().unwrap().status.code().unwrap()
    };
    let key = bench.place.path().join("key.pem");
    assert_eq!(ask(&[&key]), 2);
    assert_eq!(ask(&[Path::new("/nowhere"), &sealed.path]), 2);
    assert_eq!(ask(&[&sealed.path.join("report.json"), &sealed.path]), 2, "not a key");
    assert_eq!(ask(&[&key, Path::new("/nowhere")]), 2);
}

#[test]
fn an_added_folder_is_refused_whatever_its_name_matches() {
    let bench = Bench::new();
    let sealed = bench.sealed("b", &Plan::default());
    for shell in ["sh", "dash"] {
        for name in ["backen.", "b....nd", "backend/stdout.jsonl.d", "inputs/x", "empty", "_/_/_"] {
            let (status, said) = with_folder(shell, &bench, &sealed.path, name);
            assert_eq!(status, 1, "{shell} {name}: {said}");
            assert!(said.contains("a folder without a file"), "{shell} {name}: {said}");
        }
        let (status, said) = run_by(shell, &bench, &sealed.path);
        assert_eq!(status, 0, "{shell}: {said}");
    }
}

fn with_folder(shell: &str, bench: &Bench, bundle: &Path, name: &str) -> (i32, String) {
    let copy = bench.copy(bundle, "with-folder");
    fs::create_dir_all(copy.join(name)).unwrap();
    let said = run_by(shell, bench, &copy);
    fs::remove_dir_all(copy).unwrap();
    said
}
