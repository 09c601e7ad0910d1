//! What is reserved, refused, settled, dropped and released, and what counts afterwards.

use super::samples::*;
use crate::broker::spend::*;
use crate::vocab::{MicroUsd, RunId, ThreadId};

const MUCH: u64 = 1_000_000_000;

#[test]
fn the_output_is_the_least_of_what_client_model_and_caps_allow() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let ample = caps(MUCH, MUCH, MUCH);
    let mut asked = |caps, input, wanted| {
        let reserved = reserve(&mut book, request(&run, caps, input, wanted));
        assert_eq!(one(&mut book, Ask::Release(reserved.id)), Done::Closed);
        (reserved.max_output_tokens, reserved.amount.micros())
    };
    assert_eq!(asked(ample, 500, None), (10_000, 100_500), "the model's");
    assert_eq!(asked(ample, 500, Some(2_000)), (2_000, 20_500), "the client's");
    assert_eq!(asked(ample, 500, Some(3)), (3, 530), "a client may want less than the floor");
    assert_eq!(asked(caps(30_509, MUCH, MUCH), 500, None), (3_000, 30_500), "what the run's cap leaves");
    assert_eq!(asked(caps(MUCH, 30_509, MUCH), 500, Some(5_000)), (3_000, 30_500));
    assert_eq!(asked(caps(MUCH, MUCH, 30_510), 500, None), (3_001, 30_510));
}

#[test]
fn below_the_floor_it_is_refused_with_cap_rest_need_and_way_out() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let least = 500 + 10 * LEAST_OUTPUT_TOKENS;
    for (caps, cap, named) in [
        (caps(least - 1, MUCH, MUCH), Cap::Run, "limits.spend.run_usd"),
        (caps(MUCH, least - 1, MUCH), Cap::Thread, "limits.spend.thread_usd"),
        (caps(MUCH, MUCH, least - 1), Cap::Day, "day_usd"),
    ] {
        let refusal = refused(&mut book, request(&run, caps, 500, None));
        assert_eq!(refusal, Refused { cap, left: MicroUsd::new(least - 1), needed: MicroUsd::new(least) });
        let reason = refusal.reason();
        assert_eq!(reason.code, format!("spend.cap.{}", cap.as_str()));
        assert!(reason.remedy.contains(named) && reason.sentence.contains("0.010739"), "{reason:?}");
    }
    assert_eq!(bench.total(), MicroUsd::ZERO);
    let exact = reserve(&mut book, request(&run, caps(least, MUCH, MUCH), 500, None));
    assert_eq!(exact.max_output_tokens, LEAST_OUTPUT_TOKENS);
    let nothing = refused(&mut book, request(&run, caps(least, MUCH, MUCH), u64::MAX, None));
    assert_eq!((nothing.left, nothing.needed), (MicroUsd::ZERO, MicroUsd::new(u64::MAX)));
}

#[test]
fn caps_of_run_thread_and_day_each_hold_over_everything_that_belongs_to_them() {
    let bench = Bench::new();
    let mut book = bench.book();
    let (first, second, third) = (RunId::new(), RunId::new(), RunId::new());
    let ask = |run: &RunId, thread: &RunId| Request {
        thread: ThreadId::from(thread),
        ..request(run, caps(50_000, 60_000, 100_000), 0, Some(4_000))
    };
    assert_eq!(reserve(&mut book, ask(&first, &first)).amount.micros(), 40_000);
    assert_eq!(refused(&mut book, ask(&first, &first)).cap, Cap::Run);
    // Another run of the same thread has the thread's rest.
    assert_eq!(reserve(&mut book, ask(&second, &first)).amount.micros(), 20_000);
    assert_eq!(refused(&mut book, ask(&third, &first)).cap, Cap::Thread);
    assert_eq!(reserve(&mut book, ask(&third, &third)).amount.micros(), 40_000);
    let fourth = RunId::new();
    assert_eq!(refused(&mut book, ask(&fourth, &fourth)).cap, Cap::Day);
    bench.clock.next_day();
    assert_eq!(reserve(&mut book, ask(&fourth, &fourth)).amount.micros(), 40_000);
    assert_eq!(refused(&mut book, ask(&first, &third)).cap, Cap::Run, "a run's cap knows no midnight");
    assert_eq!(
        bench.counted(Group::Day).iter().map(|(_, c)| c.total().micros()).collect::<Vec<_>>(),
        [100_000, 40_000]
    );
}

