//! Killed at every event boundary, and gone on with: the same thread, the same tree, nothing counted twice.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::{Bench, Run};
use super::model_server::{ModelServer, Turn, by_results};
use super::{exec, says};

const CHECK: [&str; 3] = ["sh", "-c", "grep -q 'left + right' src/lib.rs"];

fn turns() -> Vec<Turn> {
    vec![
        exec("cat src/lib.rs"),
        exec("sed -i 's/left - right/left + right/' src/lib.rs"),
        says("It adds now."),
    ]
}

fn bench(server: &ModelServer) -> Bench {
    let bench = Bench::new(server);
    bench.check_by(&CHECK);
    bench
}

fn bundle(bench: &Bench) -> Option<PathBuf> {
    let folders = std::fs::read_dir(bench.at("out")).ok()?;
    folders.map(|entry| entry.unwrap().path()).find(|path| path.is_dir())
}

fn events(bench: &Bench) -> Vec<u8> {
    let log = bundle(bench).map(|bundle| bundle.join("events.normalized.jsonl"));
    log.and_then(|log| std::fs::read(log).ok()).unwrap_or_default()
}

fn count(bench: &Bench) -> usize {
    events(bench).split(|byte| *byte == b'\n').count().saturating_sub(1)
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// Starts a run and kills it as soon as `ready`. Whether it was killed before it ended.
fn killed_when(bench: &Bench, ready: impl Fn() -> bool) -> bool {
    let mut child = bench.start(&[]);
    while !ready() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(500));
    }
    let over = child.try_wait().unwrap().is_some();
    if !over {
        kill(child.id());
    }
    child.wait().unwrap();
    !over
}

fn id(bench: &Bench) -> String {
    bundle(bench).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

fn resume(bench: &Bench) -> Run {
    Bench::end(bench.command(&["resume", &id(bench), "--json"]).spawn().unwrap())
}

fn threads(run: &Run) -> Vec<String> {
    let started = run.events().into_iter().filter(|event| event["type"] == "thread.started");
    started.map(|event| event["data"]["thread_id"].as_str().unwrap().to_owned()).collect()
}

/// No request of a thread went out twice with the same content.
fn each_once(server: &ModelServer) {
    let all: Vec<String> = server.seen().iter().map(|seen| seen.body["input"].to_string()).collect();
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "request {index} was sent before: {one}");
    }
}

fn passed(bench: &Bench, run: &Run, at: usize) {
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "killed at {at}: {run:?}");
    assert!(run.file("patch.diff").contains("+    left + right"), "killed at {at}");
    assert_eq!(bench.verify(run), 0, "killed at {at}: {run:?}");
    let attempts = run.report()["sections"]["times"]["attempts"].clone();
    assert_eq!(attempts.as_array().map_or(0, Vec::len), 1, "killed at {at}: {attempts}");
}

#[test]
fn killed_at_every_event_boundary_the_same_run_goes_on_and_passes() {
    let (mut at, mut same, mut anew) = (0, 0, 0);
    loop {
        let server = ModelServer::choosing(turns(), by_results);
        let bench = bench(&server);
        at += 1;
        if !killed_when(&bench, || count(&bench) >= at) {
            break;
        }
        let reached = count(&bench);
        if bundle(&bench).is_some_and(|bundle| bundle.join("root.dsse.json").exists()) {
            break;
        }
        let before = String::from_utf8(events(&bench)).unwrap();
        let run = resume(&bench);
        passed(&bench, &run, reached);
        let log = run.file("events.normalized.jsonl");
        let whole = before.rsplit_once('\n').map_or("", |(lines, _)| lines);
        assert!(log.starts_with(whole), "the log goes on");
        each_once(&server);
        let threads = threads(&run);
        match threads.as_slice() {
            [_] => {}
            [first, second] if first == second => same += 1,
            _ => anew += 1,
        }
        assert!(server.seen().len() <= 5, "killed at {reached}: {}", server.seen().len());
        let usage = run.report()["sections"]["usage"].clone();
        // A call is on record before it is sent: one that the kill met in between counts, and nobody can know.
        let (counted, seen) = (usage["forwarded_calls"].as_u64().unwrap(), server.seen().len() as u64);
        assert_eq!(counted, staged(&log, "request"), "killed at {reached}: {usage}");
        let open = staged(&before, "request") - staged(&before, "answer");
        assert!(seen <= counted && counted <= seen + open, "killed at {reached}: {seen}, {open}, {usage}");
        at = at.max(reached);
    }
    assert!(at > 20 && same > 5, "{at} {same} {anew}");
}

/// How many calls a log has brought to a stage.
fn staged(log: &str, stage: &str) -> u64 {
    log.matches(&format!(r#""stage":"{stage}""#)).count() as u64
}

/// The processes that belong to the run `child`: below it, by `/proc`.
fn below(child: &Child, name: &str) -> Option<u32> {
    let mut found = vec![child.id()];
    let mut at = 0;
    while at < found.len() {
        let out = Command::new("pgrep").args(["-P", &found[at].to_string()]).output().unwrap();
        found.extend(String::from_utf8(out.stdout).unwrap().lines().map(|pid| pid.parse::<u32>().unwrap()));
        at += 1;
    }
    let is = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(name.as_bytes()))
    };
    found.into_iter().skip(1).find(is)
}

