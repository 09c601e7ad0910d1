//! The numbers that a contract may leave out, and how far it may go beyond them.
//!
//! One embedded file, `defaults.toml`, holds each with its unit and reason. Whether a ceiling was exceeded is
//! told by name; the gate `contract.supported` refuses it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::alternatives::Usd;
use super::wire::{LimitsWire, SpendWire};
use crate::vocab::{LimitName, Limits, MicroUsd, SpendCaps};

const EMBEDDED: &str = include_str!("defaults.toml");

/// One number of `defaults.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Default {
    /// In its unit.
    pub value: u64,
    /// What is counted.
    pub unit: String,
    /// Why this much.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    ceiling_factor: u64,
    wall_seconds: Default,
    idle_seconds: Default,
    cpu_seconds: Default,
    output_bytes: Default,
    processes: Default,
    open_files: Default,
    file_bytes: Default,
    changed_files: Default,
    tmp_bytes: Default,
    shm_bytes: Default,
    tree_cpu_seconds: Default,
    memory_bytes: Default,
    disk_bytes: Default,
    inodes: Default,
    patch_bytes: Default,
    grace_seconds: Default,
    answer_seconds: Default,
    verification_timeout_seconds: Default,
    run_micro_usd: Default,
    thread_micro_usd: Default,
    day_micro_usd: Default,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    #[expect(clippy::expect_used, reason = "the text is part of the program, and a test reads it")]
    TABLE.get_or_init(|| toml::from_str(EMBEDDED).expect("the embedded defaults.toml is well formed"))
}

/// The limits of a contract that names none.
#[must_use]
pub fn defaults() -> Limits {
    let t = table();
    Limits {
        wall_seconds: t.wall_seconds.value,
        idle_seconds: t.idle_seconds.value,
        cpu_seconds: t.cpu_seconds.value,
        output_bytes: t.output_bytes.value,
        processes: t.processes.value,
        open_files: t.open_files.value,
        file_bytes: t.file_bytes.value,
        changed_files: t.changed_files.value,
        tmp_bytes: t.tmp_bytes.value,
        shm_bytes: t.shm_bytes.value,
        tree_cpu_seconds: t.tree_cpu_seconds.value,
        memory_bytes: t.memory_bytes.value,
        disk_bytes: t.disk_bytes.value,
        inodes: t.inodes.value,
        patch_bytes: t.patch_bytes.value,
        grace_seconds: t.grace_seconds.value,
        answer_seconds: t.answer_seconds.value,
    }
}

/// Seconds that a verification command may take when the contract does not say.
#[must_use]
pub fn verification_timeout_seconds() -> u64 {
    table().verification_timeout_seconds.value
}

/// The caps on money of a contract that names none.
#[must_use]
pub fn spend_caps() -> SpendCaps {
    let t = table();
    SpendCaps {
        run_micro_usd: MicroUsd::new(t.run_micro_usd.value),
        thread_micro_usd: MicroUsd::new(t.thread_micro_usd.value),
    }
}

/// What all runs of one day (UTC) may spend where the configuration does not say. It is the operator's: no contract
/// names it, so it has no ceiling.
#[must_use]
pub fn day_cap() -> MicroUsd {
    MicroUsd::new(table().day_micro_usd.value)
}

/// Every number with its unit and reason, by name, for people.
#[must_use]
pub fn explained() -> BTreeMap<&'static str, &'static Default> {
    let t = table();
    BTreeMap::from([
        ("wall_seconds", &t.wall_seconds),
        ("idle_seconds", &t.idle_seconds),
        ("cpu_seconds", &t.cpu_seconds),
        ("output_bytes", &t.output_bytes),
        ("processes", &t.processes),
        ("open_files", &t.open_files),
        ("file_bytes", &t.file_bytes),
        ("changed_files", &t.changed_files),
        ("tmp_bytes", &t.tmp_bytes),
        ("shm_bytes", &t.shm_bytes),
        ("tree_cpu_seconds", &t.tree_cpu_seconds),
        ("memory_bytes", &t.memory_bytes),
        ("disk_bytes", &t.disk_bytes),
        ("inodes", &t.inodes),
        ("patch_bytes", &t.patch_bytes),
        ("grace_seconds", &t.grace_seconds),
        ("answer_seconds", &t.answer_seconds),
        ("verification_timeout_seconds", &t.verification_timeout_seconds),
        ("run_micro_usd", &t.run_micro_usd),
        ("thread_micro_usd", &t.thread_micro_usd),
        ("day_micro_usd", &t.day_micro_usd),
    ])
}

