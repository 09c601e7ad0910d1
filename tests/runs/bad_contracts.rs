//! Contracts that are none: the message names the field and the remedy, exit 2, nothing is started.

use super::bench::{TestBench, contract};

/// A change to a good contract, and what the message must hold.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    ("title = \"t\"", "titel = \"t\"", &["titel", "remedy"]),
    ("title = \"t\"", "title = 7", &["title", "contract.toml:3"]),
    ("title = \"t\"", "title = \"t\"\ntitle = \"u\"", &["title", "contract.toml:4"]),
    ("title = \"t\"", "title = \"t", &["contract.toml:3"]),
    ("task_id = \"t\"", "task_id = \"../t\"", &["task_id"]),
    ("risk_class = \"SAFE\"", "risk_class = \"HARMLESS\"", &["risk_class", "SAFE"]),
    ("allowed_paths = []", "allowed_paths = [\"../x\"]", &["allowed_paths"]),
    ("allowed_paths = []", "allowed_paths = [\"a[\"]", &["allowed_paths"]),
    ("contract_version = \"1\"", "contract_version = \"2\"", &["contract_version"]),
    ("instructions = \"do nothing\"", "instructions = { file = \"no.md\" }", &["instructions", "no.md"]),
    ("instructions = \"do nothing\"", "instructions = { file = \"../t.md\" }", &["instructions"]),
    ("engine = \"fixture\"", "script = \"gone.toml\"\nengine = \"fixture\"", &["script", "gone.toml"]),
    ("mutation_mode = \"none\"", "mutation_mode = \"all\"", &["mutation_mode", "copied-fixture"]),
    ("title = \"t\"\n", "", &["title"]),
];

#[test]
fn every_mistake_is_named_with_its_field_and_nothing_is_started() {
    let bench = TestBench::new();
    bench.repository("repo");
    let good = contract("repo");
    for (from, to, texts) in CASES {
        assert!(good.contains(from), "{from}");
        bench.file("contract.toml", &good.replacen(from, to, 1));
        bench.cto(&["run", "contract.toml"]).expect(2, texts);
        assert!(!bench.work().join("evidence").exists(), "`{to}` left evidence");
    }
    bench.file("contract.toml", &good);
    bench.cto(&["run", "contract.toml"]).expect(0, &["PASS"]);
}

#[test]
fn json_mistakes_have_a_place_too() {
    let bench = TestBench::new();
    bench.file("c.json", "{\n  \"contract_version\": \"1\",\n  \"contract_version\": \"1\"\n}");
    bench.cto(&["decide", "c.json"]).expect(2, &["c.json:3", "contract_version"]);
    bench.file("c.json", "{\n  \"contract_version\": ");
    bench.cto(&["decide", "c.json"]).expect(2, &["c.json:2"]);
    bench.cto(&["decide", "none.json"]).expect(2, &["none.json", "remedy"]);
}

#[test]
fn missing_gated_fields_and_unsupported_ones_are_decisions_not_errors() {
    let bench = TestBench::new();
    bench.repository("repo");
    let good = contract("repo");
    let cases: &[(&str, &str, &str)] = &[
        ("forbidden_actions = []\n", "", "gate.contract.forbidden-actions"),
        (
            "forbidden_actions = []\n",
            "forbidden_actions = []\nask_first = [\"git.commit\"]\n",
            "gate.contract.supported",
        ),
        ("mutation_mode = \"none\"\n", "", "gate.contract.mutation-mode"),
        (
            "engine = \"fixture\"",
            "engine = \"fixture\"\nlimits = { tokens = 1000000 }",
            "gate.contract.supported",
        ),
        (
            "engine = \"fixture\"",
            "engine = \"fixture\"\nnetwork = { allow = [\"a.test:443\"] }",
            "gate.contract.supported",
        ),
        ("engine = \"fixture\"", "engine = \"fixture\"\npermissions = [\"push\"]", "gate.contract"),
        ("engine = \"fixture\"", "engine = \"nobody\"", "gate.engine.registered"),
    ];
    for (from, to, gate) in cases {
        assert!(good.contains(from), "{from}");
        bench.file("contract.toml", &good.replacen(from, to, 1));
        bench.cto(&["run", "contract.toml", "--json"]).expect(3, &[gate]);
    }
}