fn above(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Kills what `of` names once the engine waits for its second answer, and sees the run go on in the same process.
fn goes_on_without(of: fn(u32) -> u32) {
    // The second request is not answered, so that there is somebody to be killed.
    let server = ModelServer::choosing(turns().into_iter().chain([Turn::Hang]).collect(), |number, body| {
        if number == 1 { 3 } else { by_results(number, body) }
    });
    let bench = bench(&server);
    let child = bench.start(&[]);
    while server.seen().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(of(below(&child, "/engine/program").unwrap()));
    let run = Bench::end(child);
    passed(&bench, &run, 0);
    let threads = threads(&run);
    assert!(threads.len() == 2 && threads[0] == threads[1], "{threads:?}");
    let report = run.report();
    assert_eq!(report["sections"]["times"]["attempts"][0]["why"], "engine-died");
    let rollout = run.file("backend/codex/rollout-1.jsonl");
    assert!(rollout.contains(&threads[0]) && rollout.contains("token_usage_record"), "it is evidence");
    each_once(&server);
}

#[test]
fn an_engine_that_was_killed_is_started_once_more_with_its_thread() {
    goes_on_without(|engine| engine);
}

#[test]
fn a_home_that_a_check_prepared_is_prepared_again_for_the_thread_that_goes_on() {
    let server = ModelServer::choosing(turns(), by_results);
    let bench = bench(&server);
    assert_eq!(bench.check().exit, 0);
    assert!(killed_when(&bench, || server.seen().len() == 2));
    let run = resume(&bench);
    passed(&bench, &run, 0);
    let threads = threads(&run);
    assert!(threads.len() == 2 && threads[0] == threads[1], "{threads:?}");
    let started = run.events().into_iter().filter(|event| event["type"] == "engine.started");
    let by: Vec<Value> = started.map(|event| event["data"]["prepared_by"].clone()).collect();
    assert!(by.len() == 2 && by[0].is_string() && by[0] == by[1], "{by:?}");
    each_once(&server);
}

#[test]
fn a_stub_that_was_killed_takes_its_engine_along_and_the_thread_goes_on() {
    goes_on_without(|engine| above(above(engine)));
}

#[test]
fn a_run_that_was_given_up_is_not_gone_on_with_and_a_living_one_is_asked_to_stop() {
    let hangs = || ModelServer::start(vec![exec("echo half > src/half.rs"), Turn::Hang]);
    let server = hangs();
    let dead = bench(&server);
    assert!(killed_when(&dead, || server.seen().len() == 2));
    let words = |bench: &Bench, words: &[&str]| {
        let said = bench.command(words).output().unwrap();
        let text = [said.stdout, said.stderr].concat();
        (said.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, listed) = words(&dead, &["resume"]);
    assert!(code == 0 && listed.contains(&id(&dead)), "{listed}");
    let (_, runs) = words(&dead, &["runs"]);
    assert!(runs.contains("resumable"), "{runs}");
    let cleaned = words(&dead, &["doctor", "--clean"]);
    let work = dead.at("home/state/live").join(id(&dead)).join("content/workspace");
    assert!(work.exists(), "it can still be gone on with: {cleaned:?}");
    assert_eq!(words(&dead, &["cancel", &id(&dead)]).0, 0);
    assert!(!work.exists(), "nobody will");
    let (code, said) = words(&dead, &["resume", &id(&dead)]);
    assert!(code == 2 && said.contains("given up"), "{said}");
    assert_eq!(words(&dead, &["cancel", &id(&dead)]).0, 2);

    let server = hangs();
    let alive = bench(&server);
    let child = alive.start(&[]);
    while server.seen().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, said) = words(&alive, &["resume", &id(&alive)]);
    assert!(code == 2 && said.contains("going on"), "{said}");
    let begun = Instant::now();
    let (code, said) = words(&alive, &["cancel", &id(&alive)]);
    assert!(code == 0 && said.contains("sealed"), "{said}");
    let run = Bench::end(child);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (130, Some("fail")), "{run:?}");
    assert!(begun.elapsed().as_secs() < 60);
    assert!(run.report()["sections"]["engine"]["outcome"] == "interrupted" && alive.verify(&run) == 0);
}