/// The largest values that a contract may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ceilings {
    /// One ceiling a limit.
    pub limits: Limits,
    /// The longest timeout of a verification command, seconds.
    pub verification_timeout_seconds: u64,
    /// The widest caps on money.
    pub spend: SpendCaps,
}

impl Ceilings {
    /// The same with one ceiling replaced, in the unit of its name. A name that has no ceiling in this version
    /// changes nothing: contracts that ask for it are not supported anyway.
    #[must_use]
    pub fn with(mut self, name: LimitName, value: u64) -> Self {
        for (row, ceiling) in rows(&mut self.limits) {
            if row == name.as_str() {
                *ceiling = value;
            }
        }
        self
    }

    /// The defaults times `ceiling_factor` (8).
    #[must_use]
    pub fn standard() -> Self {
        let factor = table().ceiling_factor;
        let mut limits = defaults();
        for (_, value) in rows(&mut limits) {
            *value = value.saturating_mul(factor);
        }
        let caps = spend_caps();
        let spend = SpendCaps {
            run_micro_usd: caps.run_micro_usd.times(factor),
            thread_micro_usd: caps.thread_micro_usd.times(factor),
        };
        let verification_timeout_seconds = verification_timeout_seconds().saturating_mul(factor);
        Self { limits, verification_timeout_seconds, spend }
    }
}

