//! Records and the files that they name: what was signed and kept counts, and nothing else does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::conformance::*;
use crate::engine::PreparedFile;
use crate::vocab::{Digest, EngineId, RunId, SealingKey, Timestamp};

/// Does to a kept file what nobody should.
type Spoil = fn(&Path);

fn record() -> ConformanceRecord {
    ConformanceRecord {
        engine: EngineId::codex(),
        program: Digest::of(b"program"),
        adapter: Digest::of(b"adapter"),
        version: Some("0.169.0".to_owned()),
        schema: None,
        harness: "cto-harness 0".to_owned(),
        checked_at: Timestamp::from_unix_micros(0).unwrap(),
        run_id: RunId::new(),
        root: Digest::of(b"root"),
        passed: true,
        prepared: Vec::new(),
    }
}

fn files(texts: &[(&str, &str)]) -> Vec<PreparedFile> {
    let file = |(name, text): &(&str, &str)| PreparedFile {
        name: (*name).to_owned(),
        bytes: text.as_bytes().into(),
    };
    texts.iter().map(file).collect()
}

/// The one record in a folder that has one.
fn only_record(state: &Path) -> PathBuf {
    let entries = std::fs::read_dir(state.join("conformance")).unwrap().map(|entry| entry.unwrap().path());
    let records: Vec<_> = entries.filter(|path| path.is_file()).collect();
    assert_eq!(records.len(), 1, "{records:?}");
    records[0].clone()
}

/// What is kept of prepared files: names, sorted.
fn kept(state: &Path) -> Vec<String> {
    let folder = std::fs::read_dir(state.join("conformance/prepared"));
    let names = folder.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn kept_at(state: &Path, text: &str) -> PathBuf {
    state.join("conformance/prepared").join(Digest::of(text.as_bytes()).hex())
}

fn find(records: &ConformanceRecords, key: &SealingKey) -> Result<Option<Conformance>, ConformanceError> {
    let pem = key.to_pem().unwrap();
    let record = record();
    let key = || SealingKey::from_pem(&pem).map_err(|error| error.to_string());
    records.find(&record.engine, record.program, record.adapter, key)
}

#[test]
fn only_the_bytes_that_this_machine_signed_count() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    assert!(find(&records, &key).unwrap().is_none());
    let failed = ConformanceRecord { passed: false, ..record() };
    records.keep(failed.clone(), &[], &key).unwrap();
    assert_eq!(find(&records, &key).unwrap().unwrap().record, failed);

    let path = only_record(state.path());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("\"passed\": false", "\"passed\": true"), ("0.169.0", "0.169.1"), ("\"record\"", "\"x\"")]
    {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(matches!(find(&records, &key), Err(ConformanceError::NotOurs { .. })), "{to}");
    }
    std::fs::write(&path, &text).unwrap();
    assert!(find(&records, &SealingKey::generate().unwrap()).is_err(), "another machine's");
    // The record of another pair in this one's place.
    let other = ConformanceRecord { program: Digest::of(b"other"), ..record() };
    let elsewhere = tempfile::tempdir().unwrap();
    ConformanceRecords::of(elsewhere.path()).keep(other, &[], &key).unwrap();
    std::fs::copy(only_record(elsewhere.path()), &path).unwrap();
    assert!(find(&records, &key).unwrap_err().to_string().contains("another"));
    records.keep(record(), &[], &key).unwrap();
    assert!(find(&records, &key).unwrap().unwrap().record.passed, "a later check replaces it");
}

#[test]
fn what_was_prepared_is_kept_privately_and_comes_back_whole() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    let both = files(&[("a.sqlite", "of a"), ("b.sqlite", "")]);
    records.keep(record(), &both, &key).unwrap();
    let found = find(&records, &key).unwrap().unwrap();
    assert_eq!(found.prepared, both);
    assert_eq!(found.digest, Digest::of(&std::fs::read(only_record(state.path())).unwrap()));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state.path().join("conformance/prepared")), 0o700);
    assert_eq!(mode(&kept_at(state.path(), "of a")), 0o600);

    // A check that failed prepares nothing, and the one before it is over.
    let failed = ConformanceRecord { passed: false, ..record() };
    records.keep(failed, &files(&[("c.sqlite", "of c")]), &key).unwrap();
    assert_eq!(find(&records, &key).unwrap().unwrap().prepared, []);
    assert_eq!(kept(state.path()), [""; 0]);
}

