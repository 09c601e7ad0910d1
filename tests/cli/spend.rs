//! `cto spend`, and the gate over money, from outside.

use std::path::PathBuf;

use cto_harness::broker::spend::{Ask, Book, Caps, Done, PriceTable, Request, Reserved, Usage};
use cto_harness::store::Store;
use cto_harness::vocab::{MicroUsd, RunId, TaskId, ThreadId, Timestamp};
use serde_json::{Value, json};

use crate::bench::TestBench;

fn state(bench: &TestBench) -> PathBuf {
    bench.path().join("home/state")
}

fn book(bench: &TestBench) -> Book {
    Book::open(&state(bench), Timestamp::now).unwrap()
}

/// Reserves 1,100 output tokens and 100 input tokens of a dearest price of 45 and 10 dollars for a million.
fn reserve(book: &mut Book, run: &RunId) -> Reserved {
    let cap = |dollars: u64| MicroUsd::new(dollars * 1_000_000);
    let request = Request {
        run: run.clone(),
        thread: ThreadId::from(run),
        caps: Caps { run: cap(5), thread: cap(10), day: cap(50) },
        model: PriceTable::read(None).unwrap().get("openai", "gpt-5.5").unwrap().clone(),
        worst_input_tokens: 100,
        wanted_output_tokens: Some(1_100),
    };
    let Done::Reserved(reserved) = book.commit(&[Ask::Reserve(Box::new(request))]).unwrap()[0] else {
        panic!()
    };
    reserved
}

fn settle(book: &mut Book, reserved: Reserved, output_tokens: u64) {
    let usage = Usage { input_tokens: 100, cached_input_tokens: 0, cache_write_tokens: 0, output_tokens };
    assert!(matches!(book.commit(&[Ask::Settle(reserved.id, usage)]).unwrap()[0], Done::Settled(_)));
}

/// What is told of `name`, and nothing else.
fn row(bench: &TestBench, by: &str, name: &str) -> Value {
    let rows = bench.call(&["spend", "--json"]).ends(0).json();
    let mut found = rows.into_iter().filter(|row| row["by"] == by && row["name"] == name);
    let row = found.next().unwrap();
    assert!(found.next().is_none());
    row
}

#[test]
fn what_was_spent_is_shown_by_run_thread_day_and_model_and_nothing_is_changed() {
    let bench = TestBench::new();
    let empty = bench.call(&["spend"]).ends(0);
    assert!(empty.out.contains("0.00 of 50.00 dollars") && empty.out.contains("nothing was ever counted"));
    assert!(!state(&bench).join("spend").exists(), "it reads only");
    let (mut ledger, run) = (book(&bench), RunId::new());
    let (first, second) = (reserve(&mut ledger, &run), reserve(&mut ledger, &run));
    settle(&mut ledger, first, 10);
    settle(&mut ledger, second, 2_000);
    let last = reserve(&mut ledger, &run);
    ledger.commit(&[Ask::Drop(last.id)]).unwrap();
    let journal = state(&bench).join("spend/journal");
    let before = std::fs::read(&journal).unwrap();
    // 100 tokens for 5 dollars and 10 for 30 dollars a million; then as many, and 2,000, which is more than was set aside.
    let (settled, over, unsettled) = (500 + 300 + 500 + 60_000, 60_500 - 50_500, 50_500);
    let today = Timestamp::now().day().to_string();
    for (by, name, cap) in [
        ("run", run.as_str(), json!(5_000_000)),
        ("thread", run.as_str(), json!(10_000_000)),
        ("day", today.as_str(), json!(50_000_000)),
        ("model", "openai/gpt-5.5", Value::Null),
    ] {
        let left = cap.as_u64().map(|cap| cap - settled - unsettled);
        let expected = json!({
            "by": by, "name": name, "cap_micro_usd": cap, "requests": 3, "reserved_micro_usd": 0,
            "unsettled_micro_usd": unsettled, "settled_micro_usd": settled, "over_reservation_micro_usd": over,
            "left_micro_usd": left,
        });
        assert_eq!(row(&bench, by, name), expected);
    }
    let shown = bench.call(&["spend", "--run", run.as_str()]).ends(0);
    for part in ["0.0613", "0.0505", "0.01", run.as_str(), "4.8882"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    assert_eq!(bench.call(&["spend", "--day", "2020-01-01", "--json"]).ends(0).out, "");
    assert_eq!(std::fs::read(&journal).unwrap(), before);
}

#[test]
fn a_ledger_that_does_not_read_is_said_with_the_way_out() {
    let bench = TestBench::new();
    bench.call(&["spend"]).ends(0);
    let run = RunId::new();
    let reserved = reserve(&mut book(&bench), &run);
    settle(&mut book(&bench), reserved, 1);
    let journal = state(&bench).join("spend/journal");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("\"output_tokens\":1", "\"output_tokens\":0", 1)).unwrap();
    let answer = bench.call(&["spend"]).ends(3);
    assert!(answer.err.contains("unreadable, line 3") && answer.err.contains("remedy"), "{}", answer.err);
}

