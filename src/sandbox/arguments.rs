//! The arguments of a program that stands before its first instruction.
//!
//! Why here: the process that is observed waits while they are read, and memory is read faster than a file in `/proc` is
//! looked up. execve(2) leaves them at the end of the stack: their count, a pointer to each, and further up the strings,
//! one behind the other.
//! Guarantees: they are what the kernel copied, at most [`ARGUMENT_BYTES_MAX`] of them. Where the stack is not laid out
//! like that, lies too far apart or cannot be read (a program of 32 bits, one that nobody may read), the kernel's own
//! account in `/proc` is taken.

use std::ffi::CStr;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, openat};

use super::sys::trace;
use crate::process::ARGUMENT_BYTES_MAX;

const PAGE: usize = 4096;
/// Pages that are read of a stack beyond the one it ends in. Between the pointers and the strings the kernel leaves up to
/// two pages at random (`arch_align_stack`, on x86-64); nearly every argument list is in there then, before the environment.
const PAGES_MORE: usize = 3;
/// Bytes of a count and of a pointer.
const WORD: usize = size_of::<u64>();

/// Room for one reading, made once.
pub(super) struct Room(Vec<u8>);

impl Room {
    pub(super) fn new() -> Self {
        Self(vec![0; ARGUMENT_BYTES_MAX + 1])
    }

    /// The arguments of `task`, whose folder in `/proc` is `place`, and whether any are missing.
    pub(super) fn arguments(&mut self, task: Pid, place: &OwnedFd) -> (Vec<String>, bool) {
        match self.on_the_stack(task) {
            Some(bytes) => (words(bytes), false),
            None => self.by_account(place),
        }
    }

    fn on_the_stack(&mut self, task: Pid) -> Option<&[u8]> {
        let end = trace::stack_pointer(task).ok()?;
        let base = usize::try_from(end).ok()?;
        let first = PAGE - base % PAGE;
        let next = base.checked_add(first)?;
        // One for each page, so that a stack that begins before the last of them is no error.
        let mut there = [RemoteIoVec { base, len: first }; 1 + PAGES_MORE];
        for (page, place) in there.iter_mut().skip(1).enumerate() {
            *place = RemoteIoVec { base: next.checked_add(page * PAGE)?, len: PAGE };
        }
        let room = IoSliceMut::new(self.0.get_mut(..first + PAGES_MORE * PAGE)?);
        let read = process_vm_readv(task, &mut [room], &there).ok()?;
        laid_out(self.0.get(..read)?, end)
    }

