//! A model request taken apart, and written anew.
//!
//! What stays out is whatever the endpoint would do by itself: tools that it runs, addresses that it fetches, what it
//! keeps, and what goes on after the answer. Tools that the client runs stay; they end in the sandbox. A member that
//! stands twice, that nobody here knows, or that is not of its kind is a refusal. What goes out is written anew.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::{messages, responses};
use crate::broker::dialect::Dialect;
use crate::broker::refuse::Refusal;
use crate::broker::spend::worst_input_tokens;
use crate::vocab::{Digest, shown, strict_json};

/// JSON values of a body. A value costs up to some 300 bytes of memory, however few of the body.
const VALUES: usize = 250_000;
/// Characters of a hostile name that are repeated.
const NAME: usize = 60;

/// How large a request is, as far as it has a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::broker) struct Size {
    /// Bytes of the body that goes out, without its bound of the output.
    pub(in crate::broker) body_bytes: u64,
    /// Things that were said or done.
    pub(in crate::broker) messages: u64,
    /// Tools that are described.
    pub(in crate::broker) tools: u64,
    /// Pictures.
    pub(in crate::broker) images: u64,
    /// The most output tokens that the client wants, if it says so.
    pub(in crate::broker) wanted_output_tokens: Option<u64>,
}

impl Size {
    /// Bound of the input tokens.
    pub(in crate::broker) const fn worst_input_tokens(&self) -> u64 {
        worst_input_tokens(self.body_bytes, self.messages, self.tools, self.images)
    }
}

/// A request that may go out, once it is settled how much it may bring back.
#[derive(Debug)]
pub(in crate::broker) struct Checked {
    /// The document without its bound of the output.
    bytes: Vec<u8>,
    dialect: Dialect,
    pub(in crate::broker) size: Size,
}

/// A request as it goes out.
#[derive(Debug)]
pub(in crate::broker) struct Rebuilt {
    pub(in crate::broker) bytes: Vec<u8>,
    pub(in crate::broker) digest: Digest,
}

/// Reads a body: for the model that the decision names, streamed, not stored, and where it has a price (`priced`) of
/// the one tier that the price is for.
pub(in crate::broker) fn check(
    bytes: &[u8],
    dialect: Dialect,
    model: &str,
    priced: bool,
) -> Result<Checked, Refusal> {
    if values(bytes) > VALUES {
        let sentence = format!("the body holds more than {VALUES} JSON values");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "egress.size", sentence));
    }
    let document: Value = strict_json(bytes).map_err(|error| {
        let why = if error.to_string().contains("duplicate key") { ": a member stands twice" } else { "" };
        body(format!("the body is not one JSON document{why}"))
    })?;
    let Value::Object(mut fields) = document else {
        return Err(body("the body is not a JSON object"));
    };
    if fields.get("model").and_then(Value::as_str) != Some(model) {
        return Err(Refusal::route(format!("only the model `{model}` was decided on")));
    }
    let mut size = Size::default();
    match dialect {
        Dialect::Responses => responses::check(&mut fields, priced, &mut size)?,
        Dialect::Messages => messages::check(&mut fields, priced, &mut size)?,
    }
    size.wanted_output_tokens = match fields.remove(dialect.bound_member()) {
        None | Some(Value::Null) => None,
        Some(wanted) => Some(
            wanted
                .as_u64()
                .ok_or_else(|| body(format!("`{}` is not a number of tokens", dialect.bound_member())))?,
        ),
    };
    fields.insert("stream".to_owned(), Value::Bool(true));
    let bytes = serde_json::to_vec(&fields).map_err(|_| body("the body cannot be written again"))?;
    size.body_bytes = bytes.len() as u64;
    Ok(Checked { bytes, dialect, size })
}

impl Checked {
    /// The request with its bound of the output.
    pub(in crate::broker) fn bounded(mut self, max_output_tokens: Option<u64>) -> Rebuilt {
        // An object with at least a model in it: its last byte is the closing brace.
        if let Some(most) = max_output_tokens
            && self.bytes.pop() == Some(b'}')
        {
            let member = format!(",\"{}\":{most}}}", self.dialect.bound_member());
            self.bytes.extend_from_slice(member.as_bytes());
        }
        let digest = Digest::of(&self.bytes);
        Rebuilt { bytes: self.bytes, digest }
    }
}

/// At least as many as the document has values, counted without reading it: one before each of its marks.
pub(super) fn values(bytes: &[u8]) -> usize {
    let (mut count, mut within, mut escaped) = (1_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => within = !within,
            b',' | b':' | b'[' | b'{' if !within => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

pub(super) fn list<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a [Value], Refusal> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(body(format!("`{name}` is not a list"))),
    }
}

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| body(format!("{what} is not an object")))
}

/// Refuses a member that is not among `known`.
pub(super) fn closed(fields: &Map<String, Value>, known: &[&str], of: &str) -> Result<(), Refusal> {
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(outside(format!("the member `{}`{of} is not let through", cut(name)))),
    }
}

pub(super) fn kind_of(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or("without a type")
}

pub(super) fn cut(name: &str) -> String {
    shown(&name.chars().take(NAME).collect::<String>())
}

pub(super) fn body(sentence: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "egress.body", sentence)
}

/// Refused because the endpoint would do, keep or fetch something that the decision does not cover.
pub(super) fn outside(sentence: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "egress.request", sentence)
}
