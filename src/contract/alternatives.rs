//! Wire values that may be written in more than one way, each with its own visitor.
//!
//! No `untagged`: the message names exactly the forms that are accepted.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, de::value::SeqAccessDeserializer};

use crate::vocab::{EngineId, MicroUsd};

macro_rules! schema {
    ($type:ident, $($json:tt)+) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($json)+)
            }
        }
    };
}

/// `"text"` or `{ file = "…" }`.
#[derive(Debug, Clone)]
pub(super) enum Instructions {
    Text(String),
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTable {
    file: String,
}

impl<'de> Deserialize<'de> for Instructions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Instructions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or { file = \"…\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Instructions, E> {
                Ok(Instructions::Text(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instructions, A::Error> {
                FileTable::deserialize(MapAccessDeserializer::new(map)).map(|t| Instructions::File(t.file))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

schema!(Instructions, {
    "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "object", "properties": { "file": { "type": "string", "minLength": 1 } },
          "required": ["file"], "additionalProperties": false }
    ]
});

/// A list of arguments, or a text for the shell.
#[derive(Debug, Clone)]
pub(super) enum Run {
    Shell(String),
    Argv(Vec<String>),
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Run;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of arguments or a shell text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Run, E> {
                Ok(Run::Shell(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Run, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Run::Argv)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

schema!(Run, {
    "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "array", "items": { "type": "string" }, "minItems": 1 }
    ]
});

/// `"id"` or `{ id, model }`.
#[derive(Debug, Clone)]
pub(super) struct EngineText {
    pub(super) id: EngineId,
    pub(super) model: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineTable {
    id: EngineId,
    model: Option<String>,
}

impl<'de> Deserialize<'de> for EngineText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = EngineText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an engine's id or { id = \"…\", model = \"…\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EngineText, E> {
                Ok(EngineText { id: EngineId::parse(text).map_err(E::custom)?, model: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EngineText, A::Error> {
                let table = EngineTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(EngineText { id: table.id, model: table.model })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

schema!(EngineText, {
    "anyOf": [
        { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" },
        { "type": "object",
          "properties": { "id": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" },
                          "model": { "type": "string", "minLength": 1 } },
          "required": ["id"], "additionalProperties": false }
    ]
});

/// An artifact's name, `{ verification = "all" }` or `{ patch = "non-empty" | "empty" }`.
#[derive(Debug, Clone)]
pub(super) enum ExpectationText {
    Artifact(String),
    VerificationAll,
    PatchNonEmpty,
    PatchEmpty,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AllWord {
    All,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PatchWord {
    NonEmpty,
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectationTable {
    verification: Option<AllWord>,
    patch: Option<PatchWord>,
}

const EXPECTATION_FORMS: &str =
    "an artifact's name, { verification = \"all\" }, { patch = \"non-empty\" } or { patch = \"empty\" }";

impl<'de> Deserialize<'de> for ExpectationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = ExpectationText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTATION_FORMS)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ExpectationText, E> {
                Ok(ExpectationText::Artifact(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExpectationText, A::Error> {
                let table = ExpectationTable::deserialize(MapAccessDeserializer::new(map))?;
                match (table.verification, table.patch) {
                    (Some(AllWord::All), None) => Ok(ExpectationText::VerificationAll),
                    (None, Some(PatchWord::NonEmpty)) => Ok(ExpectationText::PatchNonEmpty),
                    (None, Some(PatchWord::Empty)) => Ok(ExpectationText::PatchEmpty),
                    _ => Err(de::Error::custom(format!("exactly one is expected: {EXPECTATION_FORMS}"))),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

schema!(ExpectationText, {
    "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "object", "properties": { "verification": { "const": "all" } },
          "required": ["verification"], "additionalProperties": false },
        { "type": "object", "properties": { "patch": { "enum": ["non-empty", "empty"] } },
          "required": ["patch"], "additionalProperties": false }
    ]
});

/// `base`, or a file beside the contract.
#[derive(Debug, Clone)]
pub(super) enum SourceText {
    Base,
    File(String),
}

impl<'de> Deserialize<'de> for SourceText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text == "base" { Self::Base } else { Self::File(text) })
    }
}

schema!(SourceText, {
    "type": "string", "minLength": 1,
    "description": "`base`, or a file beside the contract (a file of that name is `./base`)."
});

/// A whole number above zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount(pub(super) u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number above 0 (seconds, bytes or a count, as the name says)")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                // TOML's integers end there; a larger number could not be written back.
                if number == 0 || number > i64::MAX.unsigned_abs() {
                    return Err(E::custom("a whole number from 1 to 9223372036854775807 is expected"));
                }
                Ok(Amount(number))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

schema!(Amount, { "type": "integer", "minimum": 1, "maximum": 9_223_372_036_854_775_807_u64 });

/// A decimal text of dollars: `"2.50"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usd(pub(super) MicroUsd);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

schema!(Usd, { "type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,6})?$" });
