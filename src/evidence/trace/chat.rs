//! Model calls as the broker saw them, as spans: from the request that left to the answer's end.

use serde_json::{Value, json};

use super::builder::{TraceBuilder, word};
use crate::event::Event;

impl TraceBuilder {
    /// Takes one `egress.allowed`; whether it was a model call.
    pub(super) fn call(&mut self, event: &Event) -> bool {
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        let Some(call) = number("call") else { return false };
        let (key, at) = (format!("call {call}"), event.time.unix_micros());
        let text = |name: &str| word(&event.data, &[name]);
        if text("stage").as_deref() != Some("answer") {
            let model = text("model").unwrap_or_default();
            if self.begin_below("engine", &key, event.seq, &format!("chat {model}"), at)
                && let Some(span) = self.span(&key)
            {
                span.attributes.push(("gen_ai.operation.name", "chat".into()));
                span.attributes.push(("gen_ai.request.model", model.into()));
                span.attributes.push(("server.address", text("endpoint").into()));
                span.attributes.push(("opencto.basis", json!(event.basis)));
            }
            return true;
        }
        let Some(span) = self.span(&key) else { return true };
        span.end = Some(at);
        let mut add = |name: &'static str, value: Option<Value>| {
            span.attributes.extend(value.map(|value| (name, value)));
        };
        add("gen_ai.response.model", text("model").map(Value::from));
        add("gen_ai.response.id", text("response").map(Value::from));
        add("gen_ai.usage.input_tokens", number("input_tokens").map(Value::from));
        add("gen_ai.usage.cache_read.input_tokens", number("cached_input_tokens").map(Value::from));
        add("gen_ai.usage.output_tokens", number("output_tokens").map(Value::from));
        add("http.response.status_code", number("status").map(Value::from));
        add("opencto.cost_micro_usd", number("cost_micro_usd").map(Value::from));
        add("opencto.first_byte_ms", number("first_byte_ms").map(Value::from));
        span.error = text("trouble").or_else(|| text("error"));
        true
    }
}
