//! The price table: what a model of a provider costs, from one embedded file and the operator's own.
//!
//! Strict: an unknown field, a price that is no decimal text or a row that stands twice is an error that names line and
//! field. A model that has no row has no price, and what has no price is not called.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use super::amounts::{DEAREST, LongContext, MOST_TOKENS, Rates};
use super::offer::LEAST_OUTPUT_TOKENS;
use crate::vocab::{Day, Digest, MicroUsd};

const EMBEDDED: &str = include_str!("prices.toml");
/// How the embedded table is named in messages.
const EMBEDDED_NAME: &str = "the embedded prices.toml";
/// The only form that is read.
const VERSION: u32 = 1;
/// Longest name of a provider or model, bytes.
const NAME: usize = 128;

/// One row: a model, and what bounds and prices a request to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedModel {
    /// Who is paid.
    pub provider: String,
    /// The model, by the name that requests give it.
    pub model: String,
    /// What its tokens cost.
    pub rates: Rates,
    /// The most output tokens that one answer of it can have.
    pub max_output_tokens: u64,
    /// Where the prices are from, in the words of whoever wrote them down.
    pub source: String,
    /// The day that they were looked up for.
    pub as_of: Day,
}

/// Rows by provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PriceTable {
    version: u32,
    rows: BTreeMap<String, BTreeMap<String, PricedModel>>,
}

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} is not a price table:\n{problem}\n  remedy: {remedy}")]
pub struct PricesError {
    file: String,
    problem: String,
    remedy: &'static str,
}

const REMEDY: &str = "a row is [[price]] with provider, model, input, cached_input, output (dollars for a million tokens, as \
                      \"2.50\"), max_output_tokens and source; see the embedded prices.toml";

