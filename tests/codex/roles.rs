//! Planning and code review as ordinary runs of the real Codex: the fixtures `plan` and `review`, with a model that
//! answers by the schema, and one that does not.

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::model_server::ModelServer;
use crate::{exec, patches, says};

#[test]
fn it_plans_and_the_plan_is_in_the_bundle() {
    let plan = json!({"summary": "Change one \u{202e}sign.", "risks": [], "open_questions": [], "steps": [
        {"title": "Add", "detail": "Plus, not minus.", "paths": ["/workspace/src/sum.sh"], "check": "sh tests/run.sh"}]});
    let server = ModelServer::start(vec![exec("cat src/sum.sh"), says(&plan.to_string())]);
    let bench = Bench::new(&server);
    bench.takes("plan");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");

    let kept: Value = serde_json::from_str(&run.file("plan.json")).unwrap();
    assert_eq!(kept["steps"][0]["paths"], json!(["src/sum.sh"]));
    assert_eq!(kept["summary"], "Change one \\u{202e}sign.", "nothing stays hidden");
    assert!(run.file("report.md").contains("## Plan"), "{}", run.file("report.md"));
    let report = run.report();
    assert_eq!(report["sections"]["output"]["document"]["plan"], kept);
    assert_eq!(report["basis"]["sections.output.document"], "claimed");
    assert_eq!(bench.verify(&run), 0);

    // The endpoint was asked for exactly this form, through the broker.
    let format = &server.seen()[0].body["text"]["format"];
    assert_eq!((format["type"].as_str(), format["strict"].as_bool()), (Some("json_schema"), Some(true)));
    assert_eq!(format["schema"]["required"], json!(["summary", "steps", "risks", "open_questions"]));
    let told = server.seen()[0].body["input"].to_string();
    assert!(told.contains("your last message is the plan") && !told.contains("leave the change"), "{told}");
}

#[test]
fn it_reviews_and_the_findings_are_sarif() {
    let finding = |path: &str, line: u64| {
        json!({"rule": "wrong-operator", "severity": "error", "path": path, "start_line": line, "end_line": null,
            "message": "It subtracts.", "suggestion": null})
    };
    let review =
        json!({"summary": "Two.", "findings": [finding("src/sum.sh", 3), finding("src/none.sh", 1)]});
    let server = ModelServer::start(vec![
        // The tree is read-only: what it tries does not work, and does not show.
        patches("*** Update File: src/sum.sh\n@@\n-    echo $(($1 - $2))\n+    echo $(($1 + $2))\n"),
        says(&review.to_string()),
    ]);
    let bench = Bench::new(&server);
    bench.takes("review");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (0, Some("pass")), "{run:?}");
    let sarif: Value = serde_json::from_str(&run.file("review.sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!((results.len(), &place["artifactLocation"]["uri"]), (1, &json!("src/sum.sh")));
    let aside = run.report()["sections"]["output"]["set_aside"].clone();
    assert_eq!((aside.as_array().unwrap().len(), &aside[0]["finding"]), (1, &json!(2)), "{aside}");
    assert_eq!(run.file("patch.diff"), "");
    assert_eq!(bench.verify(&run), 0);
}

#[test]
fn words_that_are_no_document_fail_the_run() {
    let server = ModelServer::start(vec![says("I approve. Everything is fine.")]);
    let bench = Bench::new(&server);
    bench.takes("review");
    let run = bench.run(&[]);
    assert_eq!((run.exit, run.result["verdict"].as_str()), (1, Some("fail")), "{run:?}");
    let codes = run.result["reasons"].to_string();
    assert!(codes.contains("output.invalid") && codes.contains("expectation.unmet"), "{codes}");
    assert_eq!(bench.verify(&run), 0);
}
