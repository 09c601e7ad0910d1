//! The journal cut, changed, taken away and filled: what was answered is counted, or nothing is allowed.

use std::io::Write as _;

use super::samples::*;
use crate::broker::spend::journal::Fault;
use crate::broker::spend::*;
use crate::vocab::{MicroUsd, RunId};

const MUCH: u64 = 1_000_000_000;

/// A ledger in which everything happened once, with the journal's length and all that counted after each answer.
fn lived() -> (Bench, Vec<(usize, MicroUsd)>) {
    let bench = Bench::new();
    let mut book = bench.book();
    let (run, other) = (RunId::new(), RunId::new());
    let mut after = vec![(bench.bytes().len(), MicroUsd::ZERO)];
    let mut note = || after.push((bench.bytes().len(), bench.total()));
    let mut made = Vec::new();
    for n in 0..5 {
        let run = if n == 3 { &other } else { &run };
        made.push(reserve(&mut book, request(run, caps(MUCH, MUCH, MUCH), n * 7, Some(100 + n))).id);
        note();
    }
    for ask in [
        Ask::Settle(made[0], used(0, 0, 50)),
        Ask::Drop(made[1]),
        Ask::Release(made[2]),
        Ask::Settle(made[1], used(3, 1, 900)),
        Ask::Abandon(other),
    ] {
        assert!(!matches!(one(&mut book, ask), Done::Unfit(_)));
        note();
    }
    (bench, after)
}

#[test]
fn cut_at_every_byte_everything_that_was_answered_before_counts() {
    let (bench, after) = lived();
    let bytes = bench.bytes();
    let head = after[0].0;
    for cut in 0..=bytes.len() {
        let again = ledger_of(&bytes[..cut]);
        if cut < head {
            // A crash cannot leave so little: the head is renamed into place.
            assert!(Statement::read(again.state.path()).is_err(), "{cut}");
            continue;
        }
        let (length, counted) = *after.iter().rev().find(|(length, _)| *length <= cut).unwrap();
        assert_eq!(again.total(), counted, "{cut}");
        // And it goes on, from everywhere around the end of a line and from some of the bytes between: what was cut off
        // is gone, and the next line fits.
        if cut - length < 3 || cut % 29 == 0 || bytes[cut..].first() == Some(&b'\n') {
            let mut book = again.book();
            reserve(&mut book, request(&RunId::new(), caps(MUCH, MUCH, MUCH), 0, Some(1)));
            assert_eq!(again.bytes()[..length], bytes[..length]);
            assert_eq!(again.total(), counted.plus(MicroUsd::new(10)));
        }
    }
}

#[test]
fn any_byte_that_is_another_makes_it_unreadable_and_nothing_is_allowed() {
    let (bench, _) = lived();
    let bytes = bench.bytes();
    // The last newline is left out: without it the last line is one that was cut off.
    for at in 0..bytes.len() - 1 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let again = ledger_of(&changed);
        let error = Statement::read(again.state.path()).map(|_| at).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{at}: {error}");
        assert!(error.to_string().contains("remedy:"), "{error}");
        if at % 17 == 0 {
            assert_eq!(again.try_book().map(|_| at).unwrap_err(), error);
            assert_eq!(again.bytes(), changed, "it is left as it is");
        }
    }
}

#[test]
fn lines_left_out_doubled_or_swapped_make_it_unreadable() {
    let (bench, _) = lived();
    let bytes = bench.bytes();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() - 1 {
        let (mut without, mut twice, mut swapped) = (lines.clone(), lines.clone(), lines.clone());
        without.remove(at);
        twice.insert(at, lines[at]);
        swapped.swap(at, at + 1);
        for changed in [without, twice, swapped] {
            assert!(ledger_of(&changed.concat()).try_book().is_err(), "line {at}");
        }
    }
}

#[test]
fn a_ledger_that_is_gone_or_another_one_is_not_taken_for_it() {
    let bench = Bench::new();
    let mut book = bench.book();
    let run = RunId::new();
    reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1)));
    let bytes = bench.bytes();
    std::fs::remove_file(bench.journal()).unwrap();
    let ask = || [Ask::Reserve(Box::new(request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1))))];
    assert!(matches!(book.commit(&ask()), Err(LedgerError::Replaced { .. })));
    bench.clock.next_day();
    let mut another = bench.book();
    assert!(matches!(book.commit(&ask()), Err(LedgerError::Replaced { .. })));
    another.commit(&ask()).unwrap();
    // The same one again, in another file, is the same.
    std::fs::remove_file(bench.journal()).unwrap();
    std::fs::write(bench.journal(), &bytes).unwrap();
    book.commit(&ask()).unwrap();
    std::fs::write(bench.journal(), &bytes[..bytes.len() - 10]).unwrap();
    assert!(matches!(book.commit(&ask()), Err(LedgerError::Damaged { .. })), "it cannot become shorter");
}

