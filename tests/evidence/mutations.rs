//! Every way of changing a sealed bundle without its key, each refused with its reason.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cto_harness::verify::Outcome;

use crate::made_up::{Bench, Plan, files, wrong};
use crate::script;

/// Tampers with a copy, and expects both verifiers to refuse it; `says` is a part of the reason.
fn refused(bench: &Bench, bundle: &Path, what: &str, says: &str, tamper: impl FnOnce(&Path)) {
    let copy = bench.copy(bundle, "tampered");
    tamper(&copy);
    let report = bench.verify(&copy);
    assert_ne!(report.outcome, Outcome::Verified, "{what}");
    let reasons: Vec<_> = report.reasons.iter().map(|reason| reason.sentence.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains(says)), "{what}: {reasons:?}");
    let (status, said) = script::run(bench, &copy);
    assert_eq!(status, 1, "{what}: {said}");
    assert!(said.contains("REFUSED"), "{what}: {said}");
    fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn every_file_changed_at_its_first_middle_and_last_byte() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    for name in files(&bundle) {
        let size = fs::read(bundle.join(&name)).unwrap().len();
        for at in [0, size / 2, size - 1] {
            refused(&bench, &bundle, &format!("{name} at {at}"), "", |copy| {
                let mut bytes = fs::read(copy.join(&name)).unwrap();
                bytes[at] ^= 1;
                fs::write(copy.join(&name), bytes).unwrap();
            });
        }
    }
}

#[test]
fn every_file_removed_renamed_cut_and_emptied() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    for name in files(&bundle) {
        let says = match name.rsplit_once('/') {
            _ if name == "root.dsse.json" => "never sealed",
            Some((folder, _)) => folder,
            None => name.as_str(),
        };
        refused(&bench, &bundle, &format!("{name} removed"), says, |copy| {
            fs::remove_file(copy.join(&name)).unwrap();
        });
        refused(&bench, &bundle, &format!("{name} renamed"), says, |copy| {
            fs::rename(copy.join(&name), copy.join("other.txt")).unwrap();
        });
        let half = fs::read(bundle.join(&name)).unwrap().len() / 2;
        for left in [half, 0] {
            refused(&bench, &bundle, &format!("{name} cut to {left}"), "", |copy| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(copy.join(&name))
                    .unwrap()
                    .set_len(left as u64)
                    .unwrap();
            });
        }
    }
}

#[test]
fn lines_swapped_and_appended() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    for name in ["events.normalized.jsonl", "checkpoints", "SHA256SUMS", "patch.diff", "root.dsse.json"] {
        refused(&bench, &bundle, &format!("{name} swapped"), "", |copy| {
            let text = fs::read_to_string(copy.join(name)).unwrap();
            let mut lines: Vec<_> = text.split_inclusive('\n').collect();
            lines.swap(1, 2);
            fs::write(copy.join(name), lines.concat()).unwrap();
        });
        refused(&bench, &bundle, &format!("{name} appended"), "", |copy| {
            let text = fs::read_to_string(copy.join(name)).unwrap();
            fs::write(copy.join(name), format!("{text}\n")).unwrap();
        });
    }
}

#[test]
fn parts_of_another_bundle_of_the_same_key() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    let other = bench.sealed("c", &Plan { patch: b"+other\n".to_vec(), ..Plan::default() }).path;
    for name in files(&bundle) {
        if fs::read(bundle.join(&name)).unwrap() == fs::read(other.join(&name)).unwrap() {
            continue;
        }
        refused(&bench, &bundle, &format!("{name} of another"), "", |copy| {
            fs::copy(other.join(&name), copy.join(&name)).unwrap();
        });
    }
    refused(&bench, &bundle, "list and root of another", "changed", |copy| {
        for name in ["SHA256SUMS", "root.dsse.json"] {
            fs::copy(other.join(name), copy.join(name)).unwrap();
        }
    });
}

