//! Every way to misbehave that the host bounds: contained, named, and the next module works as before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::made::{TEXTS, harmless, module, words};
use crate::engine::adapter::{Adapter, AdapterError, LaunchPlan, PROGRAM, PlanInput, Step, Stream};
use crate::engine::component::Module;
use crate::engine::leave::Wish;
use crate::engine::replay::{Transcript, replay};
use crate::engine::trouble::{Trouble, TroubleKind};
use crate::event::EventKind;
use crate::evidence::EngineOutcome;

/// A loop that never ends.
const LOOP: &str = "(loop $l (br $l)) unreachable";

fn planned(adapter: &mut dyn Adapter) -> Result<LaunchPlan, AdapterError> {
    let contract = crate::engine::codex::tests::contract();
    let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin".to_owned())]);
    adapter.plan(&PlanInput {
        contract: &contract,
        script: None,
        model: None,
        program: PROGRAM,
        entry: None,
        listener_port: 8099,
        environment: &environment,
        earlier: None,
        prepared: &[],
    })
}

fn loaded(replaced: &[(&str, &str)], more: &str) -> Box<dyn Adapter> {
    Module::load(&module(replaced, more)).unwrap().adapter()
}

/// What comes of a module that is asked everything once: first its plan.
fn trouble(replaced: &[(&str, &str)], more: &str) -> Option<Trouble> {
    let mut adapter = loaded(replaced, more);
    if let Err(error) = planned(adapter.as_mut()) {
        return error.trouble().cloned();
    }
    replay(adapter, &Transcript { lines: &[(Stream::Stdout, b"line")], exit: "exited:0" }).trouble
}

fn kind(replaced: &[(&str, &str)], more: &str) -> Option<TroubleKind> {
    let begin = Instant::now();
    let kind = trouble(replaced, more).map(|trouble| trouble.kind);
    assert!(begin.elapsed() < Duration::from_secs(30), "{kind:?} after {:?}", begin.elapsed());
    // Whatever it was, the harness goes on, and so does everybody else's module.
    assert_eq!(trouble_of_a_harmless_one(), None);
    kind
}

fn trouble_of_a_harmless_one() -> Option<Trouble> {
    let mut adapter = Module::load(&harmless()).unwrap().adapter();
    let plan = planned(adapter.as_mut()).unwrap();
    assert_eq!((plan.argv, plan.cwd.as_str()), (vec![PROGRAM.to_owned()], "/workspace"));
    let replayed = replay(adapter, &Transcript { lines: &[(Stream::Stdout, b"line")], exit: "exited:0" });
    assert_eq!((replayed.steps, replayed.outcome.outcome), (Vec::new(), EngineOutcome::Completed));
    replayed.trouble
}

const EVERY_CALL: [&str; 6] = ["plan", "opening", "on-line", "on-exit", "conclude", "recommendation"];

#[test]
fn a_loop_in_any_call_uses_up_its_instructions_and_no_more() {
    for call in EVERY_CALL {
        assert_eq!(kind(&[(call, LOOP)], ""), Some(TroubleKind::Fuel), "{call}");
    }
}

#[test]
fn a_trap_in_any_call_is_named() {
    for call in EVERY_CALL {
        assert_eq!(kind(&[(call, "unreachable")], ""), Some(TroubleKind::Trap), "{call}");
    }
    for body in ["(i32.div_u (i32.const 1) (i32.const 0))", "(i32.load (i32.const -8))"] {
        assert_eq!(kind(&[("on-line", body)], ""), Some(TroubleKind::Trap), "{body}");
    }
    let deep = "(func $deep (result i32) (call $deep))";
    assert_eq!(kind(&[("on-line", "(call $deep)")], deep), Some(TroubleKind::Trap), "a stack without end");
}

#[test]
fn a_memory_bomb_is_held_at_its_first_page_too_many() {
    let grow = "(drop (memory.grow (i32.const 65000))) i32.const 4096";
    assert_eq!(kind(&[("on-line", grow)], ""), Some(TroubleKind::Memory));
    let piece = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    assert_eq!(kind(&[("plan", piece)], ""), Some(TroubleKind::Memory));
    // What is within its bounds it gets.
    let fine = "(drop (memory.grow (i32.const 500))) i32.const 4096";
    assert_eq!(kind(&[("on-line", fine)], ""), None);
}

