//! Bodies that go out, and bodies that do not.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::request::{Rebuilt, check, values};
use crate::broker::dialect::Dialect;
use crate::broker::refuse::Refusal;

/// What goes out, where it has no price.
fn rebuild(bytes: &[u8], model: &str) -> Result<Rebuilt, Refusal> {
    let checked = check(bytes, Dialect::Responses, model, false)?;
    let wanted = checked.size.wanted_output_tokens;
    Ok(checked.bounded(wanted))
}

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
    assert_eq!((refusal.code.as_str(), refusal.status), ("egress.size", StatusCode::PAYLOAD_TOO_LARGE));
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
    let search = json!({"type": "tool_search", "execution": "client", "description": "", "parameters": {}});
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

#[test]
fn unknown_and_doubled_members_are_refused_wherever_they_stand() {
    let message = |extra: &str| format!(r#"{{"type":"message","role":"user","content":[]{extra}}}"#);
    let body = |item: String| format!(r#"{{"model":"m","input":[{item}]}}"#);
    assert!(rebuild(body(message("")).as_bytes(), "m").is_ok());
    for (text, code) in [
        (body(message(r#","audio":"x""#)), "egress.request"),
        (body(message(r#","role":"system""#)), "egress.body"),
        (r#"{"model":"x","model":"m"}"#.to_owned(), "egress.body"),
        (
            r#"{"model":"m","tools":[{"type":"function","name":"f","server_url":"u"}]}"#.to_owned(),
            "egress.request",
        ),
        (r#"{"model":"m","tools":[{"type":"function","type":"mcp"}]}"#.to_owned(), "egress.body"),
        (r#"{"model":"m","max_output_tokens":"many"}"#.to_owned(), "egress.body"),
        (r#"{"model":"m","max_output_tokens":-1}"#.to_owned(), "egress.body"),
    ] {
        let refusal = rebuild(text.as_bytes(), "m").map(|_| &text).unwrap_err();
        assert_eq!(refusal.code, code, "{text}: {}", refusal.sentence);
    }
}

#[test]
fn what_has_a_price_is_measured_bounded_and_of_the_one_tier() {
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,AA"});
    let tool = json!({"type": "function", "name": "f"});
    let nested = json!({"type": "namespace", "name": "n", "tools": [tool, tool]});
    let body = json!({"model": "m", "max_output_tokens": 900, "tools": [tool, nested], "input": [
        {"type": "message", "role": "user", "content": [image, {"type": "input_text", "text": "x"}]},
        {"type": "function_call_output", "call_id": "c", "output": [image]}]});
    let checked = check(body.to_string().as_bytes(), Dialect::Responses, "m", true).unwrap();
    let size = checked.size;
    assert_eq!((size.messages, size.tools, size.images), (3, 4, 2));
    assert_eq!(size.wanted_output_tokens, Some(900));
    let sent: Value = serde_json::from_slice(&checked.bounded(Some(77)).bytes).unwrap();
    assert_eq!((&sent["max_output_tokens"], &sent["service_tier"]), (&json!(77), &json!("default")));
    let length = sent.to_string().len() as u64;
    assert!(size.body_bytes < length && length < size.body_bytes + 32, "{length} {}", size.body_bytes);
    assert!(size.worst_input_tokens() > size.body_bytes);
}

#[test]
fn the_other_dialect_lets_through_what_its_client_runs() {
    let check = |body: &Value, priced| check(body.to_string().as_bytes(), Dialect::Messages, "m", priced);
    let body = json!({"model": "m", "max_tokens": 500, "system": [{"type": "text", "text": "s",
            "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
        "thinking": {"type": "enabled", "budget_tokens": 300}, "metadata": {"user_id": "u"},
        "tools": [{"name": "f", "description": "", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}],
        "messages": [{"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": "i", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]}]}]});
    let checked = check(&body, true).unwrap();
    assert_eq!((checked.size.tools, checked.size.images), (2, 1));
    let sent: Value = serde_json::from_slice(&checked.bounded(Some(9)).bytes).unwrap();
    assert_eq!((&sent["max_tokens"], &sent["stream"]), (&json!(9), &json!(true)));
    assert_eq!(sent["service_tier"], "standard_only");

    let says = |block: Value| json!({"model": "m", "messages": [{"role": "user", "content": [block]}]});
    for (body, named) in [
        (says(json!({"type": "image", "source": {"type": "url", "url": "https://x"}})), "url"),
        (says(json!({"type": "document", "source": {}})), "document"),
        (
            says(json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}})),
            "ttl",
        ),
        (says(json!({"type": "text", "text": "x", "citations": []})), "citations"),
        (json!({"model": "m", "messages": [{"role": "user", "content": "", "name": "n"}]}), "name"),
        (json!({"model": "m", "mcp_servers": []}), "mcp_servers"),
        (json!({"model": "m", "container": "c"}), "container"),
        (json!({"model": "m", "service_tier": "auto"}), "service_tier"),
        (json!({"model": "m", "tools": [{"type": "web_search_20250305", "name": "w"}]}), "web_search"),
        (
            json!({"model": "m", "tools": [{"type": "code_execution_20250522", "name": "c"}]}),
            "code_execution",
        ),
    ] {
        let refusal = check(&body, false).map(|_| &body).unwrap_err();
        assert!(refusal.sentence.contains(named), "{named}: {}", refusal.sentence);
    }
}
