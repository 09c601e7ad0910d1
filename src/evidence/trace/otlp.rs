//! Spans and their OTLP/JSON form: ids in hex, 64-bit integers as text, enums as numbers.

use serde_json::{Value, json};

/// The version of the conventions whose names are used.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Spans in one line.
const SPANS_PER_LINE: usize = 512;

/// One span; moments in microseconds since 1970.
pub(super) struct Span {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) name: String,
    pub(super) start: i64,
    pub(super) end: Option<i64>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) points: Vec<(i64, &'static str)>,
    /// `error.type`, when it did not end well.
    pub(super) error: Option<String>,
}

/// All lines. Spans without an end are closed at `last` as errors.
pub(super) fn render(trace_id: &str, harness: &str, spans: &[Span], last: i64) -> Vec<u8> {
    let resource = json!({"attributes": [
        text("service.name", "cto-harness"),
        text("service.version", harness),
    ]});
    let mut out = Vec::new();
    for batch in spans.chunks(SPANS_PER_LINE) {
        let spans: Vec<Value> = batch.iter().map(|span| span.render(trace_id, last)).collect();
        let scope = json!({"name": "cto-harness", "version": harness});
        let line = json!({"resourceSpans": [{
            "resource": resource,
            "scopeSpans": [{"scope": scope, "spans": spans, "schemaUrl": SCHEMA_URL}],
            "schemaUrl": SCHEMA_URL,
        }]});
        out.extend(line.to_string().into_bytes());
        out.push(b'\n');
    }
    out
}

impl Span {
    fn render(&self, trace_id: &str, last: i64) -> Value {
        let error = self.error.as_deref().or(self.end.is_none().then_some("unfinished"));
        let mut attributes: Vec<Value> =
            self.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        if let Some(error) = error {
            attributes.push(text("error.type", error));
        }
        let events: Vec<Value> = self
            .points
            .iter()
            .map(|(at, name)| json!({"timeUnixNano": nanos(*at), "name": name, "attributes": []}))
            .collect();
        // 1 = SPAN_KIND_INTERNAL; 1 = STATUS_CODE_OK, 2 = STATUS_CODE_ERROR.
        let mut span = json!({
            "traceId": trace_id,
            "spanId": self.id,
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end.unwrap_or(last).max(self.start)),
            "attributes": attributes,
            "events": events,
            "status": {"code": if error.is_some() { 2 } else { 1 }},
        });
        if let (Some(parent), Some(object)) = (&self.parent, span.as_object_mut()) {
            object.insert("parentSpanId".into(), Value::String(parent.clone()));
        }
        span
    }
}

fn nanos(micros: i64) -> String {
    format!("{micros}000")
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if !number.is_f64() => json!({"intValue": number.to_string()}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}
