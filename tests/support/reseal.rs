//! Sealing a bundle again as its folder is now, with the key that sealed it: what an honest key must not cover up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cto_harness::evidence::{Envelope, RootStatement, render_sums, subjects};
use cto_harness::vocab::{Digest, SealingKey};

/// Seals the listed files again, with whatever `root` changes.
pub(crate) fn reseal(path: &Path, key: &SealingKey, root: impl FnOnce(&mut RootStatement)) {
    let text = fs::read_to_string(path.join("root.dsse.json")).unwrap();
    let mut statement: RootStatement =
        serde_json::from_slice(&Envelope::parse(&text).unwrap().payload).unwrap();
    let listed = fs::read_to_string(path.join("SHA256SUMS")).unwrap();
    let names = listed.lines().map(|line| line.split_once("  ").unwrap().1.to_owned());
    let sums: BTreeMap<String, Digest> =
        names.map(|name| (name.clone(), Digest::of(&fs::read(path.join(name)).unwrap()))).collect();
    let list = render_sums(&sums);
    fs::write(path.join("SHA256SUMS"), &list).unwrap();
    statement.subject = subjects(Digest::of(list.as_bytes()), &sums);
    root(&mut statement);
    let envelope = Envelope::signed(serde_json::to_vec(&statement).unwrap(), key);
    fs::write(path.join("root.dsse.json"), envelope.render()).unwrap();
}
