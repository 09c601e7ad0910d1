//! The filter, asked as the kernel would ask it.

use super::*;

/// What the kernel would answer to call `number` with `arguments` (`seccomp_data` of linux/seccomp.h).
fn answer(program: &BpfProgram, number: u32, arguments: [u64; 6]) -> u32 {
    let audit: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    let mut data = [number, audit, 0, 0].map(u32::to_ne_bytes).concat();
    data.extend(arguments.map(u64::to_ne_bytes).concat());
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let step = &program[at];
        let jump = |yes: bool| at + 1 + usize::from(if yes { step.jt } else { step.jf });
        at = match u32::from(step.code) {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                let offset = usize::try_from(step.k).unwrap();
                accumulator = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
                at + 1
            }
            code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => {
                accumulator &= step.k;
                at + 1
            }
            code if code == libc::BPF_JMP | libc::BPF_JA => at + 1 + usize::try_from(step.k).unwrap(),
            code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => jump(accumulator == step.k),
            code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => jump(accumulator >= step.k),
            code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => jump(accumulator > step.k),
            code if code == libc::BPF_RET | libc::BPF_K => return step.k,
            code => panic!("an instruction that this test does not know: {code:#x}"),
        };
    }
}

#[test]
fn every_call_number_is_answered_by_its_list() {
    let program = compile(Watch::Silent).unwrap();
    // BPF_MAXINSNS (linux/bpf_common.h).
    assert!(program.len() <= 4096, "{}", program.len());
    let errno = |errno: libc::c_int| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    let by_argument = [libc::SYS_clone, libc::SYS_unshare, libc::SYS_ioctl, libc::SYS_socket];
    for number in 0..600_i64 {
        let expected = match number {
            _ if REFUSED.contains(&number) => errno(libc::EPERM),
            _ if ALLOWED.contains(&number) => libc::SECCOMP_RET_ALLOW,
            _ => errno(libc::ENOSYS),
        };
        let harmless = if by_argument.contains(&number) { [1, 1, 0, 0, 0, 0] } else { [0; 6] };
        let harmless = if number == libc::SYS_socketpair { [1, 1, 0, 0, 0, 0] } else { harmless };
        assert_eq!(answer(&program, u32::try_from(number).unwrap(), harmless), expected, "{number}");
    }
    let call =
        |number: i64, first: u64| answer(&program, u32::try_from(number).unwrap(), [first, 0, 0, 0, 0, 0]);
    let nested = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    assert_eq!(call(libc::SYS_clone, nested), errno(libc::EPERM));
    // Only the low half of an argument counts.
    assert_eq!(call(libc::SYS_socket, 0xdead_0000_0000_0001), libc::SECCOMP_RET_ALLOW);
    assert_eq!(call(libc::SYS_socket, u64::from(libc::AF_VSOCK.unsigned_abs())), errno(libc::EPERM));
    assert_eq!(answer(&program, 0x4000_0001, [0; 6]), errno(libc::ENOSYS), "x32");
}

#[test]
fn a_watched_filter_tells_what_the_other_one_refuses_and_nothing_more_passes() {
    let (silent, watched) = (compile(Watch::Silent).unwrap(), compile(Watch::Refusals).unwrap());
    assert!(watched.len() <= 4096, "{}", watched.len());
    let arguments = [[0; 6], [1, 1, 0, 0, 0, 0], [0x1000_0000, 0, 0, 0, 7, 0], [38, 5, 2, 0, 0, 0]];
    for (number, arguments) in (0..600_u32).flat_map(|number| arguments.map(|all| (number, all))) {
        let (plain, told) = (answer(&silent, number, arguments), answer(&watched, number, arguments));
        let call = i64::from(number);
        let looked_at = call == libc::SYS_connect || (call == libc::SYS_sendto && arguments[4] != 0);
        let expected = if plain == REFUSAL || looked_at { libc::SECCOMP_RET_USER_NOTIF } else { plain };
        assert_eq!(told, expected, "{number} {arguments:?}");
        assert_eq!(looked_at, plain != REFUSAL && told == libc::SECCOMP_RET_USER_NOTIF && is_looked_at(call));
    }
    assert!(REFUSED.iter().all(|call| super::super::call_lists::name(*call).is_some()));
}

#[test]
fn no_call_is_in_both_lists_and_none_twice() {
    let all: Vec<_> = ALLOWED.iter().chain(REFUSED).collect();
    let unique: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(all.len(), unique.len());
    assert!(!ALLOWED.contains(&libc::SYS_clone3) && !REFUSED.contains(&libc::SYS_clone3));
}

#[test]
fn a_filter_that_learns_tells_more_and_lets_nothing_more_pass() {
    let [silent, watched, learning] =
        [Watch::Silent, Watch::Refusals, Watch::Paths].map(|watch| compile(watch).unwrap());
    assert!(learning.len() <= 4096, "{}", learning.len());
    let arguments = [[0; 6], [1, 1, 0, 0, 0, 0], [0x1000_0000, 0, 0, 0, 7, 0], [38, 5, 2, 0, 0, 0]];
    let mut told = 0;
    for (number, arguments) in (0..600_u32).flat_map(|number| arguments.map(|all| (number, all))) {
        let answer = |program: &BpfProgram| answer(program, number, arguments);
        if path_calls::of(i64::from(number)).is_some() {
            // What is let go on is what the other filter allows, whatever its arguments.
            assert_eq!(answer(&silent), libc::SECCOMP_RET_ALLOW, "{number} {arguments:?}");
            assert_eq!(answer(&learning), libc::SECCOMP_RET_USER_NOTIF, "{number}");
            told += 1;
        } else {
            assert_eq!(answer(&learning), answer(&watched), "{number} {arguments:?}");
        }
    }
    assert_eq!(told, path_calls::numbers().len() * arguments.len(), "each number once");
}
