//! The spend ledger under 64 callers in eight processes, which are killed at whatever step they are at and begin again:
//! nothing that was answered is lost, and no cap is overspent by one micro-dollar.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test says what it expects by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use cto_harness::broker::spend::{
    Ask, Book, Caps, Counted, Group, Ledger, PricedModel, Rates, Request, Selection, Statement, Usage,
};
use cto_harness::vocab::{MicroUsd, RunId, ThreadId, Timestamp};

const PROCESSES: u64 = 8;
const CALLERS: u64 = 8;
/// How often every process is killed.
const KILLS: u64 = 3;
/// Caps, micro-dollars. A reservation is between some 10,000 and 60,000.
const RUN: u64 = 3_000_000;
const DAY: u64 = 20_000_000;

/// A small generator (xorshift64*), so that a failure can be told by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }
}

fn model() -> PricedModel {
    let usd = |text: &str| text.parse().unwrap();
    PricedModel {
        provider: "p".into(),
        model: "m".into(),
        rates: Rates {
            input_micro_usd: usd("1"),
            cached_input_micro_usd: usd("0.1"),
            cache_write_micro_usd: usd("1"),
            output_micro_usd: usd("10"),
            long_context: None,
        },
        max_output_tokens: 5_000,
        source: "made up".into(),
        as_of: Timestamp::now().day(),
    }
}

fn caps() -> Caps {
    Caps { run: MicroUsd::new(RUN), thread: MicroUsd::new(RUN * 2), day: MicroUsd::new(DAY) }
}

/// A clock that stands: a test that runs over midnight is the same test.
fn clock() -> Timestamp {
    Timestamp::from_unix_micros(1_750_000_000_000_000).unwrap()
}

/// What is said about a step: not captured, because the parent reads it.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// One caller: reserves, and settles, drops or forgets, until a cap is in the way.
async fn call(ledger: Ledger, run: RunId, mut dice: Dice) {
    loop {
        let input = dice.below(10_000);
        let request = Request {
            run: run.clone(),
            thread: ThreadId::from(&run),
            caps: caps(),
            model: model(),
            worst_input_tokens: input,
            wanted_output_tokens: Some(1_024 + dice.below(4_000)),
        };
        let Ok(reserved) = ledger.reserve(request).await.unwrap() else { return };
        let id = reserved.id;
        tell(&format!("reserved {id} {run} {}", reserved.amount.micros()));
        match dice.below(10) {
            0 => ledger.drop_stream(id).await.unwrap().unwrap(),
            // Nobody says anything about it any more.
            1 => {}
            _ => {
                let input_tokens = dice.below(input + 1);
                let usage = Usage {
                    input_tokens,
                    cached_input_tokens: dice.below(input_tokens + 1),
                    cache_write_tokens: 0,
                    output_tokens: dice.below(reserved.max_output_tokens + 1),
                };
                let cost = model().rates.cost(usage).unwrap().micros();
                tell(&format!("settling {id} {run} {cost}"));
                let settled = ledger.settle(id, usage).await.unwrap().unwrap();
                assert_eq!((settled.cost.micros(), settled.over), (cost, None));
                tell(&format!("settled {id} {run} {cost}"));
            }
        }
    }
}

/// Not a test of its own: the process that the test below kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn eight_callers() {
    let mut order = String::new();
    BufReader::new(std::io::stdin()).read_line(&mut order).unwrap();
    let Some((seed, state)) = order.trim().split_once(' ') else { return };
    let ledger = Ledger::keep(Book::open(Path::new(state), clock).unwrap()).unwrap();
    let mut dice = Dice(seed.parse().unwrap());
    let run = RunId::new();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(ledger.clone(), run.clone(), Dice(dice.below(u64::MAX) | 1)));
    }
    callers.join_all().await;
    tell("done");
}

fn start(state: &Path, seed: u64) -> (Child, JoinHandle<Vec<String>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "eight_callers", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{seed} {}\n", state.display()).as_bytes()).unwrap();
    let told = BufReader::new(child.stderr.take().unwrap());
    // What is half written when it is killed was not said.
    let whole = |line: &String| line.split(' ').count() == 4 || line == "done";
    (child, std::thread::spawn(move || told.lines().map_while(Result::ok).filter(whole).collect()))
}

/// What the callers were answered, by reservation.
#[derive(Default)]
struct Answered {
    run: String,
    reserved: u64,
    settling: Option<u64>,
    settled: Option<u64>,
}

