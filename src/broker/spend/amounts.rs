//! What tokens cost: pure, in whole numbers, rounded up once at the end and never down.

use serde::{Deserialize, Serialize};

use crate::vocab::MicroUsd;

/// Prices are for this many tokens.
const MILLION: u128 = 1_000_000;
/// The most tokens of one kind that one answer is believed to have used: far above any model's, and so small that no
/// cost overflows.
pub(super) const MOST_TOKENS: u64 = 1 << 40;
/// The highest price that a table may name, for a million tokens: a million dollars.
pub(super) const DEAREST: MicroUsd = MicroUsd::new(1_000_000_000_000);

/// What a model costs, in micro-dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Input that the provider had not cached.
    pub input_micro_usd: MicroUsd,
    /// Input that it had.
    pub cached_input_micro_usd: MicroUsd,
    /// Input that it put into its cache.
    pub cache_write_micro_usd: MicroUsd,
    /// Output, reasoning included.
    pub output_micro_usd: MicroUsd,
    /// What holds instead for a request with much input, where the model has such a tier.
    pub long_context: Option<LongContext>,
}

/// The tier of requests with much input: these prices are for all of their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    /// It begins above this many input tokens.
    pub above_input_tokens: u64,
    /// As in [`Rates`].
    pub input_micro_usd: MicroUsd,
    /// As in [`Rates`].
    pub cached_input_micro_usd: MicroUsd,
    /// As in [`Rates`].
    pub cache_write_micro_usd: MicroUsd,
    /// As in [`Rates`].
    pub output_micro_usd: MicroUsd,
}

/// What a provider says that an answer used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Those of them that came from the provider's cache.
    pub cached_input_tokens: u64,
    /// Those of them that were put into it.
    pub cache_write_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
}

impl Rates {
    /// The dearest way to pay for one input token, for a million of them: whatever the tier, cached or not.
    #[must_use]
    pub fn dearest_input(&self) -> MicroUsd {
        let plain = [self.input_micro_usd, self.cached_input_micro_usd, self.cache_write_micro_usd];
        let long = self.long_context.iter();
        let long = long.flat_map(|t| [t.input_micro_usd, t.cached_input_micro_usd, t.cache_write_micro_usd]);
        plain.into_iter().chain(long).max().unwrap_or(DEAREST)
    }

    /// The dearest output token, for a million of them.
    #[must_use]
    pub fn dearest_output(&self) -> MicroUsd {
        let long = self.long_context.map(|tier| tier.output_micro_usd);
        self.output_micro_usd.max(long.unwrap_or(MicroUsd::ZERO))
    }

    /// What this many tokens cost at most.
    pub(super) fn worst(&self, input_tokens: u64, output_tokens: u64) -> MicroUsd {
        rounded_up(whole(input_tokens, self.dearest_input()) + whole(output_tokens, self.dearest_output()))
    }

    /// The most output tokens that `left` pays for at their dearest, beside the input; `None` where the input alone
    /// costs more.
    pub(super) fn affordable_output(&self, left: MicroUsd, input_tokens: u64) -> Option<u64> {
        let left = u128::from(left.micros()) * MILLION;
        let for_output = left.checked_sub(whole(input_tokens, self.dearest_input()))?;
        let each = u128::from(self.dearest_output().micros());
        Some(
            for_output
                .checked_div(each)
                .map_or(MOST_TOKENS, |most| u64::try_from(most).unwrap_or(MOST_TOKENS)),
        )
    }

