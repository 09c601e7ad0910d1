//! The embedded list of what is sent and read, held against a program's own JSON Schema.

use serde::Deserialize;
use serde_json::Value;

const EMBEDDED: &str = include_str!("../../../../engines/codex/protocol.toml");
/// Levels of references and alternatives that are followed; the schema is the program's, and may go round.
const DEPTH: usize = 24;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    message: Vec<Message>,
    r#type: Vec<Type>,
    words: Vec<Words>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    r#in: String,
    method: String,
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Type {
    name: String,
    variant: Option<String>,
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    r#in: String,
    words: Vec<String>,
}

/// How much was looked for, and what of it `schema` does not have. An unreadable list is an error, never a pass.
pub(super) fn missing(schema: &Value) -> Result<(usize, Vec<String>), String> {
    let list: List = toml::from_str(EMBEDDED).map_err(|error| error.to_string())?;
    let (mut looked, mut missing) = (0_usize, Vec::new());
    let mut note = |there: bool, what: String| {
        looked = looked.saturating_add(1);
        if !there {
            missing.push(what);
        }
    };
    for Message { r#in: place, method, members } in &list.message {
        let union = definition(schema, place);
        let message = union.and_then(|union| variant(schema, union, "method", method));
        note(message.is_some(), format!("{place} `{method}`"));
        for member in message.iter().flat_map(|_| members) {
            let path = format!("params.{member}");
            let there = message.is_some_and(|message| has(schema, message, &path, DEPTH));
            note(there, format!("`{member}` of `{method}`"));
        }
    }
    for Type { name, variant: of, members } in &list.r#type {
        let whole = definition(schema, name);
        let found = match of {
            Some(kind) => whole.and_then(|whole| variant(schema, whole, "type", kind)),
            None => whole,
        };
        let shown = of.as_ref().map_or_else(|| name.clone(), |kind| format!("{name} `{kind}`"));
        note(found.is_some(), shown.clone());
        for member in found.iter().flat_map(|_| members) {
            let there = found.is_some_and(|found| has(schema, found, member, DEPTH));
            note(there, format!("`{member}` of {shown}"));
        }
    }
    for Words { r#in: place, words } in &list.words {
        let found = definition(schema, place);
        for word in words {
            let there = found.is_some_and(|found| says(schema, found, word, DEPTH));
            note(there, format!("the word `{word}` of {place}"));
        }
    }
    Ok((looked, missing))
}

fn definition<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let definitions = schema.get("definitions")?;
    definitions.get("v2").and_then(|v2| v2.get(name)).or_else(|| definitions.get(name))
}

/// Where a reference leads; anything else leads to itself.
fn followed<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let target = node.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(node)
}

/// The alternatives of a node, and what an array holds.
fn parts(node: &Value) -> impl Iterator<Item = &Value> {
    let alternatives = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|word| node.get(word)?.as_array());
    alternatives.flatten().chain(node.get("items"))
}

/// The alternative of `union` whose member `tag` is the word `word`.
fn variant<'a>(schema: &'a Value, union: &'a Value, tag: &str, word: &str) -> Option<&'a Value> {
    let is_it = |part: &&Value| {
        part.pointer(&format!("/properties/{tag}")).is_some_and(|tag| says(schema, tag, word, 2))
    };
    parts(union).map(|part| followed(schema, part)).find(is_it)
}

/// Whether something of the form `node` can have the member at the dotted `path`.
fn has(schema: &Value, node: &Value, path: &str, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let node = followed(schema, node);
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let own = node.get("properties").and_then(|properties| properties.get(first));
    own.is_some_and(|member| rest.is_none_or(|rest| has(schema, member, rest, depth)))
        || parts(node).any(|part| has(schema, part, path, depth))
}

/// Whether `word` is one of the words that `node` can be, or by which its alternatives are told apart.
fn says(schema: &Value, node: &Value, word: &str, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let node = followed(schema, node);
    let listed = node.get("enum").and_then(Value::as_array).into_iter().flatten().chain(node.get("const"));
    listed.into_iter().any(|one| one == word)
        || node.pointer("/properties/type").is_some_and(|tag| says(schema, tag, word, depth))
        || parts(node).any(|part| says(schema, part, word, depth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_and_what_goes_round_have_nothing() {
        for schema in [
            json!({}),
            json!(null),
            json!({"definitions": {"ClientRequest": {"$ref": "#/definitions/ClientRequest"}}}),
        ] {
            let (looked, missing) = missing(&schema).unwrap();
            assert!(looked >= 50 && missing.len() == looked, "{looked} {missing:?}");
        }
        let round = json!({"definitions": {"A": {"anyOf": [{"$ref": "#/definitions/A"}, {"$ref": "#/definitions/A"}]}}});
        let a = definition(&round, "A").unwrap();
        assert!(!has(&round, a, "x", 12) && !says(&round, a, "x", 12));
    }

    #[test]
    fn members_are_found_behind_references_alternatives_and_lists() {
        let schema = json!({"definitions": {
            "U": {"oneOf": [{"properties": {"method": {"enum": ["m"]}, "params": {"$ref": "#/definitions/P"}}}]},
            "P": {"properties": {"a": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/definitions/I"}}]}}},
            "I": {"oneOf": [{"properties": {"type": {"const": "x"}, "b": {}}}, {"enum": ["w"]}]}}});
        let message = variant(&schema, definition(&schema, "U").unwrap(), "method", "m").unwrap();
        assert!(has(&schema, message, "params.a.b", DEPTH));
        for absent in ["params.b", "params.a.c", "a", "params.a.b.c"] {
            assert!(!has(&schema, message, absent, DEPTH), "{absent}");
        }
        let item = definition(&schema, "I").unwrap();
        assert!(says(&schema, item, "w", DEPTH) && says(&schema, item, "x", DEPTH));
        assert!(!says(&schema, item, "y", DEPTH));
    }
}
