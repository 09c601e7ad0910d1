//! What an engine may do with the files that are followed, each told and none of them followed anywhere else.

use std::fs;
use std::io::Write as _;

use super::*;
use crate::engine::adapter::LaunchPlan;

type Attack = (FileFault, fn(&Bed));

struct Bed {
    dir: tempfile::TempDir,
    follower: Follower,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("engine-home/events")).unwrap();
        let watched = WatchedFolder { folder: "events".into(), named: ("run-".into(), ".jsonl".into()) };
        let plan = LaunchPlan { watched: vec![watched], ..LaunchPlan::default() };
        let follower = Follower::of(&plan, dir.path()).unwrap();
        Self { dir, follower }
    }
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("engine-home/events").join(name)
    }
    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.at(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }
    fn lines_and_wrongs(&mut self) -> (Vec<String>, Vec<FileFault>) {
        let (mut lines, mut wrongs) = (Vec::new(), Vec::new());
        loop {
            let (news, more) = self.follower.look();
            sort(news, &mut lines, &mut wrongs);
            if !more {
                return (lines, wrongs);
            }
        }
    }
    fn last(&mut self) -> Vec<FileFault> {
        let mut wrongs = Vec::new();
        sort(self.follower.last_look(), &mut Vec::new(), &mut wrongs);
        wrongs
    }
}

fn sort(news: Vec<News>, lines: &mut Vec<String>, wrongs: &mut Vec<FileFault>) {
    for one in news {
        match one {
            News::Line(file, bytes) => {
                lines.push(format!("{}:{}", file.number, String::from_utf8_lossy(&bytes)));
            }
            News::Trouble(trouble) => wrongs.push(trouble.what),
        }
    }
}

#[test]
fn whole_lines_come_in_order_and_only_of_files_that_are_asked_for() {
    let mut bed = Bed::new();
    assert_eq!(bed.lines_and_wrongs(), (vec![], vec![]));
    bed.append("run-b.jsonl", "one\ntw");
    bed.append("other.log", "no\n");
    assert_eq!(bed.lines_and_wrongs().0, ["0:one"]);
    bed.append("run-b.jsonl", "o\n\nthree\n");
    bed.append("run-a.jsonl", "of another\n");
    assert_eq!(bed.lines_and_wrongs().0, ["0:two", "0:", "0:three", "1:of another"]);
    bed.append("run-b.jsonl", "cut");
    assert_eq!(bed.lines_and_wrongs(), (vec![], vec![]));
    assert_eq!(bed.last(), [FileFault::CutLine]);
}

#[test]
fn what_is_done_to_a_followed_file_is_told_and_ends_the_following() {
    let attacks: [Attack; 5] = [
        (FileFault::Shrunk, |bed| fs::write(bed.at("run-a.jsonl"), "x\n").unwrap()),
        (FileFault::Gone, |bed| fs::rename(bed.at("run-a.jsonl"), bed.at("elsewhere")).unwrap()),
        (FileFault::Replaced, |bed| {
            fs::write(bed.at("new"), "another file, longer than the first\n").unwrap();
            fs::rename(bed.at("new"), bed.at("run-a.jsonl")).unwrap();
        }),
        (FileFault::Replaced, |bed| {
            fs::remove_file(bed.at("run-a.jsonl")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", bed.at("run-a.jsonl")).unwrap();
        }),
        (FileFault::Gone, |bed| {
            fs::rename(bed.dir.path().join("engine-home/events"), bed.dir.path().join("away")).unwrap();
        }),
    ];
    for (wrong, attack) in attacks {
        let mut bed = Bed::new();
        bed.append("run-a.jsonl", "one\ntwo\n");
        // Without the attack it is followed.
        assert_eq!(bed.lines_and_wrongs(), (vec!["0:one".into(), "0:two".into()], vec![]));
        attack(&bed);
        let (lines, wrongs) = bed.lines_and_wrongs();
        assert!(lines.is_empty() && wrongs.contains(&wrong), "{wrong:?}: {lines:?} {wrongs:?}");
        assert_eq!(bed.lines_and_wrongs(), (vec![], vec![]), "said once");
    }
}

#[test]
fn what_was_changed_behind_the_reader_is_told_at_the_end() {
    let mut bed = Bed::new();
    bed.append("run-a.jsonl", "one\ntwo\n");
    bed.lines_and_wrongs();
    assert_eq!(bed.last(), []);
    fs::write(bed.at("run-a.jsonl"), "ONE\ntwo\n").unwrap();
    assert_eq!(bed.lines_and_wrongs(), (vec![], vec![]), "same size: it does not show");
    assert_eq!(bed.last(), [FileFault::Rewritten]);
}

#[test]
fn what_is_no_file_or_too_many_or_too_long_is_not_read() {
    let mut bed = Bed::new();
    std::os::unix::fs::symlink("/etc/passwd", bed.at("run-link.jsonl")).unwrap();
    fs::create_dir(bed.at("run-dir.jsonl")).unwrap();
    assert_eq!(bed.lines_and_wrongs(), (vec![], vec![FileFault::NotAFile, FileFault::NotAFile]));
    for number in 0..20 {
        bed.append(&format!("run-{number}.jsonl"), "x\n");
    }
    let (lines, wrongs) = bed.lines_and_wrongs();
    assert_eq!((lines.len(), wrongs), (FILES - 2, vec![FileFault::TooMany]));

    let mut bed = Bed::new();
    bed.append("run-a.jsonl", vec![b'x'; LINE_BYTES + 10]);
    bed.append("run-a.jsonl", "\nshort\n");
    let (lines, wrongs) = bed.lines_and_wrongs();
    assert_eq!(wrongs, [FileFault::LongLine]);
    assert_eq!((lines[0].len(), lines[1].as_str()), (LINE_BYTES + 2, "0:short"));
}

#[test]
fn a_link_in_place_of_the_folder_leads_nowhere() {
    let mut bed = Bed::new();
    fs::remove_dir(bed.dir.path().join("engine-home/events")).unwrap();
    fs::create_dir(bed.dir.path().join("elsewhere")).unwrap();
    fs::write(bed.dir.path().join("elsewhere/run-a.jsonl"), "x\n").unwrap();
    std::os::unix::fs::symlink("../elsewhere", bed.dir.path().join("engine-home/events")).unwrap();
    assert_eq!(bed.lines_and_wrongs(), (vec![], vec![FileFault::Unreadable]));
}
