//! Targets of every form, clean and not, and what may be written to them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::clean_tests::dirt;
use super::tests_bed::{Bed, limits, me, shell};
use super::{
    ObserveOptions, RunUid, TargetProblem, TreeForm, Workspace, import_fixture, observe_target,
    observe_target_cached, read_base_file, trim_base_cache,
};
use crate::beneath::Dir;
use crate::vocab::MutationMode;

fn problem(path: &Path, base_ref: &str) -> TargetProblem {
    let problem = observe_target(path, base_ref, &ObserveOptions::default()).unwrap_err();
    assert!(!problem.remedy.is_empty() && !problem.sentence.is_empty());
    problem
}

#[test]
fn a_plain_repository_is_pinned_and_clean() {
    let bed = Bed::new("mkdir d; echo x > d/f; echo '*.log' > .gitignore");
    bed.git("target", &["tag", "-a", "v1", "-m", "x"]);
    for base_ref in ["HEAD", "main", "v1", "refs/heads/main"] {
        let target = observe_target(&bed.path("target"), base_ref, &ObserveOptions::default()).unwrap();
        assert_eq!(target.facts.commit.as_str(), bed.git("target", &["rev-parse", "HEAD"]));
        assert_eq!(target.facts.tree.as_str(), bed.git("target", &["rev-parse", "HEAD^{tree}"]));
        assert_eq!(target.facts.unreadable_forms, [""; 0]);
        assert_eq!(target.facts.dirt, None);
    }
    assert_eq!(dirt(&bed), [""; 0]);
    shell(&bed.path("target"), "touch d/f x.log");
    assert_eq!(dirt(&bed), [""; 0]);
}

#[test]
fn a_remembered_tree_gives_the_same_answer_and_a_bad_one_is_never_remembered() {
    let bed = Bed::new("echo x > f");
    let look = || {
        let (path, cache) = (bed.path("target"), bed.path("cache"));
        observe_target_cached(&path, "HEAD", &ObserveOptions::default(), &cache).unwrap().facts
    };
    assert_eq!(look(), look());
    assert_eq!(fs::read_dir(bed.path("cache/trees")).unwrap().count(), 1);
    shell(&bed.path("target"), "echo '* filter=lfs' > .gitattributes");
    bed.git("target", &["add", "-A"]);
    bed.git("target", &["commit", "-qm", "lfs"]);
    for _ in 0..2 {
        assert_eq!(look().unreadable_forms, ["lfs"]);
    }
    assert_eq!(fs::read_dir(bed.path("cache/trees")).unwrap().count(), 1);
}

#[test]
fn what_is_no_readable_target_says_why_and_what_to_do() {
    let bed = Bed::new("mkdir d; echo x > d/f");
    let at = |name: &str| bed.path(name);
    for dir in ["empty", "unborn", "broken", "broken/.git"] {
        fs::create_dir(at(dir)).unwrap();
    }
    bed.git("unborn", &["init", "-q"]);
    bed.git("", &["init", "-q", "--object-format=sha256", "sha256"]);
    shell(&at("sha256"), "git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x");
    for (path, base_ref, code) in [
        ("nowhere", "HEAD", "target.not-a-repository"),
        ("empty", "HEAD", "target.not-a-repository"),
        ("broken", "HEAD", "target.unreadable"),
        ("target/d", "HEAD", "target.not-the-top"),
        ("unborn", "HEAD", "target.unborn-head"),
        ("sha256", "HEAD", "target.sha256"),
        ("target", "no-such-branch", "target.base-ref"),
        ("target", "HEAD:d/f", "target.base-ref"),
        ("target", "", "target.base-ref"),
    ] {
        assert_eq!(problem(&at(path), base_ref).code, code, "{path} {base_ref}");
    }
}