#[test]
fn a_disk_that_fails_answers_nobody_and_leaves_nothing() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let first = reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1)));
    let before = bench.bytes();
    let ask = || Ask::Reserve(Box::new(request(&run, caps(MUCH, MUCH, MUCH), 0, Some(2))));
    for fault in [Fault::Write(0), Fault::Write(40), Fault::Write(1_000_000), Fault::Sync] {
        book.journal.fault = Some(fault);
        let error = book.commit(&[ask(), ask()]).unwrap_err();
        assert!(matches!(error, LedgerError::Io { act: "written", .. }), "{error}");
        assert_eq!((bench.bytes(), bench.total()), (before.clone(), first.amount), "{fault:?}");
    }
    assert_eq!(book.commit(&[ask(), ask()]).unwrap().len(), 2);
    assert_eq!(bench.total().micros(), 10 + 20 + 20);
}

#[test]
fn written_anew_it_says_the_same_and_stays_small_and_others_go_on() {
    let bench = Bench::new();
    let (mut book, mut other) = (bench.book(), bench.book());
    book.journal.compact_bytes = 10_000;
    let runs: Vec<RunId> = (0..3).map(|_| RunId::new()).collect();
    let mut open = Vec::new();
    for (n, run) in (0..120_u64).zip(runs.iter().cycle()) {
        let request = request(run, caps(MUCH, MUCH, MUCH), n, Some(10));
        let reserved = reserve(if n % 2 == 0 { &mut book } else { &mut other }, request);
        if n % 30 == 0 {
            open.push(reserved);
            continue;
        }
        let before = bench.accounts();
        let done =
            one(if n % 3 == 0 { &mut book } else { &mut other }, Ask::Settle(reserved.id, used(n, 0, 1)));
        assert!(matches!(done, Done::Settled(_)), "{n}: {done:?}");
        assert_eq!(before.rows().count(), bench.accounts().rows().count());
    }
    let settled: u64 = (0..120).filter(|n| n % 30 != 0).map(|n| n + 10).sum();
    let held: u64 = open.iter().map(|reserved| reserved.amount.micros()).sum();
    assert_eq!(bench.total().micros(), settled + held);
    let text = String::from_utf8(bench.bytes()).unwrap();
    assert!(text.lines().next().unwrap().contains(r#""rows":3"#), "it was written anew");
    assert!(!bench.journal().with_file_name("journal.new").exists());
    // What is open is settled all the same, by whoever.
    for reserved in open {
        assert!(matches!(one(&mut other, Ask::Settle(reserved.id, used(0, 0, 0))), Done::Settled(_)));
    }
    assert_eq!(bench.total().micros(), settled);
    // By hand once more, and cut at every byte: a file that is renamed into place is there as a whole or not at all.
    book.commit(&[]).unwrap();
    book.journal.compact().unwrap();
    let bytes = bench.bytes();
    for cut in (0..bytes.len()).step_by(997) {
        assert!(ledger_of(&bytes[..cut]).try_book().is_err(), "{cut}");
    }
    assert_eq!(ledger_of(&bytes).total().micros(), settled);
}

#[test]
fn closed_reservations_are_forgotten_after_a_while_and_open_ones_are_not() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    let open = reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1))).id;
    let mut closed = Vec::new();
    for _ in 0..25 {
        let ask = || Ask::Reserve(Box::new(request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1))));
        let made: Vec<Ask> = (0..50).map(|_| ask()).collect();
        let ids = book.commit(&made).unwrap().into_iter().map(|done| match done {
            Done::Reserved(reserved) => reserved.id,
            other => panic!("{other:?}"),
        });
        let ids: Vec<ReservationId> = ids.collect();
        book.commit(&ids.iter().map(|id| Ask::Settle(*id, used(0, 0, 1))).collect::<Vec<_>>()).unwrap();
        closed.extend(ids);
    }
    let total = bench.total();
    book.journal.compact().unwrap();
    let mut again = bench.book();
    let settle = |id| Ask::Settle(id, used(0, 0, 1));
    assert_eq!(one(&mut again, settle(closed[0])), Done::Unfit(Unfit::Unknown(closed[0])));
    assert!(matches!(one(&mut again, settle(*closed.last().unwrap())), Done::Settled(_)));
    assert_eq!(bench.total(), total, "forgotten one by one, counted all the same");
    assert!(matches!(one(&mut again, settle(open)), Done::Settled(_)));
}

#[test]
fn what_a_crash_left_behind_the_last_line_is_taken_away_by_the_next() {
    let bench = Bench::new();
    let (mut book, run) = (bench.book(), RunId::new());
    reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1)));
    for tail in [&b"{\"sum\":\"sha256:"[..], &[0; 300], b"\xff"] {
        let whole = bench.bytes();
        let mut file = std::fs::OpenOptions::new().append(true).open(bench.journal()).unwrap();
        file.write_all(tail).unwrap();
        let before = bench.total();
        reserve(&mut book, request(&run, caps(MUCH, MUCH, MUCH), 0, Some(1)));
        assert!(bench.bytes().starts_with(&whole) && bench.total() == before.plus(MicroUsd::new(10)));
    }
}
