//! Documents as engines could write them, good and hostile.

use serde_json::{Value, json};

use super::*;
use crate::evidence::{SetAside, Severity, review_sarif};
use crate::vocab::RunId;

fn plan() -> Value {
    json!({"summary": "Round once.", "risks": [], "open_questions": ["Which currency?"],
        "steps": [{"title": "Round", "detail": "At the end.", "paths": ["src/a.rs"], "check": "cargo test"}]})
}

fn review() -> Value {
    json!({"summary": "One thing.", "findings": [{"rule": "off-by-one", "severity": "error", "path": "src/a.rs",
        "start_line": 2, "end_line": null, "message": "It stops early.", "suggestion": null}]})
}

fn read(kind: OutputKind, document: &Value) -> Result<Document, Unfit> {
    Document::read(kind, &document.to_string())
}

#[test]
fn a_good_document_comes_out_as_it_went_in() {
    for (kind, good) in [(OutputKind::Plan, plan()), (OutputKind::Review, review())] {
        let document = read(kind, &good).unwrap();
        assert_eq!(document.kind(), kind);
        let rendered: Value = serde_json::from_slice(&document.render().unwrap()).unwrap();
        assert_eq!(rendered, good);
        assert!(jsonschema::draft202012::new(&Document::form(kind)).unwrap().is_valid(&good));
    }
}

#[test]
fn what_is_not_exactly_the_form_is_refused_and_by_the_schema_too() {
    let members: [(&str, Value); 8] = [
        ("/steps", Value::Null),
        ("/steps/0/title", json!(1)),
        ("/steps/0/paths", json!("src")),
        ("/summary", json!(["x"])),
        ("/risks", json!({})),
        ("/open_questions", json!([1])),
        ("/steps/0", json!({"title": "x"})),
        ("/steps/0/check", json!(false)),
    ];
    let form = jsonschema::draft202012::new(&Document::form(OutputKind::Plan)).unwrap();
    for (pointer, wrong) in members {
        let mut bad = plan();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(matches!(read(OutputKind::Plan, &bad), Err(Unfit::Form { .. })), "{pointer}");
        assert!(!form.is_valid(&bad), "{pointer}");
    }
    for pointer in ["", "/steps/0"] {
        let mut bad = plan();
        bad.pointer_mut(pointer).unwrap()["verdict"] = json!("pass");
        assert!(
            matches!(read(OutputKind::Plan, &bad), Err(Unfit::Form { .. })),
            "an unknown member: {pointer}"
        );
        assert!(!form.is_valid(&bad), "{pointer}");
    }
    let mut bad = review();
    bad["findings"][0]["severity"] = json!("fatal");
    assert!(matches!(read(OutputKind::Review, &bad), Err(Unfit::Form { .. })));
}

#[test]
fn what_is_no_single_json_document_is_refused() {
    let good = plan().to_string();
    let twice = good.replacen("\"risks\"", "\"summary\":\"x\",\"risks\"", 1);
    let deep = "[".repeat(100_000);
    for text in
        ["", "Here is the plan.", "null", "[]", &good[1..], &format!("```json\n{good}\n```"), &deep, &twice]
    {
        assert!(matches!(Document::read(OutputKind::Plan, text), Err(Unfit::Form { .. })), "{text:.40}");
    }
    assert!(Document::read(OutputKind::Plan, &format!("{good} {good}")).is_err());
    assert!(Document::read(OutputKind::Review, &good).is_err(), "another form");
    let large = format!("{good}{}", " ".repeat(10 << 20));
    assert!(matches!(Document::read(OutputKind::Plan, &large), Err(Unfit::TooLong(_))));
}

#[test]
fn lists_and_texts_are_bounded_and_nothing_is_empty() {
    let step = plan()["steps"][0].clone();
    let cases: [(&str, Value); 7] = [
        ("/steps", json!([])),
        ("/steps", Value::Array(vec![step; ENTRIES + 1])),
        ("/risks", json!(vec!["x"; ENTRIES + 1])),
        ("/summary", json!(" \n")),
        ("/steps/0/detail", json!("x".repeat(TEXT_CHARS + 1))),
        ("/steps/0/title", json!("a\nb")),
        ("/steps/0/check", json!("")),
    ];
    for (pointer, wrong) in cases {
        let mut bad = plan();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        let answer = read(OutputKind::Plan, &bad);
        assert!(matches!(answer, Err(Unfit::Member { .. })), "{pointer}: {answer:?}");
    }
}

