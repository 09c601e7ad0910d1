//! Rules over commands: a glob over the arguments of what the kernel executed, and the known ways to do a named act.
//!
//! An alarm, not a wall: what stops an act is the missing route, credential or right. A program is judged by each
//! way in which its execution can be written down (its own name or its path, a script by its own name). It does not see
//! through a program that does the act without executing another one.

/// One execution as the kernel saw it.
#[derive(Debug, Clone, Copy)]
pub struct CommandLine<'a> {
    /// The file that was executed; of a script, its interpreter.
    pub program: &'a str,
    /// The arguments, the name first.
    pub argv: &'a [String],
}

/// Programs that execute the file that they are given first.
const INTERPRETERS: [&str; 12] =
    ["ash", "bash", "bun", "busybox", "dash", "deno", "node", "perl", "php", "ruby", "sh", "zsh"];

/// How a program is asked for a named act: its name, and the first one or two words that are no options. No words at
/// all: the program itself is the act.
type Way = (&'static str, &'static [&'static str]);

/// Ways to do the named acts of SPEC §6 that show in arguments.
const WAYS: &[(&str, &[Way])] = &[
    ("git.push", &[("git", &["push", "send-pack", "http-push"])]),
    ("git.merge", &[("git", &["merge"]), ("gh", &["pr merge"]), ("glab", &["mr merge"])]),
    ("git.commit", &[("git", &["am", "cherry-pick", "commit", "commit-tree", "revert"])]),
    ("git.history-rewrite", &[("git", &["filter-branch", "filter-repo", "rebase", "replace"])]),
    (
        "deploy",
        &[
            ("ansible-playbook", &[]),
            ("cargo", &["publish"]),
            ("docker", &["push"]),
            ("gh", &["release create", "release upload"]),
            ("helm", &["install", "upgrade"]),
            ("kubectl", &["apply", "create", "delete", "patch", "replace", "rollout"]),
            ("npm", &["publish"]),
            ("pnpm", &["publish"]),
            ("terraform", &["apply", "destroy"]),
            ("twine", &["upload"]),
            ("yarn", &["publish"]),
        ],
    ),
    ("issue.close", &[("gh", &["issue close", "pr close"]), ("glab", &["issue close", "mr close"])]),
    (
        "package.install",
        &[
            ("apk", &["add"]),
            ("apt", &["install"]),
            ("apt-get", &["install"]),
            ("brew", &["install"]),
            ("bundle", &["install"]),
            ("cargo", &["add", "install"]),
            ("composer", &["install", "require"]),
            ("dnf", &["install"]),
            ("dpkg", &[]),
            ("gem", &["install"]),
            ("go", &["get", "install"]),
            ("npm", &["add", "ci", "i", "install"]),
            ("pip", &["install"]),
            ("pip3", &["install"]),
            ("pnpm", &["add", "i", "install"]),
            ("uv", &["add", "pip install", "sync", "tool install"]),
            ("yarn", &["add", "install"]),
            ("yum", &["install"]),
        ],
    ),
    ("process.daemonize", &[("daemonize", &[]), ("nohup", &[]), ("setsid", &[]), ("systemd-run", &[])]),
];

/// Options of these programs that take the next word as their value.
const WITH_VALUE: &[(&str, &[&str])] = &[
    ("git", &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env"]),
    ("npm", &["--prefix", "-w", "--workspace"]),
    ("pnpm", &["-C", "--dir", "--filter"]),
    ("docker", &["-H", "--host", "--config", "--context"]),
    ("kubectl", &["-n", "--namespace", "--context", "--kubeconfig"]),
];

impl<'a> CommandLine<'a> {
    /// Every way to write it, the name first.
    fn written(self) -> Vec<Vec<&'a str>> {
        let argv: Vec<&str> = self.argv.iter().map(String::as_str).collect();
        let Some((name, rest)) = argv.split_first() else { return vec![vec![base(self.program)]] };
        let with = |name: &'a str, rest: &[&'a str]| {
            let mut words = vec![name];
            words.extend(rest);
            words
        };
        let mut all = vec![argv.clone(), with(base(name), rest), with(base(self.program), rest)];
        let interpreter = base(self.program);
        let known = INTERPRETERS.contains(&interpreter) || interpreter.starts_with("python");
        if let (true, Some((first, rest))) = (known, rest.split_first()) {
            match rest.split_first() {
                Some((module, rest)) if *first == "-m" => all.push(with(module, rest)),
                _ if !first.starts_with('-') => all.extend([with(first, rest), with(base(first), rest)]),
                _ => {}
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether one of the ways to write it matches `glob`: `*` is any text, `?` any character, `[…]` one of these, `\`
    /// takes the next character as it is.
    #[must_use]
    pub fn matches(self, glob: &str) -> bool {
        let glob: Vec<char> = glob.chars().collect();
        self.written().iter().any(|words| matches(&glob, &words.join(" ").chars().collect::<Vec<_>>()))
    }

    /// Whether it is one of the known ways to do the named act.
    #[must_use]
    pub fn does(self, act: &str) -> bool {
        let ways = WAYS.iter().filter(|(id, _)| *id == act).flat_map(|(_, ways)| *ways);
        let written = self.written();
        ways.into_iter().any(|(program, asked)| {
            written.iter().any(|words| {
                words.split_first().is_some_and(|(name, rest)| {
                    name == program && (asked.is_empty() || asks(program, rest, asked))
                })
            })
        })
    }
}

/// Whether this version knows a way to do `act` that shows in arguments.
#[must_use]
pub fn shows_in_commands(act: &str) -> bool {
    WAYS.iter().any(|(id, _)| *id == act)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether the first words of `rest` that are no options are one of `asked`.
fn asks(program: &str, rest: &[&str], asked: &[&str]) -> bool {
    let valued = WITH_VALUE.iter().find(|(name, _)| *name == program).map_or(&[][..], |(_, options)| options);
    let mut words = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        if valued.contains(word) {
            rest.next();
        } else if !word.starts_with(['-', '+']) {
            words.push(*word);
        }
    }
    asked.iter().any(|ask| ask.split(' ').eq(words.iter().take(ask.split(' ').count()).copied()))
}

/// Linear in both by remembering only the last `*`: a hostile command line costs no more than its length times the
/// glob's.
fn matches(glob: &[char], text: &[char]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(found) = text.get(t) {
        match one(glob, g, *found) {
            Some(next) => (g, t) = (next, t + 1),
            None if glob.get(g) == Some(&'*') => {
                star = Some((g + 1, t));
                g += 1;
            }
            None => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (g, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|part| *part == '*'))
}

/// Where the glob goes on when its part at `g` matches `found`.
fn one(glob: &[char], g: usize, found: char) -> Option<usize> {
    match *glob.get(g)? {
        '*' => None,
        '?' => Some(g + 1),
        '\\' => (glob.get(g + 1) == Some(&found)).then_some(g + 2),
        '[' => {
            let end = g + 1 + glob.get(g + 1..)?.iter().skip(1).position(|part| *part == ']')? + 1;
            let set = glob.get(g + 1..end)?;
            let (inverted, set) = match set {
                ['!' | '^', rest @ ..] => (true, rest),
                all => (false, all),
            };
            let ranges = set.windows(3).any(|w| matches!(w, [a, '-', b] if (*a..=*b).contains(&found)));
            ((ranges || set.contains(&found)) != inverted).then_some(end + 1)
        }
        part => (part == found).then_some(g + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn line<'a>(program: &'a str, argv: &'a [String]) -> CommandLine<'a> {
        CommandLine { program, argv }
    }

    #[test]
    fn a_glob_meets_every_way_to_write_a_command() {
        for (program, words, glob, expected) in [
            ("/usr/bin/git", "git push origin main", "git push *", true),
            ("/usr/bin/git", "/usr/bin/git push origin", "git push *", true),
            ("/usr/bin/git", "innocent push origin", "git push *", true),
            ("/usr/bin/git", "git push", "git push *", false),
            ("/usr/bin/git", "git push", "git push*", true),
            ("/usr/bin/echo", "echo git push x", "git push *", false),
            ("/usr/bin/dash", "sh ./deploy.sh now", "deploy.sh *", true),
            ("/usr/bin/dash", "sh -c git push x", "git push *", false),
            ("/usr/bin/python3.11", "python3 -m pip install x", "pip install *", true),
            ("/usr/bin/curl", "curl -s https://a", "curl*", true),
            ("/usr/bin/rm", "rm -rf /", "rm -[rf]*", true),
            ("/usr/bin/rm", "rm -x /", "rm -[!rf]*", true),
            ("/usr/bin/rm", "rm *", "rm \\*", true),
            ("/usr/bin/rm", "rm a", "rm \\*", false),
        ] {
            assert_eq!(line(program, &argv(words)).matches(glob), expected, "{words} / {glob}");
        }
        let long = vec!["a".repeat(20_000)];
        assert!(!line("/x", &long).matches("*a*a*a*a*a*a*a*b"));
    }

    #[test]
    fn named_acts_are_known_by_their_words() {
        for (program, words, act, expected) in [
            ("/usr/bin/git", "git -C /x -c a=b push origin", "git.push", true),
            ("/usr/bin/git", "git commit -m push", "git.push", false),
            ("/usr/bin/git", "git commit -m push", "git.commit", true),
            ("/usr/bin/git", "git --no-pager rebase -i", "git.history-rewrite", true),
            ("/usr/bin/node", "node /usr/bin/npm --silent ci", "package.install", true),
            ("/usr/bin/python3", "python3 -m pip install x", "package.install", true),
            ("/usr/bin/cargo", "cargo +stable test", "package.install", false),
            ("/usr/bin/gh", "gh issue close 3", "issue.close", true),
            ("/usr/bin/gh", "gh issue list", "issue.close", false),
            ("/usr/bin/nohup", "nohup x", "process.daemonize", true),
        ] {
            assert_eq!(line(program, &argv(words)).does(act), expected, "{words} / {act}");
        }
        assert!(shows_in_commands("git.push") && !shows_in_commands("secrets.read"));
    }

    #[test]
    fn a_glob_that_is_cut_off_matches_nothing() {
        for glob in ["[", "[a", "\\", "a["] {
            assert!(!matches(&glob.chars().collect::<Vec<_>>(), &['a']), "{glob}");
        }
    }
}
