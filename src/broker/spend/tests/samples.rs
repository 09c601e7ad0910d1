//! A ledger in a folder of its own, with a clock that stands until it is moved, and requests to ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::broker::spend::accounts::Accounts;
use crate::broker::spend::book::folder;
use crate::broker::spend::journal;
use crate::broker::spend::*;
use crate::vocab::{MicroUsd, RunId, ThreadId, Timestamp};

const DAY_SECONDS: i64 = 86_400;

/// Seconds since 1970 that ledgers of a test take for now.
#[derive(Clone)]
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(20_000 * DAY_SECONDS)))
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst) * 1_000_000).unwrap()
    }

    pub(super) fn next_day(&self) {
        self.0.fetch_add(DAY_SECONDS, Ordering::SeqCst);
    }
}

pub(super) struct Bench {
    pub(super) state: tempfile::TempDir,
    pub(super) clock: Clock,
}

impl Bench {
    /// In memory where there is such a folder: thousands of ledgers are made here, and none of these tests can tell
    /// whether a sync reached a disk.
    pub(super) fn new() -> Self {
        let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { state, clock: Clock::new() }
    }

    pub(super) fn book(&self) -> Book {
        self.try_book().unwrap()
    }

    pub(super) fn try_book(&self) -> Result<Book, LedgerError> {
        let clock = self.clock.clone();
        Book::open(self.state.path(), move || clock.now())
    }

    pub(super) fn journal(&self) -> PathBuf {
        folder(self.state.path()).join("journal")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.journal()).unwrap()
    }

    /// The sums as a reader without the lock sees them.
    pub(super) fn accounts(&self) -> Accounts {
        journal::read(&folder(self.state.path())).unwrap().unwrap()
    }

    pub(super) fn counted(&self, group: Group) -> Vec<(String, Counted)> {
        let lines =
            Statement::read(self.state.path()).unwrap().lines(group, &Selection::default(), &|_| true);
        lines.into_iter().map(|line| (line.name, line.counted)).collect()
    }

    /// All that counts, over all days.
    pub(super) fn total(&self) -> MicroUsd {
        let all = self.counted(Group::Day);
        all.iter().fold(MicroUsd::ZERO, |sum, (_, counted)| sum.plus(counted.total()))
    }
}

/// A ledger whose journal is `bytes`.
pub(super) fn ledger_of(bytes: &[u8]) -> Bench {
    let bench = Bench::new();
    put(bench.state.path(), bytes);
    bench
}

pub(super) fn put(state: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(folder(state)).unwrap();
    std::fs::write(folder(state).join("journal"), bytes).unwrap();
}

pub(super) fn usd(text: &str) -> MicroUsd {
    text.parse().unwrap()
}

/// One micro-dollar for an input token, ten for an output token, at most 10,000 of those.
pub(super) fn model() -> PricedModel {
    let rates = Rates {
        input_micro_usd: usd("1"),
        cached_input_micro_usd: usd("0.1"),
        cache_write_micro_usd: usd("1"),
        output_micro_usd: usd("10"),
        long_context: None,
    };
    PricedModel {
        provider: "p".into(),
        model: "m".into(),
        rates,
        max_output_tokens: 10_000,
        source: "made up".into(),
        as_of: Timestamp::now().day(),
    }
}

pub(super) fn caps(run: u64, thread: u64, day: u64) -> Caps {
    Caps { run: MicroUsd::new(run), thread: MicroUsd::new(thread), day: MicroUsd::new(day) }
}

pub(super) fn request(run: &RunId, caps: Caps, input: u64, wanted: Option<u64>) -> Request {
    Request {
        run: run.clone(),
        thread: ThreadId::from(run),
        caps,
        model: model(),
        worst_input_tokens: input,
        wanted_output_tokens: wanted,
    }
}

pub(super) fn one(book: &mut Book, ask: Ask) -> Done {
    let [done] = book.commit(&[ask]).unwrap()[..] else { panic!("one answer for one ask") };
    done
}

pub(super) fn reserve(book: &mut Book, request: Request) -> Reserved {
    match one(book, Ask::Reserve(Box::new(request))) {
        Done::Reserved(reserved) => reserved,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(book: &mut Book, request: Request) -> Refused {
    match one(book, Ask::Reserve(Box::new(request))) {
        Done::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

pub(super) fn used(input: u64, cached: u64, output: u64) -> Usage {
    Usage { input_tokens: input, cached_input_tokens: cached, cache_write_tokens: 0, output_tokens: output }
}
