//! The same attacks by the same driver in other sandboxes, as an ordinary user. Only when asked: needs them installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::picture::{Count, DATA, Ids, Measured, Peer, at};
use super::registry::{CLASSES, Class, NO_ANSWERS};
use super::world::{OUTSIDE_PATH, World};
use crate::ordinary;
use crate::rig::{cto, is_root, lease};

/// Where the real Codex is, for the copy of this program that an ordinary user runs.
const CODEX: &str = "ESCAPE_CODEX";
/// The same for sandbox-runtime; not set where it is not installed.
const SRT: &str = "ESCAPE_SRT";
/// What begins the line that the copy tells what it measured by.
const MARK: &str = "escape-peers ";

/// Name, how it is called, and what is added to bound what the class X takes. `TREE` is the folder to work in, `RO`
/// one beside it that is only to be read. A word that is an object is what stands in a file of settings, and its path.
const PEERS: &[(&str, &str, &str)] = &[
    ("no sandbox", "env", ""),
    (
        "bwrap",
        "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --bind TREE TREE --unshare-all --die-with-parent \
         --new-session",
        "",
    ),
    ("codex sandbox", "codex sandbox -c sandbox_mode=\"workspace-write\" --", ""),
    (
        "sandbox-runtime",
        "srt --settings {\"network\":{\"allowedDomains\":[],\"deniedDomains\":[]},\"filesystem\":{\"denyRead\":[],\
         \"allowWrite\":[\"TREE\"],\"denyWrite\":[]}} --",
        "",
    ),
    (
        "cto sandbox",
        "cto sandbox --workspace TREE --ro RO",
        "--limit open_files=64 --limit file_bytes=1048576 --limit tmp_bytes=4194304 --limit shm_bytes=1048576 \
         --limit processes=40",
    ),
];

/// What is not tried in the others, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("P35", "the driver gives every attack a session of its own, so it tells nothing of a terminal"),
    ("W41", "outside it takes off a mount that it made itself, which says nothing of what lies below one"),
    ("G", "it takes a whole run of cto, with its patch and verification"),
    ("H", "it takes a whole run of cto, with its engine and evidence"),
    ("S", "what outlives a sandbox is looked for from outside, with one sandbox for each"),
    ("L", "what cto does not claim is no part of the count"),
    ("O", "they are about streams that the caller hands in"),
];

#[derive(Deserialize)]
struct Answer {
    id: String,
    word: String,
}

type Answers = BTreeMap<String, String>;

/// The command that starts the driver in a sandbox.
fn call(peer: &(&str, &str, &str), class: &Class, world: &World, home: &Path) -> Command {
    let (name, shown, bounds) = peer;
    let mut words: Vec<String> = shown.split(' ').map(str::to_owned).collect();
    if class.letter == 'X' {
        words.extend(bounds.split_whitespace().map(str::to_owned));
    }
    for word in &mut words {
        match word.as_str() {
            "TREE" => *word = world.at("tree").display().to_string(),
            "RO" => *word = world.at("ro").display().to_string(),
            object if object.starts_with('{') => {
                let settings = home.join("settings.json");
                let text = object.replace("TREE", &world.at("tree").display().to_string());
                std::fs::write(&settings, text).unwrap();
                *word = settings.display().to_string();
            }
            _ => {}
        }
    }
    if *name == "cto sandbox" {
        words.push("--".to_owned());
    }
    let mut command = Command::new(program(shown));
    command.args(&words[1..]).args(["/usr/bin/python3", "-c", &class.text(), "peer", &world.told(false)]);
    command.env_clear().env("PATH", OUTSIDE_PATH).env("CANARY", world.canary());
    for name in ["HOME", "CODEX_HOME", "CTO_HOME"] {
        command.env(name, home);
    }
    command.current_dir(world.at("tree"));
    command
}

/// The program that a call begins with.
fn program(call: &str) -> PathBuf {
    match call.split(' ').next().unwrap() {
        "cto" => cto(),
        "codex" => std::env::var_os(CODEX).map_or_else(codex, PathBuf::from),
        "srt" => std::env::var_os(SRT).unwrap().into(),
        other => other.into(),
    }
}

fn codex() -> PathBuf {
    let place = at("target/tools/codex/codex");
    place.canonicalize().expect("no Codex; remedy: scripts/install-codex.sh")
}

/// Not everywhere: `scripts/install-srt.sh` says a word where it is left out.
fn srt() -> Option<PathBuf> {
    at("target/tools/srt/srt").canonicalize().ok()
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

/// Every attack of a class in one call.
fn answers(peer: &(&str, &str, &str), class: &Class) -> Answers {
    let lease = lease();
    let world = World::new(lease.uid());
    let home = tempfile::tempdir().unwrap();
    let output = call(peer, class, &world, home.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Answers = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Answer>(line).ok())
        .map(|answer| (answer.id, answer.word))
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!answers.is_empty(), "{}, class {}: {text}\n{errors}", peer.0, class.letter);
    answers
}

