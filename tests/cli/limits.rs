//! Limits as a caller sees them: by hand, and in an ordinary user's run, who has no control group here.

use serde_json::Value;

use super::bench::TestBench;

const HOG: &str = "python3 -c 'b = bytearray(300 << 20); import time; time.sleep(8)'";

#[test]
fn memory_by_hand_is_held_and_named() {
    let bench = TestBench::new();
    let hog =
        |limit: &str, script: &str| bench.call(&["sandbox", "--limit", limit, "--", "/bin/sh", "-c", script]);
    let seen = hog("memory_bytes=100000000", &format!("{HOG}; sleep 8"));
    assert!(seen.err.contains("limit memory_bytes of 100000000 reached"), "{}", seen.err);
    assert_ne!(seen.code, 0);
    // Whoever of the tree met it, and whatever the command makes of that.
    let seen = hog("memory_bytes=100000000", &format!("{HOG} || exit 0"));
    assert!(seen.err.contains("limit memory_bytes of 100000000 reached"), "{}", seen.err);
    assert_ne!(seen.code, 0, "{}", seen.err);
    hog("memory_bytes=500000000", &HOG.replace("sleep(8)", "sleep(0)")).ends(0);
    let seen = hog("patch_bytes=5", "true").ends(2);
    assert!(seen.err.contains("not supported by hand"), "{}", seen.err);
}

#[test]
fn an_ordinary_users_run_names_what_was_watched() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    let cases = [
        ("memory_bytes", 150_000_000, HOG),
        ("disk_bytes", 30_000_000, "head -c 80000000 /dev/zero > src/big; sleep 8"),
        ("processes", 40, "for i in $(seq 60); do sleep 8 & done; sleep 8"),
    ];
    for (name, value, script) in cases {
        let folder = bench.fixture("output-flood");
        let contract = std::fs::read_to_string(folder.join("contract.toml")).unwrap();
        let contract = contract.replace("output_bytes = 1048576", &format!("{name} = {value}"));
        std::fs::write(folder.join("contract.toml"), contract).unwrap();
        let script = format!("[[step]]\ndo = \"run\"\nargv = [\"bash\", \"-c\", '''{script}''']\n");
        std::fs::write(folder.join("script.toml"), script).unwrap();
        let said = bench.call_as_ordinary_user(&["run", "output-flood", "--json"]).ends(1).json();
        let bundle = said[1]["result"]["bundle"].as_str().unwrap();
        let report: Value =
            serde_json::from_slice(&std::fs::read(format!("{bundle}/report.json")).unwrap()).unwrap();
        let rows = report["sections"]["limits"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!((&row["reached"]["during"], &row["requested"]), (&"engine".into(), &value.into()));
        assert_eq!(row["holding"], if name == "processes" { "hard" } else { "watched" }, "{row}");
        bench.call_as_ordinary_user(&["verify", "latest"]).ends(0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
