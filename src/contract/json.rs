//! JSON with places: structure is read here, strings and numbers by `serde_json`.
//!
//! Accepts exactly the texts of RFC 8259 that `serde_json` accepts (a property test compares), except that a
//! key standing twice in one object is refused and nesting is bounded.

use std::collections::BTreeSet;
use std::ops::Range;

use super::source::{Entry, Node, Value};

/// The deepest nesting. A contract needs four levels.
const MAX_DEPTH: usize = 32;

/// Where the text stops being JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonError {
    pub(super) span: Range<usize>,
    pub(super) sentence: String,
    pub(super) duplicate: bool,
}

/// The tree of a whole text.
pub(super) fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.wrong("nothing may follow the value"));
    }
    Ok(node)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, sentence: &str) -> JsonError {
        let sentence = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => format!("the JSON ends too early: {sentence}"),
            Some(found) => format!("{sentence}, found `{found}`"),
        };
        JsonError { span: self.at..self.at + 1, sentence, duplicate: false }
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        self.space();
        if depth > MAX_DEPTH {
            return Err(self.wrong("too deeply nested"));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.table(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { span: start..self.at, value })
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        for (word, value) in words {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("a value is expected"))
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let number =
            self.text.get(start..self.at).and_then(|t| serde_json::from_str::<serde_json::Number>(t).ok());
        let Some(number) = number else {
            let sentence = "this is not a number".to_owned();
            return Err(JsonError { span: start..self.at, sentence, duplicate: false });
        };
        Ok(if let Some(unsigned) = number.as_u64() {
            Value::Unsigned(unsigned)
        } else if let Some(signed) = number.as_i64() {
            Value::Signed(signed)
        } else {
            Value::Float(number.as_f64().unwrap_or(f64::NAN))
        })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.wrong("a string is not closed")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).and_then(|t| serde_json::from_str(t).ok());
        quoted.ok_or_else(|| JsonError {
            span: start..self.at,
            sentence: "this string holds a bad escape or a raw control character".to_owned(),
            duplicate: false,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.wrong("`,` or `]` is expected")),
            }
        }
        self.at += 1;
        Ok(Value::List(items))
    }

    fn table(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = BTreeSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(entries));
        }
        loop {
            let entry = self.entry(depth)?;
            if !keys.insert(entry.key.clone()) {
                let sentence = format!("duplicate key `{}`", entry.key);
                return Err(JsonError { span: entry.key_span, sentence, duplicate: true });
            }
            entries.push(entry);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.wrong("`,` or `}` is expected")),
            }
        }
        self.at += 1;
        Ok(Value::Table(entries))
    }

    fn entry(&mut self, depth: usize) -> Result<Entry, JsonError> {
        self.space();
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in double quotes is expected"));
        }
        let key = self.string()?;
        let key_span = start..self.at;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:` is expected"));
        }
        self.at += 1;
        Ok(Entry { key, key_span, node: self.value(depth + 1)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null | Value::Datetime => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Unsigned(n) => (*n).into(),
            Value::Signed(n) => (*n).into(),
            Value::Float(n) => (*n).into(),
            Value::Text(t) => t.clone().into(),
            Value::List(items) => items.iter().map(plain).collect(),
            Value::Table(entries) => {
                serde_json::Value::Object(entries.iter().map(|e| (e.key.clone(), plain(&e.node))).collect())
            }
        }
    }

    #[test]
    fn a_duplicate_key_is_refused_at_every_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            let error = parse(text).unwrap_err();
            assert!(error.duplicate && error.sentence.contains("`a`"), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        assert!(parse(&"[".repeat(1_000_000)).is_err());
        assert!(parse(&r#"{"a":"#.repeat(100_000)).is_err());
    }

    fn json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"a\"",
            "\"b\"",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "1",
            "-0",
            "01",
            "1.5e3",
            "-",
            "1e999",
            "18446744073709551616",
            "true",
            "nul",
            "null",
            " ",
            "\n",
            "\"",
            "\u{7}",
            "ä",
        ]);
        prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts_and_reads_it_alike(text in json()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match parse(&text) {
                Ok(node) => prop_assert_eq!(plain(&node), theirs.unwrap()),
                Err(error) => prop_assert!(theirs.is_err() || error.duplicate, "{} {:?}", text, error),
            }
        }

        #[test]
        fn any_written_json_is_read_back(keys in prop::collection::btree_map(".*", any::<i64>(), 0..5)) {
            let value = serde_json::json!({ "list": [keys, null, true, 1.25] });
            prop_assert_eq!(plain(&parse(&value.to_string()).unwrap()), value);
        }
    }
}
