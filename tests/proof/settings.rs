//! No configuration key and no environment variable turns a missing gate into less than a block. Both are enumerated from the
//! source; one that is new and not listed here fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::bench::{Answer, Bench, MINE};
use crate::nothing_else::{decide, still_blocked};

/// Every key of `config.toml`, by the wire structs of its source: table → fields.
fn keys() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/home/config.rs");
    let source = std::fs::read_to_string(path).unwrap();
    let wire = Regex::new(r"(?s)#\[derive\([^)]*Deserialize[^)]*\)\]\s*#\[serde\(deny_unknown_fields\)\]\s*(?:pub )?struct (\w+) \{(.*?)\n\}").unwrap();
    let field =
        Regex::new(r#"(?m)^\s*(?:#\[serde\(rename = "([a-z_]+)"\)\]\s*)?(?:pub )?([a-z_]+): "#).unwrap();
    wire.captures_iter(&source)
        .map(|found| {
            let fields = field.captures_iter(&found[2]);
            let names = fields.map(|f| f.get(1).unwrap_or_else(|| f.get(2).unwrap()).as_str().to_owned());
            (found[1].to_owned(), names.collect())
        })
        .collect()
}

/// What is written for each key: as much as it can give.
fn values(bench: &Bench) -> BTreeMap<(&'static str, &'static str), String> {
    let player = bench.path("inst/bin/player");
    let (player, inst) = (
        format!("{:?}", player.display().to_string()),
        format!("{:?}", bench.path("inst").display().to_string()),
    );
    let engine = |text: String| format!("[engines.case]\n{text}\n");
    let toolchain = |text: &str| format!("[toolchains.case]\n{text}\n");
    [
        (("EngineWire", "program"), engine(format!("program = {player}"))),
        (("EngineWire", "installation"), engine(format!("installation = {inst}"))),
        (("EngineWire", "endpoint"), engine("endpoint = \"http://127.0.0.1:9/v1\"".into())),
        (("EngineWire", "model"), engine("model = \"m-1\"".into())),
        (("EngineWire", "provider"), engine("provider = \"openai\"".into())),
        (("EngineWire", "unpriced"), engine("unpriced = true".into())),
        (("EngineWire", "key"), engine("key = { env = \"HOME\" }".into())),
        (("EngineWire", "ca"), engine("ca = \"/etc/ssl/certs/ca-certificates.crt\"".into())),
        (("KeyWire", "env"), engine("key = { env = \"PATH\" }".into())),
        (("KeyWire", "file"), engine(format!("key = {{ file = {player} }}"))),
        (("KeyWire", "command"), engine("key = { command = [\"/bin/echo\", \"approved\"] }".into())),
        (("NetworkWire", "allow"), "[network]\nallow = [\"example.org:443\"]\n".into()),
        (("NetworkWire", "addresses"), "[network]\naddresses = [\"127.0.0.1\"]\n".into()),
        (("SandboxConfig", "landlock_abi_at_most"), "[sandbox]\nlandlock_abi_at_most = 1\n".into()),
        (("SpendWire", "day_usd"), "[spend]\nday_usd = \"1000000\"\n".into()),
        (("SpendWire", "run_ceiling_usd"), "[spend]\nrun_ceiling_usd = \"1000000\"\n".into()),
        (("SpendWire", "thread_ceiling_usd"), "[spend]\nthread_ceiling_usd = \"1000000\"\n".into()),
        (("ToolchainWire", "read_only"), toolchain(&format!("read_only = [{inst}]"))),
        (("ToolchainWire", "path"), toolchain(&format!("path = [{inst}]"))),
        (("ToolchainWire", "env"), toolchain("env = { CTO_ENGINE = \"case\", CTO_GATES = \"off\" }")),
        (
            ("Wire", "engines"),
            engine(format!("program = {player}\nendpoint = \"http://127.0.0.1:9/v1\"\nunpriced = true")),
        ),
        (("Wire", "limits"), "[limits]\nwall_seconds = 100000\n".into()),
        (("Wire", "network"), "[network]\nallow = []\n".into()),
        (("Wire", "sandbox"), "[sandbox]\n".into()),
        (("Wire", "spend"), "[spend]\nday_usd = \"0\"\n".into()),
        (("Wire", "toolchains"), toolchain("")),
    ]
    .into()
}

