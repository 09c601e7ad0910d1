//! `cto engine check codex` with the real binary, with one that nobody checked, and with one that speaks nonsense.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::{Bench, codex, made_up_key};
use crate::model_server::ModelServer;
use crate::{patches, says};

fn record(bench: &Bench) -> Option<PathBuf> {
    let folder = std::fs::read_dir(bench.path("home/state/conformance")).ok()?;
    folder.map(|entry| entry.unwrap().path()).find(|path| path.is_file())
}

/// What `cto decide` says of the engine's program.
fn gate(bench: &Bench) -> (i32, String) {
    let (exit, said, problem) = bench.call(&["decide", "fixture", "--json"]);
    let decision: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{problem}"));
    let rows = [&decision["passed_gates"], &decision["missing_gates"]];
    let mut rows = rows.into_iter().flat_map(|rows| rows.as_array().unwrap());
    (exit, rows.find(|row| row["gate"] == "engine.program").unwrap().to_string())
}

#[test]
fn a_check_passes_is_recorded_and_reaches_nothing_of_anybodys() {
    let server = ModelServer::start(vec![says("never asked")]);
    let bench = Bench::new(&server);
    let run = bench.check();
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");
    assert!(server.seen().is_empty(), "the configured endpoint is not asked");
    assert_eq!(bench.places_with(&made_up_key()), Vec::<String>::new());
    let steps: Value = serde_json::from_str(&run.file("conformance.json")).unwrap();
    let well = steps["steps"].as_array().unwrap().iter().filter(|step| step["ok"] == true).count();
    assert_eq!(well, 11, "{steps}");
    assert_eq!(bench.verify(&run), 0);

    let path = record(&bench).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(kept["record"]["passed"], true);
    assert_eq!(kept["record"]["run_id"], run.result["run_id"]);
    assert_eq!(kept["record"]["schema"], steps["protocol_schema"]);
    assert_eq!(kept["record"]["prepared"], steps["prepared"]);
    let (_, listed, _) = bench.call(&["engine", "list", "--json"]);
    let row = listed.lines().find(|line| line.contains("\"codex\"")).unwrap();
    assert!(row.contains("\"check\":\"checked ") && row.contains("checked_at"), "{row}");
}

#[test]
fn another_program_is_refused_until_it_is_checked_and_a_changed_record_does_not_count() {
    let server = ModelServer::start(vec![
        patches("*** Update File: src/lib.rs\n@@\n-    left - right\n+    left + right\n"),
        says("Done."),
    ]);
    let bench = Bench::new(&server);
    let other = bench.path("codex-other");
    std::fs::copy(codex(), &other).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&other).unwrap();
    std::io::Write::write_all(&mut file, b"\n").unwrap();
    drop(file);
    bench.configure(&server.url(), &other);

    let (exit, said) = gate(&bench);
    assert_eq!(exit, 3, "{said}");
    assert!(
        said.contains("is not a program that was checked") && said.contains("cto engine check codex"),
        "{said}"
    );
    let run = bench.run(&[]);
    assert_eq!(
        (run.exit, run.result["reasons"][0]["code"].as_str()),
        (3, Some("gate.engine.program")),
        "{run:?}"
    );
    assert!(server.seen().is_empty(), "nothing was started");

    let run = bench.check();
    assert_eq!(run.exit, 0, "{run:?}");
    let (exit, said) = gate(&bench);
    assert!(exit == 0 && said.contains("passed the check"), "{exit} {said}");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");

    let path = record(&bench).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("cto-harness", "cto-harnesz", 1)).unwrap();
    let (exit, said) = gate(&bench);
    assert!(exit == 3 && said.contains("did not sign it"), "{exit} {said}");
    std::fs::write(&path, text).unwrap();
    assert_eq!(gate(&bench).0, 0, "it was the byte");
}

#[test]
fn a_program_that_speaks_nonsense_fails_by_the_name_of_the_step() {
    let server = ModelServer::start(vec![says("never asked")]);
    let bench = Bench::new(&server);
    bench.configure(&server.url(), Path::new(env!("CARGO_BIN_EXE_cto-player")));
    let run = bench.check();
    assert_eq!((run.exit, run.result["verdict"].as_str()), (1, Some("fail")), "{run:?}");
    let reasons = run.result["reasons"].to_string();
    for step in ["schema", "home", "handshake", "thread", "turn"] {
        assert!(reasons.contains(&format!("conformance.{step}")), "{step} in {reasons}");
    }
    assert!(reasons.contains("was not answered with a user agent"), "{reasons}");
    let (exit, said) = gate(&bench);
    assert!(exit == 3 && said.contains("the check on record of"), "{exit} {said}");
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn an_engine_without_a_check_says_so() {
    let server = ModelServer::start(vec![says("never asked")]);
    let bench = Bench::new(&server);
    let (exit, _, said) = bench.call(&["engine", "check", "fixture"]);
    assert!(exit == 2 && said.contains("no check of the engine `fixture`"), "{exit} {said}");
}
