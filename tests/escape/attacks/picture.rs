//! The picture of what was measured in other sandboxes: drawn from the data file, and from nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) const DATA: &str = "docs/attacks.json";
const PICTURE: &str = "docs/attacks.svg";

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) date: String,
    pub(crate) system: String,
    pub(crate) user: String,
    pub(crate) peers: Vec<Peer>,
    /// What outside, too, does not work for this user on this system, by answer. It is not counted.
    pub(crate) not_working_without_a_sandbox: BTreeMap<String, Ids>,
    /// What is tried in none, and why.
    pub(crate) left_out: BTreeMap<String, String>,
}

/// One sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) call: String,
    pub(crate) added_for_resources: String,
    pub(crate) classes: Vec<Count>,
    /// The attacks that worked.
    pub(crate) worked: Ids,
    /// Those that did not, by answer.
    pub(crate) held: BTreeMap<String, Ids>,
    /// Those that came to no answer.
    pub(crate) unclear: BTreeMap<String, Ids>,
}

/// Attacks, by their ids, in one line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ids(String);

impl Ids {
    pub(crate) fn add(&mut self, id: &str) {
        self.0.push_str(if self.0.is_empty() { "" } else { " " });
        self.0.push_str(id);
    }

    fn count(&self) -> u32 {
        u32::try_from(self.0.split_whitespace().count()).unwrap()
    }
}

/// One class in one sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) class: String,
    pub(crate) tried: u32,
    pub(crate) worked: u32,
    pub(crate) unclear: u32,
}

/// A file of this project.
pub(crate) fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Peer {
    fn sum(&self, of: fn(&Count) -> u32) -> u32 {
        self.classes.iter().map(of).sum()
    }
}

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}\
    .bold{font-weight:600}.track{fill:#d8dee4}.worked{fill:#c2410c}.unclear{fill:#8c959f}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.track{fill:#30363d}\
    .worked{fill:#f0883e}.unclear{fill:#6e7681}}";

/// Where bars begin, how long a whole one is, and how far below one another they lie.
const BARS: (u32, u32, u32) = (150, 470, 48);

/// A bar for each sandbox: how many of those that work without one work in it.
fn draw(measured: &Measured) -> String {
    let (left, length, step) = BARS;
    let all = measured.peers.iter().map(|peer| peer.sum(|count| count.tried)).max().unwrap_or(1).max(1);
    let height = 56 + step * u32::try_from(measured.peers.len()).unwrap() + 24;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" viewBox=\"0 0 760 {height}\" \
         role=\"img\">\n<title>Attacks that work, of {all} that work without a sandbox</title>\n\
         <style>{STYLE}</style>\n\
         <text class=\"bold\" x=\"12\" y=\"24\">Attacks that work (coloured), of {all} that work without a sandbox</text>\n"
    );
    let mut row = 48;
    for peer in &measured.peers {
        let (tried, worked) = (peer.sum(|count| count.tried), peer.sum(|count| count.worked));
        let unclear = peer.sum(|count| count.unclear);
        let (to_worked, to_unclear, whole) =
            (worked * length / all, (worked + unclear) * length / all, tried * length / all);
        let classes: Vec<String> = peer
            .classes
            .iter()
            .map(|count| format!("{} {}/{}", count.class, count.worked, count.tried))
            .collect();
        let apart = if unclear == 0 { String::new() } else { format!(", {unclear} unclear") };
        let (name, version, classes) =
            (escaped(&peer.name), escaped(&peer.version), escaped(&classes.join(" · ")));
        let (base, below) = (row + 13, row + 31);
        write!(
            text,
            "<text class=\"bold\" x=\"12\" y=\"{base}\">{name}</text>\n\
             <text class=\"small\" x=\"12\" y=\"{below}\">{version}</text>\n\
             <rect class=\"track\" x=\"{left}\" y=\"{row}\" width=\"{whole}\" height=\"16\"/>\n\
             <rect class=\"unclear\" x=\"{left}\" y=\"{row}\" width=\"{to_unclear}\" height=\"16\"/>\n\
             <rect class=\"worked\" x=\"{left}\" y=\"{row}\" width=\"{to_worked}\" height=\"16\"/>\n\
             <text class=\"bold\" x=\"{}\" y=\"{base}\">{worked}/{tried}{apart}</text>\n\
             <text class=\"small\" x=\"{left}\" y=\"{below}\">{classes}</text>\n",
            left + length + 10
        )
        .unwrap();
        row += step;
    }
    let (system, date, user) = (escaped(&measured.system), escaped(&measured.date), escaped(&measured.user));
    let foot = row + 12;
    write!(
        text,
        "<text class=\"small\" x=\"12\" y=\"{foot}\">{date}, {system}, {user} user. How each was called, and every \
         attack by its id: attacks.json</text>\n</svg>\n"
    )
    .unwrap();
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn data() -> Measured {
    serde_json::from_str(&std::fs::read_to_string(at(DATA)).unwrap()).unwrap()
}

#[test]
#[ignore = "writes: scripts/attacks.sh --picture"]
fn the_picture_is_drawn() {
    std::fs::write(at(PICTURE), draw(&data())).unwrap();
}

#[test]
fn the_picture_is_what_the_data_gives() {
    let mut measured = data();
    let there = std::fs::read_to_string(at(PICTURE)).unwrap();
    assert!(draw(&measured) == there, "{PICTURE} is another; remedy: scripts/attacks.sh --picture");
    // A number that is not the measured one is seen.
    measured.peers[0].classes[0].worked += 1;
    assert!(draw(&measured) != there);
    // And the sums are of what is listed.
    for peer in &data().peers {
        let of = |ids: &BTreeMap<String, Ids>| ids.values().map(Ids::count).sum::<u32>();
        let (worked, held, unclear) = (peer.worked.count(), of(&peer.held), of(&peer.unclear));
        assert_eq!(peer.sum(|count| count.worked), worked, "{}", peer.name);
        assert_eq!(peer.sum(|count| count.unclear), unclear, "{}", peer.name);
        assert_eq!(peer.sum(|count| count.tried), worked + held + unclear, "{}", peer.name);
    }
}