fn answered(told: &[String]) -> BTreeMap<String, Answered> {
    let mut all = BTreeMap::<String, Answered>::new();
    for line in told.iter().filter(|line| *line != "done") {
        let words: Vec<&str> = line.split(' ').collect();
        let one = all.entry(words[1].to_owned()).or_default();
        let amount = words[3].parse().unwrap();
        match words[0] {
            "reserved" => {
                assert!(one.run.is_empty(), "{} was handed out twice", words[1]);
                (one.run, one.reserved) = (words[2].to_owned(), amount);
            }
            "settling" => one.settling = Some(amount),
            "settled" => one.settled = Some(amount),
            other => panic!("{other}"),
        }
    }
    all
}

fn counted(state: &Path, group: Group) -> BTreeMap<String, Counted> {
    let lines = Statement::read(state).unwrap().lines(group, &Selection::default(), &|_| true);
    lines.into_iter().map(|line| (line.name, line.counted)).collect()
}

#[test]
fn killed_at_any_step_64_callers_lose_nothing_and_overspend_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let seed = clock().unix_micros().unsigned_abs() ^ u64::from(std::process::id());
    let mut dice = Dice(seed);
    let (mut told, mut ended) = (Vec::new(), 0);
    for round in 0..=KILLS {
        let before = ended;
        let started: Vec<_> =
            (0..PROCESSES).map(|_| start(folder.path(), dice.below(u64::MAX) | 1)).collect();
        for (mut child, reader) in started {
            if round < KILLS {
                std::thread::sleep(Duration::from_millis(20 + dice.below(120)));
                child.kill().unwrap();
            }
            child.wait().unwrap();
            let lines = reader.join().unwrap();
            ended += u64::from(lines.last().is_some_and(|line| line == "done"));
            told.extend(lines);
        }
        assert!(round == KILLS || ended < PROCESSES * (round + 1), "seed {seed}: nobody was killed at work");
        assert!(round < KILLS || ended - before == PROCESSES, "seed {seed}: the last ones end by a cap");
        let day = counted(folder.path(), Group::Day);
        assert!(day.values().all(|sums| sums.total().micros() <= DAY), "seed {seed}: {day:?}");
    }
    let answers = answered(&told);
    assert!(answers.len() > 100, "only {} reservations were made", answers.len());
    let runs = counted(folder.path(), Group::Run);
    let mut least = BTreeMap::<&str, u64>::new();
    for one in answers.values() {
        // A settlement that nobody was answered for is there or not; one that was, is.
        let open = one.settling.map_or(one.reserved, |cost| cost.min(one.reserved));
        *least.entry(&one.run).or_default() += one.settled.unwrap_or(open);
    }
    for (run, least) in least {
        let sums = runs[run];
        assert!(
            sums.total().micros() >= least,
            "seed {seed}: {run} counts {sums:?}, and {least} were answered"
        );
        assert!(sums.total().micros() <= RUN, "seed {seed}: {run} overspends: {sums:?}");
        assert_eq!(sums.over_reservation_micro_usd, MicroUsd::ZERO);
    }
    let made: u64 = runs.values().map(|sums| sums.requests).sum();
    assert!(made >= answers.len() as u64);
    // Whoever died holds his amounts for this day; when that is written down, nothing is reserved any more.
    let mut book = Book::open(folder.path(), clock).unwrap();
    for run in runs.keys().collect::<BTreeSet<_>>() {
        book.commit(&[Ask::Abandon(RunId::parse(run.clone()).unwrap())]).unwrap();
    }
    let after = counted(folder.path(), Group::Run);
    for (run, sums) in &after {
        assert_eq!((sums.reserved_micro_usd, sums.total()), (MicroUsd::ZERO, runs[run].total()), "{run}");
    }
}

/// The positive control: the same callers, and a cap that is looked at before the call and counted after it.
#[test]
fn a_cap_that_is_checked_before_and_counted_after_is_overspent() {
    let (cap, each) = (10_u64, 1_u64);
    let spent = Arc::new(Mutex::new(0_u64));
    let together = Arc::new(Barrier::new((PROCESSES * CALLERS) as usize));
    let callers = (0..PROCESSES * CALLERS).map(|_| {
        let (spent, together) = (Arc::clone(&spent), Arc::clone(&together));
        std::thread::spawn(move || {
            let allowed = *spent.lock().unwrap() < cap;
            // The call.
            together.wait();
            if allowed {
                *spent.lock().unwrap() += each;
            }
        })
    });
    callers.collect::<Vec<_>>().into_iter().for_each(|caller| caller.join().unwrap());
    assert!(*spent.lock().unwrap() > cap, "64 callers in one race");
}
