//! A reservation and its settlement, beside what nobody can do without: two durable writes of as many bytes; and many
//! reservations at once, beside as many durable writes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Duration, Instant};

use cto_harness::broker::spend::{
    Ask, Book, Caps, Done, Ledger, PriceTable, PricedModel, Request, Usage, worst_input_tokens,
};
use cto_harness::vocab::{MicroUsd, RunId, ThreadId, Timestamp};

use super::place::Place;
use super::rounds::Times;
use super::rows::{Goal, Measured, Row, millis};

const ROUNDS: usize = 301;
/// By how much ours may be slower.
const MORE: Duration = Duration::from_millis(1);
/// Bytes of the lines of a reservation and of a settlement, about.
const LINES: [usize; 2] = [900, 300];

/// Two rows; in the first the peer's time is that of the two writes, and a millisecond.
pub(crate) fn spend(place: &Place) -> Vec<Row> {
    vec![one(place), at_once(place)]
}

fn one(place: &Place) -> Row {
    let mut book = Book::open(&place.folder("ledger"), Timestamp::now).unwrap();
    let bare = place.path("bare");
    let mut bare = OpenOptions::new().create(true).append(true).open(bare).unwrap();
    let model = PriceTable::read(None).unwrap().get("openai", "gpt-5.5").unwrap().clone();
    let run = RunId::new();
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let begin = Instant::now();
        reserve_and_settle(&mut book, &run, &model);
        let taken = begin.elapsed();
        let begin = Instant::now();
        for bytes in LINES {
            bare.write_all(&vec![b'x'; bytes]).unwrap();
            bare.sync_data().unwrap();
        }
        let bare = begin.elapsed();
        if round > 0 {
            ours.push(taken);
            peer.push(bare + MORE);
        }
    }
    let (ours, peer) = (Times::of("the ledger", ours), Times::of("two durable writes, and 1 ms", peer));
    let measured = Measured { ours, peer: peer.name, peer_millis: millis(&peer) };
    let what = "a reservation and its settlement in the spend ledger".to_owned();
    Row { what, goal: Goal::Ratio("1", 1.0), rounds: ROUNDS, measured: Ok(measured) }
}

fn at_once(place: &Place) -> Row {
    const ROUNDS: usize = 31;
    const CALLERS: usize = 64;
    let ledger = Ledger::keep(Book::open(&place.folder("ledger-of-many"), Timestamp::now).unwrap()).unwrap();
    let bare = place.path("bare-of-many");
    let mut bare = OpenOptions::new().create(true).append(true).open(bare).unwrap();
    let model = PriceTable::read(None).unwrap().get("openai", "gpt-5.5").unwrap().clone();
    let run = RunId::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let begin = Instant::now();
        let answers = runtime.block_on(async {
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..CALLERS {
                let (ledger, request) = (ledger.clone(), request(&run, &model));
                callers.spawn(async move { ledger.reserve(request).await });
            }
            callers.join_all().await
        });
        let taken = begin.elapsed();
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))), "nothing was reserved");
        let begin = Instant::now();
        for _ in 0..CALLERS {
            bare.write_all(&[b'x'; LINES[0]]).unwrap();
            bare.sync_data().unwrap();
        }
        let bare = begin.elapsed();
        if round > 0 {
            ours.push(taken);
            peer.push(bare);
        }
    }
    let (ours, peer) = (Times::of("the ledger", ours), Times::of("64 durable writes", peer));
    let measured = Measured { ours, peer: peer.name, peer_millis: millis(&peer) };
    let what = "64 reservations asked at once".to_owned();
    Row { what, goal: Goal::Ratio("1/4", 0.25), rounds: ROUNDS, measured: Ok(measured) }
}

fn request(run: &RunId, model: &PricedModel) -> Request {
    let much = MicroUsd::new(u64::MAX);
    Request {
        run: run.clone(),
        thread: ThreadId::from(run),
        caps: Caps { run: much, thread: much, day: much },
        model: model.clone(),
        worst_input_tokens: worst_input_tokens(50_000, 40, 12, 0),
        wanted_output_tokens: None,
    }
}

fn reserve_and_settle(book: &mut Book, run: &RunId, model: &PricedModel) {
    let request = request(run, model);
    let Done::Reserved(reserved) = book.commit(&[Ask::Reserve(Box::new(request))]).unwrap()[0] else {
        panic!("nothing was reserved");
    };
    let usage =
        Usage { input_tokens: 12_000, cached_input_tokens: 9_000, cache_write_tokens: 0, output_tokens: 700 };
    let settled = book.commit(&[Ask::Settle(reserved.id, usage)]).unwrap()[0];
    assert!(matches!(settled, Done::Settled(_)), "{settled:?}");
}
