//! Files on a command's standard streams: by hand, a file of the caller's may be read and written, and no more.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::table::Row;
use super::world::OUTSIDE_PATH;
use crate::rig::cto;

/// Id, what is tried, on which descriptor, which mode.
const STREAMS: &[(&str, &str, u32, u32)] = &[
    ("O01", "change the mode of the file that is a command's standard input", 0, 0o777),
    ("O02", "make the file that is its standard output run as its owner", 1, 0o4755),
    ("O03", "change the mode of the file that its errors go to", 2, 0o666),
];

/// Whether a program that is started so can change the mode of a file that is one of its standard streams.
fn changes(call: &[&str], place: &Path, descriptor: u32, mode: u32) -> bool {
    let paths = ["in", "out", "err"].map(|name| place.join(name));
    for path in &paths {
        std::fs::write(path, "x").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    let [input, output, errors] = &paths;
    let (first, rest) = call.split_first().unwrap();
    let mut command = Command::new(first);
    command.args(rest).args([
        "/usr/bin/python3",
        "-c",
        &format!("import os; os.fchmod({descriptor}, {mode})"),
    ]);
    command.env_clear().env("PATH", OUTSIDE_PATH).env("CTO_HOME", place.join("home")).current_dir(place);
    command.stdin(File::open(input).unwrap()).stdout(File::create(output).unwrap());
    command.stderr(File::create(errors).unwrap()).status().unwrap();
    let found = paths.map(|path| path.metadata().unwrap().permissions().mode() & 0o7777);
    found.contains(&mode)
}

fn row((id, what, descriptor, mode): &(&str, &str, u32, u32)) -> Row {
    let place = tempfile::tempdir().unwrap();
    let mut row = Row::new("streams", id, what, "a pipe in its place; as root, the uid");
    let outside = changes(&["/usr/bin/env"], place.path(), *descriptor, *mode);
    if outside { "works" } else { "does not work" }.clone_into(&mut row.outside);
    let program = cto();
    let call = [program.to_str().unwrap(), "sandbox", "--"];
    let inside = changes(&call, place.path(), *descriptor, *mode);
    if inside { "WORKS" } else { "held" }.clone_into(&mut row.inside);
    if inside || !outside {
        row.wrong(format!("outside it {}, inside it {}", row.outside, row.inside));
    }
    row
}

/// Every one.
pub(crate) fn rows() -> Vec<Row> {
    STREAMS.iter().map(row).collect()
}

/// The bytes arrive, in order and to the end, and what cannot be written is no success.
#[test]
fn a_file_on_a_standard_stream_cannot_be_changed_but_by_writing() {
    let wrong: Vec<Row> = rows().into_iter().filter(|row| !row.wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let place = tempfile::tempdir().unwrap();
    let (input, output) = (place.path().join("in"), place.path().join("out"));
    let text = "0123456789abcdef\n".repeat(100_000);
    std::fs::write(&input, &text).unwrap();
    let copy = |to: File| {
        let mut command = Command::new(cto());
        command.args(["sandbox", "--", "cat"]).env("CTO_HOME", place.path().join("home"));
        command.stdin(File::open(&input).unwrap()).stdout(to).status().unwrap()
    };
    assert!(copy(File::create(&output).unwrap()).success());
    assert_eq!(std::fs::read_to_string(&output).unwrap(), text);
    // A device that is full says so to whoever writes to it.
    assert!(!copy(File::create("/dev/full").unwrap()).success());
}
