//! A large bundle by the real writer, with the trust file that goes with it.

#[allow(dead_code, reason = "the made-up run of tests/evidence serves here too, in part")]
#[path = "../../tests/evidence/made_up.rs"]
mod made_up;

use std::path::PathBuf;
use std::sync::Arc;

use cto_harness::evidence::EVENTS;
use cto_harness::vocab::SealingKey;

use super::place::Place;

/// What a raw log of an engine looks like, roughly.
const LINE: &[u8] = b"{\"method\":\"item/updated\",\"params\":{\"text\":\"a line as engines print them, many times over\"}}\n";

/// A sealed bundle.
pub(crate) struct Large {
    pub(crate) dir: PathBuf,
    pub(crate) trust: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) events: usize,
    pub(crate) bytes: u64,
}

/// About 10,000 events and 50 MB: events and trace of a talkative engine, and its raw output.
pub(crate) fn large(place: &Place) -> Large {
    const RAW: usize = 39_000_000;
    let key = Arc::new(SealingKey::generate().unwrap());
    let plan = made_up::Plan {
        // The writer adds a dozen of its own.
        events: 9_990,
        filler: 700,
        raw: LINE.repeat(RAW / LINE.len()),
        ..made_up::Plan::default()
    };
    let dir = made_up::make(&place.path("large-bundle"), &key, &plan).path;
    let trust = place.path("trust.toml");
    let text = format!("[[sealing]]\nname = \"bench\"\nkey = '''\n{}'''\n", key.public().to_pem());
    std::fs::write(&trust, text).unwrap();
    let files: Vec<PathBuf> = made_up::files(&dir).iter().map(|name| dir.join(name)).collect();
    let events = std::fs::read_to_string(dir.join(EVENTS)).unwrap().lines().count();
    let bytes = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    Large { dir, trust, files, events, bytes }
}