#[test]
fn the_wall_time_of_both_attempts_counts_and_its_end_interrupts_the_turn() {
    let server = ModelServer::start(vec![exec("cat src/lib.rs"), Turn::Hang]);
    let bench = bench(&server);
    let contract = bench.at("fixture/contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap() + "limits = { wall_seconds = 20 }\n";
    std::fs::write(contract, text).unwrap();
    let hung = std::cell::Cell::new(None::<Instant>);
    assert!(killed_when(&bench, || {
        if server.seen().len() == 2 && hung.get().is_none() {
            hung.set(Some(Instant::now()));
        }
        hung.get().is_some_and(|since| since.elapsed() > Duration::from_secs(8))
    }));
    let begun = Instant::now();
    let run = resume(&bench);
    let took = begun.elapsed();
    assert_eq!(run.exit, 1, "{run:?}");
    let codes: Vec<_> = run.result["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert!(codes.contains(&Value::from("limit.wall-seconds")), "{codes:?}");
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert!(run.file("backend/stdin.log").contains("turn/interrupt"), "it is asked in its own words");
    let ended = run.events().into_iter().rfind(|event| event["type"] == "phase.finished").unwrap();
    assert_eq!(ended["data"]["status"], "interrupted", "and had the time to end its turn");
    assert_eq!(run.report()["sections"]["engine"]["exit"], "exited:0");
    assert_eq!(bench.verify(&run), 0);
}

/// Neither of them alone reaches the limit.
#[test]
fn what_both_attempts_wrote_is_bounded_together() {
    const LIMIT: u64 = 250_000;
    let talk = || exec("head -c 150000 /dev/zero | tr '\\0' x");
    let server = ModelServer::start(vec![talk(), Turn::Hang, talk(), says("Done.")]);
    let bench = bench(&server);
    let contract = bench.at("fixture/contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    std::fs::write(contract, format!("{text}limits = {{ output_bytes = {LIMIT} }}\n")).unwrap();
    assert!(killed_when(&bench, || server.seen().len() == 2));
    let run = resume(&bench);
    assert_eq!(run.exit, 1, "{run:?}");
    let codes: Vec<_> = run.result["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert!(codes.contains(&Value::from("limit.output-bytes")), "{codes:?}");
    let before = run.file("attempt-1/backend/stdout.log").len() as u64;
    let own = run.file("backend/stdout.log").len() as u64;
    assert!(before < LIMIT && before + own < LIMIT + 1_000, "neither alone: {before} {own}");
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn what_does_not_fit_is_not_gone_on_with() {
    let server = ModelServer::start(vec![exec("echo half > src/half.rs"), Turn::Hang]);
    let bench = bench(&server);
    assert!(killed_when(&bench, || server.seen().len() == 2));
    let refused = |why: &str| {
        let said = bench.command(&["resume", &id(&bench)]).output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert!(said.status.code() == Some(2) && text.contains(why) && text.contains("remedy"), "{text}");
    };
    let contract = bench.at("fixture/contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    std::fs::write(&contract, text.replace("Make add add", "Make it multiply")).unwrap();
    refused("is not what it was");
    std::fs::write(&contract, &text).unwrap();
    // The base moves: the tree that was kept is not one of it.
    let source = bench.at("fixture/repo/Cargo.toml");
    std::fs::write(&source, std::fs::read_to_string(&source).unwrap() + "\n").unwrap();
    let run = resume(&bench);
    assert_eq!(run.exit, 3, "{run:?}");
    assert!(run.result["reasons"].to_string().contains("resume.base-moved"), "{run:?}");
    assert_eq!(bench.verify(&run), 0);
    refused("it is over");
}

#[test]
fn silence_ends_by_its_limit_and_the_turn_is_interrupted_first() {
    let server = ModelServer::start(vec![exec("cat src/lib.rs"), Turn::Hang]);
    let bench = bench(&server);
    let contract = bench.at("fixture/contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap() + "limits = { idle_seconds = 4 }\n";
    std::fs::write(contract, text).unwrap();
    let run = bench.run(&[]);
    assert_eq!(run.exit, 1, "{run:?}");
    let codes: Vec<_> = run.result["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert!(codes.contains(&Value::from("limit.idle-seconds")), "{codes:?}");
    assert!(run.file("backend/stdin.log").contains("turn/interrupt"), "it is asked in its own words");
    assert_eq!(run.report()["sections"]["engine"]["exit"], "exited:0");
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn all_that_can_be_gone_on_with_is_the_oldest_first() {
    let server = ModelServer::choosing(turns(), by_results);
    let bench = bench(&server);
    for runs in 1..=2 {
        // Both are cut off with an event log that has begun.
        let begun = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|log| log.len() > 1_000);
        let logs = || std::fs::read_dir(bench.at("out")).into_iter().flatten().flatten();
        let logs = || logs().map(|entry| entry.path().join("events.normalized.jsonl"));
        assert!(killed_when(&bench, || logs().filter(begun).count() == runs));
    }
    let ids = |lines: &str| -> Vec<String> {
        let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter_map(|line| Some(line["launch"]["run_id"].as_str()?.to_owned())).collect()
    };
    let output = bench.command(&["resume", "--all", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (resumed, mut in_order) = (ids(&text), ids(&text));
    in_order.sort();
    assert_eq!((resumed.len(), &resumed), (2, &in_order), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let left = bench.command(&["resume", "--json"]).output().unwrap();
    assert_eq!((left.status.code(), left.stdout.len()), (Some(0), 0), "nothing is left to go on with");
}