#[test]
fn forms_that_are_not_read_are_named() {
    let bed = Bed::new("echo x > f");
    shell(&bed.path("target"), "echo y > f; git -c user.name=t -c user.email=t@t commit -qam y");
    let url = format!("file://{}", bed.path("target").display());
    bed.git("target", &["config", "uploadpack.allowFilter", "true"]);
    bed.git("", &["clone", "-q", "--bare", &url, "bare"]);
    bed.git("", &["clone", "-q", "--depth", "1", &url, "shallow"]);
    bed.git("", &["clone", "-q", &url, "lfs"]);
    shell(&bed.path("lfs"), "echo '*.bin filter=lfs diff=lfs' > .gitattributes");
    bed.git("", &["clone", "-q", &url, "modules"]);
    let head = bed.git("target", &["rev-parse", "HEAD"]);
    bed.git("modules", &["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
    for dir in ["lfs", "modules"] {
        shell(&bed.path(dir), "git add .gitattributes 2>/dev/null || :");
        bed.git(dir, &["commit", "-qm", "x"]);
    }
    let promisor = ["clone", "-q", "--filter=blob:none", &url, "partial"];
    bed.git("", &promisor);
    for (dir, form) in [("bare", "bare"), ("shallow", "shallow"), ("lfs", "lfs"), ("modules", "submodules")] {
        let target = observe_target(&bed.path(dir), "HEAD", &ObserveOptions::default()).unwrap();
        assert_eq!(target.facts.unreadable_forms, [form], "{dir}");
    }
    match observe_target(&bed.path("partial"), "HEAD", &ObserveOptions::default()) {
        Ok(target) => assert_eq!(target.facts.unreadable_forms, ["partial-clone"]),
        Err(problem) => assert_eq!(problem.code, "target.partial-clone"),
    }
}

#[test]
fn another_owners_repository_is_refused_also_for_root() {
    if me().host_uid != 0 {
        return;
    }
    let bed = Bed::new("echo x > f");
    shell(&bed.path(""), "chown -R 65534:65534 target");
    let problem = problem(&bed.path("target"), "HEAD");
    assert_eq!(problem.code, "target.other-owner");
    assert!(problem.remedy.contains("safe.directory"));
}

#[test]
fn linked_worktrees_and_alternates_are_read() {
    let bed = Bed::new("echo x > f");
    bed.git("target", &["worktree", "add", "-q", "../linked"]);
    bed.git("", &["clone", "-q", "--shared", "target", "shared"]);
    for dir in ["linked", "shared"] {
        let target = observe_target(&bed.path(dir), "HEAD", &ObserveOptions::default()).unwrap();
        assert_eq!(read_base_file(&target.base, "f", 10).unwrap().as_deref(), Some(&b"x\n"[..]), "{dir}");
    }
}

#[test]
fn files_of_the_base_are_read_bounded_and_links_are_not_followed() {
    let bed = Bed::new("mkdir d; echo x > d/f; ln -s d/f link");
    let base = bed.base();
    assert_eq!(read_base_file(&base, "d/f", 2).unwrap().as_deref(), Some(&b"x\n"[..]));
    for absent in ["link", "d", "none", "d/f/g", "../d/f"] {
        assert_eq!(read_base_file(&base, absent, 10).unwrap(), None, "{absent}");
    }
    assert!(read_base_file(&base, "d/f", 1).is_err());
}

#[test]
fn a_fixture_is_the_same_commit_for_everybody() {
    let bed = Bed::new(":");
    shell(
        &bed.path(""),
        "mkdir -p a/d b/d; for x in a b; do echo x > $x/d/f; ln -s f $x/d/l; : > $x/r; chmod 755 $x/r; done; touch -d 2001-01-01 b/r",
    );
    let a = import_fixture(&bed.path("a"), &bed.path("store.git")).unwrap();
    let b = import_fixture(&bed.path("b"), &bed.path("store.git")).unwrap();
    assert_eq!(a, b);
    let listed = bed.git("", &["--git-dir=store.git", "ls-tree", "-r", "--name-only", a.tree.as_str()]);
    assert_eq!(listed, "d/f\nd/l\nr");
    shell(&bed.path(""), "mkfifo a/pipe");
    assert_eq!(import_fixture(&bed.path("a"), &bed.path("store.git")).unwrap_err().code, "target.fixture");
    shell(&bed.path(""), "rm a/pipe; mkdir a/.git");
    assert_eq!(import_fixture(&bed.path("a"), &bed.path("store.git")).unwrap_err().code, "target.fixture");
}

#[test]
fn the_engines_own_git_is_clean_and_quick_and_commits() {
    let bed = Bed::new("mkdir d; echo x > d/f; : > e; ln -s d l; printf '#!/bin/sh\\n' > r; chmod +x r");
    let workspace = bed.prepare(true);
    let script = r#"
unset HOME; export GIT_CONFIG_NOSYSTEM=1
test -z "$(git status --porcelain)"
test "$(git rev-parse --abbrev-ref HEAD)" = main
test "$(git rev-list --count HEAD)" = 1
test -z "$(git remote)"
git fsck --strict
echo y >> d/f; test "$(git status --porcelain)" = " M d/f"
git add -A; git commit -q -m work; test -z "$(git status --porcelain)"
"#;
    super::tests_bed::in_tree(&workspace.mount().form, script, &bed.path(""));
    let patch = workspace.patch().unwrap();
    assert_eq!(patch.changes.iter().map(|c| c.path.as_slice()).collect::<Vec<_>>(), [b"d/f"]);
}

/// More files than a job has, in folders within folders, some of them twice, beside one that is empty and one that is not
/// text: what stock git makes of the same commit.
#[test]
fn a_base_of_many_jobs_is_what_git_checks_out() {
    let bed = Bed::new(
        "for d in a a/b a/b/c z; do mkdir -p $d; for i in {1..150}; do echo $d $i > $d/$i; done; done
         cp -r a/b z/copy; : > empty; head -c 400000 /dev/urandom > noise; ln -s a/b/1 a/link; chmod +x z/7",
    );
    let workspace = bed.prepare(true);
    let target = bed.path("target");
    let script = format!(
        r#"
unset HOME; export GIT_CONFIG_NOSYSTEM=1
git -c safe.directory='*' -C {0} ls-files -s > ../listed; git ls-files -s | diff - ../listed
diff -r --no-dereference --exclude=.git . {0}
test -z "$(git status --porcelain)"
git fsck --strict --full 2>&1 | (! grep .)
rm -r a z noise; git checkout -q .; diff -r --no-dereference --exclude=.git . {0}
test "$(find .git/objects -type f | wc -l)" = 2
"#,
        target.display()
    );
    super::tests_bed::in_tree(&workspace.mount().form, &script, &bed.path(""));
}

/// Whoever finds it tells it, and whoever waits for entries or room does not wait for ever.
#[test]
fn an_object_that_is_not_there_ends_the_base() {
    let bed = Bed::new("for i in {1..300}; do echo $i > $i; done");
    let lost = bed.git("target", &["rev-parse", "HEAD:150"]);
    let (folder, name) = lost.split_at(2);
    fs::remove_file(bed.path("target/.git/objects").join(folder).join(name)).unwrap();
    let base = bed.base();
    for overlay in [true, false] {
        let placement = bed.placement(overlay);
        let refused = Workspace::prepare_for(MutationMode::SandboxRepo, &limits(), &base, placement);
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("read a file of the tree") && why.contains(&lost), "{why}");
        let left = fs::read_dir(bed.path("cache/bases")).unwrap().map(|entry| entry.unwrap().file_name());
        let whole = left.map(|name| name.into_string().unwrap()).filter(|name| !name.contains('.'));
        assert_eq!(whole.collect::<Vec<_>>(), [""; 0], "only locks, and what is half made");
    }
}

/// Whoever makes files while nobody can pack them does not wait for somebody.
#[test]
fn a_pack_that_cannot_be_made_ends_the_base() {
    let bed = Bed::new("for i in {1..2000}; do echo $i > $i; done; head -c 3000000 /dev/urandom > noise");
    let folder = bed.path("run/tree");
    fs::create_dir_all(folder.join(".git")).unwrap();
    let dir = Dir::open_root(&folder).unwrap();
    let refused = super::lay_base::lay_base(&bed.base(), &dir, &folder, me());
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("make the engine's own .git"), "{why}");
}