    /// What a usage costs; `None` where its numbers cannot be of one answer.
    #[must_use]
    pub fn cost(&self, usage: Usage) -> Option<MicroUsd> {
        let Usage { input_tokens, cached_input_tokens, cache_write_tokens, output_tokens } = usage;
        if input_tokens > MOST_TOKENS || output_tokens > MOST_TOKENS {
            return None;
        }
        let fresh = input_tokens.checked_sub(cached_input_tokens)?.checked_sub(cache_write_tokens)?;
        let [input, cached, write, output] = match self.long_context {
            Some(tier) if input_tokens > tier.above_input_tokens => [
                tier.input_micro_usd,
                tier.cached_input_micro_usd,
                tier.cache_write_micro_usd,
                tier.output_micro_usd,
            ],
            _ => [
                self.input_micro_usd,
                self.cached_input_micro_usd,
                self.cache_write_micro_usd,
                self.output_micro_usd,
            ],
        };
        let parts = [
            (fresh, input),
            (cached_input_tokens, cached),
            (cache_write_tokens, write),
            (output_tokens, output),
        ];
        Some(rounded_up(parts.into_iter().map(|(tokens, price)| whole(tokens, price)).sum()))
    }
}

/// Tokens times price, in millionths of a micro-dollar. 2^64 times 2^64 fits, and so do two of them where one factor
/// of each is a price.
fn whole(tokens: u64, price: MicroUsd) -> u128 {
    u128::from(tokens) * u128::from(price.micros())
}

fn rounded_up(millionths: u128) -> MicroUsd {
    MicroUsd::new(u64::try_from(millionths.div_ceil(MILLION)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let usd = |text: &str| text.parse().unwrap();
        Rates {
            input_micro_usd: usd("5"),
            cached_input_micro_usd: usd("0.50"),
            cache_write_micro_usd: usd("5"),
            output_micro_usd: usd("30"),
            long_context: Some(LongContext {
                above_input_tokens: 1000,
                input_micro_usd: usd("10"),
                cached_input_micro_usd: usd("1"),
                cache_write_micro_usd: usd("10"),
                output_micro_usd: usd("45"),
            }),
        }
    }

    fn usage(input_tokens: u64, cached_input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, cached_input_tokens, cache_write_tokens: 0, output_tokens }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let cost = |i, c, o| rates().cost(usage(i, c, o)).unwrap().micros();
        assert_eq!(cost(0, 0, 0), 0);
        assert_eq!(cost(1000, 0, 10), 5_000 + 300);
        // One cached token is half a micro-dollar, and two are one.
        assert_eq!((cost(1, 1, 0), cost(2, 2, 0), cost(3, 3, 0)), (1, 1, 2));
        // One more, and all of them are of the other tier.
        assert_eq!(cost(1001, 0, 10), 10_010 + 450);
        assert_eq!(rates().cost(usage(10, 11, 0)), None);
        assert_eq!(rates().cost(usage(MOST_TOKENS + 1, 0, 0)), None);
        assert!(rates().cost(usage(MOST_TOKENS, 0, MOST_TOKENS)).is_some());
    }

    #[test]
    fn the_worst_is_never_less_than_what_is_used_within_it() {
        let worst = rates().worst(1500, 100);
        for input in [0, 1, 999, 1000, 1001, 1500] {
            for cached in [0, input / 2, input] {
                for output in [0, 1, 100] {
                    assert!(rates().cost(usage(input, cached, output)).unwrap() <= worst);
                }
            }
        }
        assert_eq!(worst.micros(), 15_000 + 4_500);
    }

    #[test]
    fn what_is_affordable_is_paid_for_and_one_more_is_not() {
        for (left, input) in [(15_000, 1500), (15_045, 1500), (1_000_000, 7), (44, 0), (45, 0), (46, 0)] {
            let most = rates().affordable_output(MicroUsd::new(left), input).unwrap();
            assert!(rates().worst(input, most).micros() <= left);
            assert!(rates().worst(input, most + 1).micros() > left, "{left} {input} {most}");
        }
        assert_eq!(rates().affordable_output(MicroUsd::new(14_999), 1500), None);
        let mut free = rates();
        (free.output_micro_usd, free.long_context) = (MicroUsd::ZERO, None);
        assert_eq!(free.affordable_output(MicroUsd::ZERO, 0), Some(MOST_TOKENS));
    }
}