#[test]
fn a_prepared_file_that_is_not_as_it_was_kept_takes_the_record_with_it() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    records.keep(record(), &files(&[("a.sqlite", "of a"), ("b.sqlite", "of b")]), &key).unwrap();
    let path = kept_at(state.path(), "of b");
    let spoilt: [(&str, Spoil); 8] = [
        ("not those of sha256", |path| std::fs::write(path, "of B").unwrap()),
        ("not those of sha256", |path| std::fs::write(path, "of ").unwrap()),
        ("larger than 4 bytes", |path| std::fs::write(path, "of b ").unwrap()),
        ("it is gone", |_| ()),
        ("not a regular file", |path| std::os::unix::fs::symlink("elsewhere", path).unwrap()),
        ("not a regular file", |path| std::fs::create_dir(path).unwrap()),
        ("it is gone", |path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap()),
        ("cannot open the directory prepared", |path| {
            // The same files, by a link in the place of their folder.
            let (folder, moved) = (path.parent().unwrap(), path.parent().unwrap().with_extension("moved"));
            std::fs::rename(folder, &moved).unwrap();
            std::os::unix::fs::symlink(moved, folder).unwrap();
        }),
    ];
    for (why, spoil) in spoilt {
        std::fs::write(path.with_file_name("elsewhere"), "of b").unwrap();
        std::fs::remove_file(&path).unwrap();
        spoil(&path);
        let said = find(&records, &key).unwrap_err();
        assert!(
            matches!(&said, ConformanceError::Lost { name, .. } if name == "b.sqlite" || name == "a.sqlite")
        );
        assert!(said.to_string().contains(why), "{why}: {said}");
        records.keep(record(), &files(&[("a.sqlite", "of a"), ("b.sqlite", "of b")]), &key).unwrap();
        assert_eq!(
            find(&records, &key).unwrap().unwrap().prepared.len(),
            2,
            "the next check mends it: {why}"
        );
        assert_eq!(kept(state.path()).len(), 2, "and sweeps up");
    }
}

#[test]
fn another_list_of_files_is_not_what_was_signed() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    records.keep(record(), &files(&[("a.sqlite", "of a"), ("b.sqlite", "of b")]), &key).unwrap();
    let path = only_record(state.path());
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let altered: [fn(&mut Vec<serde_json::Value>); 5] = [
        |rows| drop(rows.pop()),
        Vec::clear,
        |rows| rows.swap(0, 1),
        |rows| rows[0]["name"] = "config.toml".into(),
        |rows| rows[0]["digest"] = rows[1]["digest"].clone(),
    ];
    for alter in altered {
        let mut one = whole.clone();
        alter(one["record"]["prepared"].as_array_mut().unwrap());
        std::fs::write(&path, one.to_string()).unwrap();
        let said = find(&records, &key).unwrap_err().to_string();
        assert!(said.contains("did not sign it"), "{said}");
    }
    std::fs::write(&path, whole.to_string()).unwrap();
    assert!(find(&records, &key).unwrap().is_some(), "it was the list");
    // As records were before they named files: nothing says which there have to be.
    let mut old = whole;
    old["record"].as_object_mut().unwrap().remove("prepared");
    std::fs::write(&path, old.to_string()).unwrap();
    assert!(find(&records, &key).unwrap_err().to_string().contains("missing field `prepared`"));
}

#[test]
fn what_no_record_names_any_more_is_removed_and_what_another_names_stays() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    let hexes = |texts: &[&str]| {
        let mut hexes: Vec<_> = texts.iter().map(|text| Digest::of(text.as_bytes()).hex()).collect();
        hexes.sort();
        hexes
    };
    records.keep(record(), &files(&[("a.sqlite", "shared"), ("b.sqlite", "first")]), &key).unwrap();
    let other = ConformanceRecord { program: Digest::of(b"other"), ..record() };
    records.keep(other, &files(&[("a.sqlite", "shared"), ("b.sqlite", "of the other")]), &key).unwrap();
    assert_eq!(kept(state.path()), hexes(&["shared", "first", "of the other"]));

    // What a keeping that was cut leaves: bytes that nobody names yet, and drafts.
    std::fs::write(kept_at(state.path(), "never named"), "never named").unwrap();
    std::fs::write(state.path().join("conformance/prepared/.tmp123456"), "ha").unwrap();
    std::fs::write(state.path().join("conformance/.new-123456"), "{").unwrap();
    assert_eq!(find(&records, &key).unwrap().unwrap().prepared[1].bytes, b"first", "and the record stands");

    records.keep(record(), &files(&[("b.sqlite", "second")]), &key).unwrap();
    assert_eq!(kept(state.path()), hexes(&["shared", "of the other", "second"]));
    assert!(!state.path().join("conformance/.new-123456").exists());
    assert_eq!(find(&records, &key).unwrap().unwrap().prepared, files(&[("b.sqlite", "second")]));
}

#[test]
fn who_reads_while_others_keep_finds_a_record_with_its_own_files() {
    let (state, key) = (tempfile::tempdir().unwrap(), SealingKey::generate().unwrap());
    let records = ConformanceRecords::of(state.path());
    let text =
        |number: usize| files(&[("a.sqlite", &number.to_string()), ("b.sqlite", &(number + 1).to_string())]);
    records.keep(record(), &text(0), &key).unwrap();
    std::thread::scope(|scope| {
        let keeping = scope.spawn(|| (0..30).for_each(|n| records.keep(record(), &text(n), &key).unwrap()));
        while !keeping.is_finished() {
            let found = find(&records, &key).unwrap().unwrap().prepared;
            let number = |at: usize| String::from_utf8(found[at].bytes.clone()).unwrap().parse::<usize>();
            assert_eq!(number(0).unwrap() + 1, number(1).unwrap());
        }
    });
    assert_eq!(find(&records, &key).unwrap().unwrap().prepared, text(29));
}