#[test]
fn names_that_do_not_belong() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    let outside = bench.place.path().join("outside");
    fs::write(&outside, "x").unwrap();
    for name in ["extra.txt", "backend/extra.txt", "zzz"] {
        refused(&bench, &bundle, name, "was added", |copy| fs::write(copy.join(name), "x").unwrap());
    }
    for name in
        [".hidden", "a b", "new\nline", "-rf", "ä", "back\\slash", "semi;colon", "backend/.hidden", "$(id)"]
    {
        refused(&bench, &bundle, name, "not a name", |copy| fs::write(copy.join(name), "x").unwrap());
    }
    refused(&bench, &bundle, "not UTF-8", "not a name", |copy| {
        use std::os::unix::ffi::OsStrExt as _;
        fs::write(copy.join(std::ffi::OsStr::from_bytes(b"a\xff")), "x").unwrap();
    });
    refused(&bench, &bundle, "an empty folder", "holds no file", |copy| {
        fs::create_dir(copy.join("empty")).unwrap();
    });
    refused(&bench, &bundle, "too deep", "", |copy| {
        fs::create_dir_all(copy.join("a/b/c/d")).unwrap();
        fs::write(copy.join("a/b/c/d/e"), "x").unwrap();
    });
    refused(&bench, &bundle, "a link", "is a link", |copy| symlink(&outside, copy.join("link")).unwrap());
    refused(&bench, &bundle, "a dangling link", "is a link", |copy| {
        symlink("nowhere", copy.join("link")).unwrap();
    });
    refused(&bench, &bundle, "a FIFO", "not a regular file", |copy| fifo(&copy.join("pipe")));
    refused(&bench, &bundle, "a socket", "not a regular file", |copy| {
        std::os::unix::net::UnixListener::bind(copy.join("socket")).unwrap();
    });
    for name in files(&bundle) {
        refused(&bench, &bundle, &format!("{name} as a link to itself"), "is a link", |copy| {
            fs::remove_file(copy.join(&name)).unwrap();
            symlink(bundle.join(&name), copy.join(&name)).unwrap();
        });
    }
    refused(&bench, &bundle, "a folder as a link", "is a link", |copy| {
        fs::remove_dir_all(copy.join("backend")).unwrap();
        symlink(bundle.join("backend"), copy.join("backend")).unwrap();
    });
    refused(&bench, &bundle, "a FIFO in place of a file", "not a regular file", |copy| {
        fs::remove_file(copy.join("patch.diff")).unwrap();
        fifo(&copy.join("patch.diff"));
    });
}

fn fifo(path: &Path) {
    let done = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(done.success());
}

#[test]
fn more_names_than_any_bundle_has() {
    let bench = Bench::new();
    let bundle = bench.sealed("b", &Plan::default()).path;
    refused(&bench, &bundle, "a flood of names", "4096", |copy| {
        for index in 0..4200 {
            fs::write(copy.join(format!("f{index}")), "").unwrap();
        }
    });
}

#[test]
fn a_forged_bundle_brings_its_own_key_and_script() {
    let (bench, stranger) = (Bench::new(), Bench::new());
    let forged = stranger.sealed("forged", &Plan::default()).path;
    assert!(stranger.verify(&forged).is_verified_pass());
    let report = bench.verify(&forged);
    assert_eq!(report.outcome, Outcome::IntactSignerUnknown);
    let (status, said) = script::run(&bench, &forged);
    assert_eq!(status, 1);
    assert!(said.contains("another key"), "{said}");

    fs::write(forged.join("verify.sh"), "#!/bin/sh\necho INTACT\n").unwrap();
    fs::write(forged.join("key.pem"), stranger.key.public().to_pem()).unwrap();
    assert_eq!(bench.verify(&forged).outcome, Outcome::Failed);
    assert!(wrong(&bench.verify(&forged)).contains("`verify.sh` was added"));

    // The forger's signature under the name of the trusted key.
    let named = stranger.sealed("named", &Plan::default()).path;
    let text = fs::read_to_string(named.join("root.dsse.json")).unwrap();
    let (mine, yours) = (stranger.key.public().key_id().to_string(), bench.key.public().key_id().to_string());
    fs::write(named.join("root.dsse.json"), text.replace(&mine, &yours)).unwrap();
    let report = bench.verify(&named);
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(wrong(&report).contains("not signed by `here`"), "{}", wrong(&report));
    assert_eq!(script::run(&bench, &named).0, 1);
}
