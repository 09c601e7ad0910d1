//! The Messages dialect: text, inline pictures, and tools that the client runs.

use serde_json::{Map, Value};

use super::request::{Size, closed, cut, kind_of, list, object, outside};
use crate::broker::refuse::Refusal;

/// Levels of results within results; the dialect has one.
const NESTED: usize = 2;

const MEMBERS: [&str; 13] = [
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
/// Each kind of block with the members that it may have besides `type` and `cache_control`.
const BLOCKS: [(&str, &[&str]); 6] = [
    ("image", &["source"]),
    ("redacted_thinking", &["data"]),
    ("text", &["text"]),
    ("thinking", &["signature", "thinking"]),
    ("tool_result", &["content", "is_error", "tool_use_id"]),
    ("tool_use", &["id", "input", "name"]),
];
/// Tools of the provider's own description that the client runs, by how their types begin.
const CLIENT_TOOLS: [&str; 2] = ["bash_", "text_editor_"];

/// Checks a request and sets what is ours to set.
pub(super) fn check(fields: &mut Map<String, Value>, priced: bool, size: &mut Size) -> Result<(), Refusal> {
    closed(fields, &MEMBERS, "")?;
    match fields.get("system") {
        None | Some(Value::Null) => {}
        Some(Value::String(_)) => size.messages += 1,
        Some(blocks) => content(Some(blocks), NESTED, size)?,
    }
    for message in list(fields.get("messages"), "messages")? {
        let message = object(message, "a message")?;
        closed(message, &["content", "role"], " of a message")?;
        size.messages += 1;
        content(message.get("content"), NESTED, size)?;
    }
    for tool in list(fields.get("tools"), "tools")? {
        tool_of_the_client(tool)?;
        size.tools += 1;
    }
    if priced {
        fields.insert("service_tier".to_owned(), Value::from("standard_only"));
    }
    Ok(())
}

fn content(content: Option<&Value>, depth: usize, size: &mut Size) -> Result<(), Refusal> {
    if content.is_some_and(Value::is_string) {
        return Ok(());
    }
    for block in list(content, "content")? {
        let kind = kind_of(block);
        let Some((_, members)) = BLOCKS.iter().find(|(known, _)| *known == kind) else {
            return Err(outside(format!("a block `{}` is not let through", cut(kind))));
        };
        let fields = object(block, "a block")?;
        let known = |name: &&str| members.contains(name) || ["type", "cache_control"].contains(name);
        if let Some(name) = fields.keys().map(String::as_str).find(|name| !known(name)) {
            let sentence = format!("the member `{}` of a block `{kind}` is not let through", cut(name));
            return Err(outside(sentence));
        }
        cached_as_priced(fields)?;
        size.messages += 1;
        match kind {
            "image" => {
                let source = object(fields.get("source").unwrap_or(&Value::Null), "an image's source")?;
                closed(source, &["data", "media_type", "type"], " of an image's source")?;
                if source.get("type").and_then(Value::as_str) != Some("base64") {
                    let sentence =
                        "an image that the endpoint would fetch is not let through; only base64 is";
                    return Err(outside(sentence));
                }
                size.images += 1;
            }
            "tool_result" if depth > 0 => self::content(fields.get("content"), depth - 1, size)?,
            "tool_result" => return Err(outside("results within results are not let through")),
            _ => {}
        }
    }
    Ok(())
}

fn tool_of_the_client(tool: &Value) -> Result<(), Refusal> {
    let fields = object(tool, "a tool")?;
    let known = match fields.get("type").and_then(Value::as_str) {
        None | Some("custom") => true,
        Some(kind) => CLIENT_TOOLS.iter().any(|begin| kind.starts_with(begin)),
    };
    if !known {
        return Err(outside(format!("the tool `{}` would run at the endpoint", cut(kind_of(tool)))));
    }
    closed(
        fields,
        &["cache_control", "description", "input_schema", "name", "strict", "type"],
        " of a tool",
    )?;
    cached_as_priced(fields)
}

/// Prices are for what is kept for five minutes.
fn cached_as_priced(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(control) = fields.get("cache_control").filter(|control| !control.is_null()) else {
        return Ok(());
    };
    closed(object(control, "`cache_control`")?, &["ttl", "type"], " of `cache_control`")?;
    match control.get("ttl") {
        None => Ok(()),
        Some(ttl) if ttl == "5m" => Ok(()),
        Some(_) => Err(outside("a `cache_control` with another `ttl` than `5m` has no price")),
    }
}
