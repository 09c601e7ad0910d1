//! What is no module of the seam is refused before anything of it runs.

use super::made::{component_of, harmless, module, text};
use crate::engine::component::Module;
use crate::engine::trouble::{Trouble, TroubleKind};

fn refused(bytes: &[u8]) -> Trouble {
    let trouble = Module::load(bytes).unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Load);
    trouble
}

#[test]
fn whatever_is_imported_is_refused_by_name() {
    let wit = include_str!("../../../../engines/adapter.wit");
    for (import, name) in [
        ("import log: func(text: string);", "log"),
        ("import wasi: interface { now: func() -> u64; }", "wasi"),
    ] {
        let wit = wit.replace("    export seam;", &format!("    {import}\n    export seam;"));
        let import = if name == "log" {
            "(import \"$root\" \"log\" (func $log (param i32 i32)))"
        } else {
            "(import \"wasi\" \"now\" (func $now (result i64)))"
        };
        // An import stands before everything else.
        let core = text(&[], "").replacen("(module ", &format!("(module {import} "), 1);
        let core = core.replacen("i32.const 4096", used(name), 1);
        let trouble = refused(&component_of(&core, &wit, "adapter"));
        assert!(trouble.what.contains(&format!("imports `{name}`")), "{trouble}");
    }
    assert!(Module::load(&harmless()).is_ok());
}

fn used(name: &str) -> &'static str {
    match name {
        "log" => "(call $log (i32.const 0) (i32.const 0)) i32.const 4096",
        _ => "(drop (call $now)) i32.const 4096",
    }
}

#[test]
fn what_does_not_answer_the_whole_seam_is_refused() {
    // A world of another name, one that lacks a call, and one in which a call has another form.
    let wit = include_str!("../../../../engines/adapter.wit");
    let other = component_of(
        "(module (func (export \"hello\") (result i32) i32.const 1))",
        "package a:b; world adapter { export hello: func() -> u32; }",
        "adapter",
    );
    assert!(refused(&other).what.contains("adapter.wit"));
    let fewer = wit.replace("    recommendation: func() -> option<string>;\n", "");
    assert_ne!(fewer, wit);
    let core = text(&[], "").replace("seam@1.0.0#recommendation", "seam@1.0.0#nothing");
    let core = core.replace("(export \"cto:adapter/seam@1.0.0#nothing\")", "");
    assert!(refused(&component_of(&core, &fewer, "adapter")).what.contains("adapter.wit"));
    let changed = wit.replace("interrupt: func() -> list<step>;", "interrupt: func() -> list<string>;");
    assert!(refused(&component_of(&text(&[], ""), &changed, "adapter")).what.contains("adapter.wit"));
}

#[test]
fn what_is_no_component_is_refused() {
    let core = wat::parse_str(text(&[], "")).unwrap();
    let whole = harmless();
    for bytes in [b"".as_slice(), b"\0asm", b"hello", &core, &whole[..whole.len() / 2], &vec![0; 100_000]] {
        refused(bytes);
    }
    // Compiled code is no module, whoever compiled it.
    let engine = &crate::engine::component::machine::machine().unwrap().engine;
    refused(&engine.precompile_component(&whole).unwrap());
}

#[test]
fn what_starts_too_large_or_by_misbehaving_is_held_as_in_any_call() {
    let large = text(&[], "").replace("\"memory\") 4)", "\"memory\") 2000)");
    let large = component_of(&large, include_str!("../../../../engines/adapter.wit"), "adapter");
    let trouble = Module::load(&large).unwrap_err();
    assert!(matches!(trouble.kind, TroubleKind::Load | TroubleKind::Memory), "{trouble}");
    let start = module(&[], "(func $forever (loop $l (br $l))) (start $forever)");
    let trouble = Module::load(&start).unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Fuel);
}