#[test]
fn a_settlement_gives_back_what_was_not_used_and_is_the_same_when_it_is_said_again() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let caps = caps(100_000, MUCH, MUCH);
    let reserved = reserve(&mut book, request(&run, caps, 10_000, Some(9_000)));
    assert_eq!(refused(&mut book, request(&run, caps, 0, Some(5_000))).cap, Cap::Run);
    let usage = used(1_000, 500, 20);
    let settled = Settled { cost: MicroUsd::new(500 + 50 + 200), reserved: reserved.amount, over: None };
    for _ in 0..2 {
        assert_eq!(one(&mut book, Ask::Settle(reserved.id, usage)), Done::Settled(settled));
        assert_eq!(bench.total(), settled.cost);
    }
    let other = one(&mut book, Ask::Settle(reserved.id, used(1_000, 500, 21)));
    assert_eq!(other, Done::Unfit(Unfit::Settled(reserved.id)));
    assert_eq!(one(&mut book, Ask::Drop(reserved.id)), Done::Unfit(Unfit::Settled(reserved.id)));
    assert_eq!(one(&mut book, Ask::Release(reserved.id)), Done::Unfit(Unfit::Settled(reserved.id)));
    assert_eq!(bench.total(), settled.cost);
    reserve(&mut book, request(&run, caps, 0, Some(5_000)));
}

#[test]
fn a_usage_beyond_the_reservation_is_counted_in_full_and_told() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let caps = caps(50_000, MUCH, MUCH);
    let reserved = reserve(&mut book, request(&run, caps, 0, Some(2_000)));
    let Done::Settled(settled) = one(&mut book, Ask::Settle(reserved.id, used(0, 0, 4_500))) else {
        panic!()
    };
    assert_eq!((settled.cost.micros(), settled.over), (45_000, Some(MicroUsd::new(25_000))));
    let [(_, counted)] = &bench.counted(Group::Run)[..] else { panic!() };
    assert_eq!(counted.over_reservation_micro_usd.micros(), 25_000);
    let refusal = refused(&mut book, request(&run, caps, 0, Some(5_000)));
    assert_eq!((refusal.cap, refusal.left.micros()), (Cap::Run, 5_000), "later requests find less");
}

#[test]
fn a_usage_that_no_answer_has_settles_nothing() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let reserved = reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 10, Some(10)));
    for usage in [used(1, 2, 0), used(u64::MAX, 0, 0), used(0, 0, u64::MAX)] {
        let answer = one(&mut book, Ask::Settle(reserved.id, usage));
        assert_eq!(answer, Done::Unfit(Unfit::Usage(reserved.id)));
    }
    assert_eq!(bench.total(), reserved.amount);
}

#[test]
fn a_dropped_stream_counts_in_full_until_a_usage_comes_and_to_its_own_day() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let caps = caps(MUCH, MUCH, 30_000);
    let reserved = reserve(&mut book, request(&run, caps, 0, Some(3_000)));
    for _ in 0..2 {
        assert_eq!(one(&mut book, Ask::Drop(reserved.id)), Done::Closed);
    }
    let [(_, counted)] = &bench.counted(Group::Day)[..] else { panic!() };
    assert_eq!((counted.unsettled_micro_usd.micros(), counted.reserved_micro_usd.micros()), (30_000, 0));
    assert_eq!(refused(&mut book, request(&run, caps, 0, Some(1_024))).cap, Cap::Day);
    let released = one(&mut book, Ask::Release(reserved.id));
    assert_eq!(released, Done::Unfit(Unfit::MayHaveLeft(reserved.id)), "it may have left");
    bench.clock.next_day();
    let next = reserve(&mut book, request(&run, caps, 0, Some(3_000)));
    assert!(matches!(one(&mut book, Ask::Settle(reserved.id, used(0, 0, 7))), Done::Settled(_)));
    let days: Vec<u64> = bench.counted(Group::Day).iter().map(|(_, c)| c.total().micros()).collect();
    assert_eq!(days, [70, next.amount.micros()]);
}

