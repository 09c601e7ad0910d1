//! A system-call filter as data: classic BPF that the compiler writes when the program is built.
//!
//! Written at run time, by every process that starts a sandbox, it took 0.2 of 4.5 milliseconds
//! (docs/adr/0030). Guarantees: one binary search over the calls' numbers, so that the kernel, which evaluates a new filter
//! for every number there is, takes a dozen steps for each; other ABIs of the machine are killed; what does not fit does not
//! build. Does not: decide which call gets which answer (`calls`).
//!
//! Arguments are compared on one half of the 64 bits; which one counts, the rule says, as the kernel reads some calls'
//! arguments on their low half only (CVE-2019-10063).

use nix::libc::{self, sock_filter};

/// Every call of this machine has a number below this one.
pub(super) const NUMBERS: usize = 512;
/// How far a conditional jump goes at most, with one instruction to spare.
const REACH: usize = 254;
/// This machine's ABI (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const ABI: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ABI: u32 = 0xc000_00b7;
/// Where `struct seccomp_data` has the call's number and the ABI (linux/seccomp.h).
const NUMBER_AT: u32 = 0;
const ABI_AT: u32 = 4;

const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IS_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const HAS_ANY: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// What is answered to a call.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// Always this (`SECCOMP_RET_*`).
    Always(u32),
    /// The second, if one of the rules holds; else it is allowed.
    Where(&'static [Rule], u32),
}

/// Holds where all of its tests do.
pub(super) type Rule = &'static [Test];

/// One half of an argument, and what it is compared with.
#[derive(Clone, Copy)]
pub(super) struct Test {
    argument: u32,
    high: bool,
    holds: Holds,
}

