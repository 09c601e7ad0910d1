//! Many callers at once, of several handles, with whatever usage, crashes at every step: nothing is overspent, lost or
//! held for ever.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::task::Poll;

use proptest::prelude::*;

use super::samples::*;
use crate::broker::spend::*;
use crate::vocab::{MicroUsd, RunId};

/// Handles of one ledger, as processes have them.
const HANDLES: usize = 4;

/// What one caller does with his reservation.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Settled by this share of what was reserved, in percent of input and of output; above 100 is more than reserved.
    Settle(u64, u64),
    Drop,
    DropThenSettle,
    Release,
    /// The process dies here.
    Crash,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..=100_u64, 0..=100_u64).prop_map(|(i, o)| Fate::Settle(i, o)),
        1 => (0..=300_u64, 0..=300_u64).prop_map(|(i, o)| Fate::Settle(i, o)),
        1 => Just(Fate::Drop),
        1 => Just(Fate::DropThenSettle),
        1 => Just(Fate::Release),
        2 => Just(Fate::Crash),
    ]
}

/// A caller: which handle, which of three runs, how much input, what comes of it, and how late (in steps of others).
fn caller() -> impl Strategy<Value = (usize, usize, u64, Fate, usize)> {
    (0..HANDLES, 0..3_usize, 0..20_000_u64, fate(), 0..64_usize)
}

/// What must be counted at least, by what was answered.
#[derive(Default)]
struct Owed {
    amounts: BTreeMap<ReservationId, (RunId, MicroUsd)>,
    over: MicroUsd,
}

impl Owed {
    fn of(&self, run: &RunId) -> u64 {
        self.amounts.values().filter(|(of, _)| of == run).map(|(_, amount)| amount.micros()).sum()
    }
}