/// The limits by name, in the order of the struct.
pub fn rows(limits: &mut Limits) -> [(&'static str, &mut u64); 17] {
    [
        ("wall_seconds", &mut limits.wall_seconds),
        ("idle_seconds", &mut limits.idle_seconds),
        ("cpu_seconds", &mut limits.cpu_seconds),
        ("output_bytes", &mut limits.output_bytes),
        ("processes", &mut limits.processes),
        ("open_files", &mut limits.open_files),
        ("file_bytes", &mut limits.file_bytes),
        ("changed_files", &mut limits.changed_files),
        ("tmp_bytes", &mut limits.tmp_bytes),
        ("shm_bytes", &mut limits.shm_bytes),
        ("tree_cpu_seconds", &mut limits.tree_cpu_seconds),
        ("memory_bytes", &mut limits.memory_bytes),
        ("disk_bytes", &mut limits.disk_bytes),
        ("inodes", &mut limits.inodes),
        ("patch_bytes", &mut limits.patch_bytes),
        ("grace_seconds", &mut limits.grace_seconds),
        ("answer_seconds", &mut limits.answer_seconds),
    ]
}

/// Defaults with what the contract says laid over them, and the names of what this version cannot hold.
pub(super) fn settle(wire: &LimitsWire, ceilings: &Ceilings) -> (Limits, Vec<String>) {
    let given = [
        wire.wall_seconds,
        wire.idle_seconds,
        wire.cpu_seconds,
        wire.output_bytes,
        wire.processes,
        wire.open_files,
        wire.file_bytes,
        wire.changed_files,
        wire.tmp_bytes,
        wire.shm_bytes,
        wire.tree_cpu_seconds,
        wire.memory_bytes,
        wire.disk_bytes,
        wire.inodes,
        wire.patch_bytes,
        wire.grace_seconds,
        wire.answer_seconds,
    ];
    let (mut limits, mut ceiling) = (defaults(), ceilings.limits.clone());
    let mut unsupported = Vec::new();
    for (((name, value), (_, ceiling)), given) in
        rows(&mut limits).into_iter().zip(rows(&mut ceiling)).zip(given)
    {
        if let Some(amount) = given {
            *value = amount.0;
            if amount.0 > *ceiling {
                unsupported.push(above(&format!("limits.{name}"), amount.0, *ceiling));
            }
        }
    }
    if wire.tokens.is_some() {
        unsupported.push("limits.tokens".to_owned());
    }
    (limits, unsupported)
}

/// The caps on money: defaults with what the contract says laid over them.
pub(super) fn settle_spend(
    wire: Option<&SpendWire>,
    ceilings: &Ceilings,
    unsupported: &mut Vec<String>,
) -> SpendCaps {
    let (caps, most) = (spend_caps(), ceilings.spend);
    let mut take = |name: &str, given: Option<Usd>, default: MicroUsd, ceiling: MicroUsd| {
        let cap = given.map_or(default, |Usd(amount)| amount);
        if cap > ceiling {
            unsupported.push(above(&format!("limits.spend.{name}"), cap, ceiling));
        }
        cap
    };
    let (run, thread) = (wire.and_then(|w| w.run_usd), wire.and_then(|w| w.thread_usd));
    SpendCaps {
        run_micro_usd: take("run_usd", run, caps.run_micro_usd, most.run_micro_usd),
        thread_micro_usd: take("thread_usd", thread, caps.thread_micro_usd, most.thread_micro_usd),
    }
}

/// How an exceeded ceiling is written in [`super::TaskContract::unsupported`].
pub(super) fn above<T: std::fmt::Display>(field: &str, asked: T, ceiling: T) -> String {
    format!("{field}: {asked} is above the ceiling of {ceiling}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::alternatives::Amount;

    #[test]
    fn the_embedded_numbers_are_the_promised_ones_and_each_is_explained() {
        let limits = defaults();
        assert_eq!((limits.wall_seconds, limits.idle_seconds, limits.grace_seconds), (30 * 60, 10 * 60, 5));
        assert_eq!((limits.output_bytes, limits.shm_bytes), (64 << 20, 64 << 20));
        assert_eq!((limits.file_bytes, limits.tmp_bytes, limits.changed_files), (1 << 30, 1 << 30, 1000));
        assert_eq!(
            (limits.memory_bytes, limits.disk_bytes, limits.patch_bytes),
            (4 << 30, 8 << 30, 64 << 20)
        );
        assert_eq!((limits.tree_cpu_seconds, limits.inodes), (4 * 3600, 500_000));
        assert_eq!(Ceilings::standard().limits.wall_seconds, 8 * 30 * 60);
        for (name, number) in explained() {
            assert!(number.value > 0 && !number.unit.is_empty() && number.reason.len() > 20, "{name}");
        }
        let written: BTreeMap<String, toml::Value> = toml::from_str(EMBEDDED).unwrap();
        assert_eq!(explained().len() + 1, written.len());
    }

    #[test]
    fn caps_on_money_are_taken_exactly_and_refused_by_name_above_their_ceiling() {
        let ceilings = Ceilings::standard();
        let settled = |wire: Option<SpendWire>| {
            let mut unsupported = Vec::new();
            (settle_spend(wire.as_ref(), &ceilings, &mut unsupported), unsupported)
        };
        assert_eq!(settled(None), (spend_caps(), Vec::new()));
        assert_eq!(spend_caps().run_micro_usd.to_string(), "5.00");
        assert!(spend_caps().run_micro_usd <= spend_caps().thread_micro_usd);
        assert!(spend_caps().thread_micro_usd <= day_cap());
        let usd = |text: &str| Some(Usd(text.parse().unwrap()));
        let (caps, unsupported) =
            settled(Some(SpendWire { run_usd: usd("40"), thread_usd: usd("80.000001") }));
        assert_eq!((caps.run_micro_usd.micros(), caps.thread_micro_usd.micros()), (40_000_000, 80_000_001));
        assert_eq!(unsupported, ["limits.spend.thread_usd: 80.000001 is above the ceiling of 80.00"]);
    }

    #[test]
    fn each_limit_is_taken_at_its_ceiling_and_refused_by_name_above_it() {
        let ceilings = Ceilings::standard();
        let (at, one_more) = (ceilings.limits.wall_seconds, ceilings.limits.wall_seconds + 1);
        let wire = |n| LimitsWire { wall_seconds: Some(Amount(n)), ..LimitsWire::default() };
        assert_eq!(settle(&wire(at), &ceilings).1, Vec::<String>::new());
        let (limits, unsupported) = settle(&wire(one_more), &ceilings);
        assert_eq!(limits.wall_seconds, one_more);
        assert_eq!(unsupported, ["limits.wall_seconds: 14401 is above the ceiling of 14400"]);
    }
}
