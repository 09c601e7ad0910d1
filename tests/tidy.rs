//! The house rules that no compiler checks, checked over the tree: lengths, docs, import order, one door for
//! each crate, where processes start, where `unsafe` is, what documents claim. Each rule is first shown to fail.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use source::{File, files, top};

/// Where the harness's own code may start a process.
const SPAWNS: [&str; 4] = [
    "src/process/",
    "src/sandbox/",
    // The operator's own key command, outside of any sandbox.
    "src/home/key_source.rs",
    // Runs inside of the sandbox, as the payload.
    "src/engine/fixture/player",
];

/// System calls without a safe wrapper, and compiled modules that are loaded.
const UNSAFE: [&str; 2] = ["src/sandbox/sys.rs", "src/engine/component/machine_code.rs"];

/// Where the harness's own code may name its standard streams. The player and the stub are programs of their own.
const PRINTS: [&str; 4] = [
    "src/cli/output.rs",
    "src/engine/fixture/player",
    "src/sandbox/stub",
    // Hands a person's own streams to the payload of `cto sandbox`.
    "src/sandbox/establish.rs",
];

fn rust() -> Vec<File> {
    files(&["src", "tests", "benches"], &[".rs"])
}

fn all(rule: impl Fn(&File) -> Vec<String>) {
    let complaints: Vec<String> = rust().iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_file_says_first_why_it_exists() {
    all(|file| if file.path.contains("compile_fail/") { Vec::new() } else { rules::opens_with_doc(file) });
}

#[test]
fn files_and_functions_are_short() {
    all(rules::file_length);
    all(rules::function_length);
}

#[test]
fn modules_name_only_earlier_ones() {
    all(rules::import_order);
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let lib = std::fs::read_to_string(top().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, rules::ORDER);
}

#[test]
fn every_crate_has_one_door() {
    all(rules::one_door);
}

#[test]
fn unsafe_code_is_in_two_files() {
    all(|file| rules::only_in(file, r"\bunsafe\b", &UNSAFE, "`unsafe` outside of its two files"));
}

#[test]
fn processes_start_in_few_places() {
    let pattern = r"\bprocess::Command\b|\bCommand::new\(|\b(fork|vfork|execve|execv|execveat|posix_spawn)\(";
    all(|file| match rules::module_of(&file.path) {
        Some(_) => rules::only_in(file, pattern, &SPAWNS, "starts a process outside of its places"),
        None => Vec::new(),
    });
}

#[test]
fn only_one_file_prints() {
    let pattern = r"\bio::(stdout|stderr)\(|\be?print(ln)?!";
    all(|file| match rules::module_of(&file.path) {
        Some(_) => rules::only_in(file, pattern, &PRINTS, "prints outside of cli/output.rs"),
        None => Vec::new(),
    });
}

#[test]
fn mod_files_are_tables_of_contents() {
    all(rules::mod_is_contents);
}

#[test]
fn every_dependency_has_its_reason() {
    let complaints = rules::dependency_reasons(&std::fs::read_to_string(top().join("Cargo.toml")).unwrap());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let folders = ["src", "benches", "docs", "scripts", "fixtures", "engines", "evidence/schema", ".ci"];
    let mut read = files(&folders, &[".rs", ".md", ".toml", ".sh", ".json", "run", ".txt"]);
    for name in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "Cargo.toml", "deny.toml"] {
        let text =
            std::fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        read.push(File::new(name, &text));
    }
    let complaints: Vec<String> = read.iter().flat_map(rules::no_home_paths).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_test_that_a_document_names_exists() {
    let tests: String = rust().iter().map(|file| file.text.as_str()).collect();
    for name in ["SECURITY.md", "ARCHITECTURE.md"] {
        let file = File::new(name, &std::fs::read_to_string(top().join(name)).unwrap());
        let complaints = rules::named_tests_exist(&file, &tests);
        assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    }
}

#[test]
fn decisions_are_numbered_and_one_page_long() {
    let records = files(&["docs/adr"], &[".md"]);
    let records: Vec<&File> = records.iter().filter(|file| !file.path.ends_with("README.md")).collect();
    assert!(!records.is_empty());
    for (n, file) in records.iter().enumerate() {
        assert!(file.path.starts_with(&format!("docs/adr/{:04}-", n + 1)), "{} is out of order", file.path);
        assert!(file.text.lines().count() <= 60, "{} is longer than a page", file.path);
    }
}

#[test]
fn every_fixture_is_whole() {
    let fixtures = top().join("fixtures");
    let entries = std::fs::read_dir(fixtures).into_iter().flatten();
    for dir in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for part in ["contract.toml", "repo", "expected.toml"] {
            assert!(dir.join(part).exists(), "{} has no {part}", dir.display());
        }
    }
}