#[test]
fn mode_none_is_a_read_only_view_with_an_empty_patch() {
    let bed = Bed::new("echo x > f");
    let placement = bed.placement(false);
    let workspace = Workspace::prepare_for(MutationMode::None, &limits(), &bed.base(), placement).unwrap();
    assert_eq!(workspace.form(), "read-only");
    let TreeForm::ReadOnly { lowers } = workspace.mount().form else { panic!("not read-only") };
    assert_eq!(fs::read_to_string(lowers[0].join("f")).unwrap(), "x\n");
    let patch = workspace.patch().unwrap();
    assert!(patch.text.is_empty() && patch.changes.is_empty());
    assert_eq!(patch.section.result_tree, Some(bed.base().tree));
}

/// Each keeps what it got until the end, as runs do: whoever waited for another one's end would wait for ever.
#[test]
fn of_many_runs_at_once_none_waits_for_the_end_of_another() {
    let bed = Bed::new("for i in {1..50}; do echo $i > $i; done");
    let base = bed.base();
    for round in 0..8 {
        let start = std::sync::Arc::new(std::sync::Barrier::new(12));
        let (done, ready) = std::sync::mpsc::channel();
        for number in 0..12 {
            let run_dir = bed.path(&format!("run{round}-{number}"));
            let cache_dir = bed.path(&format!("cache{round}"));
            let placement = super::Placement { cache_dir, run_dir, ..bed.placement(true) };
            let (base, start, done) = (base.clone(), start.clone(), done.clone());
            std::thread::spawn(move || {
                fs::create_dir(&placement.run_dir).unwrap();
                start.wait();
                let workspace =
                    Workspace::prepare_for(MutationMode::SandboxRepo, &limits(), &base, placement).unwrap();
                done.send(workspace).unwrap();
            });
        }
        let patience = std::time::Duration::from_mins(1);
        let held: Vec<_> = (0..12).map(|_| ready.recv_timeout(patience).expect("somebody waits")).collect();
        for workspace in held {
            workspace.remove().unwrap();
        }
    }
}

