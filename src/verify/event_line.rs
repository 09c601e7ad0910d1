//! One line of the event log: checked as a whole, kept in part.
//!
//! A log can be large and nearly all of it is data that nothing is derived from. Such values are read (their
//! syntax counts) and dropped. No key may stand twice in an event, nor one that is kept in its data.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::granted;
use crate::event::{Event, EventKind, Source};
use crate::evidence::TRACE_KEYS;
use crate::vocab::{Basis, RunId, Timestamp};

/// What is derived from besides the trace.
const VERDICT: &str = "verdict";
/// Where `sandbox.established` says what stood.
pub(super) const LAYERS: &str = "layers";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    time: Timestamp,
    run_id: RunId,
    source: Source,
    #[serde(rename = "type")]
    kind: EventKind,
    basis: Basis,
    data: Picked,
}

/// An object with the keys that something is derived from.
struct Picked(Value);

/// The event on `line`; its data holds only what something is derived from.
pub(super) fn read(line: &[u8]) -> Result<Event, serde_json::Error> {
    let Line { seq, time, run_id, source, kind, basis, data: Picked(data) } = serde_json::from_slice(line)?;
    Ok(Event { seq, time, run_id, source, kind, basis, data })
}

impl<'de> Deserialize<'de> for Picked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Picked;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Picked, A::Error> {
                let mut picked = Map::new();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let kept = [&[VERDICT, LAYERS][..], &granted::KEYS, TRACE_KEYS];
                    if !kept.iter().any(|keys| keys.contains(&key.as_ref())) {
                        map.next_value::<IgnoredAny>()?;
                    } else if picked.insert(key.into_owned(), map.next_value()?).is_some() {
                        return Err(A::Error::custom("a key stands twice in its data"));
                    }
                }
                Ok(Picked(Value::Object(picked)))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_derived_from() {
        let line = |data: &str| {
            let run = RunId::new();
            format!(
                "{{\"seq\":1,\"time\":\"2026-01-01T00:00:00.000000Z\",\"run_id\":\"{run}\",\"source\":\"engine\",\
                 \"type\":\"tool.called\",\"basis\":\"claimed\",\"data\":{data}}}"
            )
        };
        let event = read(line(r#"{"call":"7","output":"long","tool":{"a":[1]}}"#).as_bytes()).unwrap();
        assert_eq!(event.data, serde_json::json!({"call": "7", "tool": {"a": [1]}}));
        for bad in ["[]", "1", r#"{"call":1,"call":2}"#, r#"{"x":}"#, r#"{"x":1"#] {
            assert!(read(line(bad).as_bytes()).is_err(), "{bad}");
        }
    }
}