fn unclear(word: &str) -> bool {
    word == "no answer" || NO_ANSWERS.iter().any(|no| word.starts_with(no))
}

/// What a peer let pass of those that work without a sandbox.
fn counted(peer: &(&str, &str, &str), control: &[Answers], seen: &[Answers]) -> Peer {
    let (name, shown, bounds) = peer;
    let version = match *name {
        "no sandbox" => String::new(),
        _ => {
            first_line(Command::new(program(shown)).arg("--version").env("CODEX_HOME", std::env::temp_dir()))
        }
    };
    let mut counted = Peer {
        name: (*name).to_owned(),
        version: version.rsplit(' ').next().unwrap_or_default().to_owned(),
        call: (*shown).to_owned(),
        added_for_resources: (*bounds).to_owned(),
        classes: Vec::new(),
        worked: Ids::default(),
        held: BTreeMap::new(),
        unclear: BTreeMap::new(),
    };
    for ((class, control), seen) in CLASSES.iter().zip(control).zip(seen) {
        let mut count = Count { class: class.name.to_owned(), tried: 0, worked: 0, unclear: 0 };
        for id in control.iter().filter(|(id, word)| works(id, word)).map(|(id, _)| id) {
            let word = seen.get(id).map_or("no answer", String::as_str);
            count.tried += 1;
            if word == "worked" {
                count.worked += 1;
                counted.worked.add(id);
            } else if unclear(word) {
                count.unclear += 1;
                counted.unclear.entry(word.to_owned()).or_default().add(id);
            } else {
                counted.held.entry(word.to_owned()).or_default().add(id);
            }
        }
        counted.classes.push(count);
    }
    counted
}

/// Whether an attack is tried: outside, it works.
fn works(id: &str, word: &str) -> bool {
    word == "worked" && !left_out(id)
}

fn left_out(id: &str) -> bool {
    LEFT_OUT.iter().any(|(left, _)| *left == id)
}

/// The kernel's version, and the machine's kind.
fn system() -> String {
    let [release, machine] = ["-r", "-m"].map(|what| first_line(Command::new("uname").arg(what)));
    format!("Linux {}, {machine}", release.split('-').next().unwrap_or_default())
}

fn measured() -> Measured {
    let there = |peer: &&(&str, &str, &str)| !peer.1.starts_with("srt ") || std::env::var_os(SRT).is_some();
    let peers: Vec<_> = PEERS.iter().filter(there).collect();
    let seen: Vec<Vec<Answers>> =
        peers.iter().map(|peer| CLASSES.iter().map(|class| answers(peer, class)).collect()).collect();
    let control = &seen[0];
    let all = control.iter().flatten();
    let mut not_here = BTreeMap::<String, Ids>::new();
    for (id, word) in all.filter(|(id, word)| *word != "worked" && !left_out(id)) {
        not_here.entry(word.clone()).or_default().add(id);
    }
    Measured {
        date: first_line(Command::new("date").args(["-u", "+%F"])),
        system: system(),
        user: "ordinary".to_owned(),
        peers: peers.into_iter().zip(&seen).map(|(peer, seen)| counted(peer, control, seen)).collect(),
        not_working_without_a_sandbox: not_here,
        left_out: LEFT_OUT.iter().map(|(id, why)| ((*id).to_owned(), (*why).to_owned())).collect(),
    }
}

/// By a copy of this program that an ordinary user runs. What is worked on lies below no folder for temporary files,
/// because some sandboxes have another one there.
fn by_another() -> Measured {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let mut copy = ordinary::copy();
    copy.args(["--exact", "attacks::peers::the_peers_are_measured", "--ignored", "--nocapture"]);
    copy.env(CODEX, codex()).env("TMPDIR", folder.path());
    if let Some(srt) = srt() {
        copy.env(SRT, srt);
    }
    let output = copy.output();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "as an ordinary user (who must reach this folder):\n{text}\n{errors}");
    let told = text.lines().find_map(|line| line.split_once(MARK)).expect("it tells").1;
    serde_json::from_str(told).unwrap()
}

#[test]
#[ignore = "needs bwrap and Codex: scripts/attacks.sh --peers"]
fn the_peers_are_measured() {
    if is_root() {
        let text = serde_json::to_string_pretty(&by_another()).unwrap();
        std::fs::write(at(DATA), text + "\n").unwrap();
    } else if std::env::var_os(CODEX).is_some() {
        println!("\n{MARK}{}", serde_json::to_string(&measured()).unwrap());
    } else {
        panic!("remedy: run this as root, which becomes an ordinary user for it");
    }
}
