//! The sums: what every run, thread, day and model has reserved, left unsettled and settled. Pure, in memory.
//!
//! The state is a function of the journal's lines and of nothing else: what is answered is first a record, and the same
//! [`Accounts::apply`] takes it in when it is made and when it is read again. INVARIANT: an account's sums are those of
//! its reservations, and the sums of a run, thread or day are those of its accounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::amounts::{Rates, Usage};
use super::lines::Record;
use super::offer::{
    Ask, Cap, Caps, Done, LEAST_OUTPUT_TOKENS, Refused, Request, ReservationId, Reserved, Settled, Unfit,
};
use crate::vocab::{Day, MicroUsd, RunId, ThreadId, Timestamp};

/// Closed reservations that outlast a compaction, the newest: so long a settlement that is said twice is known for one.
const CLOSED_KEPT: usize = 1_024;

/// Whose money.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The day of the reservation (UTC). A later settlement counts to it as well.
    pub day: Day,
    /// The run.
    pub run: RunId,
    /// Its thread.
    pub thread: ThreadId,
    /// Who is paid.
    pub provider: String,
    /// For which model.
    pub model: String,
}

/// Sums, micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Set aside for requests that are under way.
    pub reserved_micro_usd: MicroUsd,
    /// Set aside for requests whose usage nobody knows.
    pub unsettled_micro_usd: MicroUsd,
    /// By the providers' usage.
    pub settled_micro_usd: MicroUsd,
    /// How much of that is beyond what had been set aside for it.
    pub over_reservation_micro_usd: MicroUsd,
    /// Reservations, released ones excluded.
    pub requests: u64,
}

impl Counted {
    /// All that counts against a cap.
    #[must_use]
    pub const fn total(&self) -> MicroUsd {
        self.reserved_micro_usd.plus(self.unsettled_micro_usd).plus(self.settled_micro_usd)
    }

    /// Adds `other`'s sums.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { reserved_micro_usd, unsettled_micro_usd, settled_micro_usd, .. } = *other;
        self.reserved_micro_usd = self.reserved_micro_usd.plus(reserved_micro_usd);
        self.unsettled_micro_usd = self.unsettled_micro_usd.plus(unsettled_micro_usd);
        self.settled_micro_usd = self.settled_micro_usd.plus(settled_micro_usd);
        self.over_reservation_micro_usd =
            self.over_reservation_micro_usd.plus(other.over_reservation_micro_usd);
        self.requests = self.requests.saturating_add(other.requests);
    }
}

/// How far a reservation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Standing {
    /// Its request is about to go out, or under way.
    Open,
    /// Its answer broke off; a usage may still come.
    Dropped,
    /// Whoever would settle it is gone. It counts in full.
    Abandoned,
    /// The provider said what it used.
    Settled {
        /// What it used.
        usage: Usage,
        /// What that costs.
        cost: MicroUsd,
    },
    /// Nothing was sent. It counts nothing.
    Released,
}

/// Money that was set aside for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reservation {
    pub(super) id: ReservationId,
    pub(super) account: Account,
    pub(super) caps: Caps,
    /// As they were when it was made: it is settled by these.
    pub(super) rates: Rates,
    pub(super) worst_input_tokens: u64,
    pub(super) max_output_tokens: u64,
    pub(super) amount: MicroUsd,
    pub(super) standing: Standing,
}

/// What one account came to, and the caps of its newest reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) counted: Counted,
    pub(super) caps: Caps,
    pub(super) last: ReservationId,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) since: Timestamp,
    next: u64,
    rows: BTreeMap<Account, Row>,
    runs: BTreeMap<RunId, Counted>,
    threads: BTreeMap<ThreadId, Counted>,
    days: BTreeMap<Day, Counted>,
    kept: BTreeMap<ReservationId, Reservation>,
}