/// Dollars for a million tokens, read where the parser still knows the line.
#[derive(Clone, Copy)]
struct Usd(MicroUsd);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount: MicroUsd =
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)?;
        if amount > DEAREST {
            return Err(serde::de::Error::custom("more than a million dollars for a million tokens"));
        }
        Ok(Self(amount))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableWire {
    version: u32,
    as_of: Day,
    #[serde(default)]
    price: Vec<RowWire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowWire {
    provider: String,
    model: Spanned<String>,
    input: Usd,
    cached_input: Usd,
    cache_write: Option<Usd>,
    output: Usd,
    max_output_tokens: u64,
    source: String,
    long_context: Option<TierWire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierWire {
    above_input_tokens: u64,
    input: Usd,
    cached_input: Usd,
    cache_write: Option<Usd>,
    output: Usd,
}

impl PricedModel {
    /// What the smallest request costs that is let through: one without input, with the fewest output tokens.
    #[must_use]
    pub fn least_cost(&self) -> MicroUsd {
        self.rates.worst(0, self.max_output_tokens.min(LEAST_OUTPUT_TOKENS))
    }
}

impl PriceTable {
    /// The embedded rows, and those of the operator's file over them.
    pub fn read(operators: Option<(&Path, &str)>) -> Result<Self, PricesError> {
        let mut table = Self::parse(EMBEDDED_NAME, EMBEDDED)?;
        if let Some((path, text)) = operators {
            let own = Self::parse(&path.display().to_string(), text)?;
            for (provider, models) in own.rows {
                table.rows.entry(provider).or_default().extend(models);
            }
        }
        Ok(table)
    }

    fn parse(file: &str, text: &str) -> Result<Self, PricesError> {
        let refuse = |problem: String| PricesError { file: file.to_owned(), problem, remedy: REMEDY };
        let wire: TableWire =
            toml::from_str(text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        if wire.version != VERSION {
            return Err(refuse(format!("`version` is {}, and only {VERSION} is read", wire.version)));
        }
        let mut rows = BTreeMap::<String, BTreeMap<String, PricedModel>>::new();
        for row in wire.price {
            let span = row.model.span();
            let at =
                |field: &str, what: &str| refuse(format!("line {}: `{field}` {what}", line_of(text, &span)));
            let row = row.checked(wire.as_of).map_err(|(field, what)| at(field, what))?;
            let models = rows.entry(row.provider.clone()).or_default();
            if models.insert(row.model.clone(), row).is_some() {
                return Err(at("model", "has a row for this provider already"));
            }
        }
        Ok(Self { version: VERSION, rows })
    }

    /// The row of a model.
    #[must_use]
    pub fn get(&self, provider: &str, model: &str) -> Option<&PricedModel> {
        self.rows.get(provider)?.get(model)
    }

    /// The models of a provider that have a row.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = &str> {
        self.rows.get(provider).into_iter().flat_map(|models| models.keys().map(String::as_str))
    }

    /// Digest of every row that counts.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }
}

impl RowWire {
    fn checked(self, as_of: Day) -> Result<PricedModel, (&'static str, &'static str)> {
        let model = self.model.into_inner();
        for (field, name) in [("provider", &self.provider), ("model", &model)] {
            let plain = |b: u8| b.is_ascii_graphic() && b != b'"';
            if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
                return Err((field, "is no name of 1 to 128 visible characters"));
            }
        }
        if !(1..=MOST_TOKENS).contains(&self.max_output_tokens) {
            return Err(("max_output_tokens", "is no number of tokens that an answer can have"));
        }
        if self.source.trim().is_empty() {
            return Err(("source", "is empty; say where the prices are from"));
        }
        if self.long_context.as_ref().is_some_and(|tier| tier.above_input_tokens > MOST_TOKENS) {
            return Err((
                "long_context.above_input_tokens",
                "is no number of tokens that a request can have",
            ));
        }
        let tier = |tier: TierWire| LongContext {
            above_input_tokens: tier.above_input_tokens,
            input_micro_usd: tier.input.0,
            cached_input_micro_usd: tier.cached_input.0,
            // A provider without a price for it counts it as input.
            cache_write_micro_usd: tier.cache_write.unwrap_or(tier.input).0,
            output_micro_usd: tier.output.0,
        };
        Ok(PricedModel {
            provider: self.provider,
            model,
            rates: Rates {
                input_micro_usd: self.input.0,
                cached_input_micro_usd: self.cached_input.0,
                cache_write_micro_usd: self.cache_write.unwrap_or(self.input).0,
                output_micro_usd: self.output.0,
                long_context: self.long_context.map(tier),
            },
            max_output_tokens: self.max_output_tokens,
            source: self.source,
            as_of,
        })
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.get(..span.start).unwrap_or("").matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "version = 1\nas_of = '2026-01-02'\n[[price]]\nprovider = 'p'\nmodel = 'm'\ninput = '1'\n\
                       cached_input = '0.1'\noutput = '2.5'\nmax_output_tokens = 1000\nsource = 'a letter'\n";

    fn own(text: &str) -> Result<PriceTable, PricesError> {
        PriceTable::read(Some((Path::new("/c/prices.toml"), text)))
    }

    #[test]
    fn the_embedded_rows_are_whole_and_say_that_they_are_to_be_checked() {
        let table = PriceTable::read(None).unwrap();
        let rows: Vec<&PricedModel> = table.rows.values().flat_map(BTreeMap::values).collect();
        assert!(!rows.is_empty());
        for row in rows {
            assert!(row.source.contains("check before use"), "{}", row.model);
            assert!(row.rates.input_micro_usd > row.rates.cached_input_micro_usd, "{}", row.model);
            assert!(row.rates.dearest_output() >= row.rates.output_micro_usd, "{}", row.model);
        }
        assert_eq!(table.get("openai", "gpt-5.5").unwrap().rates.dearest_input().to_string(), "10.00");
        assert!(table.get("openai", "unheard-of").is_none() && table.get("nobody", "gpt-5.5").is_none());
    }

    #[test]
    fn an_operators_rows_come_beside_and_over_the_embedded_ones_and_change_the_digest() {
        let embedded = PriceTable::read(None).unwrap();
        let more = own(OWN).unwrap();
        let row = more.get("p", "m").unwrap();
        assert_eq!(
            (row.rates.output_micro_usd.micros(), row.as_of.to_string()),
            (2_500_000, "2026-01-02".into())
        );
        assert_eq!(row.rates.cache_write_micro_usd, row.rates.input_micro_usd);
        assert_eq!(more.get("openai", "gpt-5.5"), embedded.get("openai", "gpt-5.5"));
        let over = own(&OWN.replace("'p'", "'openai'").replace("'m'", "'gpt-5.5'")).unwrap();
        assert_eq!(over.get("openai", "gpt-5.5").unwrap().max_output_tokens, 1000);
        assert!(over.get("openai", "gpt-5.4").is_some());
        let digests = [&embedded, &more, &over].map(|table| table.digest().unwrap());
        assert!(digests[0] != digests[1] && digests[1] != digests[2]);
        assert_eq!(digests[1], own(&format!("# a note\n{OWN}")).unwrap().digest().unwrap());
    }

    #[test]
    fn mistakes_name_file_line_and_field() {
        let row = OWN.split_once("[[price]]").unwrap().1;
        for (text, line, named) in [
            (OWN.replace("'2.5'", "2.5"), 8, "output"),
            (OWN.replace("'2.5'", "'2,5'"), 8, "decimal text"),
            (OWN.replace("'0.1'", "'0.0000001'"), 7, "decimal text"),
            (OWN.replace("'1'", "'1000000.000001'"), 6, "million dollars"),
            (OWN.replace("output =", "outputs ="), 8, "outputs"),
            (OWN.replace("= 1000", "= 0"), 5, "max_output_tokens"),
            (OWN.replace("'a letter'", "' '"), 5, "source"),
            (OWN.replace("'m'", "''"), 5, "model"),
            (OWN.replace("'p'", "'p q'"), 5, "provider"),
            (OWN.replace("2026-01-02", "2026-02-30"), 2, "as_of"),
            (format!("{OWN}[[price]]{row}"), 13, "already"),
            (OWN.replace("source = 'a letter'\n", ""), 3, "source"),
        ] {
            let error = own(&text).unwrap_err().to_string();
            assert!(error.contains("/c/prices.toml") && error.contains("remedy: "), "{error}");
            assert!(
                error.contains(&format!("line {line}")) && error.contains(named),
                "{line} {named}: {error}"
            );
        }
        let error = own(&OWN.replace("version = 1", "version = 2")).unwrap_err().to_string();
        assert!(error.contains("`version` is 2"), "{error}");
    }
}
