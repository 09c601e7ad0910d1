//! Secrets where a run cannot redact them: names that are kept as they are, and parts of a patch that are packed.

use super::bench::{TestBench, contract};

/// Put together here, so that no file of the repository holds one.
fn secret() -> String {
    ["AKI", "AQ7XM2VHT5LWZ3RKD"].concat()
}

#[test]
fn a_task_is_not_named_by_a_secret() {
    let bench = TestBench::new();
    bench.repository("repo");
    for field in ["task_id", "title"] {
        let (from, to) = (format!("{field} = \"t\""), format!("{field} = \"{}\"", secret()));
        bench.file("contract.toml", &contract("repo").replace(&from, &to));
        for verb in ["run", "decide"] {
            let said = bench.cto(&[verb, "contract.toml"]);
            said.expect(2, &[field, "remedy"]);
            assert!(!format!("{}{}", said.out, said.err).contains(&secret()));
        }
    }
    let records = std::fs::read_dir(bench.state().join("runs")).map_or(0, Iterator::count);
    assert!(!bench.work().join("evidence").exists() && records == 0);
}

#[test]
fn a_binary_that_holds_a_secret_is_withheld_whole_even_if_its_name_holds_one_too() {
    let bench = TestBench::new();
    bench.file("f/repo/a.txt", "a\n");
    let text = contract("repo")
        .replace("SAFE", "RESTRICTED")
        .replace("allowed_paths = []", "allowed_paths = [\"**\"]")
        .replace("\"none\"", "\"copied-fixture\"");
    bench.file("f/contract.toml", &format!("{text}script = \"script.toml\"\n"));
    let secret = secret();
    let (first, second) = secret.split_at(9);
    let make = r"printf '\\000\\001%s%s' $1 $2 > $1$2.bin";
    let argv = format!(r#"["sh", "-c", "{make}", "sh", "{first}", "{second}"]"#);
    bench.file("f/script.toml", &format!("[[step]]\ndo = \"run\"\nargv = {argv}\n"));
    let said = bench.cto(&["run", "f", "--json"]);
    said.expect(3, &[]);
    let bundle = bench.work().join(said.result()["bundle"].as_str().unwrap());
    let patch = std::fs::read_to_string(bundle.join("patch.diff")).unwrap();
    assert!(patch.starts_with("# withheld") && !patch.contains("GIT binary patch"), "{patch}");
}
