//! The ledger as it is shown: sums by run, thread, day and model. It reads, and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::accounts::{Account, Accounts, Counted, Row};
use super::book::{LedgerError, folder};
use super::journal;
use super::offer::ReservationId;
use crate::vocab::{Day, MicroUsd, RunId, ThreadId, Timestamp};

/// By what sums are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// One line a run.
    Run,
    /// One line a thread.
    Thread,
    /// One line a day.
    Day,
    /// One line a provider and model.
    Model,
}

impl Group {
    /// All of them, in the order of showing.
    pub const ALL: [Self; 4] = [Self::Run, Self::Thread, Self::Day, Self::Model];

    /// As in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Thread => "thread",
            Self::Day => "day",
            Self::Model => "model",
        }
    }
}

/// Which accounts are shown; all that is named must fit.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this thread.
    pub thread: Option<ThreadId>,
    /// Of this day.
    pub day: Option<Day>,
}

impl Selection {
    fn takes(&self, account: &Account) -> bool {
        self.run.as_ref().is_none_or(|run| *run == account.run)
            && self.thread.as_ref().is_none_or(|thread| *thread == account.thread)
            && self.day.is_none_or(|day| day == account.day)
    }
}

/// The sums of one run, thread, day or model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What they are of.
    pub name: String,
    /// The cap that its newest reservation was held against; a model has none.
    pub cap: Option<MicroUsd>,
    /// The sums. What a dead run holds open is among the unsettled.
    pub counted: Counted,
}

/// Everything that was counted, as of one moment.
#[derive(Debug, Clone)]
pub struct Statement(Option<Accounts>);

impl Statement {
    /// Reads the ledger in `state`; an empty one where there is none.
    pub fn read(state: &Path) -> Result<Self, LedgerError> {
        journal::read(&folder(state)).map(Self)
    }

    /// Since when this ledger counts; `None` where nothing was ever counted.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|accounts| accounts.since)
    }

    /// All that counts against the cap of a day.
    #[must_use]
    pub fn counted_on(&self, day: Day) -> MicroUsd {
        self.0.as_ref().map_or(MicroUsd::ZERO, |accounts| accounts.of_day(day).total())
    }

    /// Whether anything is reserved for a run.
    #[must_use]
    pub fn holds(&self, run: &RunId) -> bool {
        let mut rows = self.0.iter().flat_map(Accounts::rows);
        rows.any(|(of, row)| of.run == *run && row.counted.reserved_micro_usd > MicroUsd::ZERO)
    }

    /// One line for each of `group`, in the order of their names. `works` tells whether a run is under way: what a dead
    /// one holds open will be settled by nobody.
    pub fn lines(&self, group: Group, of: &Selection, works: &dyn Fn(&RunId) -> bool) -> Vec<Line> {
        let mut lines = BTreeMap::<String, (ReservationId, Line)>::new();
        let rows = self.0.iter().flat_map(Accounts::rows).filter(|(account, _)| of.takes(account));
        for (account, row) in rows {
            let Row { mut counted, caps, last } = *row;
            if counted.reserved_micro_usd > MicroUsd::ZERO && !works(&account.run) {
                let held = std::mem::take(&mut counted.reserved_micro_usd);
                counted.unsettled_micro_usd = counted.unsettled_micro_usd.plus(held);
            }
            let (name, cap) = match group {
                Group::Run => (account.run.to_string(), Some(caps.run)),
                Group::Thread => (account.thread.to_string(), Some(caps.thread)),
                Group::Day => (account.day.to_string(), Some(caps.day)),
                Group::Model => (format!("{}/{}", account.provider, account.model), None),
            };
            let new = (last, Line { name: name.clone(), cap, counted: Counted::default() });
            let (newest, line) = lines.entry(name).or_insert(new);
            if last >= *newest {
                (*newest, line.cap) = (last, cap);
            }
            line.counted.add(&counted);
        }
        lines.into_values().map(|(_, line)| line).collect()
    }
}
