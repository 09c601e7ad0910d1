//! Answers in pieces of every size, whole and cut, kind and hostile.

use serde_json::json;

use super::*;

fn told(dialect: Dialect, body: &str, pieces: usize) -> Told {
    let mut reader = Reader::new(dialect, Form::Events);
    for piece in body.as_bytes().chunks(pieces) {
        reader.take(piece);
    }
    reader.finish(200)
}

fn usage(input: u64, cached: u64, written: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        cache_write_tokens: written,
        output_tokens: output,
    }
}

#[test]
fn the_usage_of_a_stream_is_read_wherever_it_is_cut() {
    let completed = json!({"type": "response.completed", "response": {"id": "r", "model": "m-2026",
        "output": [{"text": "the word usage"}], "usage": {"input_tokens": 9, "output_tokens": 4,
            "input_tokens_details": {"cached_tokens": 3}, "total_tokens": 13}}});
    let delta =
        json!({"type": "response.output_text.delta", "delta": "{\"usage\": {\"input_tokens\": 1}}\n\n"});
    for newline in ["\n", "\r\n"] {
        let body = format!(
            ": hello{newline}{newline}event: x{newline}data: {delta}{newline}{newline}data:{completed}{newline}{newline}"
        );
        for pieces in [1, 2, 7, 64, 10_000] {
            let told = told(Dialect::Responses, &body, pieces);
            assert_eq!(told.usage, Some(usage(9, 3, 0, 4)), "{pieces}");
            assert_eq!((told.id.as_deref(), told.model.as_deref()), (Some("r"), Some("m-2026")));
        }
        // Without its last newline it did not come to its end.
        assert_eq!(told(Dialect::Responses, body.trim_end(), 9).usage, None);
    }
}

#[test]
fn the_pieces_of_a_messages_stream_count_once_it_stopped() {
    let start = json!({"type": "message_start", "message": {"id": "g", "model": "c", "usage":
        {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1}}});
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}});
    let stop = json!({"type": "message_stop"});
    let cut = format!("data: {start}\n\ndata: {delta}\n\n");
    assert_eq!(told(Dialect::Messages, &cut, 5).usage, None);
    let whole = told(Dialect::Messages, &format!("{cut}data: {stop}\n\n"), 5);
    assert_eq!(whole.usage, Some(usage(22, 7, 5, 40)));
}

#[test]
fn what_is_no_usage_is_none() {
    for response in [
        json!({}),
        json!({"usage": null}),
        json!({"usage": {"input_tokens": -1, "output_tokens": 2}}),
        json!({"usage": {"input_tokens": 1.5, "output_tokens": 2}}),
        json!({"usage": {"input_tokens": 1}}),
    ] {
        let body = format!("data: {}\n\n", json!({"type": "response.completed", "response": response}));
        assert_eq!(told(Dialect::Responses, &body, 50).usage, None, "{body}");
    }
    let twice = "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":1,\
        \"input_tokens\":0,\"output_tokens\":0}}}\n\n";
    assert_eq!(told(Dialect::Responses, twice, 50).usage, None, "a count that stands twice is none");
    // In the middle of a stream nothing has ended.
    let early = json!({"type": "response.in_progress", "response": {"usage": {"input_tokens": 1, "output_tokens": 1}}});
    assert_eq!(told(Dialect::Responses, &format!("data: {early}\n\n"), 50).usage, None);
}

#[test]
fn a_line_without_end_is_bounded_and_the_next_event_is_read_again() {
    let mut reader = Reader::new(Dialect::Responses, Form::Events);
    for _ in 0..20 {
        reader.take(&vec![b'a'; 1024 * 1024]);
        assert!(reader.line.len() <= EVENT_BYTES && reader.data.len() <= EVENT_BYTES);
    }
    let end =
        json!({"type": "response.completed", "response": {"usage": {"input_tokens": 1, "output_tokens": 2}}});
    reader.take(format!("\n\ndata: {end}\n\n").as_bytes());
    assert_eq!(reader.finish(200).usage, Some(usage(1, 0, 0, 2)));
}

#[test]
fn what_went_wrong_is_told_apart() {
    let document = |status: u16, body: Value| {
        let mut reader = Reader::new(Dialect::Responses, Form::Document);
        reader.take(body.to_string().as_bytes());
        reader.finish(status).trouble
    };
    let error = |code: &str| json!({"error": {"message": "x", "type": "t", "code": code}});
    assert_eq!(document(401, error("invalid_api_key")), Some(Trouble::Unauthorized));
    assert_eq!(document(401, json!("?")), Some(Trouble::Unauthorized));
    assert_eq!(document(429, error("insufficient_quota")), Some(Trouble::Quota));
    assert_eq!(document(429, error("x")), Some(Trouble::RateLimit));
    assert_eq!(document(400, error("context_length_exceeded")), Some(Trouble::ContextLength));
    assert_eq!(document(400, error("x")), Some(Trouble::Rejected));
    assert_eq!(document(503, json!({})), Some(Trouble::Overloaded));
    assert_eq!(document(200, json!({"usage": {"input_tokens": 1, "output_tokens": 1}})), None);
    let failed = json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}});
    assert_eq!(told(Dialect::Responses, &format!("data: {failed}\n\n"), 9).trouble, Some(Trouble::RateLimit));
    let event = json!({"type": "error", "code": "context_length_exceeded", "message": "m"});
    assert_eq!(
        told(Dialect::Responses, &format!("data: {event}\n\n"), 9).trouble,
        Some(Trouble::ContextLength)
    );
    let event = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    assert_eq!(told(Dialect::Messages, &format!("data: {event}\n\n"), 9).trouble, Some(Trouble::Overloaded));
}
