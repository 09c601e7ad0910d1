//! Which system calls exist inside.
//!
//! One filter of two lists: known dangers answer EPERM; of the rest, every call that is not on the allow list answers
//! ENOSYS (so that programs fall back as on an older kernel; `clone3` is one, because its flags lie behind a pointer
//! and cannot be judged). Some exist, but not with every argument. Other ABIs of the machine are killed or, x32, unknown.
//! The filters are written when the program is built (`filter`).

use std::io;
use std::os::fd::OwnedFd;

use nix::libc;

use super::call_lists::{ALLOWED, REFUSED};
use super::filter::{Answer, Answers, Filter, NUMBERS, Rule, Test};
use super::path_calls::{self, PathArgument};
use super::policy::SandboxPolicy;
use super::sys;

/// How many calls each list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) allowed: usize,
    pub(super) refused: usize,
}

/// Namespace flags of clone(2) and unshare(2). `CLONE_NEWTIME` cannot be asked of clone(2): there the low byte is the exit
/// signal.
const NAMESPACES: u32 = flags(&[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
]);
const NEW_TIME: u32 = 0x80;
/// A task that is made untraced would not be seen by the observer.
const UNTRACED: u32 = flags(&[libc::CLONE_UNTRACED]);
/// Terminal requests that put characters into somebody's input.
const TERMINAL_INPUT: &[u32] = &[request(libc::TIOCSTI), request(libc::TIOCLINUX)];
/// Execution domains that are no danger: Linux, without randomisation (debuggers), and the query.
const PERSONALITIES: &[u32] = &[0, 0x0004_0000, 0xffff_ffff];
const UNIX: u32 = flags(&[libc::AF_UNIX]);
const NETLINK: u32 = flags(&[libc::AF_NETLINK]);
const ROUTE: u32 = flags(&[libc::NETLINK_ROUTE]);
/// Socket families that may be opened.
const FAMILIES: &[u32] = &[UNIX, flags(&[libc::AF_INET]), flags(&[libc::AF_INET6]), NETLINK];

/// Calls that exist inside, but not with these arguments.
const REFUSED_WHERE: &[(i64, &[Rule])] = &[
    (libc::SYS_clone, &[&[Test::has_any(0, NAMESPACES | UNTRACED)]]),
    (libc::SYS_unshare, &[&[Test::has_any(0, NAMESPACES | NEW_TIME)]]),
    (libc::SYS_ioctl, &[&[Test::among(1, TERMINAL_INPUT)]]),
    (
        libc::SYS_socket,
        &[&[Test::not_among(0, FAMILIES)], &[Test::among(0, &[NETLINK]), Test::not_among(2, &[ROUTE])]],
    ),
    (libc::SYS_socketpair, &[&[Test::not_among(0, &[UNIX])]]),
    (libc::SYS_personality, &[&[Test::not_among(0, PERSONALITIES)]]),
];
/// Where sendto(2) has an address among its arguments.
const WITH_ADDRESS: &[Rule] = &[&[Test::not_among(4, &[0])], &[Test::not_among(4, &[0]).high()]];

/// The answer to what is refused.
const REFUSAL: u32 = libc::SECCOMP_RET_ERRNO | flags(&[libc::EPERM]);
/// The answer to what is on no list.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | flags(&[libc::ENOSYS]);
const ALLOW: Answer = Answer::Always(libc::SECCOMP_RET_ALLOW);
const TELL: Answer = Answer::Always(libc::SECCOMP_RET_USER_NOTIF);

/// Of what a filter tells before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing.
    Silent,
    /// Each call that is refused, and each that names an address to reach.
    Refusals,
    /// These, and each allowed call that names a path: for a sandbox that learns. It allows what the others allow.
    Paths,
}

impl Watch {
    /// What a policy asks for.
    pub(super) const fn of(policy: &SandboxPolicy) -> Self {
        match (policy.observed, policy.learning) {
            (false, _) => Self::Silent,
            (true, false) => Self::Refusals,
            (true, true) => Self::Paths,
        }
    }
}

/// Most instructions of a filter: they are converted and translated at each start.
const ROOM: usize = 160;