#[test]
fn no_configuration_key_makes_a_missing_gate_less_than_a_block() {
    let bench = Bench::new();
    bench.fixture("task", "case");
    still_blocked(&decide(&bench), "nothing configured");
    let (keys, values) = (keys(), values(&bench));
    let there: BTreeSet<(String, String)> = keys
        .iter()
        .flat_map(|(table, fields)| fields.iter().map(move |f| (table.clone(), f.clone())))
        .collect();
    let known: BTreeSet<(String, String)> =
        values.keys().map(|(table, field)| ((*table).to_owned(), (*field).to_owned())).collect();
    assert_eq!(there, known, "a key of the configuration is not listed");
    for (key, text) in &values {
        bench.write("home/config/config.toml", text);
        still_blocked(&decide(&bench), &format!("{key:?}"));
    }
    // Whatever somebody makes up is refused, and no run begins.
    for text in
        ["[gates]\nskip = true\n", "[engines.case]\ngated = false\n", "[engines.case]\nenabled = true\n"]
    {
        bench.write("home/config/config.toml", text);
        decide(&bench).ends(2);
    }
    std::fs::remove_file(bench.path("home/config/config.toml")).unwrap();
    // An installed manifest cannot take its place, and says what it likes of itself.
    bench.write("home/config/engines/case/engine.toml", "id = \"case\"\n");
    assert!([2, 4].contains(&decide(&bench).code));
}

/// Where the program reads its environment, file by file, with the names as they are written there.
const READS: [(&str, &[&str]); 6] = [
    ("src/cli/engine_check.rs", &["\"PATH\""]),
    ("src/cli/output.rs", &["name", "\"TERM\""]),
    ("src/home/key_source.rs", &["name"]),
    ("src/home/places.rs", &["\"CTO_HOME\"", "variable"]),
    ("src/run/engines.rs", &["\"PATH\""]),
    ("src/verification/toolchains.rs", &["name", "\"PATH\"", "\"HOME\""]),
];
/// Files of tests, which are no part of the program.
const TESTS: [&str; 3] =
    ["src/contract/globs_oracle.rs", "src/workspace/target_tests.rs", "src/workspace/tests_bed.rs"];
