//! A branch of the result in targets that stock git made, and in targets that somebody laid traps in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::tests_bed::{Bed, shell};
use super::{Patch, PublishPlace, ResultCommit, TargetProblem, result_branch};
use crate::vocab::{RunId, Timestamp};

struct Made {
    bed: Bed,
    patch: Patch,
    run: RunId,
    at: Timestamp,
}

impl Made {
    fn new() -> Self {
        let bed = Bed::new("echo x > f; mkdir -p d/e; echo deep > d/e/g; echo keep > d/keep");
        let patch = bed.run(false, "echo y > f; echo new > n; echo deeper > d/e/g; mv d/keep d/e/moved");
        Self { bed, patch, run: RunId::new(), at: Timestamp::now() }
    }

    fn commit(&self) -> ResultCommit {
        ResultCommit::of(&self.bed.base(), &self.patch, &self.run, self.at).unwrap()
    }

    fn branch(&self) -> String {
        result_branch(&self.run)
    }

    fn publish(&self) -> Result<bool, TargetProblem> {
        let place = PublishPlace::open(&self.bed.path("target"))?;
        let commit = self.commit();
        place.put_objects(&commit)?;
        place.put_branch(&self.branch(), &commit)
    }

    /// What stock git makes of the branch.
    fn holds(&self) {
        let (git, name) = (|args: &[&str]| self.bed.git("target", args), self.branch());
        assert_eq!(git(&["rev-parse", &name]), self.commit().id.as_str());
        let tree = git(&["rev-parse", &format!("{name}^{{tree}}")]);
        assert_eq!(tree, self.patch.section.result_tree.as_ref().unwrap().as_str());
        assert_eq!(git(&["rev-parse", &format!("{name}^")]), git(&["rev-parse", "HEAD"]));
        git(&["fsck", "--strict", "--full"]);
    }

    fn absent(&self) {
        let mut git = self.bed.git_command("target", &["rev-parse", "-q", "--verify", &self.branch()]);
        assert!(!git.output().unwrap().status.success());
    }
}

/// Every name below a folder with its content, links by their text.
fn picture(dir: &Path) -> String {
    let list = "find . -printf '%p %y %m %l\\n' | sort; find . -type f -exec sha256sum {} + | sort";
    let out = Command::new("sh").args(["-c", list]).current_dir(dir).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_branch_of_the_result_reaches_the_target_and_nothing_else_does() {
    let result = Made::new();
    let target = result.bed.path("target");
    shell(
        &target,
        "for h in pre-commit post-commit reference-transaction post-checkout; do printf '#!/bin/sh\\ntouch ../../ran\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done
         git config core.fsmonitor 'touch ../ran'; git config filter.x.clean 'touch ../ran'; echo '* filter=x' > .git/info/attributes",
    );
    let refs = result.bed.git("target", &["for-each-ref"]);
    let status = fs::read_to_string(target.join("f")).unwrap();
    fs::remove_file(result.bed.path("ran")).ok();
    assert!(result.publish().unwrap());
    assert!(!result.bed.path("ran").exists(), "no hook, monitor or filter ran");
    fs::remove_file(target.join(".git/info/attributes")).unwrap();
    result.bed.git("target", &["config", "--unset", "core.fsmonitor"]);
    result.holds();
    let after = result.bed.git("target", &["for-each-ref"]);
    assert_eq!(
        after.lines().filter(|line| !line.contains("refs/heads/cto/")).collect::<Vec<_>>().join("\n"),
        refs
    );
    assert_eq!(fs::read_to_string(target.join("f")).unwrap(), status);
    assert_eq!(result.bed.git("target", &["status", "--porcelain"]), "");
    // The pack needs nothing but the base, and moved content is in it too.
    let clone = ["clone", "-q", "--no-local", "--branch", &result.branch(), "target", "copy"];
    result.bed.git("", &clone);
    assert_eq!(fs::read_to_string(result.bed.path("copy/d/e/moved")).unwrap(), "keep\n");
}

#[test]
fn the_same_run_is_the_same_commit_and_is_not_made_twice() {
    let result = Made::new();
    assert_eq!(result.commit(), result.commit());
    assert!(result.publish().unwrap());
    let before = picture(&result.bed.path("target/.git"));
    assert!(!result.publish().unwrap(), "it is there");
    assert_eq!(picture(&result.bed.path("target/.git")), before);
    result.bed.git("target", &["pack-refs", "--all"]);
    assert!(!result.publish().unwrap(), "nor when it is packed");
    result.holds();
}

type Killed = fn(&Path, &ResultCommit, &str);

#[test]
fn killed_after_every_write_it_is_done_again_and_comes_to_the_same() {
    let target = |result: &Made| result.bed.path("target/.git");
    let kills: [(&str, Killed); 6] = [
        ("a draft of the pack", |git, commit, _| {
            let draft = format!("objects/pack/tmp_pack_cto-{}-pack", commit.id);
            fs::write(git.join(draft), &commit.pack[..10]).unwrap();
        }),
        ("the pack without its index", |git, commit, _| {
            fs::write(git.join(format!("objects/pack/{}.pack", commit.name)), &commit.pack).unwrap();
        }),
        ("the objects", |git, commit, _| {
            PublishPlace::open(git.parent().unwrap()).unwrap().put_objects(commit).unwrap();
        }),
        ("an empty lock", |git, _, branch| {
            fs::create_dir_all(git.join("refs/heads/cto")).unwrap();
            fs::write(git.join(format!("refs/heads/{branch}.lock")), "").unwrap();
        }),
        ("half a lock", |git, commit, branch| {
            fs::create_dir_all(git.join("refs/heads/cto")).unwrap();
            fs::write(git.join(format!("refs/heads/{branch}.lock")), &commit.id.as_str()[..7]).unwrap();
        }),
        ("the branch and a lock", |git, commit, branch| {
            let place = PublishPlace::open(git.parent().unwrap()).unwrap();
            place.put_objects(commit).unwrap();
            place.put_branch(branch, commit).unwrap();
            fs::write(git.join(format!("refs/heads/{branch}.lock")), "").unwrap();
        }),
    ];
    for (what, kill) in kills {
        let result = Made::new();
        kill(&target(&result), &result.commit(), &result.branch());
        let done = result.publish().unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert_eq!(done, what != "the branch and a lock", "{what}");
        result.holds();
        let drafts = Command::new("find")
            .arg(target(&result))
            .args(["-name", "tmp_*", "-o", "-name", "*.lock"])
            .output()
            .unwrap();
        assert!(drafts.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&drafts.stdout));
    }
}

