//! The Responses dialect. The forms are those of the real Codex, whatever model it speaks for.

use serde_json::{Map, Value};

use super::request::{Size, body, closed, cut, kind_of, list, object, outside};
use crate::broker::refuse::Refusal;

/// Levels of namespaces around a tool.
const NAMESPACES: usize = 4;

/// Members of a request.
const MEMBERS: [&str; 15] = [
    "client_metadata",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "store",
    "stream",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
];
/// What was said and done so far, in the client's words: each kind with the members that it may have, as the real Codex
/// describes them (`codex app-server generate-json-schema`, 0.169.0).
const ITEMS: [(&str, &[&str]); 14] = [
    ("additional_tools", &["id", "role", "tools"]),
    ("agent_message", &["author", "content", "id", "recipient"]),
    ("compaction", &["encrypted_content", "id"]),
    ("context_compaction", &["encrypted_content", "id"]),
    ("custom_tool_call", &["call_id", "encrypted_content", "id", "input", "name", "namespace", "status"]),
    ("custom_tool_call_output", &["call_id", "id", "name", "output"]),
    (
        "function_call",
        &[
            "arguments",
            "call_id",
            "encrypted_content",
            "encrypted_function_args",
            "id",
            "name",
            "namespace",
            "status",
        ],
    ),
    ("function_call_output", &["call_id", "id", "name", "namespace", "output", "status"]),
    ("local_shell_call", &["action", "call_id", "encrypted_content", "id", "status"]),
    ("local_shell_call_output", &["call_id", "id", "output", "status"]),
    ("message", &["content", "encrypted_content", "id", "phase", "role", "status"]),
    ("reasoning", &["content", "encrypted_content", "id", "status", "summary"]),
    ("tool_search_call", &["arguments", "call_id", "encrypted_content", "execution", "id", "status"]),
    ("tool_search_output", &["call_id", "execution", "id", "status", "tools"]),
];
/// What the client may write besides into any of them, for itself.
const NOTES: [&str; 2] = ["type", "internal_chat_message_metadata_passthrough"];
/// Members of an item that hold parts.
const PARTED: [&str; 3] = ["content", "output", "summary"];
const PARTS: [&str; 8] = [
    "encrypted_content",
    "input_image",
    "input_text",
    "output_text",
    "reasoning_text",
    "refusal",
    "summary_text",
    "text",
];
const PART_MEMBERS: [&str; 8] =
    ["annotations", "detail", "encrypted_content", "image_url", "logprobs", "refusal", "text", "type"];
/// Members of a tool that the client runs.
const TOOL_MEMBERS: [&str; 9] =
    ["defer_loading", "description", "execution", "format", "name", "parameters", "strict", "tools", "type"];

/// Checks a request and sets what is ours to set.
pub(super) fn check(fields: &mut Map<String, Value>, priced: bool, size: &mut Size) -> Result<(), Refusal> {
    closed(fields, &MEMBERS, "")?;
    let choice = fields.get("tool_choice").unwrap_or(&Value::Null);
    if !matches!(choice, Value::Null | Value::String(_)) {
        return Err(outside("a `tool_choice` that is not a word is not let through"));
    }
    let reasoning = |what: &Value| what == "reasoning.encrypted_content";
    if !list(fields.get("include"), "include")?.iter().all(reasoning) {
        return Err(outside("of `include`, only `reasoning.encrypted_content` is let through"));
    }
    tools(fields.get("tools"), NAMESPACES, size)?;
    // The instructions are one message more.
    size.messages = 1;
    match fields.get("input") {
        Some(Value::String(_)) => size.messages += 1,
        input => {
            for one in list(input, "input")? {
                item(one, size)?;
            }
        }
    }
    fields.insert("store".to_owned(), Value::Bool(false));
    if priced {
        // The one tier that prices are for, whatever the project at the provider is set to.
        fields.insert("service_tier".to_owned(), Value::from("default"));
    }
    Ok(())
}

fn item(item: &Value, size: &mut Size) -> Result<(), Refusal> {
    let kind = kind_of(item);
    let Some((_, members)) = ITEMS.iter().find(|(known, _)| *known == kind) else {
        return Err(outside(format!("an input item `{}` is not let through", cut(kind))));
    };
    let fields = object(item, "an input item")?;
    if let Some(name) =
        fields.keys().map(String::as_str).find(|name| !members.contains(name) && !NOTES.contains(name))
    {
        let sentence = format!("the member `{}` of an input item `{kind}` is not let through", cut(name));
        return Err(outside(sentence));
    }
    size.messages += 1;
    tools(fields.get("tools"), NAMESPACES, size)?;
    for parts in PARTED.iter().filter_map(|name| fields.get(*name)).filter_map(Value::as_array) {
        parts.iter().try_for_each(|one| part(one, size))?;
    }
    Ok(())
}

fn part(part: &Value, size: &mut Size) -> Result<(), Refusal> {
    let kind = kind_of(part);
    if !PARTS.contains(&kind) {
        return Err(outside(format!("a part of an input item `{}` is not let through", cut(kind))));
    }
    closed(object(part, "a part")?, &PART_MEMBERS, " of a part")?;
    if let Some(url) = part.get("image_url") {
        if !url.as_str().is_some_and(|url| url.starts_with("data:")) {
            return Err(outside(
                "an image that the endpoint would fetch is not let through; only `data:` is",
            ));
        }
        size.images += 1;
    }
    Ok(())
}

/// Tools that the client runs, also where they lie in namespaces.
fn tools(listed: Option<&Value>, depth: usize, size: &mut Size) -> Result<(), Refusal> {
    for tool in list(listed, "tools")? {
        match tool.get("type").and_then(Value::as_str) {
            Some("function" | "custom" | "local_shell") => {}
            Some("tool_search") if tool.get("execution").is_some_and(|by| by == "client") => {}
            Some("namespace") if depth > 0 => tools(tool.get("tools"), depth - 1, size)?,
            other => {
                let kind = cut(other.unwrap_or("without a type"));
                return Err(outside(format!("the tool `{kind}` would run at the endpoint")));
            }
        }
        let fields = tool.as_object().ok_or_else(|| body("a tool is not an object"))?;
        closed(fields, &TOOL_MEMBERS, " of a tool")?;
        size.tools += 1;
    }
    Ok(())
}
