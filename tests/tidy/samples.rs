//! Each rule on samples that break it, so that no rule passes because it sees nothing.

use super::rules;
use super::source::{File, code};

fn bad(complaints: &[String], part: &str) {
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains(part), "{complaints:?}");
}

#[test]
fn comments_and_literals_are_blank_and_code_is_not() {
    let text = "let a = \"fn x() { crate::cli }\"; // crate::cli\n/* a /* b */ c */ let r = r#\"\"crate\"#; 'b'; '\\''; x";
    let seen = code(text);
    assert!(!seen.contains("crate") && !seen.contains('b') && seen.ends_with('x'), "{seen}");
    assert_eq!(seen.chars().count(), text.chars().count());
    assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}", "lifetimes stay");
}

#[test]
fn a_file_without_its_doc_is_seen() {
    bad(&rules::opens_with_doc(&File::new("src/a.rs", "use x;\n")), "does not open");
    assert!(rules::opens_with_doc(&File::new("src/a.rs", "//! Why.\n")).is_empty());
}

#[test]
fn length_is_counted() {
    bad(&rules::file_length(&File::new("src/a.rs", &"\n".repeat(401))), "400");
    assert!(rules::file_length(&File::new("src/a.rs", &"\n".repeat(400))).is_empty());
    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    a();\n".repeat(lines));
    bad(&rules::function_length(&File::new("src/a.rs", &function(70))), "`f` has 70");
    assert!(rules::function_length(&File::new("src/a.rs", &function(69))).is_empty());
    let padded = format!("fn f() {{\n{}}}\n", "    // a } brace\n\n".repeat(90));
    assert!(rules::function_length(&File::new("src/a.rs", &padded)).is_empty(), "comments do not count");
}

#[test]
fn a_later_module_is_seen_in_every_spelling() {
    for text in [
        "use crate::cli::Exit;",
        "use crate::{vocab::Digest, cli};",
        "use crate::{vocab::{self, Digest}, cli::Exit};",
        "fn f() { crate::cli::main() }",
    ] {
        bad(&rules::import_order(&File::new("src/run.rs", text)), "`run` names `cli`");
    }
    let fine = "use crate::{vocab::Digest, contract};\n#[cfg(test)]\nmod tests { use crate::cli; }";
    assert!(rules::import_order(&File::new("src/eligibility/a.rs", fine)).is_empty());
    assert!(
        rules::import_order(&File::new("src/eligibility/a.rs", "use super::cli; // crate::cli")).is_empty()
    );
}

#[test]
fn a_crate_behind_another_door_is_seen() {
    for text in
        ["use git2::Repository;", "fn f() { git2::Repository::open(p) }", "use git2 as g;", "x(::git2::A)"]
    {
        bad(&rules::one_door(&File::new("src/verify/a.rs", text)), "`git2`");
        assert!(rules::one_door(&File::new("src/workspace/a.rs", text)).is_empty());
    }
    assert!(rules::one_door(&File::new("src/verify/a.rs", "my_git2::x(); super::nix::y()")).is_empty());
}

#[test]
fn words_are_seen_outside_of_their_place() {
    let file = |path| File::new(path, "fn f() { Command::new(\"x\") }");
    bad(
        &rules::only_in(&file("src/verify/a.rs"), r"\bCommand::new\(", &["src/process/"], "starts"),
        "starts",
    );
    assert!(
        rules::only_in(&file("src/process/a.rs"), r"\bCommand::new\(", &["src/process/"], "starts")
            .is_empty()
    );
}

#[test]
fn code_in_a_mod_file_is_seen() {
    let fine = "//! Doc.\n\nmod a;\n#[cfg(test)]\nmod tests;\npub mod b;\n\npub use a::{\n    X, Y,\n};\npub(crate) use b::Z;\n";
    assert!(rules::mod_is_contents(&File::new("src/a/mod.rs", fine)).is_empty());
    bad(
        &rules::mod_is_contents(&File::new("src/a/mod.rs", &format!("{fine}const A: u8 = 1;\n"))),
        "more than",
    );
    assert!(rules::mod_is_contents(&File::new("src/a/b.rs", "fn f() {}")).is_empty());
}

#[test]
fn a_dependency_without_reason_is_seen() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\" # vocab: because of that\nb = \"1\"\n[lints.rust]\nc = \"d\"\n";
    bad(&rules::dependency_reasons(manifest), "b = ");
}

#[test]
fn a_home_folder_is_seen() {
    let path = ["/ho", "me/somebody/x"].concat();
    bad(&rules::no_home_paths(&File::new("a.md", &path)), "home folder");
    assert!(rules::no_home_paths(&File::new("a.md", "the folder /home and /root are absent")).is_empty());
}

#[test]
fn a_named_test_that_is_not_there_is_seen() {
    let file = File::new("SECURITY.md", "It holds (test: `a::is_there`, `is_not`).");
    bad(&rules::named_tests_exist(&file, "fn is_there() {}"), "`is_not`");
}