impl Accounts {
    /// Nothing was spent yet.
    pub(super) fn new(since: Timestamp, next: u64) -> Self {
        Self {
            since,
            next,
            rows: BTreeMap::new(),
            runs: BTreeMap::new(),
            threads: BTreeMap::new(),
            days: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Every account with its sums.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Account, &Row)> {
        self.rows.iter()
    }

    /// What counts against a day's cap.
    pub(super) fn of_day(&self, day: Day) -> Counted {
        self.days.get(&day).copied().unwrap_or_default()
    }

    /// The record that does what is asked, if it changes anything, and the answer. `day` is today.
    pub(super) fn answer(&self, ask: &Ask, day: Day) -> (Option<Record>, Done) {
        match ask {
            Ask::Reserve(request) => match self.offer(request, day) {
                Ok(made) => {
                    let Reservation { id, max_output_tokens, amount, .. } = made;
                    let reserved = Reserved { id, max_output_tokens, amount };
                    (Some(Record::Reserved(made)), Done::Reserved(reserved))
                }
                Err(refused) => (None, Done::Refused(refused)),
            },
            Ask::Settle(id, usage) => self.settle(*id, *usage),
            Ask::Drop(id) => match self.standing(*id) {
                Err(unfit) => (None, Done::Unfit(unfit)),
                Ok(Standing::Open) => (Some(Record::Dropped { id: *id }), Done::Closed),
                Ok(Standing::Dropped | Standing::Abandoned) => (None, Done::Closed),
                Ok(Standing::Settled { .. }) => (None, Done::Unfit(Unfit::Settled(*id))),
                Ok(Standing::Released) => (None, Done::Unfit(Unfit::Released(*id))),
            },
            Ask::Release(id) => match self.standing(*id) {
                Err(unfit) => (None, Done::Unfit(unfit)),
                Ok(Standing::Open) => (Some(Record::Released { id: *id }), Done::Closed),
                Ok(Standing::Released) => (None, Done::Closed),
                Ok(Standing::Settled { .. }) => (None, Done::Unfit(Unfit::Settled(*id))),
                Ok(Standing::Dropped | Standing::Abandoned) => (None, Done::Unfit(Unfit::MayHaveLeft(*id))),
            },
            Ask::Abandon(run) => {
                let held = self.kept.values().any(|kept| kept.account.run == *run && kept.is_held());
                (held.then(|| Record::Abandoned { run: run.clone() }), Done::Closed)
            }
        }
    }

    fn standing(&self, id: ReservationId) -> Result<Standing, Unfit> {
        self.kept.get(&id).map(|kept| kept.standing).ok_or(Unfit::Unknown(id))
    }

    fn settle(&self, id: ReservationId, usage: Usage) -> (Option<Record>, Done) {
        let Some(kept) = self.kept.get(&id) else {
            return (None, Done::Unfit(Unfit::Unknown(id)));
        };
        match kept.standing {
            Standing::Released => (None, Done::Unfit(Unfit::Released(id))),
            Standing::Settled { usage: said, cost } if said == usage => {
                (None, Done::Settled(settled(cost, kept.amount)))
            }
            Standing::Settled { .. } => (None, Done::Unfit(Unfit::Settled(id))),
            Standing::Open | Standing::Dropped | Standing::Abandoned => match kept.rates.cost(usage) {
                Some(cost) => {
                    let record = Record::Settled { id, usage, cost };
                    (Some(record), Done::Settled(settled(cost, kept.amount)))
                }
                None => (None, Done::Unfit(Unfit::Usage(id))),
            },
        }
    }

    /// The reservation for a request, within every cap.
    fn offer(&self, request: &Request, day: Day) -> Result<Reservation, Refused> {
        let Request { run, thread, caps, model, worst_input_tokens, wanted_output_tokens } = request;
        let counted = |sums: Option<&Counted>| sums.map_or(MicroUsd::ZERO, Counted::total);
        let left = [
            (caps.run.left_after(counted(self.runs.get(run))), Cap::Run),
            (caps.thread.left_after(counted(self.threads.get(thread))), Cap::Thread),
            (caps.day.left_after(counted(self.days.get(&day))), Cap::Day),
        ];
        let [first, others @ ..] = left;
        let (left, cap) =
            others.into_iter().fold(first, |least, one| if one.0 < least.0 { one } else { least });
        let wanted = wanted_output_tokens.unwrap_or(u64::MAX).min(model.max_output_tokens);
        let least = wanted.min(LEAST_OUTPUT_TOKENS);
        let affordable =
            model.rates.affordable_output(left, *worst_input_tokens).filter(|most| *most >= least);
        let Some(affordable) = affordable else {
            let needed = model.rates.worst(*worst_input_tokens, least);
            return Err(Refused { cap, left, needed });
        };
        let max_output_tokens = wanted.min(affordable);
        Ok(Reservation {
            id: ReservationId(self.next),
            account: Account {
                day,
                run: run.clone(),
                thread: thread.clone(),
                provider: model.provider.clone(),
                model: model.model.clone(),
            },
            caps: *caps,
            rates: model.rates,
            worst_input_tokens: *worst_input_tokens,
            max_output_tokens,
            amount: model.rates.worst(*worst_input_tokens, max_output_tokens),
            standing: Standing::Open,
        })
    }

    /// Takes in a record. What does not follow from the records before it is none.
    pub(super) fn apply(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Head { .. } => Err("it begins a journal, and stands within one"),
            Record::Row { account, counted, caps, last } => self.take_row(account, counted, caps, last),
            Record::Kept(kept) => {
                let fits = kept.id.0 < self.next && self.rows.contains_key(&kept.account);
                let new = fits && self.kept.insert(kept.id, kept).is_none();
                if new { Ok(()) } else { Err("it is a reservation that does not belong here") }
            }
            Record::Reserved(made) => self.take_reservation(made),
            Record::Settled { id, usage, cost } => {
                let kept = self.kept.get(&id).ok_or("it settles what was never reserved")?;
                if kept.is_closed() || kept.rates.cost(usage) != Some(cost) {
                    return Err("it settles what is closed, or for another cost than the usage has");
                }
                self.close(id, Standing::Settled { usage, cost })
            }
            Record::Dropped { id } => match self.standing(id) {
                Ok(Standing::Open) => self.close(id, Standing::Dropped),
                _ => Err("it drops what is not open"),
            },
            Record::Released { id } => match self.standing(id) {
                Ok(Standing::Open) => self.close(id, Standing::Released),
                _ => Err("it releases what is not open"),
            },
            Record::Abandoned { run } => {
                let held = self.kept.values().filter(|kept| kept.account.run == run && kept.is_held());
                let held: Vec<ReservationId> = held.map(|kept| kept.id).collect();
                held.into_iter().try_for_each(|id| self.close(id, Standing::Abandoned))
            }
        }
    }

