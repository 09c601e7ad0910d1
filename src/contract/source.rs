//! The text of a contract as a tree that knows where everything stands.
//!
//! JSON and TOML become the same tree, so that one set of wire structs and one kind of message serve both.
//! Keys that stand twice are refused here, at every depth. Nothing is read from anywhere.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{Complaint, ContractError, locate};
use super::json;

/// The largest contract, in bytes: an instruction text of 1 MiB with every byte escaped fits.
pub const MAX_CONTRACT_BYTES: usize = 8 << 20;

/// How a contract is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// TOML 1.0.
    Toml,
}

/// A contract's text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireSource {
    /// For messages; `None` = standard input or a request.
    pub name: Option<PathBuf>,
    /// How it is written.
    pub format: Format,
    /// The whole text.
    pub text: String,
}

impl WireSource {
    /// From the bytes of a file whose extension says the format (`.toml`; anything else is JSON), or of
    /// standard input (`name` = `None`, JSON).
    pub fn from_bytes(name: Option<&Path>, bytes: Vec<u8>) -> Result<Self, ContractError> {
        let toml = name.and_then(Path::extension).is_some_and(|e| e.eq_ignore_ascii_case("toml"));
        let format = if toml { Format::Toml } else { Format::Json };
        let mut source = Self { name: name.map(Path::to_path_buf), format, text: String::new() };
        if bytes.len() > MAX_CONTRACT_BYTES {
            let sentence = format!("the contract is larger than {MAX_CONTRACT_BYTES} bytes");
            let remedy = "put long instructions into a file and name it: instructions = { file = \"…\" }";
            return Err(ContractError::Syntax(source.complaint(None, None, sentence, remedy)));
        }
        match String::from_utf8(bytes) {
            Ok(text) => source.text = text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                // The text before the bad byte is the same, so its place is too.
                source.text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let sentence = "what stands here is not UTF-8";
                let remedy = "save the contract as UTF-8";
                let place = at..at + 1;
                return Err(ContractError::Syntax(source.complaint(Some(&place), None, sentence, remedy)));
            }
        }
        Ok(source)
    }

    /// What messages call the source.
    pub(super) fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| "<stdin>".to_owned(), |name| name.display().to_string())
    }

    pub(super) fn complaint(
        &self,
        span: Option<&Range<usize>>,
        field: Option<String>,
        sentence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Box<Complaint> {
        let place = span.map(|span| locate(&self.text, span));
        let (position, excerpt) = place.map_or((None, None), |(p, e)| (Some(p), Some(e)));
        let (sentence, remedy) = (sentence.into(), remedy.into());
        Box::new(Complaint { source: self.label(), position, excerpt, field, sentence, remedy })
    }

    /// The tree of the text.
    pub(super) fn tree(&self) -> Result<Node, ContractError> {
        match self.format {
            Format::Json => json::parse(&self.text).map_err(|error| {
                let remedy = if error.duplicate { "keep one of the two" } else { "correct the JSON here" };
                ContractError::Syntax(self.complaint(Some(&error.span), None, error.sentence, remedy))
            }),
            Format::Toml => match DeTable::parse(&self.text) {
                Ok(table) => {
                    let mut root = from_table(table.get_ref(), table.span());
                    root.span = 0..0;
                    Ok(root)
                }
                Err(error) => {
                    let duplicate = error.message().contains("duplicate");
                    let remedy = if duplicate { "keep one of the two" } else { "correct the TOML here" };
                    let mut sentence = error.message().replace('\n', ", ");
                    if let Some(key) = error.span().and_then(|span| self.text.get(span)).filter(|_| duplicate)
                    {
                        sentence = format!("{sentence} `{}`", crate::vocab::shown(key));
                    }
                    Err(ContractError::Syntax(self.complaint(error.span().as_ref(), None, sentence, remedy)))
                }
            },
        }
    }
}

/// A value and the bytes where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// What JSON and TOML can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// TOML only; no field takes one.
    Datetime,
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// The node of a field path as messages write it: `limits.wall_seconds`, `allowed_paths[2]`.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        let mut node = self;
        for step in path.split(['.', '[']) {
            node = match (&node.value, step.strip_suffix(']')) {
                (Value::List(list), Some(index)) => list.get(index.parse::<usize>().ok()?)?,
                (Value::Table(entries), None) => &entries.iter().find(|e| e.key == step)?.node,
                _ => return None,
            };
        }
        Some(node)
    }
}

fn from_table(table: &DeTable<'_>, span: Range<usize>) -> Node {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: from_toml(value.get_ref(), value.span()),
        })
        .collect();
    // The order of the text, so that the first mistake a reader meets is the first one told.
    entries.sort_by_key(|entry| entry.key_span.start);
    Node { span, value: Value::Table(entries) }
}

fn from_toml(value: &DeValue<'_>, span: Range<usize>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let (text, radix) = (integer.as_str(), integer.radix());
            if let Ok(number) = u64::from_str_radix(text.strip_prefix('+').unwrap_or(text), radix) {
                Value::Unsigned(number)
            } else if let Ok(number) = i64::from_str_radix(text, radix) {
                Value::Signed(number)
            } else {
                Value::Float(f64::INFINITY)
            }
        }
        // No field takes a float, so its value is never looked at.
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => {
            Value::List(array.iter().map(|item| from_toml(item.get_ref(), item.span())).collect())
        }
        DeValue::Table(table) => return from_table(table, span),
    };
    Node { span, value }
}