#[derive(Clone, Copy)]
enum Holds {
    HasAny(u32),
    Among(&'static [u32]),
    NotAmong(&'static [u32]),
}

impl Test {
    /// Whether the low half has any of `bits`.
    pub(super) const fn has_any(argument: u32, bits: u32) -> Self {
        Self { argument, high: false, holds: Holds::HasAny(bits) }
    }

    /// Whether the low half is one of `values`.
    pub(super) const fn among(argument: u32, values: &'static [u32]) -> Self {
        Self { argument, high: false, holds: Holds::Among(values) }
    }

    /// Whether the low half is none of `values`.
    pub(super) const fn not_among(argument: u32, values: &'static [u32]) -> Self {
        Self { argument, high: false, holds: Holds::NotAmong(values) }
    }

    /// The same of the high half.
    pub(super) const fn high(mut self) -> Self {
        self.high = true;
        self
    }

    /// Where `struct seccomp_data` has it: the arguments begin at 16, and these machines put the low half first.
    const fn place(self) -> u32 {
        assert!(self.argument < 6 && cfg!(target_endian = "little"));
        16 + 8 * self.argument + if self.high { 4 } else { 0 }
    }
}

/// The answers by number; what is above them all has the last one's.
pub(super) type Answers = [Answer; NUMBERS];

/// The instructions, `ROOM` at most (the kernel takes 4,096). They are written from the last to the first, so that where a
/// jump leads is always there already.
pub(super) struct Filter<const ROOM: usize> {
    steps: [sock_filter; ROOM],
    first: usize,
}

#[expect(clippy::indexing_slicing, reason = "what lies outside does not build")]
impl<const ROOM: usize> Filter<ROOM> {
    pub(super) const fn of(answers: &Answers) -> Self {
        let nothing = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
        let mut filter = Self { steps: [nothing; ROOM], first: ROOM };
        let search = filter.search(answers, 0, NUMBERS);
        assert!(search == filter.first, "the search comes next");
        filter.load(NUMBER_AT);
        let known = filter.first;
        let other = filter.answer(libc::SECCOMP_RET_KILL_PROCESS);
        filter.branch(IS, ABI, known, other);
        filter.load(ABI_AT);
        filter
    }

    /// As the kernel takes them.
    pub(super) const fn steps(&self) -> &[sock_filter] {
        self.steps.split_at(self.first).1
    }

    /// The place of a search for a number between `from` and `to`.
    const fn search(&mut self, answers: &Answers, from: usize, to: usize) -> usize {
        let Some(middle) = change(answers, from, to) else {
            return self.judge(answers[from]);
        };
        let high = self.search(answers, middle, to);
        let low = self.search(answers, from, middle);
        self.branch(IS_AT_LEAST, word(middle), high, low)
    }

    const fn judge(&mut self, answer: Answer) -> usize {
        let (mut rules, refusal) = match answer {
            Answer::Always(action) => return self.answer(action),
            Answer::Where(rules, refusal) => (rules, refusal),
        };
        let mut otherwise = self.answer(libc::SECCOMP_RET_ALLOW);
        while let [before @ .., tests] = rules {
            let (mut tests, mut holds) = (*tests, self.answer(refusal));
            while let [before @ .., test] = tests {
                holds = self.test(*test, holds, otherwise);
                tests = before;
            }
            (otherwise, rules) = (holds, before);
        }
        otherwise
    }

    const fn test(&mut self, test: Test, holds: usize, fails: usize) -> usize {
        match test.holds {
            Holds::HasAny(bits) => {
                self.branch(HAS_ANY, bits, holds, fails);
            }
            Holds::Among(values) => self.compare(values, holds, fails),
            Holds::NotAmong(values) => self.compare(values, fails, holds),
        }
        self.load(test.place())
    }

    const fn compare(&mut self, mut values: &[u32], found: usize, mut otherwise: usize) {
        assert!(!values.is_empty(), "compared with nothing");
        while let [before @ .., value] = values {
            otherwise = self.branch(IS, *value, found, otherwise);
            values = before;
        }
    }

    /// The place of this answer: one that is within reach, or a new one.
    const fn answer(&mut self, action: u32) -> usize {
        let mut place = self.first;
        while place < ROOM && place - self.first < REACH {
            if self.steps[place].code == opcode(RETURN) && self.steps[place].k == action {
                return place;
            }
            place += 1;
        }
        self.put(RETURN, 0, 0, action)
    }

    const fn load(&mut self, offset: u32) -> usize {
        self.put(LOAD, 0, 0, offset)
    }

    const fn branch(&mut self, comparison: u32, value: u32, yes: usize, no: usize) -> usize {
        let (yes, no) = (self.within_reach(yes), self.within_reach(no));
        self.put(comparison, byte(yes - self.first), byte(no - self.first), value)
    }

    /// A place within reach from which `place` is reached.
    const fn within_reach(&mut self, place: usize) -> usize {
        let distance = place - self.first;
        if distance < REACH { place } else { self.put(JUMP, 0, 0, word(distance)) }
    }

    const fn put(&mut self, code: u32, yes: u8, no: u8, value: u32) -> usize {
        self.first -= 1;
        self.steps[self.first] = sock_filter { code: opcode(code), jt: yes, jf: no, k: value };
        self.first
    }
}

/// Where between two numbers the answer changes, as near to their middle as it does; `None` where it does not.
#[expect(clippy::indexing_slicing, reason = "what lies outside does not build")]
const fn change(answers: &Answers, from: usize, to: usize) -> Option<usize> {
    let middle = usize::midpoint(from, to);
    let mut away = 0;
    while from + away < to {
        let (above, below) = (middle + away, middle.saturating_sub(away));
        if above > from && above < to && !are_same(answers[above - 1], answers[above]) {
            return Some(above);
        }
        if below > from && !are_same(answers[below - 1], answers[below]) {
            return Some(below);
        }
        away += 1;
    }
    None
}

const fn are_same(one: Answer, other: Answer) -> bool {
    matches!((one, other), (Answer::Always(one), Answer::Always(other)) if one == other)
}

#[expect(clippy::cast_possible_truncation, reason = "asserted")]
const fn opcode(parts: u32) -> u16 {
    assert!(parts <= u16::MAX as u32);
    parts as u16
}

#[expect(clippy::cast_possible_truncation, reason = "asserted")]
const fn byte(distance: usize) -> u8 {
    assert!(distance <= u8::MAX as usize);
    distance as u8
}

#[expect(clippy::cast_possible_truncation, reason = "asserted")]
const fn word(number: usize) -> u32 {
    assert!(number <= u32::MAX as usize);
    number as u32
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::{ABIS, asked};
    use super::*;

    const RULES: &[Rule] = &[&[Test::among(0, &[7, 9])]];

    /// As many answers as there are numbers: most leaves are further than a conditional jump reaches.
    #[test]
    fn what_is_out_of_reach_is_reached_all_the_same() {
        let errno = |number: usize| libc::SECCOMP_RET_ERRNO | u32::try_from(number).unwrap();
        let mut answers = [Answer::Always(0); NUMBERS];
        for (number, answer) in answers.iter_mut().enumerate() {
            *answer = match number % 3 {
                0 => Answer::Where(RULES, errno(number)),
                _ => Answer::Always(errno(number)),
            };
        }
        let filter = Filter::<4096>::of(&answers);
        for number in 0..NUMBERS {
            for first in [7, 8, 9] {
                let allowed = number % 3 == 0 && first == 8;
                let expected = if allowed { libc::SECCOMP_RET_ALLOW } else { errno(number) };
                let call = u32::try_from(number).unwrap();
                let (answer, steps) = asked(&filter, ABIS[0], call, [first, 0, 0, 0, 0, 0]);
                assert!(answer == expected && steps <= 24, "{number} {first}: {answer:x} after {steps}");
            }
        }
        let jumps = filter.steps().iter().filter(|step| step.code == opcode(JUMP)).count();
        assert!(jumps > 0, "none was out of reach");
        assert_eq!(asked(&filter, ABIS[0], u32::MAX, [0; 6]).0, errno(NUMBERS - 1), "above them all");
    }
}
