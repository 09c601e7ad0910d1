//! Money: whole micro-dollars, so that sums are exact and nothing is ever rounded in anybody's favour by accident.
//!
//! People write and read decimal dollars (`"2.50"`); documents hold the whole number, and their fields are named
//! `…_micro_usd`. There is no float on the way from one to the other.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Micro-dollars of one dollar.
const DOLLAR: u64 = 1_000_000;
/// Digits before the point that are read: less than a billion dollars.
const WHOLE_DIGITS: usize = 9;
/// Digits behind the point that are read: a micro-dollar is the smallest.
const FRACTION_DIGITS: usize = 6;

/// An amount in millionths of a US dollar. Serialized as that whole number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct MicroUsd(u64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a decimal text of dollars like \"2.50\" is expected, with at most 9 digits before the point and 6 behind it"
)]
pub struct AmountError;

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From micro-dollars.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// Micro-dollars.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The sum; the largest amount where there is none. What is counted can so only be too much, never too little.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it without `other`; `None` when that is more than there is.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(left) => Some(Self(left)),
            None => None,
        }
    }

    /// What is left of it without `other`, nothing at least.
    #[must_use]
    pub const fn left_after(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `factor` times as much; the largest amount where there is none.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl FromStr for MicroUsd {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str, most: usize| {
            let plain = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse::<u64>().map_err(|_| AmountError) } else { Err(AmountError) }
        };
        let scale = |digits: &str| (digits.len()..FRACTION_DIGITS).fold(1_u64, |scale, _| scale * 10);
        let (whole, micros) = (number(whole, WHOLE_DIGITS)?, number(fraction, FRACTION_DIGITS)?);
        Ok(Self(whole * DOLLAR + micros * scale(fraction)))
    }
}

/// Exact decimal dollars, with two digits behind the point or as many more as it takes: `2.50`, `0.000001`.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % DOLLAR);
        let (cents, rest) = fraction.split_at(2);
        f.pad(&format!("{}.{cents}{}", self.0 / DOLLAR, rest.trim_end_matches('0')))
    }
}

/// The caps on money that a contract has for its run and for the engine's thread. A day's cap is the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpendCaps {
    /// For the run, micro-dollars.
    pub run_micro_usd: MicroUsd,
    /// For the engine's thread over all of its runs, micro-dollars.
    pub thread_micro_usd: MicroUsd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_texts_are_read_exactly_or_refused() {
        for (text, micros) in [
            ("0", 0),
            ("2", 2_000_000),
            ("2.5", 2_500_000),
            ("2.50", 2_500_000),
            ("0.000001", 1),
            ("0.1", 100_000),
            ("999999999.999999", 999_999_999_999_999),
        ] {
            assert_eq!(text.parse(), Ok(MicroUsd(micros)), "{text}");
        }
        let wrong = [
            "",
            ".",
            "1.",
            ".5",
            "1,5",
            "-1",
            "+1",
            "1e3",
            " 1",
            "1 ",
            "0.0000001",
            "1000000000",
            "1.2.3",
            "¼",
        ];
        for text in wrong {
            assert_eq!(text.parse::<MicroUsd>(), Err(AmountError), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for micros in [0, 1, 10, 1_000, 99_999, 100_000, 1_000_000, 2_500_000, 1_234_567_890] {
            assert_eq!(MicroUsd(micros).to_string().parse(), Ok(MicroUsd(micros)));
        }
        assert_eq!(MicroUsd(2_500_000).to_string(), "2.50");
        assert_eq!(MicroUsd(1).to_string(), "0.000001");
        assert_eq!(serde_json::to_string(&MicroUsd(7)).unwrap(), "7");
    }

    #[test]
    fn sums_never_wrap() {
        assert_eq!(MicroUsd(u64::MAX).plus(MicroUsd(1)), MicroUsd(u64::MAX));
        assert_eq!(MicroUsd(u64::MAX).times(2), MicroUsd(u64::MAX));
        assert_eq!(MicroUsd(1).minus(MicroUsd(2)), None);
        assert_eq!(MicroUsd(1).left_after(MicroUsd(2)), MicroUsd::ZERO);
    }
}