#[test]
fn what_costs_time_and_few_instructions_is_ended_by_the_clock_or_by_fuel() {
    let fill =
        "(loop $l (memory.fill (i32.const 65536) (i32.const 0) (i32.const 131072)) (br $l)) unreachable";
    let kind = kind(&[("on-line", fill)], "").unwrap();
    assert!(matches!(kind, TroubleKind::Time | TroubleKind::Fuel), "{kind:?}");
    // The clock alone, after a time in which nobody was busy and it stood still.
    let mut instance = Module::load(&module(&[("interrupt", LOOP)], "")).unwrap().fresh().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    (instance.measures.fuel, instance.measures.ticks) = (u64::MAX, 10);
    let begin = Instant::now();
    let trouble = instance.call(|seam, store| seam.call_interrupt(store)).unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Time);
    assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
}

/// A list of `count` elements at `at`, at a place that is answered with.
fn list(at: u32, count: u32) -> String {
    format!("(data (i32.const 1024) \"{}\")", words(&[at, count]))
}

#[test]
fn too_much_output_is_not_copied() {
    let answer = [("on-line", "i32.const 1024")];
    // A page of zeroes is as good as 1,200 empty events.
    assert_eq!(kind(&answer, &list(0, 1_200)), Some(TroubleKind::Output));
    // Few steps, each the same large piece of memory: the bytes would be a thousand times those that it has.
    let one = [1_u32, 0, 200_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let many: Vec<u32> = one.iter().copied().cycle().take(13 * 500).collect();
    let data = format!("(data (i32.const {TEXTS}) \"{}\") {}", words(&many), list(8192, 500));
    assert_eq!(kind(&answer, &data), Some(TroubleKind::Output));
    // And more for the engine than it would ever read.
    let many: Vec<u32> = one.iter().copied().cycle().take(13 * 10).collect();
    let data = format!("(data (i32.const {TEXTS}) \"{}\") {}", words(&many), list(8192, 10));
    assert_eq!(kind(&answer, &data), Some(TroubleKind::Output));
    let few: Vec<u32> = one.iter().copied().cycle().take(13 * 5).collect();
    let data = format!("(data (i32.const {TEXTS}) \"{}\") {}", words(&few), list(8192, 5));
    assert_eq!(kind(&answer, &data), None, "what is within its bounds is sent");
}

#[test]
fn garbage_is_no_answer() {
    let answer = [("on-line", "i32.const 1024")];
    for (what, data) in [
        ("a list outside of its memory", list(0xffff_0000, 10)),
        ("a length without end", list(0, u32::MAX)),
        ("an unaligned list", list(8193, 1)),
        ("a step of no kind", format!("{} (data (i32.const 8192) \"\\ff\")", list(8192, 1))),
        (
            "a text that is not UTF-8",
            format!(
                "{} (data (i32.const 8192) \"{}\") (data (i32.const 9000) \"\\ff\\fe\")",
                list(8192, 1),
                words(&[3, 9000, 2])
            ),
        ),
        (
            "an event of no kind",
            format!("{} (data (i32.const 8192) \"{}\")", list(8192, 1), words(&[0, 200, 0, 0])),
        ),
    ] {
        assert_eq!(kind(&answer, &data), Some(TroubleKind::Garbage), "{what}");
    }
    assert_eq!(kind(&[("on-line", "i32.const -4")], ""), Some(TroubleKind::Garbage), "an answer outside");
    let end = format!("(data (i32.const 1024) \"{}\")", words(&[9]));
    assert_eq!(
        kind(&[("conclude", "i32.const 1024")], &end),
        Some(TroubleKind::Garbage),
        "an end of no kind"
    );
}

#[test]
fn a_plan_has_only_what_a_plan_may_have() {
    // The answer begins with "yes"; then arguments, environment, whether it starts at home, folders, files, sealed files.
    let plan = |words_: [u32; 12], more: &str| {
        let data = format!("(data (i32.const 1024) \"{}\") {more}", words(&words_));
        kind(&[("plan", "i32.const 1024")], &data)
    };
    let text = |at: u32, text: &str| format!("(data (i32.const {at}) \"{text}\")");
    let one = |at: u32| format!("(data (i32.const 2048) \"{}\")", words(&[at, 9]));
    let pair = |name: u32| format!("(data (i32.const 2048) \"{}\")", words(&[name, 9, name, 9]));
    let with = |slot: usize| {
        let mut all = [0; 12];
        (all[slot], all[slot + 1]) = (2048, 1);
        all
    };
    let names = [("LD_PRELOA", false), ("a=b=c=d=e", false), ("123456789", false), ("ok_NAME_9", true)];
    for (name, fine) in names {
        let kind = plan(with(3), &format!("{} {}", pair(3000), text(3000, name)));
        assert_eq!(kind, (!fine).then_some(TroubleKind::Plan), "{name}");
    }
    let paths = [("../../etc", false), ("/etc/pass", false), ("a/../../b", false), ("a\\00bcdefgh", false)];
    for (path, fine) in paths.into_iter().chain([("abcd/efgh", true)]) {
        let kind = plan(with(6), &format!("{} {}", one(3000), text(3000, path)));
        assert_eq!(kind, (!fine).then_some(TroubleKind::Plan), "{path}");
    }
    assert_eq!(
        plan(with(1), &format!("{} {}", one(3000), text(3000, "ab\\00cdefgh"))),
        Some(TroubleKind::Plan)
    );
    let mut many = with(1);
    many[2] = 300;
    assert_eq!(plan(many, ""), Some(TroubleKind::Plan), "arguments without end");
}

#[test]
fn every_step_arrives_as_what_it_is() {
    let mut all: Vec<u32> = Vec::new();
    for step in [
        // A message with one text.
        &[0, 3, 3000, 1][..],
        &[1, 3100, 4],
        // Leave for a command: granted, declined, asked, exactly.
        &[2, 0, 3100, 4, 0, 3104, 3, 3107, 2, 3000, 1, 3100, 4],
        &[3, 3100, 4],
        &[4],
        &[5],
    ] {
        all.extend_from_slice(step);
        all.resize(all.len().next_multiple_of(13), 0);
    }
    let data = format!(
        "{} (data (i32.const 8192) \"{}\") (data (i32.const 3000) \"{}\") (data (i32.const 3100) \"textyesno\")",
        list(8192, 6),
        words(&all),
        words(&[3100, 4, 0, 0, 3104, 3])
    );
    let steps = loaded(&[("on-line", "i32.const 1024")], &data).on_line(Stream::Stdout, b"x");
    let said = serde_json::json!({"text": "yes"});
    let Step::Event(draft) = &steps[0] else { panic!("{steps:?}") };
    assert_eq!((draft.kind, &draft.data), (EventKind::Message, &said));
    let ask = Step::Ask {
        wish: Wish::Command("text".to_owned()),
        granted: b"yes".to_vec(),
        declined: b"no".to_vec(),
        asked: said,
        exactly: "text".to_owned(),
    };
    let others =
        [Step::Send(b"text".to_vec()), ask, Step::ThreadId("text".to_owned()), Step::CloseInput, Step::Done];
    assert_eq!(steps[1..], others);
}

#[test]
fn after_trouble_a_module_is_not_asked_again_and_the_engine_is_to_end() {
    let mut adapter = loaded(&[("on-line", "unreachable")], "");
    planned(adapter.as_mut()).unwrap();
    assert!(adapter.opening().is_empty());
    let steps = adapter.on_line(Stream::Stderr, b"x");
    assert!(
        matches!(steps.as_slice(), [Step::Event(draft), Step::CloseInput, Step::Done]
            if draft.kind == EventKind::EngineError && draft.data["code"] == "engine.adapter-trap"),
        "{steps:?}"
    );
    for _ in 0..3 {
        assert!(adapter.on_line(Stream::Stdout, b"x").is_empty());
    }
    assert!(adapter.interrupt().is_empty() && adapter.declined("no").is_empty());
    assert!(adapter.on_exit("exited:0").is_empty());
    assert_eq!(adapter.outcome().outcome, EngineOutcome::Crashed);
    assert_eq!(adapter.trouble().unwrap().kind, TroubleKind::Trap);
}

#[test]
fn nothing_is_left_in_an_instance_for_the_next_one() {
    // Each counts its lines in a global, and traps at the second.
    let count = "(global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.ge_u (global.get $n) (i32.const 2)) (then unreachable)) i32.const 4096";
    let module = Module::load(&module(&[("on-line", count)], "(global $n (mut i32) (i32.const 0))"));
    let module = module.unwrap();
    for _ in 0..100 {
        let mut adapter = module.adapter();
        assert!(adapter.on_line(Stream::Stdout, b"one").is_empty());
        assert!(adapter.trouble().is_none());
    }
    let mut adapter = module.adapter();
    adapter.on_line(Stream::Stdout, b"one");
    adapter.on_line(Stream::Stdout, b"two");
    assert_eq!(adapter.trouble().unwrap().kind, TroubleKind::Trap, "within one it is kept");
}
