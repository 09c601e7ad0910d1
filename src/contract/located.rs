//! Serde over the tree, so that every error of a wire struct says which field it is and where it stands.
//!
//! An explicit `null` is a value of the wrong type, never "not given".

use std::fmt;
use std::ops::Range;

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::error::did_you_mean;
use super::source::{Entry, Node, Value};

/// What a wire struct did not accept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// `limits.wall_seconds`, built from the inside out.
    pub(super) field: String,
    pub(super) span: Option<Range<usize>>,
    pub(super) sentence: String,
    pub(super) remedy: String,
}

/// Which kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Shape,
    Value,
}

impl Fault {
    fn new(kind: FaultKind, field: &str, sentence: String, remedy: String) -> Self {
        Self { kind, field: field.to_owned(), span: None, sentence, remedy }
    }

    fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn under(mut self, parent: &str) -> Self {
        self.field = match self.field.chars().next() {
            None => parent.to_owned(),
            Some('[') => format!("{parent}{}", self.field),
            Some(_) => format!("{parent}.{}", self.field),
        };
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(FaultKind::Value, "", message.to_string(), "correct the value".to_owned())
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Unit | de::Unexpected::Option => "null".to_owned(),
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Map => "a table".to_owned(),
            de::Unexpected::Str(_) => "a text".to_owned(),
            // What no whole number of 64 bits can hold was read as a float.
            de::Unexpected::Float(number) if number.abs() >= 1e18 => "a number that is too large".to_owned(),
            other => other.to_string(),
        };
        let sentence = format!("wrong type: {found}; {wanted} is expected");
        Self::new(FaultKind::Shape, "", sentence, format!("write {wanted}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let remedy = match did_you_mean(field, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("remove it; known here: {}", known.join(", ")),
        };
        Self::new(FaultKind::Shape, "", "unknown field".to_owned(), remedy)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let remedy = match did_you_mean(variant, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        Self::new(FaultKind::Value, "", format!("unknown value `{variant}`"), remedy)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(FaultKind::Shape, field, "missing field".to_owned(), format!("add `{field}`"))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(*bool),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Datetime => Err(de::Error::invalid_type(de::Unexpected::Other("a date"), &visitor)),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
        }
        .map_err(|fault| fault.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) => {
                let text: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor).map_err(|fault| fault.at(&self.span))
            }
            _ => self.deserialize_any(Wanted("one of", visitor, variants)),
        }
    }

    /// A list is not a table whose keys were left out, although serde would read it so.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Table(_) => self.deserialize_any(visitor),
            _ => self.deserialize_any(Wanted("a table with some of", visitor, fields)),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// Refuses whatever comes, naming what is wanted.
struct Wanted<V>(&'static str, V, &'static [&'static str]);

impl<'de, V: Visitor<'de>> Visitor<'de> for Wanted<V> {
    type Value = V::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.2.join(", "))
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|fault| fault.at(&item.span).under(&format!("[{index}]")))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key = BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|fault: Fault| fault.at(&entry.key_span).under(&entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.current else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(&entry.node).map_err(|fault| fault.at(&entry.node.span).under(&entry.key))
    }
}
