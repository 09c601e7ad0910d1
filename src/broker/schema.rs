//! The one form of a model request: every member is named here, or the request is refused.
//!
//! What stays out is whatever the endpoint would do by itself: tools that it runs, addresses that it fetches, what it
//! keeps, and what goes on after the answer. Tools that the client runs stay; they end in the sandbox. The forms are
//! those of the real Codex, whatever model it speaks for.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::refuse::Refusal;
use crate::vocab::{Digest, shown};

/// JSON values of a body. A value costs up to some 300 bytes of memory, however few of the body.
const VALUES: usize = 250_000;
/// Levels of namespaces around a tool.
const NAMESPACES: usize = 4;
/// Characters of a hostile name that are repeated.
const NAME: usize = 60;

/// Members that go out as they came, apart from those that are looked into below.
const MEMBERS: [&str; 14] = [
    "client_metadata",
    "include",
    "input",
    "instructions",
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
/// What was said and done so far, in the client's words.
const ITEMS: [&str; 14] = [
    "additional_tools",
    "agent_message",
    "compaction",
    "context_compaction",
    "custom_tool_call",
    "custom_tool_call_output",
    "function_call",
    "function_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "message",
    "reasoning",
    "tool_search_call",
    "tool_search_output",
];
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

/// A request as it goes out.
#[derive(Debug)]
pub(super) struct Rebuilt {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
}

/// Reads a body and writes it anew: for the model that the decision names, streamed, not stored.
pub(super) fn rebuild(bytes: &[u8], model: &str) -> Result<Rebuilt, Refusal> {
    if values(bytes) > VALUES {
        let sentence = format!("the body holds more than {VALUES} JSON values");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "egress.size", sentence));
    }
    let document: Value =
        serde_json::from_slice(bytes).map_err(|_| body("the body is not one JSON document"))?;
    let Value::Object(mut fields) = document else {
        return Err(body("the body is not a JSON object"));
    };
    if fields.get("model").and_then(Value::as_str) != Some(model) {
        return Err(Refusal::route(format!("only the model `{model}` was decided on")));
    }
    check(&fields)?;
    fields.insert("store".to_owned(), Value::Bool(false));
    fields.insert("stream".to_owned(), Value::Bool(true));
    // Written again from what was read: a key that stands twice in the original cannot mean one thing here and
    // another at the endpoint.
    let bytes = serde_json::to_vec(&fields).map_err(|_| body("the body cannot be written again"))?;
    let digest = Digest::of(&bytes);
    Ok(Rebuilt { bytes, digest })
}

/// At least as many as the document has values, counted without reading it: one before each of its marks.
fn values(bytes: &[u8]) -> usize {
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

fn check(fields: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(name) = unknown(fields, &MEMBERS) {
        return Err(outside(format!("the member `{}` is not let through", cut(name))));
    }
    let choice = fields.get("tool_choice").unwrap_or(&Value::Null);
    if !matches!(choice, Value::Null | Value::String(_)) {
        return Err(outside("a `tool_choice` that is not a word is not let through"));
    }
    let reasoning = |what: &Value| what == "reasoning.encrypted_content";
    if !list(fields.get("include"), "include")?.iter().all(reasoning) {
        return Err(outside("of `include`, only `reasoning.encrypted_content` is let through"));
    }
    tools(fields.get("tools"), NAMESPACES)?;
    if fields.get("input").is_some_and(Value::is_string) {
        return Ok(());
    }
    list(fields.get("input"), "input")?.iter().try_for_each(item)
}

fn item(item: &Value) -> Result<(), Refusal> {
    let kind = kind(item, &ITEMS, "an input item")?;
    if kind.contains("tool") {
        tools(item.get("tools"), NAMESPACES)?;
    }
    let parts = PARTED.iter().filter_map(|name| item.get(*name)).filter_map(Value::as_array).flatten();
    parts.into_iter().try_for_each(part)
}

fn part(part: &Value) -> Result<(), Refusal> {
    kind(part, &PARTS, "a part of an input item")?;
    if let Some(name) = part.as_object().and_then(|fields| unknown(fields, &PART_MEMBERS)) {
        return Err(outside(format!("the member `{}` of a part is not let through", cut(name))));
    }
    let inline = |url: &Value| url.as_str().is_some_and(|url| url.starts_with("data:"));
    if part.get("image_url").is_some_and(|url| !inline(url)) {
        return Err(outside("an image that the endpoint would fetch is not let through; only `data:` is"));
    }
    Ok(())
}

/// Tools that the client runs, also where they lie in namespaces.
fn tools(listed: Option<&Value>, depth: usize) -> Result<(), Refusal> {
    for tool in list(listed, "tools")? {
        match tool.get("type").and_then(Value::as_str) {
            Some("function" | "custom" | "local_shell") => {}
            Some("tool_search") if tool.get("execution").is_some_and(|by| by == "client") => {}
            Some("namespace") if depth > 0 => tools(tool.get("tools"), depth - 1)?,
            other => {
                let kind = cut(other.unwrap_or("without a type"));
                return Err(outside(format!("the tool `{kind}` would run at the endpoint")));
            }
        }
    }
    Ok(())
}

fn list<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a [Value], Refusal> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(body(format!("`{name}` is not a list"))),
    }
}

