//! The patch against stock git: applied to the base it gives exactly the recorded tree, whatever was done.

use super::tests_bed::{Bed, in_tree};
use super::{Patch, VerificationTree, Workspace};
use crate::evidence::ChangeKind;
use crate::vocab::{MutationMode, Verdict};

/// A base with a bit of everything.
const BASE: &str = r#"
mkdir -p src/deep/er docs
printf 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n' > src/a.txt
printf 'no newline at the end' > src/b.txt
printf 'crlf\r\nlines\r\n' > docs/crlf.txt
head -c 3000 /dev/urandom > docs/blob.bin
: > empty
printf '#!/bin/sh\necho\n' > run.sh; chmod +x run.sh
ln -s src/a.txt link
ln -s /etc/passwd absolute
printf 'x\n' > 'with blank'
printf 'x\n' > 'with "quotes" and \ backslash'
printf 'x\n' > $'tab\tand\nnewline'
printf 'x\n' > $'bytes\xff\xfe'
printf 'x\n' > ümlaut
printf 'deep\n' > src/deep/er/file
printf '*.o\ntarget/\n' > .gitignore
printf 'tracked\n' > tracked.o; git add -f tracked.o
"#;

/// Name, what the run does, how many changes come of it.
const CASES: &[(&str, &str, usize)] = &[
    ("nothing", ":", 0),
    ("rewritten alike", "cp src/a.txt t; rm src/a.txt; mv t src/a.txt; touch empty", 0),
    ("edit", "sed -i s/four/FOUR/ src/a.txt", 1),
    (
        "same size, same time",
        "cp -p src/a.txt t; printf ONE | dd of=src/a.txt conv=notrunc 2>/dev/null; touch -r t src/a.txt; rm t",
        1,
    ),
    ("add", "mkdir new; printf 'x\\ny\\n' > new/file; printf z > new/no-newline; : > new/empty", 3),
    ("delete", "rm src/a.txt 'with blank' empty docs/blob.bin", 4),
    ("delete a folder", "rm -r src", 3),
    ("delete everything", "rm -rf ..?* .[!.]* *", 16),
    ("folder deleted and made again", "rm -r src; mkdir src; printf 'n\\n' > src/new", 4),
    ("rename", "mv src/a.txt src/moved.txt", 1),
    (
        "rename with an edit and a mode",
        "mv src/a.txt 'docs/a b.txt'; sed -i s/one/ONE/ 'docs/a b.txt'; chmod +x 'docs/a b.txt'",
        1,
    ),
    ("rename a folder", "mv src/deep docs/deep", 1),
    (
        "rename to odd names",
        "mv 'with \"quotes\" and \\ backslash' $'q\"\\t\\\\'; mv $'tab\\tand\\nnewline' $'n\\nn'",
        2,
    ),
    ("swap", "mv src/a.txt t; mv src/b.txt src/a.txt; mv t src/b.txt", 2),
    ("modes", "chmod -x run.sh; chmod +x src/a.txt", 2),
    ("mode and edit", "chmod -x run.sh; echo more >> run.sh", 1),
    (
        "umask and unreadable",
        "chmod 000 src/a.txt; chmod 600 src/b.txt; chmod 777 docs; echo 1 > n; chmod 000 n",
        1,
    ),
    ("newlines at the end", "printf '\\n' >> src/b.txt; truncate -s -1 src/a.txt", 2),
    ("line ends", "sed -i 's/\\r$//' docs/crlf.txt; sed -i 's/$/\\r/' src/a.txt", 2),
    ("binary", "printf '\\0\\1' >> docs/blob.bin; head -c 5000 /dev/urandom > new.bin; : > docs/e.bin", 3),
    ("binary to text and back", "echo text > docs/blob.bin; head -c 200 /dev/zero > src/a.txt", 2),
    ("binary moved and edited", "mv docs/blob.bin moved.bin; printf x >> moved.bin", 1),
    ("links", "ln -sf src/b.txt link; ln -s nowhere dangling; rm absolute", 3),
    ("file to link", "rm src/a.txt; ln -s b.txt src/a.txt", 1),
    ("link to file", "rm link; cp src/a.txt link", 1),
    ("file to folder", "rm src/a.txt; mkdir src/a.txt; echo x > src/a.txt/in", 2),
    ("folder to file", "rm -r src; echo x > src", 4),
    (
        "odd names edited",
        "echo y >> 'with blank'; echo y >> 'with \"quotes\" and \\ backslash'; echo y >> $'tab\\tand\\nnewline'; echo y >> $'bytes\\xff\\xfe'; echo y >> ümlaut",
        5,
    ),
    (
        "odd names added",
        "echo y > ' leading'; echo y > 'trailing '; echo y > $'cr\\r'; echo y > -dash; echo y > $'\\x01\\x7f'; echo y > 'a -> b'; echo y > '{}'",
        7,
    ),
    (
        "ignored",
        "echo o > x.o; mkdir -p target/d; mkfifo target/d/fifo; echo t >> tracked.o; echo '!*.o' > docs/.gitignore; echo '*' >> .gitignore; echo d > docs/y.o; echo n > seen",
        4,
    ),
    ("empty folders", "mkdir -p a/b/c", 0),
    ("longest name", "echo x > $(printf 'n%.0s' {1..255})", 1),
    (
        "longest path",
        "p=$(printf 'd%.0s' {1..239}); for i in {1..15}; do mkdir $p; cd $p; done; echo x > $(printf 'n%.0s' {1..240})",
        1,
    ),
    ("hard links", "ln src/a.txt hard; echo x >> hard", 2),
    (
        "the engine's own git",
        "git config user.name x; echo h > .git/hooks/pre-commit; git add -A; git commit -q --allow-empty -m c; rm -rf .git; echo 'gitdir: /tmp' > .git; echo n > n",
        1,
    ),
];