#[test]
fn only_what_provably_never_left_is_given_back() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let reserved = reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(3_000)));
    for _ in 0..2 {
        assert_eq!(one(&mut book, Ask::Release(reserved.id)), Done::Closed);
    }
    assert_eq!(bench.total(), MicroUsd::ZERO);
    for ask in [Ask::Settle(reserved.id, used(0, 0, 1)), Ask::Drop(reserved.id)] {
        assert_eq!(one(&mut book, ask), Done::Unfit(Unfit::Released(reserved.id)));
    }
    let unknown = ReservationId(77);
    for ask in [Ask::Settle(unknown, used(0, 0, 1)), Ask::Drop(unknown), Ask::Release(unknown)] {
        assert_eq!(one(&mut book, ask), Done::Unfit(Unfit::Unknown(unknown)));
    }
}

#[test]
fn what_a_dead_run_holds_is_unsettled_counts_for_its_own_day_and_holds_no_later_one() {
    let bench = Bench::new();
    let mut book = bench.book();
    let (dead, alive) = (RunId::new(), RunId::new());
    let caps = caps(MUCH, MUCH, 40_000);
    let lost = reserve(&mut book, request(&dead, caps, 0, Some(2_000)));
    let kept = reserve(&mut book, request(&alive, caps, 0, Some(2_000)));
    // Before anybody writes it down, it is shown so.
    let statement = Statement::read(bench.state.path()).unwrap();
    let shown = statement.lines(Group::Run, &Selection::default(), &|run| *run == alive);
    let held = |run: &RunId| {
        let line = shown.iter().find(|line| line.name == run.to_string()).unwrap();
        (line.counted.reserved_micro_usd.micros(), line.counted.unsettled_micro_usd.micros())
    };
    assert_eq!((held(&dead), held(&alive)), ((0, 20_000), (20_000, 0)));
    for _ in 0..2 {
        assert_eq!(one(&mut book, Ask::Abandon(dead.clone())), Done::Closed);
    }
    let by_run = bench.counted(Group::Run);
    let of = |run: &RunId| by_run.iter().find(|(name, _)| *name == run.to_string()).unwrap().1;
    assert_eq!(of(&dead).unsettled_micro_usd, lost.amount);
    assert_eq!(of(&alive).reserved_micro_usd, kept.amount);
    assert_eq!(refused(&mut book, request(&alive, caps, 0, Some(1_024))).cap, Cap::Day);
    bench.clock.next_day();
    reserve(&mut book, request(&alive, caps, 0, Some(4_000)));
}

#[test]
fn a_statement_has_a_line_for_each_and_takes_what_is_selected() {
    let bench = Bench::new();
    let mut book = bench.book();
    let (first, second) = (RunId::new(), RunId::new());
    let one_day = bench.clock.now().day();
    reserve(&mut book, request(&first, caps(90_000, MUCH, MUCH), 0, Some(1_000)));
    bench.clock.next_day();
    reserve(&mut book, request(&second, caps(80_000, 70_000, 60_000), 0, Some(2_000)));
    let statement = Statement::read(bench.state.path()).unwrap();
    let lines = |group, of: &Selection| statement.lines(group, of, &|_| true);
    let all = Selection::default();
    assert_eq!(Group::ALL.map(|group| lines(group, &all).len()), [2, 2, 2, 1]);
    let runs = lines(Group::Run, &all);
    assert_eq!(runs.iter().map(|l| l.cap.unwrap().micros()).collect::<Vec<_>>(), [90_000, 80_000]);
    assert_eq!(lines(Group::Model, &all)[0].name, "p/m");
    assert_eq!(lines(Group::Model, &all)[0].counted.total().micros(), 30_000);
    assert_eq!(lines(Group::Model, &all)[0].cap, None);
    for of in [
        Selection { run: Some(first.clone()), ..all.clone() },
        Selection { thread: Some(ThreadId::from(&first)), ..all.clone() },
        Selection { day: Some(one_day), ..all.clone() },
    ] {
        assert_eq!(lines(Group::Run, &of).iter().map(|l| &l.name).collect::<Vec<_>>(), [first.as_str()]);
    }
    assert_eq!(statement.counted_on(one_day).micros(), 10_000);
    let empty = tempfile::tempdir().unwrap();
    let nothing = Statement::read(empty.path()).unwrap();
    assert!(nothing.since().is_none() && nothing.lines(Group::Run, &all, &|_| true).is_empty());
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "it reads only");
}
