//! The classes of attacks that are tried call by call, and how one of them is run outside and inside.

use std::collections::BTreeMap;
use std::process::Command;

use cto_harness::sandbox::{Bind, SandboxPolicy};
use cto_harness::vocab::Limits;
use cto_harness::workspace::{TreeForm, TreeMount, Upper};
use serde::Deserialize;

use super::table::{NOT_CLAIMED, Row};
use super::world::{OUTSIDE_PATH, World};
use crate::rig::{Outcome, is_root, lease, limits, policy, run};

/// A class: its letter, its name, and its attacks in the words of `driver.py`.
pub(crate) struct Class {
    pub(crate) letter: char,
    pub(crate) name: &'static str,
    attacks: &'static str,
    /// What is less than in other sandboxes.
    bounds: fn(&mut Limits),
}

pub(crate) const CLASSES: &[Class] = &[
    Class { letter: 'W', name: "writes", attacks: include_str!("writes.py"), bounds: |_| {} },
    Class { letter: 'R', name: "reads", attacks: include_str!("reads.py"), bounds: |_| {} },
    Class { letter: 'P', name: "processes", attacks: include_str!("processes.py"), bounds: |_| {} },
    Class { letter: 'K', name: "kernel", attacks: include_str!("kernel.py"), bounds: |_| {} },
    Class { letter: 'X', name: "resources", attacks: include_str!("resources.py"), bounds: tight },
    Class { letter: 'N', name: "network", attacks: include_str!("network.py"), bounds: |_| {} },
];

/// What works inside, because it is not claimed to be held.
pub(crate) const LIMITS: Class =
    Class { letter: 'L', name: NOT_CLAIMED, attacks: include_str!("limits.py"), bounds: |_| {} };

/// What the driver says where an attack came to no end of its own.
pub(crate) const NO_ANSWERS: [&str; 3] = ["broken", "no end", "no word"];

/// Bounds that a small attack runs into.
fn tight(limits: &mut Limits) {
    limits.open_files = 64;
    limits.file_bytes = 1 << 20;
    limits.tmp_bytes = 4 << 20;
    limits.processes = 40;
}

/// One attack as the driver tells it.
#[derive(Debug, Deserialize)]
struct Told {
    id: String,
    what: String,
    by: String,
    held: Vec<String>,
    control: String,
    word: String,
}

/// The same inside, where nothing but the answer counts.
#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    word: String,
}

impl Class {
    /// What tries them.
    pub(crate) fn text(&self) -> String {
        [include_str!("driver.py"), self.attacks, "\n\nmain()\n"].join("\n")
    }

    /// Every attack of the class outside, then inside, each against a world of its own.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        self.rows_by(false).await
    }

    /// The same inside of a sandbox that learns.
    pub(crate) async fn rows_learning(&self) -> Vec<Row> {
        self.rows_by(true).await
    }

    async fn rows_by(&self, learning: bool) -> Vec<Row> {
        let outside = self.outside();
        let (inside, changed) = self.inside(learning).await;
        let mut rows: Vec<Row> = outside.iter().map(|told| self.row(told, &inside)).collect();
        if let (Some(changed), Some(row)) = (changed, rows.first_mut()) {
            // Which of the class it was, their answers tell; if they do not, one of them lies.
            row.wrong(format!("in this class, the world outside is not what it was: {changed}"));
        }
        rows
    }

    fn row(&self, told: &Told, inside: &BTreeMap<String, String>) -> Row {
        let word = inside.get(&told.id).map_or("no answer", String::as_str);
        let mut row = Row::new(self.name, &told.id, &told.what, &told.by);
        let may_fail = told.control == "maybe" || (told.control == "root" && !is_root());
        row.outside = match told.word.as_str() {
            "worked" => "works".to_owned(),
            // Where it is none of the kernel's answers, the attack itself is wrong.
            broken if may_fail && !NO_ANSWERS.iter().any(|no| broken.starts_with(no)) => {
                format!("cannot be tried here: {broken}")
            }
            other => {
                row.wrong(format!("the control outside: {other}"));
                other.to_owned()
            }
        };
        word.clone_into(&mut row.inside);
        if !told.held.iter().any(|held| held == word) {
            row.wrong(format!("inside: {word}, and not {:?}", told.held));
        }
        row
    }

    fn outside(&self) -> Vec<Told> {
        let lease = lease();
        let world = World::new(lease.uid());
        let output = Command::new("/usr/bin/python3")
            .args(["-c", &self.text(), "outside", &world.told(false)])
            .env_clear()
            .env("PATH", OUTSIDE_PATH)
            .env("CANARY", world.canary())
            .current_dir(world.at("open"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "class {}: {text}\n{errors}", self.letter);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn inside(&self, learning: bool) -> (BTreeMap<String, String>, Option<String>) {
        let lease = lease();
        let world = World::new(lease.uid());
        let text = self.text();
        let argv = ["/usr/bin/python3", "-c", &text, "inside", &world.told(true)];
        let mut policy = handed_in(policy(lease.uid(), &argv), &world);
        (policy.observed, policy.learning) = (learning, learning);
        policy.limits = limits();
        (self.bounds)(&mut policy.limits);
        let before = world.print();
        let seen = run(policy).await;
        let after = world.print();
        (answers(&seen), difference(&before, &after))
    }
}

/// What every class has inside: a read-only folder, one to write to, and a work tree over a base.
fn handed_in(mut policy: SandboxPolicy, world: &World) -> SandboxPolicy {
    let upper = Upper::Tmpfs { bytes: 4 << 20, inodes: 1024 };
    let form = TreeForm::Overlay { lowers: vec![world.at("tree")], upper };
    policy.read_only.push(Bind::new(world.at("ro"), "/ro"));
    policy.writable.push(Bind::new(world.at("rw"), "/rw"));
    policy.in_tree(TreeMount { at: "/workspace".into(), form })
}

fn answers(seen: &Outcome) -> BTreeMap<String, String> {
    assert!(seen.exit.success(), "{seen:?}");
    let answer = |line: &str| {
        let answer: Answer = serde_json::from_str(line).unwrap();
        (answer.id, answer.word)
    };
    seen.out.lines().map(answer).collect()
}

/// The first line that is not the same.
fn difference(before: &str, after: &str) -> Option<String> {
    let differs = before.lines().zip(after.lines()).find(|(one, other)| one != other);
    match differs {
        Some((one, other)) => Some(format!("{one} is {other}")),
        None => (before != after).then(|| "something is gone or came to be".to_owned()),
    }
}