#[test]
fn a_path_that_leads_out_is_refused_and_the_engines_own_prefix_is_taken_off() {
    for path in
        ["../x", "/etc/passwd", "src/../../x", ".git/config", "a//b", "~/x", "", "a\u{0}b", "/workspace/../x"]
    {
        let mut bad = review();
        bad["findings"][0]["path"] = json!(path);
        assert!(matches!(read(OutputKind::Review, &bad), Err(Unfit::Member { .. })), "{path}");
        let mut bad = plan();
        bad["steps"][0]["paths"][0] = json!(path);
        assert!(matches!(read(OutputKind::Plan, &bad), Err(Unfit::Member { .. })), "{path}");
    }
    let mut good = review();
    good["findings"][0]["path"] = json!("/workspace/src/a.rs");
    let Ok(Document::Review(read)) = read(OutputKind::Review, &good) else { panic!() };
    assert_eq!(read.findings[0].path, "src/a.rs");
}

#[test]
fn nothing_stays_hidden() {
    let mut hostile = review();
    hostile["findings"][0]["message"] = json!("a\u{1b}[2J\u{202e}b\nc");
    hostile["findings"][0]["path"] = json!("src/\u{202e}a.rs");
    let document = read(OutputKind::Review, &hostile).unwrap();
    let text = String::from_utf8(document.render().unwrap()).unwrap();
    assert!(!text.contains('\u{202e}') && !text.contains("u001b"), "{text}");
    assert!(text.contains("\\\\u{1b}[2J\\\\u{202e}b\\nc"), "{text}");
}

#[test]
fn a_finding_about_a_place_that_is_not_there_is_set_aside() {
    let Ok(Document::Review(mut review)) = read(OutputKind::Review, &review()) else { panic!() };
    let finding = review.findings.remove(0);
    assert_eq!(SetAside::judge(&finding, Some(2)), None);
    assert!(SetAside::judge(&finding, Some(1)).is_some(), "past the end");
    assert!(SetAside::judge(&finding, None).is_some(), "no such file");
    for (start, end) in [(Some(0), None), (Some(2), Some(1)), (None, Some(1)), (Some(1), Some(u64::MAX))] {
        let odd = ReviewFinding { start_line: start, end_line: end, ..finding.clone() };
        assert!(SetAside::judge(&odd, Some(5)).is_some(), "{start:?} {end:?}");
    }
    let whole = ReviewFinding { start_line: None, end_line: None, ..finding.clone() };
    assert_eq!(SetAside::judge(&whole, Some(0)), None);

    let note = ReviewFinding { rule: "other".to_owned(), severity: Severity::Note, ..finding.clone() };
    let review = ReviewDocument { summary: "Two.".to_owned(), findings: vec![finding, note] };
    let aside = [SetAside { finding: 1, why: "no such file".to_owned() }];
    let bytes = review_sarif(&review, &aside, &RunId::new(), "cto-harness 0");
    let sarif: Value = serde_json::from_slice(&bytes).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["results"].as_array().unwrap().len(), 1);
    assert_eq!(run["results"][0]["ruleId"], "other");
    assert_eq!(run["results"][0]["level"], "note");
    let notes = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    assert!(notes.len() == 1 && notes[0].to_string().contains("no such file"), "{notes:?}");
}

#[test]
fn the_form_for_a_model_is_strict_output() {
    fn every_object_is_closed(schema: &Value) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
            let required: Vec<&str> =
                schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(properties.keys().all(|name| required.contains(&name.as_str())), "{schema}");
        }
        match schema {
            Value::Object(fields) => fields.values().for_each(every_object_is_closed),
            Value::Array(items) => items.iter().for_each(every_object_is_closed),
            _ => {}
        }
    }
    for kind in [OutputKind::Plan, OutputKind::Review] {
        let form = Document::form(kind);
        every_object_is_closed(&form);
        let text = form.to_string();
        for word in ["$ref", "$defs", "oneOf", "\"format\"", "\"minimum\"", "$schema"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
    // A member called `title` is no title of the schema.
    assert!(Document::form(OutputKind::Plan).pointer("/properties/steps/items/properties/title").is_some());
}
