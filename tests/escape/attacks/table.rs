//! The table: one row an attack, how it went outside and inside, and what held it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What begins a line that another process reads its rows from.
pub(crate) const MARK: &str = "escape-row ";

/// The class of what is not claimed to be held.
pub(crate) const NOT_CLAIMED: &str = "not claimed";

/// One attack, by one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) class: String,
    pub(crate) id: String,
    pub(crate) attack: String,
    pub(crate) by: String,
    pub(crate) outside: String,
    pub(crate) inside: String,
    /// Why this is no pass.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    pub(crate) fn new(class: &str, id: &str, attack: &str, by: &str) -> Self {
        Self {
            class: class.to_owned(),
            id: id.to_owned(),
            attack: attack.to_owned(),
            by: by.to_owned(),
            outside: String::new(),
            inside: String::new(),
            wrong: Vec::new(),
        }
    }

    pub(crate) fn wrong(&mut self, why: String) {
        self.wrong.push(why);
    }

    /// What is shown, and is none of the attacks that are held.
    fn apart(&self) -> bool {
        self.class == NOT_CLAIMED
    }

    /// Whether it is no pass.
    fn fails(&self) -> bool {
        !self.wrong.is_empty()
    }

    fn tried(&self) -> bool {
        !self.outside.starts_with("cannot be tried here")
    }
}

/// The rows of both users side by side, and a line that counts them.
pub(crate) fn print(own: &[Row], ordinary: &[Row], root: bool) -> String {
    let mut text = String::from(
        "| id | class | attack | outside | inside, as root | inside, as an ordinary user | held by |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let nobody = Row::new("", "", "", "");
    let other = |row: &Row| ordinary.iter().find(|other| other.id == row.id).unwrap_or(&nobody).clone();
    let (mut untried, mut classes) = (0, Vec::<(&str, usize)>::new());
    for row in own {
        let other = other(row);
        // Who can show less shows it for himself only.
        let outside = if row.tried() || !other.tried() { &row.outside } else { &other.outside };
        let counted = !row.apart();
        untried += usize::from(counted && !row.tried() && (!other.tried() || other.id.is_empty()));
        let (as_root, as_ordinary) =
            if root { (&row.inside, &other.inside) } else { (&nobody.inside, &row.inside) };
        let (id, class, attack, by) = (&row.id, &row.class, &row.attack, &row.by);
        writeln!(text, "| {id} | {class} | {attack} | {outside} | {as_root} | {as_ordinary} | {by} |")
            .unwrap();
        match classes.last_mut().filter(|(last, _)| last == class) {
            Some((_, count)) => *count += 1,
            None if row.apart() => {}
            None => classes.push((class, 1)),
        }
    }
    let partly = "works: not claimed";
    let partly = own.iter().chain(ordinary).filter(|row| row.inside.starts_with(partly)).count();
    let worked = own.iter().chain(ordinary).filter(|row| row.fails()).count();
    let counts: Vec<String> = classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    let of = |class: &str| own.iter().filter(|row| row.class == class).count();
    let limits = of(NOT_CLAIMED);
    let all = own.len() - limits;
    writeln!(
        text,
        "\n{all} attacks ({}); {worked} that are not held as they should; {partly} that one of the users can do and \
         that is not claimed; {untried} whose control cannot be tried here. {limits} more that are not claimed.",
        counts.join(", ")
    )
    .unwrap();
    text
}

/// Attacks that have a test of their own in this program: what is tried, the test, the file that it is in.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("flood the output", "a_flood_is_cut_counted_and_ended", include_str!("../limits.rs")),
    ("never end a line", "a_line_without_end_is_cut", include_str!("../limits.rs")),
    (
        "go on for ever, deaf to requests",
        "wall_and_idle_time_end_a_payload_that_ignores_requests",
        include_str!("../limits.rs"),
    ),
    (
        "keep a processor busy, deaf to its signal",
        "cpu_time_and_file_size_are_held_by_the_kernel",
        include_str!("../limits.rs"),
    ),
    ("outlive a harness that is killed", "nothing_outlives_the_harness", include_str!("../processes.rs")),
    (
        "end everything inside",
        "pid_one_cannot_be_killed_and_killing_all_ends_only_this",
        include_str!("../processes.rs"),
    ),
    (
        "end in the payload's place",
        "a_child_given_to_pid_one_is_not_taken_for_the_payload",
        include_str!("../processes.rs"),
    ),
    ("run a setuid program", "a_setuid_program_changes_nothing", include_str!("../kernel.rs")),
    (
        "change a protected file of the work tree",
        "a_protected_file_cannot_be_changed_or_moved_away",
        include_str!("../files.rs"),
    ),
    (
        "move a folder away from under an input",
        "a_folder_above_an_input_cannot_be_moved_away_from_it",
        include_str!("../files.rs"),
    ),
    (
        "plant a link where an input is laid",
        "a_mount_place_behind_a_planted_link_is_refused",
        include_str!("../files.rs"),
    ),
    ("use what root owns", "root_gains_nothing_over_its_own_files", include_str!("../files.rs")),
];

/// The attacks that are not in the table, with their tests.
pub(crate) fn elsewhere() -> String {
    let mut text = String::from("Tried by tests of their own:\n");
    for (what, test, file) in ELSEWHERE {
        assert!(file.contains(&format!("fn {test}(")), "there is no test `{test}`");
        writeln!(text, "- {what}: `{test}`").unwrap();
    }
    text
}

/// Everything that is no pass, in words.
pub(crate) fn complaints(rows: &[Row], who: &str) -> Vec<String> {
    let told = |row: &Row| format!("{who}: {} {}: {}", row.id, row.attack, row.wrong.join("; "));
    rows.iter().filter(|row| row.fails()).map(told).collect()
}