type Plant = fn(&Bed, &str);

#[test]
fn a_branch_of_that_name_is_never_moved() {
    let plants: [(&str, Plant); 5] = [
        ("publish.branch-exists", |bed, branch| drop(bed.git("target", &["branch", branch]))),
        ("publish.branch-exists", |bed, branch| {
            bed.git("target", &["branch", branch]);
            bed.git("target", &["pack-refs", "--all"]);
        }),
        ("publish.branch-exists", |bed, _| {
            bed.git("target", &["branch", "cto"]);
            bed.git("target", &["pack-refs", "--all"]);
        }),
        ("publish.branch-exists", |bed, branch| {
            bed.git("target", &["symbolic-ref", &format!("refs/heads/{branch}"), "refs/heads/main"]);
        }),
        ("publish.locked", |bed, branch| {
            fs::create_dir_all(bed.path("target/.git/refs/heads/cto")).unwrap();
            let lock = bed.path(&format!("target/.git/refs/heads/{branch}.lock"));
            fs::write(lock, "0123456789012345678901234567890123456789\n").unwrap();
        }),
    ];
    for (code, plant) in plants {
        let result = Made::new();
        plant(&result.bed, &result.branch());
        let refs = result.bed.git("target", &["for-each-ref"]);
        assert_eq!(result.publish().unwrap_err().code, code);
        assert_eq!(result.bed.git("target", &["for-each-ref"]), refs, "{code}");
    }
    let result = Made::new();
    result.publish().unwrap();
}

