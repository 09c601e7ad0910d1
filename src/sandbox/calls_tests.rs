//! The filters, asked as the kernel would ask them.

use std::collections::BTreeSet;

use nix::libc::sock_filter;

use super::*;

/// This machine's ABI, and another one of it (linux/audit.h).
pub(in super::super) const ABIS: [u32; 2] =
    if cfg!(target_arch = "x86_64") { [0xc000_003e, 0x4000_0003] } else { [0xc000_00b7, 0x4000_0028] };
/// Values that some rule asks for, beside such that none does.
const VALUES: [u64; 22] = [
    0,
    1,
    2,
    10,
    15,
    16,
    38,
    0x80,
    0x5412,
    0x541c,
    0x0004_0000,
    // Each namespace of clone(2), and a task that is not traced.
    0x0002_0000,
    0x0080_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
    0xffff_ffff,
    // What the kernel does not look at.
    0xdead_0000_0000_0000,
    0x0000_0001_0000_5412,
];

/// What the kernel would answer to call `number` with `arguments` (`seccomp_data` of linux/seccomp.h), and after how many
/// steps.
pub(in super::super) fn asked<const ROOM: usize>(
    filter: &Filter<ROOM>,
    abi: u32,
    number: u32,
    arguments: [u64; 6],
) -> (u32, usize) {
    let mut data = [number, abi, 0, 0].map(u32::to_ne_bytes).concat();
    data.extend(arguments.map(u64::to_ne_bytes).concat());
    let (mut at, mut accumulator) = (0, 0_u32);
    for taken in 1.. {
        let sock_filter { code, jt, jf, k } = filter.steps()[at];
        let jump = |yes: bool| at + 1 + usize::from(if yes { jt } else { jf });
        at = match u32::from(code) {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                let offset = usize::try_from(k).unwrap();
                accumulator = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
                at + 1
            }
            code if code == libc::BPF_JMP | libc::BPF_JA => at + 1 + usize::try_from(k).unwrap(),
            code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => jump(accumulator == k),
            code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => jump(accumulator >= k),
            code if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => jump(accumulator & k != 0),
            code if code == libc::BPF_RET | libc::BPF_K => return (k, taken),
            code => panic!("an instruction that this test does not know: {code:#x}"),
        };
    }
    unreachable!("it ends")
}

fn answer(filter: &Filter<ROOM>, number: i64, arguments: [u64; 6]) -> u32 {
    asked(filter, ABIS[0], u32::try_from(number).unwrap(), arguments).0
}

/// The rules once more, in plain words: whether these arguments are a danger.
fn danger(number: i64, arguments: [u64; 6]) -> bool {
    // The kernel reads these on their low half.
    let low = arguments.map(|argument| i32::from_ne_bytes(argument.to_ne_bytes()[..4].try_into().unwrap()));
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    match number {
        libc::SYS_clone => low[0] & (namespaces | libc::CLONE_UNTRACED) != 0,
        libc::SYS_unshare => low[0] & (namespaces | 0x80) != 0,
        libc::SYS_ioctl => [0x5412, 0x541c].contains(&low[1]),
        libc::SYS_socket => match low[0] {
            libc::AF_UNIX | libc::AF_INET | libc::AF_INET6 => false,
            libc::AF_NETLINK => low[2] != libc::NETLINK_ROUTE,
            _ => true,
        },
        libc::SYS_socketpair => low[0] != libc::AF_UNIX,
        libc::SYS_personality => ![0, 0x0004_0000, -1].contains(&low[0]),
        _ => false,
    }
}

/// Every call number; where some rule looks at the arguments, with every choice of these values for them.
fn every_call() -> impl Iterator<Item = (i64, [u64; 6])> {
    let pairs = VALUES.iter().flat_map(|one| VALUES.iter().map(move |two| (*one, *two)));
    let every: Vec<_> = pairs
        .flat_map(|(one, two)| VALUES.iter().map(move |three| [one, two, *three, 0, *three, 0]))
        .collect();
    let same: Vec<_> = VALUES.iter().map(|value| [*value; 6]).collect();
    (0..600_i64).flat_map(move |number| {
        let judged = number == libc::SYS_sendto || REFUSED_WHERE.iter().any(|(call, _)| *call == number);
        let arguments = if judged { every.clone() } else { same.clone() };
        arguments.into_iter().map(move |arguments| (number, arguments))
    })
}

