//! In place of Codex: fills the new home of a check with what the last byte of its own file names, and ends.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn main() {
    let home = Path::new(&std::env::var("CODEX_HOME").unwrap()).join("check/home");
    std::fs::create_dir_all(&home).unwrap();
    let file = |name: &str, bytes: u64| {
        std::fs::File::create(home.join(name)).unwrap().set_len(bytes).unwrap();
    };
    let odd = home.join("b.sqlite");
    file("a.sqlite", 1);
    match std::fs::read("/proc/self/exe").unwrap().last().unwrap() {
        b'n' => std::fs::remove_file(home.join("a.sqlite")).unwrap(),
        b'o' => file("a.sqlite-wal", 2),
        b'l' => symlink("/etc/passwd", odd).unwrap(),
        b'd' => std::fs::create_dir(odd).unwrap(),
        b'h' => file("b.sqlite", 16 * 1024 * 1024),
        b'm' => (0..32).for_each(|number| file(&format!("m{number}.sqlite"), 1)),
        b'e' => (0..1_000).for_each(|number| file(&format!("e{number}"), 1)),
        b'f' => assert!(Command::new("/usr/bin/mkfifo").arg(odd).status().unwrap().success()),
        b'r' => {
            std::fs::remove_dir_all(&home).unwrap();
            symlink("/etc", &home).unwrap();
        }
        other => panic!("{other}"),
    }
}