/// The names that stand behind those places.
const NAMES: [&str; 12] = [
    "CTO_HOME",
    "HOME",
    "NO_COLOR",
    "PATH",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "TERM",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_environment_variable_makes_a_missing_gate_less_than_a_block() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = Regex::new(r"\benv::var(?:_os)?\(([^)]*)\)").unwrap();
    let whole = Regex::new(r"\benv::vars").unwrap();
    let (mut all, mut found) = (Vec::new(), BTreeMap::new());
    sources(&top.join("src"), &mut all);
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        // The tests that stand at the end of a file are no part of the program.
        let text = text.split("#[cfg(test)]").next().unwrap();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        assert!(!whole.is_match(text), "{name} reads the whole environment");
        let names: Vec<String> = read.captures_iter(text).map(|hit| hit[1].trim().to_owned()).collect();
        if !names.is_empty() {
            found.insert(name, names);
        }
    }
    for name in TESTS {
        let path = Path::new(name);
        let module = Regex::new(&format!(
            r#"#\[cfg\(test\)\]\s*(#\[path = "[^"]*"\]\s*)?mod {};"#,
            path.file_stem().unwrap().to_str().unwrap()
        ));
        let above = std::fs::read_to_string(top.join(path.with_file_name("mod.rs"))).unwrap();
        assert!(module.unwrap().is_match(&above), "{name} is part of the program");
        assert!(found.remove(name).is_some(), "{name} reads nothing: take it off the list");
    }
    let known: BTreeMap<String, Vec<String>> = READS
        .iter()
        .map(|(path, names)| ((*path).to_owned(), names.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    assert_eq!(found, known, "a variable is read at a place that is not listed");

    let bench = Bench::new();
    bench.fixture("task", "case");
    let (inst, home) =
        (bench.path("inst/bin").display().to_string(), bench.path("home").display().to_string());
    std::fs::copy(bench.path("inst/bin/player"), bench.path("inst/bin/case")).unwrap();
    std::fs::copy(bench.path("inst/bin/player"), bench.path("inst/bin/ca")).unwrap();
    for name in NAMES {
        for value in [inst.as_str(), home.as_str(), "case", "1", ""] {
            let mut command = bench.command(&["decide", "task", "--engine", "case", "--json"]);
            // Another home is another installation, in which even less is on record.
            let ends = command.env("HOME", bench.path("home")).env(name, value).output().unwrap();
            let answer = Answer {
                code: ends.status.code().unwrap(),
                out: String::from_utf8_lossy(&ends.stdout).into_owned(),
                err: String::from_utf8_lossy(&ends.stderr).into_owned(),
            };
            if answer.code == 3 {
                still_blocked(&answer, &format!("{name}={value}"));
            } else {
                assert!([2, 4].contains(&answer.code), "{name}={value}: {} {}", answer.code, answer.out);
            }
        }
    }
}

#[test]
fn one_missing_gate_alone_is_filled_in_by_nothing() {
    let bench = crate::climbing::at_copied_fixture();
    let fixture = bench.fixture("only", MINE);
    let decide =
        |more: &[&str]| bench.call(&[&["decide", &fixture, "--engine", MINE, "--json"], more].concat());
    let everything: String = {
        // Every key at once, for this engine: of a key that names one place, the last one counts.
        let engine = values(&bench).into_iter().filter(|((table, _), _)| *table == "EngineWire");
        let lines = engine.map(|(_, text)| text.replace("[engines.case]\n", "")).collect::<String>();
        format!("[engines.mine]\n{lines}\n[spend]\nday_usd = \"1000000\"\n[limits]\nwall_seconds = 100000\n")
    };
    bench.write("home/config/config.toml", &everything);
    decide(&[]).ends(0);
    let conformance = std::fs::read_dir(bench.path("home/state/conformance")).unwrap().next().unwrap();
    for (record, gate) in [
        (bench.record(MINE, "gate.json"), "engine.stage"),
        (bench.record(MINE, "promotion-copied-fixture.json"), "engine.stage"),
        (bench.record(MINE, "evidence"), "engine.stage"),
        (bench.record(MINE, "admission.json"), "source.admission"),
        (bench.record(MINE, "licence.json"), "source.license"),
        (bench.record(MINE, "enabling.json"), "engine.enabled"),
        (conformance.unwrap().path(), "engine.adapter-contract"),
        (bench.path("inst/lib/index.ts"), "source.admission"),
    ] {
        let aside = bench.path("aside");
        std::fs::rename(&record, &aside).unwrap();
        for configured in [everything.as_str(), ""] {
            bench.write("home/config/config.toml", configured);
            let missing = crate::nothing_else::missing(&decide(&[]).ends(3));
            assert!(missing.contains(gate), "{}: {missing:?}", record.display());
            for flags in [&["--wait"][..], &["--learn"], &["--wait", "--learn", "--out", "elsewhere"]] {
                let call = [&["run", fixture.as_str(), "--engine", MINE, "--json"], flags].concat();
                let codes = bench.call(&call).ends(3).codes();
                assert!(codes.contains(&format!("gate.{gate}")), "{flags:?} {}: {codes:?}", record.display());
            }
        }
        std::fs::rename(&aside, &record).unwrap();
        decide(&[]).ends(0);
    }
}
