//! The same world with one thing missing gives no permit: nothing in the adapter makes the engine eligible.

use cto_harness::eligibility::{Facts, Observed};
use cto_harness::vocab::Stage;

use crate::bench::{Asked, decision};
use crate::world::case;

fn engine(facts: &mut Facts) -> &mut cto_harness::eligibility::EngineFacts {
    facts.engines.get_mut(&case()).unwrap()
}

type Spoil = (&'static str, fn(&mut Facts));

#[test]
fn with_one_gate_missing_there_is_no_permit() {
    assert!(decision(&Asked::default(), |_| {}).document().eligible(), "the control");
    let spoils: [Spoil; 8] = [
        ("engine.stage", |facts| engine(facts).proof = Some(Observed::Absent("none".into()))),
        ("engine.enabled", |facts| engine(facts).enabled = false),
        ("engine.enabled", |facts| facts.named_engine = None),
        ("engine.stage", |facts| engine(facts).stage = Stage::DefaultDeny),
        ("source.admission", |facts| engine(facts).admission = Observed::Absent("none".into())),
        ("source.license", |facts| engine(facts).licence = Observed::Absent("none".into())),
        ("engine.evidence-interface", |facts| engine(facts).conformance = Observed::Absent("none".into())),
        ("target.ownership", |facts| facts.registry = Observed::Absent("none".into())),
    ];
    for (gate, spoil) in spoils {
        let decided = decision(&Asked::default(), spoil);
        let missing = &decided.document().missing_gates;
        assert!(!decided.document().eligible());
        let named = missing.iter().any(|row| serde_json::to_value(row).unwrap()["gate"] == gate);
        assert!(named, "{gate}: {missing:?}");
    }
}