    fn by_account(&mut self, place: &OwnedFd) -> (Vec<String>, bool) {
        // One read gives all that there is room for.
        let file = openat(place, "cmdline", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let read = file.and_then(|file| rustix::io::read(file, &mut self.0[..]));
        let length = read.as_ref().map_or(0, |length| *length);
        let cut = read.is_err() || length > ARGUMENT_BYTES_MAX;
        (words(self.0.get(..length.min(ARGUMENT_BYTES_MAX)).unwrap_or(&[])), cut)
    }
}

/// The strings of all arguments, of a stack whose last word is at `end`, where each begins where the one before ended.
fn laid_out(stack: &[u8], end: u64) -> Option<&[u8]> {
    let word = |index: usize| {
        let bytes = stack.get(index.checked_mul(WORD)?..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let count = usize::try_from(word(0)?).ok().filter(|count| (1..stack.len() / WORD).contains(count))?;
    let first = usize::try_from(word(1)?.checked_sub(end)?).ok()?;
    let mut at = first;
    for index in 1..=count {
        if word(index)? != end.checked_add(u64::try_from(at).ok()?)? {
            return None;
        }
        at += CStr::from_bytes_until_nul(stack.get(at..)?).ok()?.count_bytes() + 1;
    }
    (word(count + 1)? == 0).then(|| stack.get(first..at))?
}

/// Ended, or separated, by NUL.
fn words(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let whole = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    whole.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use nix::libc;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use proptest::collection::vec;

    use super::{Pid, Room, WORD, laid_out, trace, words};

    /// As the kernel lays it out: count, pointers, a null, as many words of something else, strings.
    fn stack(end: u64, arguments: &[impl AsRef<str>], between: usize) -> Vec<u8> {
        let mut place = end + ((arguments.len() + 2 + between) * WORD) as u64;
        let mut bytes = (arguments.len() as u64).to_ne_bytes().to_vec();
        for argument in arguments.iter().map(AsRef::as_ref) {
            bytes.extend(place.to_ne_bytes());
            place += argument.len() as u64 + 1;
        }
        bytes.extend(vec![0; (1 + between) * WORD]);
        for argument in arguments.iter().map(AsRef::as_ref) {
            bytes.extend(argument.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn arguments_are_read_as_they_lie_on_the_stack() {
        let bytes = stack(0x7ffd_1000, &["sh", "-c", "", "echo"], 9);
        let read = laid_out(&bytes, 0x7ffd_1000).unwrap();
        assert_eq!(
            (read, words(read)),
            (&b"sh\0-c\0\0echo\0"[..], ["sh", "-c", "", "echo"].map(str::to_owned).to_vec())
        );
        assert_eq!(words(laid_out(&stack(8, &[""], 0), 8).unwrap()), [String::new()]);
    }

    #[test]
    fn a_stack_that_is_laid_out_otherwise_is_not_believed() {
        let whole = stack(0x7ffd_1000, &["sh", "-c", "echo"], 1);
        for length in 0..whole.len() {
            assert!(laid_out(&whole[..length], 0x7ffd_1000).is_none(), "cut at {length}");
        }
        assert!(laid_out(&whole, 0x7ffd_2000).is_none(), "pointers below the stack");
        for word in 0..5 {
            for change in [8_u64, u64::MAX] {
                let mut bytes = whole.clone();
                let was = u64::from_ne_bytes(*bytes[word * WORD..].first_chunk().unwrap());
                bytes[word * WORD..(word + 1) * WORD]
                    .copy_from_slice(&was.wrapping_add(change).to_ne_bytes());
                assert!(laid_out(&bytes, 0x7ffd_1000).is_none(), "word {word} changed by {change}");
            }
        }
        assert!(laid_out(&stack(0x7ffd_1000, &[""; 0], 4), 0x7ffd_1000).is_none(), "no argument");
    }

    /// A shell that waits for the word to become another program is traced up to there.
    #[test]
    fn of_a_program_that_stands_at_its_beginning_the_stack_tells() {
        // The kernel lays each stack out a little differently.
        for _ in 0..24 {
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo ready; read word; exec true 'a b' ''"]);
            shell.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut shell = shell.spawn().unwrap();
            // It is the shell already, so that the next program is the one that is meant.
            shell.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let task = Pid::from_raw(i32::try_from(shell.id()).unwrap());
            trace::seize(task, libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL).unwrap();
            shell.stdin.take().unwrap().write_all(b"word\n").unwrap();
            let stopped = waitpid(task, Some(WaitPidFlag::__WALL)).unwrap();
            assert_eq!(stopped, WaitStatus::PtraceEvent(task, Signal::SIGTRAP, libc::PTRACE_EVENT_EXEC));
            assert_eq!(Room::new().on_the_stack(task), Some(&b"true\0a b\0\0"[..]));
            trace::detach(task).unwrap();
            assert!(shell.wait().unwrap().success());
            assert_eq!(Room::new().on_the_stack(task), None, "nobody is traced");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_they_are_they_are_read(arguments in vec("[^\0]{0,20}", 1..20), between in 0..9_usize, at: u32) {
            let end = u64::from(at);
            let bytes = stack(end, &arguments, between);
            let read = laid_out(&bytes, end).map(words);
            proptest::prop_assert_eq!(read, Some(arguments));
        }

        #[test]
        fn no_number_is_too_odd(arguments in vec("[^\0]{0,20}", 1..20), at: u32, word in 0..22_usize, odd: u64) {
            let end = u64::from(at);
            let mut bytes = stack(end, &arguments, 0);
            let place = word.min(bytes.len() / WORD - 1) * WORD;
            bytes[place..place + WORD].copy_from_slice(&odd.to_ne_bytes());
            if let Some(read) = laid_out(&bytes, end) {
                proptest::prop_assert!(read.ends_with(b"\0"));
            }
        }
    }
}