static SILENT: Filter<ROOM> = filter(Watch::Silent);
static REFUSALS: Filter<ROOM> = filter(Watch::Refusals);
static PATHS: Filter<ROOM> = filter(Watch::Paths);

/// Installs the filter for this process and all its descendants.
pub(super) fn install() -> io::Result<Counts> {
    sys::filter(SILENT.steps())?;
    Ok(Counts { allowed: ALLOWED.len(), refused: REFUSED.len() })
}

/// The same, where whoever has the descriptor is told what `watch` says before it is answered. Without anybody there,
/// all of these are ENOSYS.
pub(super) fn install_watched(watch: Watch) -> io::Result<(Counts, OwnedFd)> {
    let filter = match watch {
        Watch::Silent => &SILENT,
        Watch::Refusals => &REFUSALS,
        Watch::Paths => &PATHS,
    };
    let told = sys::watched_filter(filter.steps())?;
    Ok((Counts { allowed: ALLOWED.len(), refused: REFUSED.len() }, told))
}

/// What whoever watches answers: these are only looked at, and all others are refused. A call that is looked at may be
/// another one by the time that the kernel carries it out (its address lies in memory of the caller), so nothing may
/// rest on it: what cannot be reached is not in the network namespace.
pub(super) fn is_looked_at(number: i64) -> bool {
    LOOKED_AT.contains(&number) || path_calls::of(number).is_some()
}

const LOOKED_AT: [i64; 2] = [libc::SYS_connect, libc::SYS_sendto];

const fn filter(watch: Watch) -> Filter<ROOM> {
    let mut answers = [Answer::Always(UNKNOWN); NUMBERS];
    let refusal = if matches!(watch, Watch::Silent) { REFUSAL } else { libc::SECCOMP_RET_USER_NOTIF };
    each(&mut answers, ALLOWED, ALLOW);
    each(&mut answers, REFUSED, Answer::Always(refusal));
    let mut judged = REFUSED_WHERE;
    while let [(call, rules), rest @ ..] = judged {
        instead_of_allowed(&mut answers, *call, Answer::Where(rules, refusal));
        judged = rest;
    }
    if !matches!(watch, Watch::Silent) {
        instead_of_allowed(&mut answers, libc::SYS_connect, TELL);
        instead_of_allowed(&mut answers, libc::SYS_sendto, Answer::Where(WITH_ADDRESS, refusal));
    }
    if matches!(watch, Watch::Paths) {
        let [everywhere, older] = path_calls::ALL;
        tell_paths(&mut answers, everywhere);
        tell_paths(&mut answers, older);
    }
    let [.., above] = &answers;
    assert!(matches!(above, Answer::Always(UNKNOWN)), "what has a higher number is unknown");
    Filter::of(&answers)
}

/// Gives each of `calls` an answer.
const fn each(answers: &mut Answers, mut calls: &[i64], answer: Answer) {
    while let [call, rest @ ..] = calls {
        *of(answers, *call) = answer;
        calls = rest;
    }
}

/// Gives `call` another answer than that it is allowed. Of one that is not, or only with some arguments, that would allow
/// more, and does not build.
const fn instead_of_allowed(answers: &mut Answers, call: i64, answer: Answer) {
    let place = of(answers, call);
    assert!(matches!(place, Answer::Always(libc::SECCOMP_RET_ALLOW)), "allowed, whatever its arguments");
    *place = answer;
}

const fn tell_paths(answers: &mut Answers, mut calls: &[(i64, &[PathArgument])]) {
    while let [(call, _), rest @ ..] = calls {
        instead_of_allowed(answers, *call, TELL);
        calls = rest;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a number that is none does not build"
)]
const fn of(answers: &mut Answers, call: i64) -> &mut Answer {
    &mut answers[call as usize]
}

/// As the kernel reads a request.
#[expect(clippy::cast_possible_truncation, reason = "it has 32 bits")]
const fn request(number: libc::Ioctl) -> u32 {
    number as u32
}

/// Bits, or a number of the C library's, as the kernel compares them.
const fn flags(mut parts: &[libc::c_int]) -> u32 {
    let mut all = 0;
    while let [part, rest @ ..] = parts {
        all |= part.cast_unsigned();
        parts = rest;
    }
    all
}

#[cfg(test)]
#[path = "calls_tests.rs"]
pub(super) mod tests;
