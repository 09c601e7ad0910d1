//! The table: one row an attack, how it went outside and inside, and what held it.

use serde::{Deserialize, Serialize};

/// What begins a line that another process reads its rows from.
pub(crate) const MARK: &str = "escape-row ";

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

    /// What is written down among what is not claimed: it is shown, and no attack that is held.
    fn unclaimed(&self) -> bool {
        self.class == "not claimed"
    }

    fn tried(&self) -> bool {
        !self.outside.starts_with("cannot be tried here")
    }
}

/// The rows of both users side by side, and a line that counts them.
pub(crate) fn print(own: &[Row], ordinary: &[Row], root: bool) -> String {
    use std::fmt::Write as _;
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
        let counted = !row.unclaimed();
        untried += usize::from(counted && !row.tried() && (!other.tried() || other.id.is_empty()));
        let (as_root, as_ordinary) =
            if root { (&row.inside, &other.inside) } else { (&nobody.inside, &row.inside) };
        let (id, class, attack, by) = (&row.id, &row.class, &row.attack, &row.by);
        writeln!(text, "| {id} | {class} | {attack} | {outside} | {as_root} | {as_ordinary} | {by} |")
            .unwrap();
        match classes.last_mut().filter(|(last, _)| last == class) {
            Some((_, count)) => *count += 1,
            None if row.unclaimed() => {}
            None => classes.push((class, 1)),
        }
    }
    let partly = "works: not claimed";
    let partly = own.iter().chain(ordinary).filter(|row| row.inside.starts_with(partly)).count();
    let worked = own.iter().chain(ordinary).filter(|row| !row.wrong.is_empty()).count();
    let counts: Vec<String> = classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
    let limits = own.iter().filter(|row| row.unclaimed()).count();
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

/// Everything that is no pass, in words.
pub(crate) fn complaints(rows: &[Row], who: &str) -> Vec<String> {
    let told = |row: &Row| format!("{who}: {} {}: {}", row.id, row.attack, row.wrong.join("; "));
    rows.iter().filter(|row| !row.wrong.is_empty()).map(told).collect()
}