#[test]
fn what_becomes_of_a_dead_runs_money_is_written_down_and_shown() {
    let bench = TestBench::new();
    bench.call(&["spend"]).ends(0);
    let store = Store::open(&state(&bench)).unwrap();
    let run = RunId::new();
    let live = store.begin(&run, &TaskId::parse("t").unwrap(), &bench.path().join("bundle")).unwrap();
    let reserved = reserve(&mut book(&bench), &run);
    let amount = json!(reserved.amount.micros());
    let held = |field: &str| row(&bench, "run", run.as_str())[field].clone();
    assert_eq!((held("reserved_micro_usd"), held("unsettled_micro_usd")), (amount.clone(), json!(0)));
    // Killed: the lock goes, everything else stays.
    let record = state(&bench).join("runs").join(run.as_str()).join("record.json");
    let bytes = std::fs::read(&record).unwrap();
    drop(live);
    std::fs::write(&record, bytes).unwrap();
    std::fs::create_dir_all(state(&bench).join("live").join(run.as_str()).join("content")).unwrap();
    assert_eq!((held("reserved_micro_usd"), held("unsettled_micro_usd")), (json!(0), amount.clone()));
    let journal = state(&bench).join("spend/journal");
    let abandoned = || std::fs::read_to_string(&journal).unwrap().contains("\"abandoned\"");
    assert!(!abandoned(), "shown so, and not yet written down");
    bench.call(&["runs"]).ends(0);
    assert!(abandoned(), "whoever comes next writes it down");
    assert_eq!((held("reserved_micro_usd"), held("unsettled_micro_usd")), (json!(0), amount));
}

#[test]
fn what_costs_money_needs_a_price_a_provider_and_room_under_every_cap() {
    let bench = TestBench::new();
    bench.call(&["spend"]).ends(0);
    let config = bench.path().join("home/config");
    let contract = bench.fixture("fix-failing-test").join("contract.toml");
    let text = std::fs::read_to_string(&contract).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("script")).collect();
    std::fs::write(&contract, text.join("\n").replace("\"fixture\"", "\"codex\"")).unwrap();
    // The reason of the gate, and whether anything else would have to change for it.
    let decided = |engine: &str, prices: &str| {
        std::fs::write(
            config.join("config.toml"),
            format!("[engines.codex]\nendpoint = \"http://127.0.0.1:9/v1\"\n{engine}"),
        )
        .unwrap();
        std::fs::write(config.join("prices.toml"), prices).unwrap();
        let answer = bench.call(&["decide", "fix-failing-test", "--engine", "codex", "--json"]);
        let document = answer.json().pop().unwrap();
        let gates = document["missing_gates"].as_array().unwrap().clone();
        let row = gates.iter().find(|row| row["gate"] == "spend.cap");
        row.map_or_else(String::new, |row| format!("{} {} {}", row["state"], row["reason"], row["remedy"]))
    };
    let own = "version = 1\nas_of = '2026-01-02'\n[[price]]\nprovider = 'mine'\nmodel = 'gpt-5.5'\ninput = '1'\n\
               cached_input = '1'\noutput = '1'\nmax_output_tokens = 1000\nsource = 'a letter'\n";
    for passes in ["unpriced = true\n", "provider = 'mine'\n", "provider = 'openai'\n"] {
        assert_eq!(decided(passes, own), "", "control: {passes}");
    }
    for (engine, prices, named) in [
        ("", own, "nobody says who is paid"),
        ("provider = 'yours'\n", own, "no row of this provider"),
        ("provider = 'mine'\nmodel = 'other'\n", own, "has gpt-5.5 of this provider"),
        ("provider = 'mine'\n[spend]\nday_usd = '0.0009'\n", own, "rest of today's cap is 0.0009"),
    ] {
        let why = decided(engine, prices);
        assert!(why.contains(named), "{named}: {why}");
    }
    let broken = bench.path().join("home/state/spend");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("journal"), "nonsense\n").unwrap();
    let why = decided("provider = 'mine'\n", own);
    assert!(why.contains("errored") && why.contains("unreadable, line 1"), "{why}");
    // A table that is wrong is a mistake of the configuration, by line.
    std::fs::write(config.join("prices.toml"), own.replace("\noutput = '1'", "\noutput = '1,0'")).unwrap();
    let answer = bench.call(&["decide", "fix-failing-test", "--engine", "codex"]).ends(2);
    assert!(answer.err.contains("prices.toml") && answer.err.contains("line 8"), "{}", answer.err);
}
