//! Views by hand, in every form: an overlay over the folder, one over a copy of it, and a private copy.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::tests_bed::{in_tree, me, shell};
use super::{FolderView, Patch, Placement, RunUid, WorkspaceError};

/// A folder as people have them.
const FOLDER: &str = "
    git init -q .; git init -q sub; echo s > sub/f; mkfifo pipe; ln -s a link
    mkdir empty gone src target kept; echo one > a; echo one > b; echo g > gone/g; echo h > gone/h; echo o > src/o
    echo /target > .gitignore; truncate -s 70M target/big; echo t > target/t; truncate -s 70M kept/big
    chmod 600 b; chmod 755 src/o; touch -d 2001-02-03T04:05:06.789 a b kept
";

#[derive(Debug, Clone, Copy)]
enum Form {
    OverFolder,
    OverCopy,
    Private,
}

const FORMS: [Form; 3] = [Form::OverFolder, Form::OverCopy, Form::Private];

struct Bench {
    place: tempfile::TempDir,
}

impl Bench {
    fn new(folder: &str) -> Self {
        let bench = Self { place: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("run")).unwrap();
        fs::create_dir(bench.path("w")).unwrap();
        shell(&bench.path("w"), folder);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn open(&self, form: Form) -> FolderView {
        let uid = RunUid { own: matches!(form, Form::OverCopy), ..me() };
        let placement = Placement {
            cache_dir: self.path("run"),
            run_dir: self.path("run"),
            uid,
            overlay: !matches!(form, Form::Private),
            mounted: Vec::new(),
        };
        FolderView::open(&self.path("w"), placement).unwrap()
    }

    /// Runs `script` in the view and `meanwhile` in the folder itself; the patch and what it says moved.
    fn patch(
        &self,
        form: Form,
        script: &str,
        meanwhile: &str,
    ) -> Result<(Patch, Vec<String>), WorkspaceError> {
        let view = self.open(form);
        in_tree(&view.mount().form, script, &self.path(""));
        shell(&self.path("w"), meanwhile);
        let patch = view.patch()?;
        let moved = view.moved_under(&patch)?;
        view.remove().unwrap();
        Ok((patch, moved))
    }

    fn listing(&self) -> String {
        let script =
            "find . -path ./.git -prune -o -path ./sub/.git -prune -o -printf '%p %y %m %l %s %T@\\n' | sort
                      find . -type f -not -path '*/.git/*' -size -1M -exec sha256sum {} + | sort";
        let out = Command::new("bash").args(["-euc", script]).current_dir(self.path("w")).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

#[test]
fn a_view_is_the_folder_and_its_patch_is_what_changed() {
    for form in FORMS {
        let bench = Bench::new(FOLDER);
        let before = bench.listing();
        let script = "
            test \"$(stat -c '%a %Y' a b kept | tr '\\n' ' ')\" = '644 981173106 600 981173106 755 981173106 '
            test -d empty -a -d sub/.git -a -L link -a -x src/o; test \"$(stat -c %s kept/big)\" = 73400320
            test \"$(stat -c %y b)\" = '2001-02-03 04:05:06.789000000 +0000'
            echo two >> a; touch b; rm -r gone; mkdir gone; echo n > gone/n; rm -r src; echo z > src; echo y > sub/f
            git -C sub status > /dev/null; echo x > empty/x; ln -sf b link; chmod 640 b; mv kept moved; mv moved kept
            rm target/big; echo u > target/t; echo v > target/v; echo config >> .git/config";
        let (patch, moved) = bench.patch(form, script, ":").unwrap();
        assert_eq!((bench.listing(), moved), (before, vec![]), "{form:?}");
        let changed: Vec<_> = patch.section.files.iter().map(|file| file.path.as_str()).collect();
        let expected = ["a", "empty/x", "gone/g", "gone/h", "gone/n", "link", "src", "src/o", "sub/f"];
        assert_eq!((changed.as_slice(), patch.oddities.as_slice()), (&expected[..], &[][..]), "{form:?}");
        fs::write(bench.path("p"), &patch.text).unwrap();
        let applied = "git apply --binary ../p; test \"$(cat a src link gone/n sub/f | tr '\\n' ' ')\" = 'one two z one n y '";
        shell(&bench.path("w"), applied);
    }
}

#[test]
fn a_patch_is_refused_where_the_folder_moved_under_it_and_nowhere_else() {
    let folder = "mkdir n; echo one > a; echo one > b; echo one > n/o";
    for form in FORMS {
        for (script, moves, refused) in [
            ("echo two > a", "echo moved > b; echo c > c; rm n/o", ""),
            ("echo two > a", "echo moved > a", "a"),
            ("echo two > a", "rm a", "a"),
            ("echo two > a", "chmod +x a", "a"),
            ("echo two > a", "cp -p a t; echo eno > a; touch -r t a; rm t", "a"),
            ("rm a", "rm a; echo one > a", "a"),
            ("echo x > c", "echo y > c", "c"),
            ("mkdir c; echo x > c/d", "echo file > c", "c/d"),
            ("mkdir c; echo x > c/d", "mkdir c; echo y > c/e", ""),
            ("echo x > n/d", "rm -r n; ln -s / n", "n/d"),
            ("echo x > n/d", "rm -r n; echo file > n", "n/d"),
            ("rm -r n", "echo p > n/p", ""),
            ("echo two > a", "rm -r n; echo file > n", ""),
        ] {
            let (patch, moved) = Bench::new(folder).patch(form, script, moves).unwrap();
            let told = moved.last().map_or("", String::as_str);
            assert_eq!(told, refused, "{form:?}: {script} | {moves}: {:?}", patch.section.files);
        }
    }
}

#[test]
fn a_patch_is_whole_or_there_is_none() {
    for form in FORMS {
        let bench = Bench::new("echo '*.o' > .gitignore; truncate -s 300M old; truncate -s 300M old.o");
        let short = |script: &str| match bench.patch(form, script, ":") {
            Err(WorkspaceError::ByHand { sentence, .. }) if !bench.path("run/workspace").exists() => sentence,
            other => panic!("{form:?} {script}: {other:?}"),
        };
        assert!(short("truncate -s 300M new").starts_with("no patch: new "), "{form:?}");
        assert!(short("rm old").contains("old"), "{form:?}");
        let (patch, _) =
            bench.patch(form, "rm old.o; truncate -s 300M new.o; touch old; echo n > n", ":").unwrap();
        let changed: Vec<_> = patch.section.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(changed, ["n"], "{form:?}");
    }
}