#[test]
fn every_call_is_answered_by_its_list_and_its_arguments() {
    let errno = |errno: libc::c_int| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    let (allowed, refused): (BTreeSet<_>, BTreeSet<_>) = (ALLOWED.iter().collect(), REFUSED.iter().collect());
    let mut seen = BTreeSet::new();
    for (number, arguments) in every_call() {
        let expected = match number {
            _ if refused.contains(&number) || danger(number, arguments) => errno(libc::EPERM),
            _ if allowed.contains(&number) => libc::SECCOMP_RET_ALLOW,
            _ => errno(libc::ENOSYS),
        };
        assert_eq!(answer(&SILENT, number, arguments), expected, "{number} {arguments:x?}");
        seen.insert((number, expected));
    }
    for (call, _) in REFUSED_WHERE {
        let answers = [errno(libc::EPERM), libc::SECCOMP_RET_ALLOW];
        assert!(answers.iter().all(|answer| seen.contains(&(*call, *answer))), "{call} has two answers");
    }
    assert_eq!(answer(&SILENT, 0x4000_0001, [0; 6]), errno(libc::ENOSYS), "x32");
    assert_eq!(answer(&SILENT, 0xffff_ffff, [0; 6]), errno(libc::ENOSYS), "the last of all");
}

#[test]
fn another_abi_is_killed_and_every_answer_is_near() {
    for filter in [&SILENT, &REFUSALS, &PATHS] {
        for (number, arguments) in every_call().chain([(0x4000_0000, [0; 6]), (0xffff_ffff, [0; 6])]) {
            let number = u32::try_from(number).unwrap();
            let other = asked(filter, ABIS[1], number, arguments).0;
            assert_eq!(other, libc::SECCOMP_RET_KILL_PROCESS, "{number}");
            let (_, steps) = asked(filter, ABIS[0], number, arguments);
            assert!(steps <= 24, "{number}: {steps} steps");
        }
    }
}

#[test]
fn a_watched_filter_tells_what_the_other_one_refuses_and_nothing_more_passes() {
    for (number, arguments) in every_call() {
        let (plain, told) = (answer(&SILENT, number, arguments), answer(&REFUSALS, number, arguments));
        let looked_at = number == libc::SYS_connect || (number == libc::SYS_sendto && arguments[4] != 0);
        let expected = if plain == REFUSAL || looked_at { libc::SECCOMP_RET_USER_NOTIF } else { plain };
        assert_eq!(told, expected, "{number} {arguments:x?}");
        let goes_on = plain == libc::SECCOMP_RET_ALLOW && told == libc::SECCOMP_RET_USER_NOTIF;
        assert_eq!(looked_at, goes_on && is_looked_at(number));
    }
    assert!(REFUSED.iter().all(|call| super::super::call_lists::name(*call).is_some()));
}

#[test]
fn no_call_is_in_both_lists_and_none_twice() {
    let all: Vec<_> = ALLOWED.iter().chain(REFUSED).collect();
    let unique: BTreeSet<_> = all.iter().collect();
    assert_eq!(all.len(), unique.len());
    assert!(!ALLOWED.contains(&libc::SYS_clone3) && !REFUSED.contains(&libc::SYS_clone3));
}

#[test]
fn a_filter_that_learns_tells_more_and_lets_nothing_more_pass() {
    let mut told = BTreeSet::new();
    for (number, arguments) in every_call() {
        if path_calls::of(number).is_some() {
            // What is let go on is what the other filter allows, whatever its arguments.
            assert_eq!(
                answer(&SILENT, number, arguments),
                libc::SECCOMP_RET_ALLOW,
                "{number} {arguments:x?}"
            );
            assert_eq!(answer(&PATHS, number, arguments), libc::SECCOMP_RET_USER_NOTIF, "{number}");
            told.insert(number);
        } else {
            let answers = [&PATHS, &REFUSALS].map(|filter| answer(filter, number, arguments));
            assert_eq!(answers[0], answers[1], "{number} {arguments:x?}");
        }
    }
    assert_eq!(told.len(), path_calls::ALL.concat().len(), "each number once");
}