#[test]
fn a_base_is_made_once_also_by_many_at_once_and_is_trimmed_only_when_unused() {
    let bed = Bed::new("for i in {1..50}; do echo $i > $i; done");
    let held = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|number| {
                let run = bed.path(&format!("run{number}"));
                let bed = &bed;
                scope.spawn(move || {
                    fs::create_dir(&run).unwrap();
                    let placement = super::Placement { run_dir: run, ..bed.placement(true) };
                    let mode = MutationMode::SandboxRepo;
                    Workspace::prepare_for(mode, &limits(), &bed.base(), placement).unwrap()
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect::<Vec<_>>()
    });
    let forms: std::collections::BTreeSet<_> = held
        .iter()
        .map(|workspace| format!("{:?}", workspace.mount().form).split("upper").next().unwrap().to_owned())
        .collect();
    assert_eq!(forms.len(), 1, "{forms:?}");
    assert_eq!(trim_base_cache(&bed.path("cache"), 0).unwrap(), [""; 0]);
    for workspace in held {
        workspace.remove().unwrap();
    }
    assert_eq!(trim_base_cache(&bed.path("cache"), 1).unwrap(), [""; 0]);
    // A process that another test is just starting holds copies of all descriptors until it executes.
    let mut tries = 0;
    while trim_base_cache(&bed.path("cache"), 0).unwrap().len() != 1 {
        tries += 1;
        assert!(tries < 500, "the base is held by nobody");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bed.prepare(true).remove().unwrap();
}

#[test]
fn a_payload_of_its_own_owns_what_it_may_change() {
    if me().host_uid != 0 {
        return;
    }
    let bed = Bed::new("mkdir d; echo x > d/f");
    let uid = RunUid { inside: 1000, host_uid: super::FIRST_SLOT, host_gid: super::FIRST_SLOT, own: true };
    for overlay in [true, false] {
        let placement = super::Placement { uid, ..bed.placement(overlay) };
        let mode = MutationMode::SandboxRepo;
        let workspace = Workspace::prepare_for(mode, &limits(), &bed.base(), placement).unwrap();
        let tree = match workspace.mount().form {
            TreeForm::Overlay { lowers, .. } => lowers[0].clone(),
            TreeForm::Private { dir } => dir,
            TreeForm::ReadOnly { .. } => panic!("read-only"),
        };
        let not_its = Command::new("find")
            .args([tree.as_os_str(), OsStr::new("!"), OsStr::new("-uid"), OsStr::new("2000000000")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(not_its.stdout).unwrap(), "", "overlay {overlay}");
        workspace.remove().unwrap();
    }
}

/// The tests above as somebody else than root: ownership, `chmod 000` and whiteouts differ there.
#[test]
fn the_same_holds_for_an_ordinary_user() {
    use std::os::unix::process::CommandExt as _;
    if me().host_uid != 0 || std::env::var_os("CTO_TEST_INNER").is_some() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    Dir::open_root(place.path()).unwrap().give_itself(65534, 65534).unwrap();
    // The test program itself may lie where only root can read.
    let program = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    shell(place.path(), "chmod 755 . test");
    for filter in ["workspace::target_tests", "changes_tell", "may_carry", "verification_sees", "beneath::"] {
        let out = Command::new(&program)
            .args([filter, "--test-threads=2"])
            .env("CTO_TEST_INNER", "1")
            .env("TMPDIR", place.path())
            .env("HOME", place.path())
            .uid(65534)
            .gid(65534)
            .current_dir(place.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{filter}: {}", String::from_utf8_lossy(&out.stdout));
        assert!(!String::from_utf8_lossy(&out.stdout).contains("running 0 tests"), "{filter}");
    }
}
