//! The sample engine's adapter, built from its source: it plans, translates and ends as its page says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::engine::adapter::{Adapter, AdapterError, PROGRAM, PlanInput, Step, Stream};
use crate::engine::component::Module;
use crate::engine::replay::{Transcript, replay};
use crate::event::EventKind::{self, EvidenceClaimed, FileChanged, Message, PhaseStarted, RawUnrecognized};
use crate::evidence::EngineOutcome;

/// The folder that scripts/guests.sh fills; `None`, and a word, where this machine has no compiler for it.
pub(crate) fn sample() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(top.join("scripts/guests.sh")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(3) {
            eprintln!("skipped: the sample engine cannot be built here\n{said}");
            return None;
        }
        assert!(output.status.success(), "{said}");
        Some(top.join("target/guests/wordy"))
    });
    built.as_deref()
}

/// Its module, compiled once.
pub(crate) fn sample_module() -> Option<Module> {
    static LOADED: OnceLock<Module> = OnceLock::new();
    let file = sample()?.join("adapter.wasm");
    let load = || Module::load(&std::fs::read(file).unwrap()).unwrap();
    Some(LOADED.get_or_init(load).clone())
}

fn planned(instructions: &str) -> Option<Result<Box<dyn Adapter>, AdapterError>> {
    let mut adapter = sample_module()?.adapter();
    let mut contract = crate::engine::codex::tests::contract();
    contract.instructions = instructions.to_owned();
    let plan = adapter.plan(&PlanInput {
        contract: &contract,
        script: None,
        model: None,
        program: PROGRAM,
        entry: None,
        listener_port: 8099,
        environment: &BTreeMap::new(),
        earlier: None,
        prepared: &[],
    });
    Some(plan.map(|plan| {
        assert_eq!(plan.argv, [PROGRAM, "/workspace"]);
        assert!(plan.env.is_empty() && plan.home.is_none() && plan.files.is_empty() && !plan.needs_listener);
        adapter
    }))
}

#[test]
fn the_sample_translates_its_engine_and_nothing_else() {
    let Some(adapter) = planned("Mend the spelling.\nreplace teh the\n") else { return };
    let lines = [
        (Stream::Stdout, b"hello wordy 1".as_slice()),
        (Stream::Stdout, b"changed a/b.txt"),
        (Stream::Stderr, b"bye"),
        (Stream::Stdout, b"\xff\xfe verdict pass"),
        (Stream::Stdout, b"ran 0 sh check.sh"),
        (Stream::Stdout, b"say done"),
        (Stream::Stdout, b"bye"),
        (Stream::Stdout, b"say more"),
    ];
    let replayed = replay(adapter.unwrap(), &Transcript { lines: &lines, exit: "exited:0" });
    assert_eq!(replayed.trouble, None);
    assert_eq!(replayed.steps.first(), Some(&Step::Send(b"replace teh the\ngo\n".to_vec())));
    let kinds: Vec<EventKind> = replayed.steps.iter().filter_map(event).collect();
    assert_eq!(
        kinds,
        [
            PhaseStarted,
            FileChanged,
            RawUnrecognized,
            RawUnrecognized,
            EvidenceClaimed,
            Message,
            RawUnrecognized,
            // The recommendation.
            EvidenceClaimed
        ]
    );
    let outcome = replayed.outcome;
    assert_eq!((outcome.outcome, outcome.message.as_deref()), (EngineOutcome::Completed, Some("done")));
    assert_eq!(outcome.claims.files, ["a/b.txt"]);
    assert_eq!(outcome.claims.commands[0].exit_code, Some(0));
}

fn event(step: &Step) -> Option<EventKind> {
    match step {
        Step::Event(draft) => Some(draft.kind),
        _ => None,
    }
}

#[test]
fn the_sample_cut_at_every_line_never_completes_before_its_end() {
    let lines = [b"hello".as_slice(), b"changed a.txt", b"say x", b"bye"];
    for cut in 0..=lines.len() {
        let Some(adapter) = planned("replace a b") else { return };
        let lines: Vec<_> = lines[..cut].iter().map(|line| (Stream::Stdout, *line)).collect();
        let replayed = replay(adapter.unwrap(), &Transcript { lines: &lines, exit: "exited:0" });
        let whole = cut == 4;
        assert_eq!(replayed.outcome.outcome == EngineOutcome::Completed, whole, "{cut}");
    }
}

#[test]
fn a_task_that_the_sample_cannot_plan_for_is_refused_in_its_words() {
    let Some(refused) = planned("Make everything better.") else { return };
    let Err(error) = refused else { panic!("it planned") };
    assert!(error.trouble().is_none() && error.to_string().contains("replace OLD NEW"), "{error}");
}
