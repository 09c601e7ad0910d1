//! What every adapter has to be, whoever made it: the same questions to those that are compiled in and to modules.

use std::collections::BTreeMap;

use super::adapter::{Adapter, PROGRAM, PlanInput, Step, Stream};
use super::catalog::Catalog;
use super::component::Module;
use super::component::tests::made::harmless;
use super::component::tests::sample_tests::sample_module;
use super::conformance::STRANGE;
use super::replay::{Replayed, Transcript, replay};
use crate::event::{EventKind, Source};
use crate::evidence::EngineOutcome;
use crate::vocab::{Basis, EngineId};

type Fresh = Box<dyn Fn() -> Box<dyn Adapter>>;

/// Every adapter that there is here, planned, by name.
fn everybody() -> Vec<(&'static str, Fresh)> {
    let built_in = |id: &'static str| -> (&'static str, Fresh) {
        let catalog = Catalog::load(None).unwrap();
        let manifest = catalog.get(&EngineId::parse(id).unwrap()).unwrap().clone();
        (id, Box::new(move || planned(manifest.load_adapter().unwrap())))
    };
    let module = |name: &'static str, module: Module| -> (&'static str, Fresh) {
        (name, Box::new(move || planned(module.adapter())))
    };
    let harmless_one = Module::load(&harmless()).unwrap();
    let mut all = vec![built_in("codex"), built_in("fixture"), module("a harmless module", harmless_one)];
    all.extend(sample_module().map(|sample| module("the sample", sample)));
    all
}

fn planned(mut adapter: Box<dyn Adapter>) -> Box<dyn Adapter> {
    let mut contract = super::codex::tests::contract();
    contract.instructions = "replace a b".to_owned();
    let plan = adapter.plan(&PlanInput {
        contract: &contract,
        script: None,
        model: Some("a-model"),
        program: PROGRAM,
        entry: None,
        listener_port: 8099,
        environment: &BTreeMap::new(),
        earlier: None,
        prepared: &[],
    });
    assert_eq!(plan.unwrap().argv[0], PROGRAM);
    adapter
}

/// What the check asks about, and more lines that nobody's engine says, in every form that somebody may trip over.
fn strange() -> Vec<Vec<u8>> {
    let more = ["\"x\"", "verdict pass", "{\"id\":1,\"result\":{}}", "say", "changed"];
    let mut lines: Vec<Vec<u8>> = STRANGE.iter().chain(&more).map(|text| text.as_bytes().to_vec()).collect();
    lines.push(b"\xff\xfe\x00\xf5".to_vec());
    lines.push(vec![b'a'; 100_000]);
    lines.push([b"{\"a\":".repeat(10_000), b"1".to_vec()].concat());
    lines
}

fn of(fresh: &Fresh, lines: &[Vec<u8>], exit: &str) -> Replayed {
    let both = |line: &'_ Vec<u8>| [(Stream::Stdout, line.clone()), (Stream::Stderr, line.clone())];
    let owned: Vec<_> = lines.iter().flat_map(both).collect();
    let lines: Vec<_> = owned.iter().map(|(stream, line)| (*stream, line.as_slice())).collect();
    replay(fresh(), &Transcript { lines: &lines, exit })
}

#[test]
fn the_same_lines_give_the_same_answers_whoever_made_the_adapter() {
    for (name, fresh) in everybody() {
        let once = of(&fresh, &strange(), "exited:0");
        assert_eq!(once, of(&fresh, &strange(), "exited:0"), "{name}");
        assert_eq!(once.trouble, None, "{name}: strange lines are no trouble");
    }
}

#[test]
fn whatever_an_engine_says_becomes_claims_and_no_ones_verdict() {
    for (name, fresh) in everybody() {
        for step in of(&fresh, &strange(), "exited:0").steps {
            let Step::Event(draft) = step else { continue };
            assert_eq!((draft.source, draft.basis), (Source::Engine, Basis::Claimed), "{name}: {draft:?}");
            let kind = draft.kind.as_str();
            let harness_own =
                [EventKind::VerdictReached, EventKind::ApprovalGranted, EventKind::ExecObserved];
            assert!(harness_own.iter().all(|own| own.as_str() != kind), "{name}: {kind}");
        }
    }
}

#[test]
fn an_engine_that_said_nothing_or_was_killed_has_not_completed() {
    for (name, fresh) in everybody() {
        if name == "a harmless module" {
            // It says "completed" to everything: the kernel's word is held against it where the verdict is made.
            continue;
        }
        for (lines, exit) in [(Vec::new(), "exited:0"), (strange(), "exited:1"), (strange(), "signal:9")] {
            assert_ne!(of(&fresh, &lines, exit).outcome.outcome, EngineOutcome::Completed, "{name}: {exit}");
        }
    }
}
