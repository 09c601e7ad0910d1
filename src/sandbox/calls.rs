//! Which system calls exist inside.
//!
//! One filter of two lists: known dangers answer EPERM; of the rest, every call that is not on the allow list answers
//! ENOSYS (so that programs fall back as on an older kernel; `clone3` is one, because its flags lie behind a pointer
//! and cannot be judged). Arguments are compared on their low 32 bits, as the
//! kernel reads them (CVE-2019-10063). Other ABIs of the machine are killed or, x32, unknown.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::call_lists::{ALLOWED, REFUSED};
use super::policy::SandboxPolicy;
use super::{path_calls, sys};

/// How many calls each list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) allowed: usize,
    pub(super) refused: usize,
}

/// Why no filter is in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    /// This machine's architecture has no table.
    #[error("no system-call table for {0}")]
    Architecture(&'static str),
    /// The rules could not be compiled.
    #[error("cannot compile the system-call filter: {0}")]
    Compile(#[from] BackendError),
    /// The kernel did not take the watched filter.
    #[error("cannot install the watched system-call filter: {0}")]
    Watch(#[source] std::io::Error),
    /// The kernel did not take the filter.
    #[error("cannot install the system-call filter: {0}")]
    Install(#[from] seccompiler::Error),
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Namespace flags of clone(2) and unshare(2).
const NAMESPACE_FLAGS: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80, // CLONE_NEWTIME; in clone(2) these bits are the exit signal, see `dangerous_arguments`
];
/// Socket families that may be opened.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Terminal requests that put characters into somebody's input.
const TERMINAL_INPUT: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];
/// The answer to what is refused.
const REFUSAL: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
/// Execution domains that are no danger: Linux, without randomisation (debuggers), and the query.
const PERSONALITIES: [u64; 3] = [0, 0x0004_0000, 0xffff_ffff];

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

/// The filters, once each was compiled in this process or one that it is a fork of.
static COMPILED: [OnceLock<BpfProgram>; 3] = [const { OnceLock::new() }; 3];

/// Compiles the filter, unless that was done here or in the process that this one is a fork of.
pub(super) fn prepare(watch: Watch) -> Result<&'static BpfProgram, FilterError> {
    let [silent, refusals, paths] = &COMPILED;
    let cell = match watch {
        Watch::Silent => silent,
        Watch::Refusals => refusals,
        Watch::Paths => paths,
    };
    if let Some(program) = cell.get() {
        return Ok(program);
    }
    let program = compile(watch)?;
    Ok(cell.get_or_init(|| program))
}

/// Installs the filter for this process and all its descendants.
pub(super) fn install() -> Result<Counts, FilterError> {
    apply_filter(prepare(Watch::Silent)?)?;
    Ok(Counts { allowed: ALLOWED.len(), refused: REFUSED.len() })
}

/// The same, where whoever has the descriptor is told what `watch` says before it is answered. Without anybody there,
/// all of these are ENOSYS.
pub(super) fn install_watched(watch: Watch) -> Result<(Counts, OwnedFd), FilterError> {
    let told = sys::watched_filter(prepare(watch)?).map_err(FilterError::Watch)?;
    Ok((Counts { allowed: ALLOWED.len(), refused: REFUSED.len() }, told))
}

/// What whoever watches answers: these are only looked at, and all others are refused. A call that is looked at may be
/// another one by the time that the kernel carries it out (its address lies in memory of the caller), so nothing may
/// rest on it: what cannot be reached is not in the network namespace.
pub(super) fn is_looked_at(number: i64) -> bool {
    LOOKED_AT.contains(&number) || path_calls::of(number).is_some()
}

const LOOKED_AT: [i64; 2] = [libc::SYS_connect, libc::SYS_sendto];

/// Calls that are judged by their arguments first; what is no danger there goes on to the lists. One program, because
/// each costs the kernel a conversion, a compilation and a walk over all call numbers.
fn compile(watch: Watch) -> Result<BpfProgram, FilterError> {
    let watched = watch != Watch::Silent;
    let arch = || TargetArch::try_from(std::env::consts::ARCH);
    let arch = || arch().map_err(|_| FilterError::Architecture(std::env::consts::ARCH));
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let mut rules = dangerous_arguments()?;
    if watched {
        // With an address in its arguments.
        let address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
        rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![address])?]);
    }
    let by_argument = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch()?)?;
    let mut program: BpfProgram = by_argument.try_into()?;
    let end = program.len();
    for (at, step) in program.iter_mut().enumerate() {
        if u32::from(step.code) != libc::BPF_RET | libc::BPF_K {
            continue;
        }
        if step.k == libc::SECCOMP_RET_ALLOW {
            let over = u32::try_from(end - at - 1).unwrap_or(u32::MAX);
            *step = op(libc::BPF_JMP | libc::BPF_JA, 0, 0, over);
        } else if watched && step.k == REFUSAL {
            step.k = libc::SECCOMP_RET_USER_NOTIF;
        }
    }
    program.extend(by_number(arch()?, watch));
    Ok(program)
}