fn check(bed: &Bed, overlay: bool, script: &str, changes: usize) -> Result<Patch, String> {
    let patch = bed.run(overlay, script);
    let kinds: Vec<_> = patch.section.files.iter().map(|file| (&file.path, file.change)).collect();
    let applied = bed.applied(&patch);
    let recorded = patch.section.result_tree.as_ref().unwrap().as_str();
    if patch.changes.len() == changes && patch.oddities.is_empty() && applied == recorded {
        return Ok(patch);
    }
    Err(format!("{kinds:?} {:?} applied {applied} recorded {recorded}", patch.oddities))
}

fn check_all(overlay: bool) {
    let bed = Bed::new(BASE);
    let wrong = CASES.iter().filter_map(|(name, script, changes)| {
        check(&bed, overlay, script, *changes).err().map(|why| format!("{name}: {why}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn stock_git_makes_the_recorded_tree_of_an_overlay() {
    check_all(true);
}

#[test]
fn stock_git_makes_the_recorded_tree_of_a_private_copy() {
    check_all(false);
}

#[test]
fn changes_tell_what_happened() {
    let bed = Bed::new(BASE);
    let script = "mv src/a.txt moved; rm src/b.txt; ln -s x src/b.txt; chmod -x run.sh; \
                  printf 'a\\nb\\n' >> 'with blank'; rm empty; echo x > target.c; echo o > o.o";
    let patch = check(&bed, true, script, 6).unwrap();
    let kinds: Vec<_> = patch.section.files.iter().map(|f| (f.path.as_str(), f.change)).collect();
    assert_eq!(
        kinds,
        [
            ("empty", ChangeKind::Deleted),
            ("moved", ChangeKind::Renamed),
            ("run.sh", ChangeKind::ModeChanged),
            ("src/b.txt", ChangeKind::TypeChanged),
            ("target.c", ChangeKind::Added),
            ("with blank", ChangeKind::Modified),
        ]
    );
    assert_eq!(patch.section.ignored, 1);
    let added: Vec<_> = patch.added_lines().filter(|(path, ..)| *path == b"with blank").collect();
    assert_eq!(added, [(&b"with blank"[..], 2, &b"a"[..]), (&b"with blank"[..], 3, &b"b"[..])]);
    let blob = patch.changes.iter().find(|change| change.path == b"target.c").unwrap();
    assert_eq!(patch.blob(blob), Some(&b"x\n"[..]));
}

#[test]
fn new_files_beside_tracked_ones_in_an_ignored_folder_are_ignored_as_git_does() {
    let make =
        "for f in n b/n b/c/n b/n.o d/n d/b/n d/e/n d/n.o; do mkdir -p $(dirname $f); echo new > $f; done";
    for (top, inner) in [
        ("b/", ""),
        ("b", "!n"),
        ("/b/*", ""),
        ("b/c/", ""),
        ("*.o\nd/", "!n"),
        ("d/*\n!d/e/", ""),
        ("d/e", "!e\n!e/n"),
        ("**/b", "!b/"),
        ("!b\nb/\n!b/n", ""),
        ("d\n!d", "b"),
    ] {
        let bed = Bed::new(&format!(
            "mkdir -p b/c d/b d/e; for f in b b/c d d/b d/e; do echo old > $f/old; done
             printf '{top}' > .gitignore; printf '{inner}' > d/.gitignore; git add -f ."
        ));
        bed.git("", &["clone", "-q", "target", "judge"]);
        super::tests_bed::shell(&bed.path("judge"), &format!("{make}; echo new >> b/c/old"));
        let told = bed.git("judge", &["ls-files", "--others", "--modified", "--exclude-standard"]);
        for overlay in [true, false] {
            let patch = bed.run(overlay, &format!("{make}; echo new >> b/c/old"));
            let mut ours: Vec<_> = patch.section.files.iter().map(|file| file.path.as_str()).collect();
            let mut gits: Vec<_> = told.lines().collect();
            ours.sort_unstable();
            gits.sort_unstable();
            assert_eq!(ours, gits, "{top:?} {inner:?} overlay {overlay}");
            assert!(patch.oddities.is_empty());
        }
    }
}

#[test]
fn what_no_patch_may_carry_is_found_and_not_followed() {
    let bed = Bed::new(BASE);
    for overlay in [true, false] {
        for (script, code, path) in [
            ("rm src/a.txt; mkfifo src/a.txt", "patch.special-file", "src/a.txt"),
            ("mkfifo pipe", "patch.special-file", "pipe"),
            (
                "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'",
                "patch.special-file",
                "s",
            ),
            ("git init -q sub; echo x > sub/f", "patch.nested-repository", "sub/.git"),
            ("mkdir -p a/b; echo 'gitdir: /x' > a/b/.git", "patch.nested-repository", "a/b/.git"),
            ("git init -q --bare docs/bare", "patch.nested-repository", "docs/bare/"),
            ("chmod u+s run.sh", "patch.setuid", "run.sh"),
            ("chmod +t docs", "patch.setuid", "docs"),
            ("chmod g+s .", "patch.setuid", "."),
            ("python3 -c 'import os; os.setxattr(\".\", \"user.evil\", b\"1\")'", "patch.xattr", "."),
            (
                "p=$(printf 'd%.0s' {1..240}); for i in {1..16}; do mkdir $p; cd $p; done; echo x > f",
                "patch.path-too-long",
                "",
            ),
            ("ln -s ../../etc/shadow out", "patch.escaping-link", "out"),
            ("ln -s /proc/self/environ out", "patch.escaping-link", "out"),
            ("ln -s .git/config sly", "patch.git-like-name", "sly"),
            ("mkdir .GIT; echo x > .GIT/config", "patch.git-like-name", ".GIT"),
            ("echo x > 'docs/git~1'", "patch.git-like-name", "docs/git~1"),
            ("echo x > $'.g\\u200cit'", "patch.git-like-name", ".g\\u{200c}it"),
            ("echo x > EMPTY", "patch.collision", "EMPTY"),
            ("echo x > $'u\\u0308mlaut'", "patch.collision", "u\u{308}mlaut"),
            (
                "python3 -c 'import os; os.setxattr(\"run.sh\", \"user.evil\", b\"1\")'",
                "patch.xattr",
                "run.sh",
            ),
            ("truncate -s 2M big", "patch.too-large", "big"),
            ("mkdir n; cd n; for i in {1..1500}; do echo $i > $i; done", "patch.incomplete", "n/2"),
        ] {
            let patch = bed.run(overlay, script);
            let found: Vec<_> = patch.oddities.iter().map(|f| (f.code.as_str(), f.path.as_str())).collect();
            let same = |(c, p): &&(&str, &str)| {
                *c == code && (*p == path || ["patch.incomplete", "patch.path-too-long"].contains(c))
            };
            assert!(found.iter().find(same).is_some(), "{script}: {found:?}");
            assert!(patch.oddities.iter().all(|finding| finding.weight != Verdict::Pass));
            assert_eq!(bed.applied(&patch), patch.section.result_tree.as_ref().unwrap().as_str(), "{script}");
            assert!(!patch.text.windows(5).any(|w| w == b"root:"), "{script}");
        }
    }
}

#[test]
fn what_would_be_overlays_own_is_a_finding_where_there_is_none() {
    let bed = Bed::new(BASE);
    for name in ["origin", "opaque", "upper", "nlink"] {
        let script =
            format!("python3 -c 'import os; os.setxattr(\"docs\", \"user.overlay.{name}\", b\"y\")'");
        let told: Vec<_> = bed.run(false, &script).oddities.into_iter().map(|f| (f.code, f.path)).collect();
        assert_eq!(told, [("patch.xattr".to_owned(), "docs".to_owned())], "{name}");
    }
}

#[test]
fn mounts_of_the_harness_are_no_changes() {
    let bed = Bed::new(BASE);
    let placement = super::Placement { mounted: vec!["vendor/in".to_owned()], ..bed.placement(false) };
    let limits = super::tests_bed::limits();
    let workspace =
        Workspace::prepare_for(MutationMode::SandboxRepo, &limits, &bed.base(), placement).unwrap();
    in_tree(
        &workspace.mount().form,
        "mkdir -p vendor/in; echo x > vendor/in/f; echo x > vendor/g",
        &bed.path(""),
    );
    let patch = workspace.patch().unwrap();
    assert_eq!(patch.changes.iter().map(|c| c.path.as_slice()).collect::<Vec<_>>(), [b"vendor/g"]);
}

#[test]
fn whatever_a_base_has_at_a_place_is_seen() {
    let bed = Bed::new(BASE);
    let base = bed.base();
    for (place, there) in [
        ("src", true),
        ("src/a.txt", true),
        ("link", true),
        ("empty", true),
        (".case", false),
        ("src/none", false),
    ] {
        assert_eq!(super::base_holds(&base, place).unwrap(), there, "{place}");
    }
}

#[test]
fn verification_sees_base_and_patch_and_nothing_else() {
    let bed = Bed::new(BASE);
    let mut files = std::collections::BTreeMap::new();
    files.insert("tests/check.sh".to_owned(), b"echo checked\n".to_vec());
    files.insert("src/a.txt".to_owned(), b"protected\n".to_vec());
    let expected = r#"
test "$(cat tests/check.sh)" = "echo checked"
test "$(cat src/a.txt)" = protected
"#;
    for overlay in [true, false] {
        let patch = bed.run(
            overlay,
            "rm docs/crlf.txt; echo n > docs/n; rm -r src/deep; ln -s docs d; rm empty; mkdir empty; echo e > empty/e; \
             mkfifo pipe; echo o > x.o; chmod -x run.sh",
        );
        let placement = bed.placement(overlay);
        let tree = VerificationTree::prepare(&bed.base(), Some(&patch), &files, &placement).unwrap();
        let base = VerificationTree::prepare(&bed.base(), None, &files, &placement).unwrap();
        let result = "test ! -e docs/crlf.txt; test ! -e src/deep; test ! -e pipe; test ! -e x.o; test ! -x run.sh
                      test \"$(cat d/n)\" = n; test \"$(cat empty/e)\" = e; test -e docs/blob.bin; echo w > written";
        in_tree(&tree.mount().form, &format!("{expected}{result}"), &bed.path(""));
        in_tree(&tree.mount().form, "test \"$(cat written)\" = w", &bed.path(""));
        let unchanged = "test -e docs/crlf.txt; test -s src/deep/er/file; test ! -e written; test -f empty; test -x run.sh";
        in_tree(&base.mount().form, &format!("{expected}{unchanged}"), &bed.path(""));
        let told: Vec<_> = tree.files().iter().map(|file| file.to.display().to_string()).collect();
        assert_eq!(told, ["/workspace/src/a.txt", "/workspace/tests/check.sh"]);
        assert_eq!(std::fs::read(&tree.files()[0].from).unwrap(), b"protected\n");
        tree.remove().unwrap();
        base.remove().unwrap();
        assert_eq!(std::fs::read_dir(bed.path("run/verification")).unwrap().count(), 0);
    }
}

#[test]
fn altered_contents_never_reach_verification_or_the_target() {
    let bed = Bed::new(BASE);
    let mut patch = bed.run(false, "echo good > n");
    patch.contents.values_mut().for_each(|bytes| *bytes = b"bad\n".to_vec());
    let files = std::collections::BTreeMap::new();
    assert!(VerificationTree::prepare(&bed.base(), Some(&patch), &files, &bed.placement(false)).is_err());
}