fn used_of(reserved: Reserved, input: u64, (i, o): (u64, u64)) -> Usage {
    used(input * i / 100, 0, reserved.max_output_tokens * o / 100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_64_callers_with_any_usage_and_crashes_none_overspends_and_nothing_is_lost(
        callers in prop::collection::vec(caller(), 64),
        run_cap in 50_000..2_000_000_u64,
        day_cap in 50_000..3_000_000_u64,
    ) {
        let bench = Bench::new();
        let caps = caps(run_cap, run_cap * 2, day_cap);
        let runs: Vec<RunId> = (0..3).map(|_| RunId::new()).collect();
        let mut books: Vec<Book> = (0..HANDLES).map(|_| bench.book()).collect();
        let (mut owed, mut late) = (Owed::default(), Vec::<(usize, usize, Ask, Reserved)>::new());
        for (step, (handle, run, input, fate, delay)) in callers.into_iter().enumerate() {
            // What others begun before comes in between.
            let due: Vec<_> = late.extract_if(.., |(at, ..)| *at <= step).collect();
            for (_, handle, ask, reserved) in due {
                finish(&mut books[handle], &ask, reserved, &mut owed);
            }
            let asked = Ask::Reserve(Box::new(request(&runs[run], caps, input, None)));
            let Done::Reserved(reserved) = one(&mut books[handle], asked) else { continue };
            owed.amounts.insert(reserved.id, (runs[run].clone(), reserved.amount));
            let mut later = |ask| late.push((step + delay, handle, ask, reserved));
            match fate {
                Fate::Settle(i, o) => later(Ask::Settle(reserved.id, used_of(reserved, input, (i, o)))),
                Fate::Drop => later(Ask::Drop(reserved.id)),
                Fate::DropThenSettle => {
                    later(Ask::Drop(reserved.id));
                    later(Ask::Settle(reserved.id, used_of(reserved, input, (50, 50))));
                }
                Fate::Release => later(Ask::Release(reserved.id)),
                Fate::Crash => {
                    // Its handle goes without a word, half a line of somebody's is left, and another process begins.
                    let mut bytes = bench.bytes();
                    bytes.extend(b"{\"sum\":\"sha2");
                    std::fs::write(bench.journal(), bytes).unwrap();
                    late.retain(|(_, of, ..)| *of != handle);
                    books[handle] = bench.book();
                }
            }
            for run in &runs {
                let (_, counted) = bench
                    .counted(Group::Run)
                    .into_iter()
                    .find(|(name, _)| name == run.as_str())
                    .unwrap_or_default();
                prop_assert_eq!(counted.total().micros(), owed.of(run), "nothing lost, nothing twice");
                prop_assert!(counted.total() <= caps.run.plus(counted.over_reservation_micro_usd));
            }
            prop_assert!(bench.total() <= caps.day.plus(owed.over));
        }
        for (_, handle, ask, reserved) in late {
            finish(&mut books[handle], &ask, reserved, &mut owed);
        }
        prop_assert!(bench.total() <= caps.day.plus(owed.over));
        // Whoever died held his amount: for his day, and for no other.
        for run in &runs {
            one(&mut books[0], Ask::Abandon(run.clone()));
        }
        for (_, counted) in bench.counted(Group::Run) {
            prop_assert_eq!(counted.reserved_micro_usd, MicroUsd::ZERO, "nothing is held for ever");
        }
        bench.clock.next_day();
        let new = RunId::new();
        reserve(&mut books[0], request(&new, caps, 0, Some(1_024)));
    }
}

fn finish(book: &mut Book, ask: &Ask, reserved: Reserved, owed: &mut Owed) {
    match one(book, ask.clone()) {
        Done::Settled(settled) => {
            if let Some((_, amount)) = owed.amounts.get_mut(&reserved.id) {
                *amount = settled.cost;
            }
            owed.over = owed.over.plus(settled.over.unwrap_or_default());
        }
        Done::Closed if matches!(ask, Ask::Release(_)) => {
            owed.amounts.remove(&reserved.id);
        }
        Done::Closed => {}
        // A stream that was dropped and settled in the other order.
        Done::Unfit(Unfit::Settled(_)) if matches!(ask, Ask::Drop(_)) => {}
        other => panic!("{ask:?}: {other:?}"),
    }
}

#[tokio::test]
async fn callers_at_once_share_one_cap_exactly() {
    let bench = Bench::new();
    // Room for ten of them and a half.
    let (cap, each) = (105_000, 10_000);
    let caps = caps(cap, cap, cap);
    let ledgers: Vec<Ledger> = (0..HANDLES).map(|_| Ledger::keep(bench.book()).unwrap()).collect();
    let run = RunId::new();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..64 {
        let (ledger, request) = (ledgers[n % HANDLES].clone(), request(&run, caps, 0, Some(1_000)));
        callers.spawn(async move { ledger.reserve(request).await.unwrap() });
    }
    let answers: Vec<_> = callers.join_all().await;
    let reserved: Vec<Reserved> = answers.iter().filter_map(|answer| answer.ok()).collect();
    assert_eq!(reserved.len() as u64, cap / each);
    assert_eq!(bench.total().micros(), reserved.len() as u64 * each);
    let mut callers = tokio::task::JoinSet::new();
    for (n, reserved) in reserved.into_iter().enumerate() {
        let ledger = ledgers[(n + 1) % HANDLES].clone();
        callers.spawn(async move { ledger.settle(reserved.id, used(0, 0, 1)).await.unwrap().unwrap() });
    }
    assert_eq!(callers.join_all().await.len() as u64, cap / each);
    assert_eq!(bench.total().micros(), cap / each * 10);
    ledgers[0].abandon(run).await.unwrap();
}

/// Asks, and gives up without ever having looked: at once, or when the answer has been there for a while.
async fn give_up(ledger: &Ledger, request: Request, answered: bool) {
    let mut asked = std::pin::pin!(ledger.reserve(request));
    let looked = std::future::poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx)));
    if let Poll::Ready(reserved) = looked.await {
        // Quick enough to be seen: not what is meant, so it is closed as one is that was seen.
        ledger.release(reserved.unwrap().unwrap().id).await.unwrap().unwrap();
    } else if answered {
        // Asked later and answered: so was the one before.
        let other = RunId::new();
        ledger.abandon(other).await.unwrap();
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_waits_for_is_given_back() {
    let caps = caps(100_000, 100_000, 100_000);
    for answered in [false, true] {
        let bench = Bench::new();
        let (ledger, run) = (Ledger::keep(bench.book()).unwrap(), RunId::new());
        for _ in 0..20 {
            give_up(&ledger, request(&run, caps, 0, Some(9_000)), answered).await;
        }
        // Answered after all of those: what one of them holds still would be in the way.
        let mut last = ledger.reserve(request(&run, caps, 0, Some(9_000))).await.unwrap();
        for _ in 0..100 {
            if last.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            last = ledger.reserve(request(&run, caps, 0, Some(9_000))).await.unwrap();
        }
        let reserved = last.unwrap();
        ledger.drop_stream(reserved.id).await.unwrap().unwrap();
        assert_eq!(bench.total(), reserved.amount);
        let released = ledger.release(reserved.id).await.unwrap();
        assert_eq!(released, Err(Unfit::MayHaveLeft(reserved.id)));
    }
}
