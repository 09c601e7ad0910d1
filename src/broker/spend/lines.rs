//! Lines of the journal: one canonical JSON object each, chained by checksums.
//!
//! Each `sum` is the digest of the sum before it and the record's own bytes, so a line that was changed, left out, put in
//! or moved does not fit, and neither does any line behind it. A line that is not written in exactly the form that this
//! file writes is no line.

use serde::{Deserialize, Serialize};

use super::accounts::{Account, Counted, Reservation};
use super::amounts::Usage;
use super::offer::{Caps, ReservationId};
use crate::vocab::{Digest, Hasher, MicroUsd, RunId, Timestamp};

/// The only form of a journal that is read.
pub(super) const VERSION: u32 = 1;
/// Longest line, bytes; a reservation takes about a thousand.
pub(super) const LINE_BYTES: usize = 64 * 1024;
/// Keeps these sums apart from every other digest that is made here.
const DOMAIN: &[u8] = b"cto-spend-journal-v1";

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Record {
    /// The first line.
    Head {
        version: u32,
        /// When the ledger was begun; names it.
        since: Timestamp,
        /// The number of the next reservation.
        next: u64,
        /// How many `Row` lines follow.
        rows: usize,
        /// How many `Kept` lines follow those.
        kept: usize,
    },
    /// What one account came to, at the time of the head.
    Row { account: Account, counted: Counted, caps: Caps, last: ReservationId },
    /// A reservation that is open or was closed lately, at the time of the head; its amount is in its row.
    Kept(Reservation),
    /// Money was set aside.
    Reserved(Reservation),
    /// A usage came.
    Settled { id: ReservationId, usage: Usage, cost: MicroUsd },
    /// An answer broke off.
    Dropped { id: ReservationId },
    /// Nothing had been sent.
    Released { id: ReservationId },
    /// Whoever would settle is gone.
    Abandoned { run: RunId },
}

/// What stands before and behind the record in a line: `{"sum":"sha256:…","line":{…}}`.
const OPENING: &[u8] = b"{\"sum\":\"";
const BETWEEN: &[u8] = b"\",\"line\":";
const CLOSING: &[u8] = b"}";

/// The sum before the first line.
pub(super) fn beginning() -> Digest {
    Digest::of(DOMAIN)
}

/// The bytes of the line behind `before`, newline included, and its sum.
pub(super) fn encode(record: &Record, before: Digest) -> Result<(Vec<u8>, Digest), serde_json::Error> {
    let record = serde_json::to_vec(record)?;
    let sum = sum(&record, before);
    let text = sum.to_string();
    Ok(([OPENING, text.as_bytes(), BETWEEN, &record, CLOSING, b"\n"].concat(), sum))
}

/// Reads a line, newline excluded.
pub(super) fn decode(line: &[u8], before: Digest) -> Result<(Record, Digest), &'static str> {
    if line.len() >= LINE_BYTES {
        return Err("it is longer than any line that is written");
    }
    let (said, bytes) = parts(line).ok_or("it is not of the form of a line")?;
    let sum = sum(bytes, before);
    if said != sum.to_string().as_bytes() {
        return Err("its checksum does not fit it and the line before");
    }
    let record: Record = serde_json::from_slice(bytes).map_err(|_| "it is not a record")?;
    if serde_json::to_vec(&record).map_err(|_| "it cannot be written again")? != bytes {
        return Err("it is not in canonical form");
    }
    Ok((record, sum))
}

fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    /// Characters of `sha256:` and 64 digits.
    const SUM: usize = 71;
    let (said, rest) = line.strip_prefix(OPENING)?.split_at_checked(SUM)?;
    Some((said, rest.strip_prefix(BETWEEN)?.strip_suffix(CLOSING)?))
}

fn sum(record: &[u8], before: Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(before.bytes());
    hasher.update(record);
    hasher.finish()
}