#[test]
fn of_many_at_once_one_makes_the_branch() {
    let result = Made::new();
    let made = std::thread::scope(|scope| {
        let place = || PublishPlace::open(&result.bed.path("target")).unwrap();
        place().put_objects(&result.commit()).unwrap();
        // Different commits for one name: exactly one may win.
        let commits: Vec<ResultCommit> = (0..8)
            .map(|n| {
                let at = result.at.plus_seconds(n).unwrap();
                ResultCommit::of(&result.bed.base(), &result.patch, &result.run, at).unwrap()
            })
            .collect();
        let tries: Vec<_> = commits
            .into_iter()
            .map(|commit| {
                let (place, branch) = (place(), result.branch());
                scope.spawn(move || {
                    place.put_objects(&commit).unwrap();
                    place.put_branch(&branch, &commit).is_ok_and(|made| made)
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
    result.bed.git("target", &["rev-parse", "--verify", &result.branch()]);
}

#[test]
fn planted_links_lead_nowhere() {
    let plants: [(&str, &str); 6] = [
        ("refs/heads/cto", "publish.elsewhere"),
        ("refs/heads", "publish.elsewhere"),
        ("refs", "publish.elsewhere"),
        ("objects", "publish.elsewhere"),
        ("objects/pack", "publish.elsewhere"),
        ("packed-refs", "publish.failed"),
    ];
    for (part, code) in plants {
        let result = Made::new();
        let (git, outside) = (result.bed.path("target/.git"), result.bed.path("outside"));
        let (commit, branch) = (result.commit(), result.branch());
        if git.join(part).exists() {
            fs::rename(git.join(part), &outside).unwrap();
        } else if part == "packed-refs" {
            fs::write(&outside, "").unwrap();
        } else {
            fs::create_dir(&outside).unwrap();
        }
        symlink(&outside, git.join(part)).unwrap();
        let before = (outside.is_dir()).then(|| picture(&outside));
        let said = PublishPlace::open(&result.bed.path("target"))
            .and_then(|place| place.put_objects(&commit).and_then(|()| place.put_branch(&branch, &commit)));
        assert_eq!(said.unwrap_err().code, code, "{part}");
        assert_eq!((outside.is_dir()).then(|| picture(&outside)), before, "{part}");
    }
}

#[test]
fn another_repository_behind_the_registered_one_is_left_alone() {
    let result = Made::new();
    let (bed, commit) = (&result.bed, result.commit());
    bed.git("target", &["worktree", "add", "-q", "../linked"]);
    bed.git("", &["clone", "-q", "target", "other"]);
    fs::create_dir(bed.path("moved")).unwrap();
    symlink(bed.path("other/.git"), bed.path("moved/.git")).unwrap();
    let before = (picture(&bed.path("target/.git")), picture(&bed.path("other/.git")));
    for top in ["linked", "moved"] {
        let problem = PublishPlace::open(&bed.path(top)).unwrap_err();
        assert_eq!(problem.code, "publish.elsewhere", "{top}");
    }
    fs::write(bed.path("other/.git/commondir"), bed.path("target/.git").to_str().unwrap()).unwrap();
    assert_eq!(PublishPlace::open(&bed.path("other")).unwrap_err().code, "publish.elsewhere");
    fs::remove_file(bed.path("other/.git/commondir")).unwrap();
    assert_eq!((picture(&bed.path("target/.git")), picture(&bed.path("other/.git"))), before);
    // One that only borrows objects is itself: the lender gains nothing.
    bed.git("", &["clone", "-q", "--shared", "target", "shared"]);
    let lender = picture(&bed.path("target/.git"));
    let place = PublishPlace::open(&bed.path("shared")).unwrap();
    place.put_objects(&commit).unwrap();
    assert!(place.put_branch(&result.branch(), &commit).unwrap());
    assert_eq!(picture(&bed.path("target/.git")), lender);
    bed.git("shared", &["fsck", "--strict"]);
    assert_eq!(bed.git("shared", &["rev-parse", &result.branch()]), commit.id.as_str());
}

#[test]
fn a_target_that_cannot_be_written_gets_no_half_branch() {
    let result = Made::new();
    // A file stands where the folder of branches would be; it is as good as any disk that says no.
    fs::write(result.bed.path("target/.git/refs/heads/cto"), "").unwrap();
    assert_eq!(result.publish().unwrap_err().code, "publish.failed");
    fs::remove_file(result.bed.path("target/.git/refs/heads/cto")).unwrap();
    result.absent();
    assert!(result.publish().unwrap());
    result.holds();
}

#[test]
fn what_root_leaves_in_somebodys_repository_is_the_owners() {
    const NOBODY: u32 = 65534;
    let (result, me) = (Made::new(), super::tests_bed::me());
    let (git, commit) = (result.bed.path("target/.git"), result.commit());
    if me.host_uid == 0 {
        shell(&result.bed.path("target"), "chown -R 65534:65534 .git");
    }
    let place = PublishPlace::open(&result.bed.path("target")).unwrap();
    place.put_objects(&commit).unwrap();
    assert!(place.put_branch(&result.branch(), &commit).unwrap());
    let owner = if me.host_uid == 0 { NOBODY } else { me.host_uid };
    let branch = format!("refs/heads/{}", result.branch());
    for file in [&format!("objects/pack/{}.idx", commit.name), "refs/heads/cto", branch.as_str()] {
        let found = std::os::unix::fs::MetadataExt::uid(&fs::metadata(git.join(file)).unwrap());
        assert_eq!(found, owner, "{file}");
    }
}
