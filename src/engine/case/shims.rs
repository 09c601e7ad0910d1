//! Small programs that stand before all others in `PATH`: they write down that publishing was tried, and say no.
//!
//! Evidence, not a wall: an agent may call programs by their path. What stops it is that there is no route, no
//! credential and no remote; and the kernel's word about what was executed does not go through here.

use crate::engine::adapter::SealedFile;

/// The folder of the private home in which they write.
pub(super) const FOLDER: &str = "attempts";
/// Where they write, inside.
const LOG: &str = "/case-home/attempts/attempts.log";
/// What they end with (sysexits(3): no permission).
const DENIED: u8 = 77;

/// One line: the name and the words, line ends taken out.
const TELL: &str = "tell() { printf '%s' \"$*\" | tr '\\n\\r' '  ' >>\"$log\"; printf '\\n' >>\"$log\"; }";

/// All of them, in the folder `bin`.
pub(super) fn files(bin: &str) -> Vec<SealedFile> {
    vec![script(bin, "gh", &gh()), script(bin, "git", &git())]
}

/// What agents call `ca`, where the program is a runtime and `entry` what it runs.
pub(super) fn wrapper(bin: &str, program: &str, entry: &str) -> SealedFile {
    script(bin, "ca", &format!("exec {program} {entry} \"$@\"\n"))
}

fn script(bin: &str, name: &str, body: &str) -> SealedFile {
    let bytes = format!("#!/bin/sh\n{body}").into_bytes();
    SealedFile { at: format!("{bin}/{name}"), bytes, executable: true }
}

fn gh() -> String {
    format!(
        "log={LOG}\n{TELL}\ntell gh \"$@\"\n\
         echo 'gh: denied: nothing is published from here' >&2\nexit {DENIED}\n"
    )
}

/// The first word that is no option says what git is asked for; some options take the next word as their value.
fn git() -> String {
    format!(
        "log={LOG}\n{TELL}\nskip=\nfor word in \"$@\"; do\n\
         \tif [ -n \"$skip\" ]; then skip=; continue; fi\n\
         \tcase \"$word\" in\n\
         \t-C|-c|--git-dir|--work-tree|--namespace|--config-env) skip=1 ;;\n\
         \t-*) ;;\n\
         \tpush|send-pack|http-push)\n\
         \t\ttell git \"$@\"\n\
         \t\techo 'git: denied: nothing is published from here' >&2\n\
         \t\texit {DENIED} ;;\n\
         \t*) break ;;\n\
         \tesac\ndone\n\
         for real in /usr/local/bin/git /usr/bin/git /bin/git; do\n\
         \tif [ -x \"$real\" ]; then exec \"$real\" \"$@\"; fi\ndone\n\
         echo 'git: not found' >&2\nexit 127\n"
    )
}
