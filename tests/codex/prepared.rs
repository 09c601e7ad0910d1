//! What a check prepares: later homes have it from the start, every run's home is its own, and one wrong byte blocks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::{Bench, Run};
use crate::model_server::{ModelServer, Turn};
use crate::{exec, patches, says};

const REPAIR: &str = "*** Update File: src/lib.rs\n@@\n-    left - right\n+    left + right\n";
const CHECK: [&str; 3] = ["sh", "-c", "grep -q 'left + right' src/lib.rs"];

/// Does to a kept file what nobody should.
type Spoil = fn(&Path);

fn repairs(command: &str) -> Vec<Turn> {
    vec![exec(command), patches(REPAIR), says("Done.")]
}

fn bench(server: &ModelServer) -> Bench {
    let bench = Bench::new(server);
    bench.check_by(&CHECK);
    bench
}

/// The check, which has to pass: what it prepared, by its own evidence.
fn prepared(bench: &Bench) -> Vec<Value> {
    let check = bench.check();
    assert_eq!(check.exit, 0, "{check:?}");
    let document: Value = serde_json::from_str(&check.file("conformance.json")).unwrap();
    let own = check.report()["sections"]["engine"]["prepared_by"].clone();
    assert_eq!(own, Value::Null, "its own home began empty");
    document["prepared"].as_array().unwrap().clone()
}

/// What the first command of a run printed.
fn printed(run: &Run) -> String {
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");
    let ended = run.events().into_iter().find(|event| event["type"] == "tool.finished").unwrap();
    ended["data"]["output"].as_str().unwrap().to_owned()
}

/// The record of the check that prepared the run's home, by its report; held against event log and decision.
fn prepared_by(bench: &Bench, run: &Run) -> Option<String> {
    let said = run.report()["sections"]["engine"]["prepared_by"].as_str().map(str::to_owned);
    let started = run.events().into_iter().find(|event| event["type"] == "engine.started").unwrap();
    assert_eq!(started["data"]["prepared_by"].as_str().map(str::to_owned), said);
    let decision: Value = serde_json::from_str(&run.file("decision.json")).unwrap();
    let decided = decision["facts"]["engines"]["codex"]["conformance"].to_string();
    assert!(said.as_ref().is_none_or(|record| decided.contains(record)), "{said:?} {decided}");
    assert_eq!(bench.verify(run), 0);
    said
}