/// The two lists as one binary search: the kernel evaluates the program for every call number each time a sandbox
/// starts, and a search takes a dozen steps where a list takes hundreds.
fn by_number(arch: TargetArch, watch: Watch) -> BpfProgram {
    let audit = match arch {
        TargetArch::x86_64 => 0xc000_003e,
        TargetArch::aarch64 => 0xc000_00b7,
        TargetArch::riscv64 => 0xc000_00f3,
    };
    // struct seccomp_data (linux/seccomp.h): the call's number is at 0, the architecture at 4.
    let load = |offset: u32| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let mut program = vec![
        load(4),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, audit),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(0),
    ];
    program.extend(search(&spans(watch)));
    program
}

fn answer(action: u32) -> sock_filter {
    op(libc::BPF_RET | libc::BPF_K, 0, 0, action)
}

/// Where the answer changes, ascending from 0: first number, and the answer from there on.
fn spans(watch: Watch) -> Vec<(u32, u32)> {
    let watched = watch != Watch::Silent;
    let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let refused = if watched { libc::SECCOMP_RET_USER_NOTIF } else { REFUSAL };
    let listed = |calls: &[i64], action: u32| -> Vec<(u32, u32)> {
        calls.iter().filter_map(|call| Some((u32::try_from(*call).ok()?, action))).collect()
    };
    let mut known: BTreeMap<u32, u32> = listed(ALLOWED, libc::SECCOMP_RET_ALLOW).into_iter().collect();
    known.extend(listed(REFUSED, refused));
    if watched {
        known.extend(listed(&[libc::SYS_connect], libc::SECCOMP_RET_USER_NOTIF));
    }
    if watch == Watch::Paths {
        // INVARIANT: each of them is allowed by its number and judged by no argument (a test holds it), so that letting
        // one go on allows nothing.
        known.extend(listed(&path_calls::numbers(), libc::SECCOMP_RET_USER_NOTIF));
    }
    let mut spans = vec![(0, unknown)];
    let mut next = 0;
    let mut change = |first: u32, action: u32| {
        if spans.last().is_some_and(|(_, last)| *last != action) {
            spans.push((first, action));
        }
    };
    for (number, action) in known {
        if number > next {
            change(next, unknown);
        }
        change(number, action);
        next = number + 1;
    }
    change(next, unknown);
    spans
}

/// Finds the span that a number lies in.
fn search(spans: &[(u32, u32)]) -> BpfProgram {
    let (below, above) = spans.split_at(spans.len() / 2);
    let (Some((_, action)), Some((pivot, _))) = (spans.first(), above.first()) else { return Vec::new() };
    if below.is_empty() {
        return vec![answer(*action)];
    }
    let (low, high) = (search(below), search(above));
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let mut program = match u8::try_from(low.len()) {
        Ok(over) => vec![op(at_least, over, 0, *pivot)],
        // A conditional jump reaches 255 instructions far.
        Err(_) => vec![
            op(at_least, 0, 1, *pivot),
            op(libc::BPF_JMP | libc::BPF_JA, 0, 0, u32::try_from(low.len()).unwrap_or(u32::MAX)),
        ],
    };
    program.extend(low);
    program.extend(high);
    program
}

/// One instruction of classic BPF.
fn op(code: u32, if_true: u8, if_false: u8, value: u32) -> sock_filter {
    // INVARIANT: every opcode above fits; 0 would be a load that the kernel's checker refuses.
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt: if_true, jf: if_false, k: value }
}

/// Calls that exist inside, but not with these arguments.
fn dangerous_arguments() -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let masked = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        condition(0, SeccompCmpOp::MaskedEq(flag), flag).and_then(|is| SeccompRule::new(vec![is]))
    };
    // CLONE_NEWTIME cannot be asked of clone(2): there the low byte is the exit signal. A task that is made untraced would
    // not be seen by the observer.
    let namespaces = NAMESPACE_FLAGS.iter().filter(|flag| **flag > 0xff);
    let of_clone = namespaces.chain(&[libc::CLONE_UNTRACED]).map(|flag| masked(*flag));
    rules.insert(libc::SYS_clone, of_clone.collect::<Result<_, _>>()?);
    let of_unshare = NAMESPACE_FLAGS.iter().map(|flag| masked(*flag));
    rules.insert(libc::SYS_unshare, of_unshare.collect::<Result<_, _>>()?);
    let requests = TERMINAL_INPUT
        .iter()
        .map(|request| condition(1, SeccompCmpOp::Eq, *request).and_then(|is| SeccompRule::new(vec![is])));
    rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    let none_of = |index: u8, values: &[u64]| {
        let differs = values.iter().map(|value| condition(index, SeccompCmpOp::Ne, *value));
        SeccompRule::new(differs.collect::<Result<_, _>>()?)
    };
    let families = FAMILIES.map(|family| u64::from(family.unsigned_abs()));
    let netlink = u64::from(libc::AF_NETLINK.unsigned_abs());
    let route = u64::from(libc::NETLINK_ROUTE.unsigned_abs());
    let other_netlink = SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Eq, netlink)?,
        condition(2, SeccompCmpOp::Ne, route)?,
    ])?;
    rules.insert(libc::SYS_socket, vec![none_of(0, &families)?, other_netlink]);
    rules.insert(libc::SYS_socketpair, vec![none_of(0, &[u64::from(libc::AF_UNIX.unsigned_abs())])?]);
    rules.insert(libc::SYS_personality, vec![none_of(0, &PERSONALITIES)?]);
    Ok(rules)
}

fn condition(index: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, how, value)
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
