//! `cto sandbox --learn`: what a command by hand needed, in a file of its own, and nothing granted for it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::bench::{Answer, TestBench};

const LEARNED: &str = "learned.contract.toml";

/// Writes two files, one of which is a check, forks, wants a folder outside, a key, a program and an address.
const WORK: &str = "#!/bin/sh
echo new > src/made.txt
echo x >> tests/check.sh
for n in 1 2 3; do (sleep 0.2) & done; wait
cat \"$1/data\" && echo SEEN
cat \"$1/.ssh/id\" && echo SEEN
\"$1/tool\" && echo SEEN
cat \"$1/nowhere\"
python3 -c 'import socket
try: socket.create_connection((\"192.0.2.1\", 443), 1)
except OSError: pass'
exit 7
";

fn laid_out(bench: &TestBench) -> String {
    bench.write("tree/src/a.txt", "a\n");
    bench.write("tree/tests/check.sh", "exit 0\n");
    bench.write("tree/work.sh", WORK);
    bench.write("outside/data", "canary");
    bench.write("outside/.ssh/id", "canary");
    bench.write("outside/tool", "#!/bin/sh\n");
    let outside = bench.path().join("outside");
    std::fs::set_permissions(outside.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    outside.to_str().unwrap().to_owned()
}

fn text(bench: &TestBench) -> String {
    std::fs::read_to_string(bench.path().join(LEARNED)).unwrap()
}

/// The fragment as values.
fn table(text: &str) -> toml::Table {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn names(table: &toml::Table, key: &str) -> Vec<String> {
    table[key].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Everything that the fragment must tell of [`WORK`].
fn tells(answer: &Answer, text: &str, outside: &str) {
    assert!(!answer.out.contains("SEEN") && !answer.out.contains("canary"), "{}", answer.out);
    assert!(answer.err.contains("learned: ") && answer.err.contains("nothing was granted"), "{}", answer.err);
    let table = table(text);
    assert_eq!(table["mutation_mode"].as_str(), Some("copied-fixture"));
    assert_eq!(table["risk_class"].as_str(), Some("SAFE"));
    assert_eq!(names(&table, "allowed_paths"), ["/src/made.txt", "/tests/check.sh"]);
    assert_eq!(names(&table, "may_change_checks"), ["/tests/check.sh"]);
    let forbidden = names(&table, "forbidden_actions");
    assert!(forbidden.len() == 11 && !forbidden.contains(&"network.egress".to_owned()), "{forbidden:?}");
    for line in [
        "#   192.0.2.1:443 (1 times)".to_owned(),
        format!("#   {outside}/data: read; a file; `--ro {outside}/data`, and learn again"),
        format!("#   {outside}/.ssh/id: read; a file; a place of keys or of the harness's own: not proposed"),
        format!("#   {outside}/tool: run; a file; `--ro {outside}/tool`, and learn again"),
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    assert!(!text.contains("nowhere:") && !text.contains("NOT WHOLE"), "{text}");
    let limit = |name: &str| table["limits"][name].as_integer().unwrap();
    assert!(limit("processes") == 64 && limit("changed_files") == 8, "{text}");
    assert!(limit("memory_bytes") >= 256 << 20, "{text}");
    // The shell and three others, each with its program; what was measured is in the comment.
    let line = text.lines().find(|line| line.starts_with("processes")).unwrap();
    let measured: u64 =
        line.split("the command ").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((4..20).contains(&measured), "{line}");
}

#[test]
fn what_a_command_by_hand_needed_is_told_and_nothing_granted() {
    let bench = TestBench::new();
    let outside = laid_out(&bench);
    let control = std::process::Command::new("sh")
        .args(["-c", "cat \"$1/data\" \"$1/.ssh/id\" && \"$1/tool\"", "sh", &outside])
        .output()
        .unwrap();
    assert!(control.status.success(), "control: {control:?}");
    let call = ["sandbox", "--learn", "--workspace", "tree", "--", "sh", "work.sh", &outside];
    let answer = bench.call(&with_folder(&call, &bench)).ends(7);
    let first = text(&bench);
    tells(&answer, &first, &outside);
    assert!(!bench.path().join("tree/src/made.txt").exists(), "the folder itself stays as it is");
    let mode = std::fs::metadata(bench.path().join(LEARNED)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    // Twice the same, but for what was measured.
    std::fs::remove_file(bench.path().join(LEARNED)).unwrap();
    bench.call(&with_folder(&call, &bench)).ends(7);
    let plain = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.contains("# measured: ")).map(str::to_owned).collect()
    };
    assert_eq!(plain(&first), plain(&text(&bench)));
}

/// The command in the work tree, whose path inside is that outside.
fn with_folder<'a>(call: &[&'a str], bench: &TestBench) -> Vec<&'a str> {
    let tree = bench.path().join("tree").to_str().unwrap().to_owned();
    let script: &'static str = format!("cd '{tree}' && exec sh work.sh \"$1\"").leak();
    let (options, command) = call.split_at(call.iter().position(|word| *word == "--").unwrap());
    [options, &["--", "sh", "-c", script, "sh", command[3]]].concat()
}

#[test]
fn an_ordinary_user_learns_the_same_and_no_more_than_he_could_list() {
    let Some(bench) = TestBench::of_an_ordinary_user() else { return };
    let outside = laid_out(&bench);
    bench.write("hidden/data", "canary");
    let closed = bench.path().join("hidden");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let tree = bench.path().join("tree");
    let own = std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(&tree).status().unwrap();
    assert!(own.success());
    let call = ["sandbox", "--learn", "--workspace", "tree", "--", "sh", "work.sh", &outside];
    let answer = bench.call_as_ordinary_user(&with_folder(&call, &bench)).ends(7);
    tells(&answer, &text(&bench), &outside);

    std::fs::remove_file(bench.path().join(LEARNED)).unwrap();
    let hidden = format!("cat {0}/data; ls {0}; exit 0", closed.display());
    bench.call_as_ordinary_user(&["sandbox", "--learn", "--", "sh", "-c", &hidden]).ends(0);
    let text = text(&bench);
    assert!(text.contains(&format!("{}: read; a folder", closed.display())), "{text}");
    assert!(!text.contains("hidden/data:"), "he may not look into it: {text}");
}

#[test]
fn without_a_work_tree_nothing_can_change_and_that_is_what_is_proposed() {
    let bench = TestBench::new();
    bench.call(&["sandbox", "--learn=other.toml", "--", "/bin/true"]).ends(0);
    let text = std::fs::read_to_string(bench.path().join("other.toml")).unwrap();
    let table = table(&text);
    assert_eq!(table["mutation_mode"].as_str(), Some("none"));
    assert!(names(&table, "allowed_paths").is_empty() && names(&table, "forbidden_actions").len() == 12);
    let limits = table["limits"].as_table().unwrap();
    assert!(limits.contains_key("wall_seconds") && !limits.contains_key("disk_bytes"), "{text}");
    // A program that is not there inside is wanted as well.
    let tool = bench.write("tool", "#!/bin/sh\n");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tool = tool.to_str().unwrap();
    bench.call(&["sandbox", "--learn", "--", tool]).ends(127);
    assert!(self::text(&bench).contains(&format!("{tool}: run; a file")), "{}", self::text(&bench));
}

#[test]
fn the_file_is_never_overwritten_and_that_is_said_before_the_command_runs() {
    let bench = TestBench::new();
    bench.write(LEARNED, "mine");
    std::os::unix::fs::symlink("elsewhere", bench.path().join("link.toml")).unwrap();
    std::fs::create_dir(bench.path().join("rw")).unwrap();
    for option in ["--learn", "--learn=learned.contract.toml", "--learn=link.toml", "--learn=absent/x"] {
        let answer = bench.call(&["sandbox", option, "--", "/bin/echo", "ran"]);
        assert!(answer.code != 0 && answer.out.is_empty(), "{option}: {} {}", answer.code, answer.out);
        assert!(answer.err.contains("remedy"), "{option}: {}", answer.err);
    }
    assert_eq!(text(&bench), "mine");
    assert!(!bench.path().join("elsewhere").exists());
    if let Some(own) = TestBench::of_an_ordinary_user() {
        std::fs::create_dir(own.path().join("rw")).unwrap();
        std::os::unix::fs::chown(own.path().join("rw"), Some(65534), Some(65534)).unwrap();
        let words = ["sandbox", "--learn=rw/x.toml", "--rw", "rw", "--", "/bin/echo", "ran"];
        let answer = own.call_as_ordinary_user(&words).ends(2);
        assert!(answer.out.is_empty() && answer.err.contains("may write there itself"), "{}", answer.err);
    }
}

#[test]
fn names_that_hide_or_match_more_are_neither_hidden_nor_matched() {
    let bench = TestBench::new();
    bench.write("tree/a", "a\n");
    let script = "cd \"$1\" && echo x > 'st*r' && echo x > \"$(printf 'tro\\342\\200\\256jan')\"; exit 0";
    let tree = bench.path().join("tree");
    let call = ["sandbox", "--learn", "--workspace", "tree", "--", "sh", "-c", script, "sh"];
    bench.call(&[&call[..], &[tree.to_str().unwrap()]].concat()).ends(0);
    let text = text(&bench);
    assert_eq!(names(&table(&text), "allowed_paths"), ["/st\\*r", "/tro???jan"]);
    assert!(!text.contains('\u{202e}') && text.contains("tro\\u{202e}jan"), "{text}");
}

#[test]
fn a_secret_in_a_call_or_a_path_is_not_in_the_file() {
    let bench = TestBench::new();
    let token = ["AKIA", "QR7T2M4N6P8S3V5X"].concat();
    let file = bench.write(&format!("outside/{token}"), "x");
    let file = file.to_str().unwrap();
    bench.call(&["sandbox", "--learn", "--", "sh", "-c", "cat \"$1\"; true", "sh", file]).ends(0);
    let text = text(&bench);
    assert!(!text.contains(&token) && text.contains("/outside/[redacted:"), "{text}");
    table(&text);
    bench.call(&["sandbox", "--learn=b", "--", "sh", "-c", "true", "sh", "a word of the call"]).ends(0);
    assert!(!std::fs::read_to_string(bench.path().join("b")).unwrap().contains("a word of the call"));
}

#[test]
fn the_fragment_is_a_part_of_a_contract_that_may_run() {
    let bench = TestBench::new();
    let outside = laid_out(&bench);
    let call = ["sandbox", "--learn", "--workspace", "tree", "--", "sh", "work.sh", &outside];
    bench.call(&with_folder(&call, &bench)).ends(7);
    let rest = "contract_version = \"1\"\ntask_id = \"t\"\ntitle = \"t\"\ninstructions = \"t\"\n\
                target_repository = \"repo\"\nauthority_basis = { kind = \"task-contract\", reference = \"T-1\" }\n\
                approval_required = false\nverification_commands = []\nevidence_expectations = []\n\
                engine = \"fixture\"\n";
    bench.write("fixture/repo/src/a.txt", "a\n");
    bench.write("fixture/contract.toml", &format!("{rest}{}", text(&bench)));
    let decided = bench.call(&["decide", "fixture"]).ends(0);
    assert!(decided.out.contains("ELIGIBLE"), "{}", decided.out);
    // Without it, the same is refused: it is the fragment that makes the difference.
    bench.write("fixture/contract.toml", &format!("{rest}risk_class = \"SAFE\"\n"));
    bench.call(&["decide", "fixture"]).ends(3);
    assert!(Path::new(&outside).join("data").exists());
}