#[test]
fn after_a_check_homes_have_its_databases_and_no_run_finds_another_in_them() {
    // The thread in the databases, by the name of its rollout, and what the home holds byte for byte.
    let looks = "t=$(ls -R /codex-home/sessions | grep -o '[0-9a-f-]\\{36\\}' | head -n 1); sleep 1; \
                 grep -laF $t /codex-home/*.sqlite*; sha256sum /codex-home/*.sqlite*";
    let server = ModelServer::start(repairs(looks));
    let bench = bench(&server);
    let run = bench.run(&[]);
    assert!(printed(&run).contains("/codex-home/state_"), "{run:?}");
    assert_eq!(prepared_by(&bench, &run), None, "a covered program needs no check, and has an empty home");

    let rows = prepared(&bench);
    assert!(rows.iter().any(|row| row["name"].as_str().unwrap().starts_with("state_")), "{rows:?}");
    // An empty first page is the same in every home; what was written later names its moment.
    let alike = printed(&run);
    let digests = rows.iter().map(|row| row["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let digests: Vec<&str> = digests.filter(|digest| !alike.contains(*digest)).collect();
    assert!(digests.len() >= 3, "{rows:?} {alike}");
    let untouched = |printed: &str| digests.iter().filter(|digest| printed.contains(**digest)).count();

    let server = ModelServer::start(repairs(looks));
    bench.configure(&server.url(), &crate::bench::codex());
    let first = bench.run(&[]);
    let said = printed(&first);
    assert!(said.contains("/codex-home/state_"), "its own thread is in them: {said}");
    assert!(untouched(&said) >= 1, "what it does not use is as the check left it: {said} {rows:?}");
    assert!(prepared_by(&bench, &first).is_some());

    let thread = first.report()["sections"]["engine"]["thread_id"].as_str().unwrap().to_owned();
    let (one, other) = thread.split_at(10);
    let seeks = format!(
        "t={one}; grep -rlaF \"${{t}}{other}\" /codex-home; echo \"${{t}}\"; sha256sum /codex-home/*.sqlite*"
    );
    let server = ModelServer::start(repairs(&seeks));
    bench.configure(&server.url(), &crate::bench::codex());
    let second = bench.run(&[]);
    let said = printed(&second);
    assert!(
        said.starts_with(&format!("{one}\n")),
        "no file of its home names the first one's thread: {said}"
    );
    assert!(untouched(&said) >= 1, "{said}");
    assert_eq!(prepared_by(&bench, &second), prepared_by(&bench, &first));
    assert_ne!(second.report()["sections"]["engine"]["thread_id"], thread.as_str());
}

#[test]
fn one_byte_of_what_a_check_prepared_blocks_every_run_until_the_next_check() {
    let server = ModelServer::start(repairs("true"));
    let bench = bench(&server);
    let spoilt: [(&str, Spoil); 3] = [
        ("its bytes are not those of", |file| {
            let mut bytes = std::fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file, bytes).unwrap();
        }),
        ("it is gone", |file| std::fs::remove_file(file).unwrap()),
        ("is not a regular file", |file| {
            let moved = file.with_extension("moved");
            std::fs::rename(file, &moved).unwrap();
            std::os::unix::fs::symlink(moved, file).unwrap();
        }),
    ];
    for (why, spoil) in spoilt {
        // The check before mends what was spoilt before it: it needs nothing that an earlier one kept.
        let row = prepared(&bench).pop().unwrap();
        let (name, digest) = (row["name"].as_str().unwrap(), row["digest"].as_str().unwrap());
        let kept: PathBuf = bench.path("home/state/conformance/prepared").join(&digest["sha256:".len()..]);
        spoil(&kept);
        let run = bench.run(&[]);
        let reason = &run.result["reasons"][0];
        assert_eq!((run.exit, reason["code"].as_str()), (3, Some("gate.engine.program")), "{run:?}");
        let said = reason.to_string();
        assert!(said.contains(&format!("`{name}`")) && said.contains(why), "{said}");
        assert!(said.contains("cto engine check codex"), "the way out: {said}");
        assert!(run.events().iter().all(|event| event["type"] != "engine.started"), "nothing was started");
        assert_eq!(bench.verify(&run), 0);
    }
    assert!(server.seen().is_empty());
    prepared(&bench);
    assert!(prepared_by(&bench, &bench.run(&[])).is_some(), "and it runs again");
}

/// `tests/codex/hostile_home.rs`, compiled.
fn hostile(bench: &Bench) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codex/hostile_home.rs");
    let program = bench.path("hostile");
    let made = std::process::Command::new("rustc")
        .args(["--edition", "2024", "-C", "strip=symbols", "-o"])
        .args([&program, &source])
        .status();
    assert!(made.unwrap().success());
    std::fs::read(program).unwrap()
}

#[test]
fn whatever_a_program_puts_into_the_new_home_the_step_says_so_and_nothing_of_it_is_kept() {
    let server = ModelServer::start(vec![says("never asked")]);
    let bench = Bench::new(&server);
    let program = hostile(&bench);
    for (what, ok, said) in [
        (b'o', true, "2 files of databases with 3 bytes"),
        (b'n', false, "no database in a new home"),
        (b'l', false, "b.sqlite is not a regular file"),
        (b'f', false, "b.sqlite is not a regular file"),
        (b'd', false, "b.sqlite is not a regular file"),
        (b'h', false, "more than 16777216 bytes together"),
        (b'm', false, "33 files of databases, 32 at most"),
        (b'e', false, "more than 1000 entries"),
        (b'r', false, "cannot open the directory home"),
    ] {
        let path = bench.path(&format!("codex-{}", char::from(what)));
        std::fs::write(&path, [program.as_slice(), &[what]].concat()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        bench.configure(&server.url(), &path);
        let out = bench.path("checks");
        let words = ["engine", "check", "codex", "--json", "--out", out.to_str().unwrap()];
        let run = Bench::end(bench.command(&words).spawn().unwrap());
        assert_eq!((run.exit, run.result["verdict"].as_str()), (1, Some("fail")), "{said}: {run:?}");
        let text = run.file("conformance.json");
        let document: Value = serde_json::from_str(&text).unwrap();
        let step = document["steps"].as_array().unwrap().iter().find(|row| row["step"] == "home").unwrap();
        assert!(step["ok"] == ok && step["detail"].as_str().unwrap().contains(said), "{step}");
        assert_eq!(run.result["reasons"].to_string().contains("conformance.home"), !ok, "{run:?}");
        assert_eq!(document["prepared"].as_array().unwrap().len(), if ok { 2 } else { 0 });
        assert!(!text.contains("root:x"), "no link was followed");
        assert!(
            !bench.path("home/state/conformance/prepared").exists(),
            "a check that failed prepares nothing"
        );
        assert_eq!(bench.verify(&run), 0);
    }
}