fn kind<'a>(value: &'a Value, known: &[&str], what: &str) -> Result<&'a str, Refusal> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("without a type");
    if known.contains(&kind) {
        return Ok(kind);
    }
    Err(outside(format!("{what} `{}` is not let through", cut(kind))))
}

fn unknown<'a>(fields: &'a Map<String, Value>, known: &[&str]) -> Option<&'a String> {
    fields.keys().find(|name| !known.contains(&name.as_str()))
}

fn cut(name: &str) -> String {
    shown(&name.chars().take(NAME).collect::<String>())
}

fn body(sentence: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "egress.body", sentence)
}

/// Refused because the endpoint would do, keep or fetch something that the decision does not cover.
fn outside(sentence: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "egress.request", sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: &Value) -> Refusal {
        rebuild(body.to_string().as_bytes(), "m").map(|_| body).unwrap_err()
    }

    #[test]
    fn the_marks_are_never_fewer_than_the_values() {
        fn count(value: &Value) -> usize {
            1 + match value {
                Value::Array(items) => items.iter().map(count).sum(),
                Value::Object(fields) => fields.values().map(count).sum(),
                _ => 0,
            }
        }
        for value in [json!(1), json!([]), json!({"a": [1, {"b": "c,:[{\\\"\\"}, null, [[]]], "d\"": {}})] {
            assert!(values(value.to_string().as_bytes()) >= count(&value), "{value}");
        }
        assert_eq!(values(br#"{"a\\":"\",,,[[::{{","b":[]}"#), 6, "marks within text are text");
    }

    #[test]
    fn a_body_of_many_small_values_is_refused_before_it_is_read() {
        let many = vec!["{\"\":0}"; 1_000_000].join(",");
        let refusal =
            rebuild(format!(r#"{{"model":"m","input":[{many}]}}"#).as_bytes(), "m").map(|_| ()).unwrap_err();
        assert_eq!((refusal.code, refusal.status), ("egress.size", StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn a_long_history_of_a_real_engine_goes_through() {
        let item = json!({"type": "function_call_output", "call_id": "c", "output": "x".repeat(1_000)});
        let body = json!({"model": "m", "input": vec![item; 15_000]}).to_string();
        assert!(body.len() > 15_000_000);
        assert!(rebuild(body.as_bytes(), "m").is_ok());
    }

    #[test]
    fn it_is_streamed_and_not_stored_whatever_the_client_says() {
        for body in [json!({"model": "m"}), json!({"model": "m", "store": true, "stream": false})] {
            let rebuilt = rebuild(body.to_string().as_bytes(), "m").unwrap();
            let sent: Value = serde_json::from_slice(&rebuilt.bytes).unwrap();
            assert_eq!(sent, json!({"model": "m", "store": false, "stream": true}));
        }
    }

    #[test]
    fn what_the_endpoint_would_do_keep_or_fetch_is_refused_by_name() {
        let tool = |tool: Value| json!({"model": "m", "tools": [tool]});
        let input = |item: Value| json!({"model": "m", "input": [item]});
        let says = |part: Value| input(json!({"type": "message", "role": "user", "content": [part]}));
        let answers = |part: Value| input(json!({"type": "function_call_output", "output": [part]}));
        let image = json!({"type": "input_image", "image_url": "https://example.com/x"});
        let nested = json!({"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]});
        for (body, named) in [
            (tool(json!({"type": "web_search"})), "web_search"),
            (tool(json!({"type": "mcp", "server_url": "https://example.com"})), "mcp"),
            (tool(json!({"type": "code_interpreter"})), "code_interpreter"),
            (tool(json!({"type": "tool_search", "execution": "server"})), "tool_search"),
            (tool(json!({"name": "x"})), "without a type"),
            (tool(nested.clone()), "web_search"),
            (input(json!({"type": "additional_tools", "tools": [nested]})), "web_search"),
            (input(json!({"type": "tool_search_output", "tools": [{"type": "mcp"}]})), "mcp"),
            (input(json!({"type": "item_reference", "id": "x"})), "item_reference"),
            (input(json!({"type": "compaction_trigger"})), "compaction_trigger"),
            (says(image.clone()), "only `data:`"),
            (answers(image), "only `data:`"),
            (says(json!({"type": "input_image", "image_url": {"url": "data:"}})), "only `data:`"),
            (says(json!({"type": "input_image", "file_id": "f"})), "file_id"),
            (says(json!({"type": "input_file", "file_url": "https://example.com/x"})), "input_file"),
            (json!({"model": "m", "previous_response_id": "r"}), "previous_response_id"),
            (json!({"model": "m", "conversation": "c"}), "conversation"),
            (json!({"model": "m", "background": true}), "background"),
            (json!({"model": "m", "service_tier": "priority"}), "service_tier"),
            (json!({"model": "m", "x\u{1b}": 1}), "x\\u{1b}"),
            (json!({"model": "m", "tool_choice": {"type": "mcp"}}), "tool_choice"),
            (json!({"model": "m", "include": ["web_search_call.results"]}), "include"),
        ] {
            let refusal = refused(&body);
            assert_eq!(refusal.code, "egress.request", "{body}");
            assert!(refusal.sentence.contains(named), "{named}: {}", refusal.sentence);
        }
        assert_eq!(refused(&json!({"model": "m", "tools": {}})).code, "egress.body");
        assert_eq!(refused(&json!({"model": "other"})).code, "egress.route");
    }

    #[test]
    fn what_the_real_engine_sends_for_new_and_old_models_goes_through() {
        let function = json!({"type": "function", "name": "wait", "strict": false, "description": "",
            "parameters": {"type": "object", "properties": {"tools": {"type": "array"}}}});
        let custom = json!({"type": "custom", "name": "apply_patch", "description": "",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}});
        let search =
            json!({"type": "tool_search", "execution": "client", "description": "", "parameters": {}});
        let older = json!({"model": "m", "instructions": "do", "tools": [function, custom, search],
            "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"effort": "low"}, "store": false,
            "stream": true, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
            "text": {"verbosity": "low"}, "client_metadata": {"a": "b"}, "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "high"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}],
                    "encrypted_content": "x"},
                {"type": "function_call", "call_id": "c", "name": "wait", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
                {"type": "custom_tool_call", "call_id": "d", "name": "apply_patch", "input": "x"},
                {"type": "custom_tool_call_output", "call_id": "d", "output": "x"}]});
        let newer = json!({"model": "m", "stream": true, "store": false, "tool_choice": "auto", "input": [
            {"type": "additional_tools", "role": "developer", "tools": [
                {"type": "namespace", "name": "functions", "description": "", "tools": [function, custom]}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]}]});
        for body in [older, newer] {
            let sent = rebuild(body.to_string().as_bytes(), "m").unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&sent.bytes).unwrap(), body);
        }
    }
}