    fn take_row(
        &mut self,
        account: Account,
        counted: Counted,
        caps: Caps,
        last: ReservationId,
    ) -> Result<(), &'static str> {
        self.runs.entry(account.run.clone()).or_default().add(&counted);
        self.threads.entry(account.thread.clone()).or_default().add(&counted);
        self.days.entry(account.day).or_default().add(&counted);
        match self.rows.insert(account, Row { counted, caps, last }) {
            None => Ok(()),
            Some(_) => Err("its account has a row already"),
        }
    }

    fn take_reservation(&mut self, made: Reservation) -> Result<(), &'static str> {
        let Reservation { id, caps, amount, .. } = made;
        let worst = made.rates.worst(made.worst_input_tokens, made.max_output_tokens);
        if id.0 != self.next || made.standing != Standing::Open || amount != worst {
            return Err("it is not the next reservation, or not at its worst case");
        }
        self.next = self.next.saturating_add(1);
        let row = Row { counted: Counted::default(), caps, last: id };
        let row = self.rows.entry(made.account.clone()).or_insert(row);
        (row.caps, row.last) = (caps, id);
        self.change(&made.account, |sums| {
            sums.reserved_micro_usd = sums.reserved_micro_usd.plus(amount);
            sums.requests = sums.requests.saturating_add(1);
        });
        self.kept.insert(id, made);
        Ok(())
    }

    /// Moves a reservation's amount from where it stood to where it stands now.
    fn close(&mut self, id: ReservationId, now: Standing) -> Result<(), &'static str> {
        let kept = self.kept.get_mut(&id).ok_or("there is no such reservation")?;
        let before = std::mem::replace(&mut kept.standing, now);
        let (account, amount) = (kept.account.clone(), kept.amount);
        self.change(&account, |sums| {
            let from = if before == Standing::Open {
                &mut sums.reserved_micro_usd
            } else {
                &mut sums.unsettled_micro_usd
            };
            *from = from.left_after(amount);
            match now {
                Standing::Settled { cost, .. } => {
                    let over = cost.left_after(amount);
                    sums.settled_micro_usd = sums.settled_micro_usd.plus(cost);
                    sums.over_reservation_micro_usd = sums.over_reservation_micro_usd.plus(over);
                }
                Standing::Released => sums.requests = sums.requests.saturating_sub(1),
                Standing::Open | Standing::Dropped | Standing::Abandoned => {
                    sums.unsettled_micro_usd = sums.unsettled_micro_usd.plus(amount);
                }
            }
        });
        Ok(())
    }

    /// Changes the sums of an account and of everything that it belongs to alike.
    fn change(&mut self, account: &Account, change: impl Fn(&mut Counted)) {
        if let Some(row) = self.rows.get_mut(account) {
            change(&mut row.counted);
        }
        change(self.runs.entry(account.run.clone()).or_default());
        change(self.threads.entry(account.thread.clone()).or_default());
        change(self.days.entry(account.day).or_default());
    }

    /// The lines of a journal that says the same in as few as possible, head first.
    pub(super) fn compact(&self) -> Vec<Record> {
        let closed = self.kept.values().rev().filter(|kept| !kept.is_held()).take(CLOSED_KEPT);
        let mut kept: Vec<&Reservation> =
            self.kept.values().filter(|kept| kept.is_held()).chain(closed).collect();
        kept.sort_by_key(|kept| kept.id);
        let head = Record::Head {
            version: super::lines::VERSION,
            since: self.since,
            next: self.next,
            rows: self.rows.len(),
            kept: kept.len(),
        };
        let row = |(account, row): (&Account, &Row)| {
            let Row { counted, caps, last } = *row;
            Record::Row { account: account.clone(), counted, caps, last }
        };
        let rows = self.rows.iter().map(row);
        let kept = kept.into_iter().map(|kept| Record::Kept(kept.clone()));
        std::iter::once(head).chain(rows).chain(kept).collect()
    }
}

impl Reservation {
    /// Whether somebody may still settle, drop or release it.
    const fn is_held(&self) -> bool {
        matches!(self.standing, Standing::Open | Standing::Dropped)
    }

    const fn is_closed(&self) -> bool {
        matches!(self.standing, Standing::Settled { .. } | Standing::Released)
    }
}

fn settled(cost: MicroUsd, reserved: MicroUsd) -> Settled {
    let over = cost.minus(reserved).filter(|over| *over > MicroUsd::ZERO);
    Settled { cost, reserved, over }
}
