//! What an engine plants in the tree and its repository: how, what shows outside that it works there, and what the
//! report has to say of it.

/// What becomes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    /// It is not in the patch, and where the patch is applied it does nothing.
    Nothing,
    /// The run is blocked, with a finding of this code.
    Finding(&'static str),
    /// It is told as a change of this path, whatever the repository inside says of it.
    Changed(&'static str),
}

/// One of them. Both texts are for bash, with the tree as the current folder; `@MARK@` is a file outside that only
/// a working attack makes, `@OTHER@` a repository outside.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) plant: &'static str,
    pub(crate) shows: &'static str,
    pub(crate) says: Says,
}

pub(crate) const fn planted(
    id: &'static str,
    what: &'static str,
    says: Says,
    plant: &'static str,
    shows: &'static str,
) -> Planted {
    Planted { id, what, plant, shows, says }
}

use Says::{Changed, Finding, Nothing};

/// Into the repository that the engine sees.
pub(crate) const REPOSITORY: &[Planted] = &[
    planted(
        "G01",
        "a hook before commits",
        Nothing,
        "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch @MARK@\\n' > .git/hooks/pre-commit; chmod 755 .git/hooks/*",
        "git commit -q --allow-empty -m x",
    ),
    planted(
        "G02",
        "a hook after checkouts",
        Nothing,
        "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch @MARK@\\n' > .git/hooks/post-checkout; chmod 755 .git/hooks/*",
        "git checkout -q -b other",
    ),
    planted(
        "G03",
        "a folder of the tree as the place of hooks",
        Nothing,
        "git config core.hooksPath hooks; printf '#!/bin/sh\\ntouch @MARK@\\n' > hooks/post-checkout; chmod 755 hooks/*",
        "git checkout -q -b other",
    ),
    planted(
        "G04",
        "a monitor of the file system",
        Nothing,
        "git config core.fsmonitor 'touch @MARK@; false'",
        "git status",
    ),
    planted(
        "G05",
        "configuration that includes a file of the tree",
        Nothing,
        "printf '[core]\\n\\tfsmonitor = \"touch @MARK@; false\"\\n' > made; git config include.path ../made",
        "git status",
    ),
    planted(
        "G06",
        "configuration that includes it on a condition",
        Nothing,
        "printf '[core]\\n\\tfsmonitor = \"touch @MARK@; false\"\\n' > made; git config includeIf.onbranch:**.path ../made",
        "git status",
    ),
    planted(
        "G07",
        "configuration of the work tree",
        Nothing,
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor 'touch @MARK@; false'",
        "git status",
    ),
    planted(
        "G08",
        "a program in the place of ssh",
        Nothing,
        "git config core.sshCommand 'touch @MARK@; false'",
        "git fetch ssh://127.0.0.1:1/none",
    ),
    planted("G09", "an alias", Nothing, "git config alias.st '!touch @MARK@'", "git st"),
    planted(
        "G10",
        "an editor",
        Nothing,
        "git config core.editor 'touch @MARK@; true'",
        "git commit -q --amend --allow-empty",
    ),
    planted(
        "G11",
        "a helper that is asked for passwords",
        Nothing,
        "git config credential.helper '!touch @MARK@; true'",
        "printf 'protocol=https\\nhost=example.invalid\\n\\n' | git credential fill",
    ),
    planted(
        "G12",
        "a program that signs",
        Nothing,
        "printf '#!/bin/sh\\ntouch @MARK@\\n' > .git/signs; chmod 755 .git/signs; git config gpg.program \"$PWD/.git/signs\"",
        "git commit -q -S --allow-empty -m x",
    ),
    planted(
        "G13",
        "a filter, and attributes in the repository that ask for it",
        Nothing,
        "git config filter.x.clean 'touch @MARK@; cat'; mkdir -p .git/info; echo '* filter=x' > .git/info/attributes",
        "echo more >> a; git add a",
    ),
    planted(
        "G14",
        "a program that shows differences",
        Nothing,
        "git config diff.x.textconv 'touch @MARK@; cat'; mkdir -p .git/info; echo '* diff=x' > .git/info/attributes",
        "echo more >> a; git diff",
    ),
    planted(
        "G15",
        "another place of the work tree",
        Nothing,
        "git config core.worktree @OTHER@",
        "test \"$(git rev-parse --show-toplevel)\" = @OTHER@ && touch @MARK@",
    ),
    planted(
        "G16",
        "objects of another repository of the host",
        Nothing,
        "mkdir -p .git/objects/info; echo @OTHER@/.git/objects > .git/objects/info/alternates",
        "git cat-file -e $(git -C @OTHER@ rev-parse HEAD) && touch @MARK@",
    ),
    planted(
        "G17",
        "forged history",
        Nothing,
        "git -c user.name=e -c user.email=e@e.invalid commit -q --allow-empty -m forged",
        "git log -1 --format=%s | grep forged && touch @MARK@",
    ),
    planted(
        "G18",
        "a forged branch",
        Nothing,
        "git branch forged",
        "git rev-parse -q --verify forged && touch @MARK@",
    ),
    planted(
        "G19",
        "another object in the place of a commit",
        Nothing,
        "tree=$(git rev-parse HEAD^{tree}); new=$(git -c user.name=e -c user.email=e@e.invalid commit-tree -m forged $tree); git replace HEAD $new",
        "git log -1 --format=%s | grep forged && touch @MARK@",
    ),
    planted(
        "G20",
        "a lock that keeps the index closed",
        Nothing,
        "touch .git/index.lock",
        "echo more >> a; git add a || touch @MARK@",
    ),
    planted(
        "G21",
        "a gitlink in the index",
        Nothing,
        "git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub",
        "git ls-files -s | grep ^160000 && touch @MARK@",
    ),
    planted(
        "G22",
        "a change hidden by a bit of the index",
        Changed("a"),
        "git update-index --skip-worktree a; echo evil > a",
        "git diff --quiet && touch @MARK@",
    ),
    planted(
        "G23",
        "a change hidden by another bit of the index",
        Changed("a"),
        "git update-index --assume-unchanged a; echo evil > a",
        "git diff --quiet && touch @MARK@",
    ),
    planted(
        "G24",
        "a file hidden by an exclusion of the repository",
        Changed("evil"),
        "mkdir -p .git/info; echo evil > .git/info/exclude; echo x > evil",
        "git status --porcelain | grep evil || touch @MARK@",
    ),
    planted(
        "G25",
        "a change of the same size and time",
        Changed("a"),
        "git config core.trustctime false; git config core.checkStat minimal; touch -r a .git/kept; printf 'eno\\n' > a; touch -r .git/kept a",
        "git diff --quiet && touch @MARK@",
    ),
    planted(
        "G26",
        "a mode hidden by configuration",
        Changed("a"),
        "git config core.fileMode false; chmod 755 a",
        "git diff --quiet && touch @MARK@",
    ),
    planted(
        "G27",
        "a file that points to a poisoned repository in the place of the repository",
        Finding("patch.nested-repository"),
        "git init -q --bare evil; git -C evil config core.fsmonitor 'touch @MARK@; false'; git -C evil config core.bare false; rm -rf .git; echo 'gitdir: evil' > .git",
        "git status",
    ),
];
