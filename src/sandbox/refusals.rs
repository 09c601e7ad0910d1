//! Refused calls and addresses that were asked for, as the filter tells them.
//!
//! A watched filter asks this thread of the stub for the answer to each call that is refused, and to each that names an
//! address. The answer to the first is always EPERM. The second are let go on whatever they say: what cannot be reached
//! is not in the network namespace, and an address in the caller's memory is evidence, not ground for a decision. Where
//! the sandbox learns, allowed calls that name a path are let go on in the same way (`wants`). Does not see `sendmsg`,
//! whose address lies behind two pointers.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::observe::{Observer, lock};
use super::sys::notified::{self, Call};
use super::wants::{self, View};
use super::{call_lists, calls, path_calls};
use crate::process::receive;

/// Most bytes of an address that are read: a `sockaddr_in6`.
const ADDRESS_BYTES: usize = 28;

/// Told in the place of an address that could not be read from the caller's memory.
const UNREADABLE: &str = "an address that could not be read";

/// Answers until nobody is left who could ask.
pub(super) fn watch(channel: &UnixStream, observer: &Mutex<Observer>, view: &View) {
    let Ok(Some(((), fds))) = receive::<()>(channel) else { return };
    let Some(told) = fds.into_iter().next() else { return };
    let told = told.as_fd();
    while somebody_asks(told) {
        // One who was killed meanwhile has no call any more.
        let Ok(call) = notified::receive(told) else { continue };
        let task = Pid::from_raw(call.task);
        let name = call_lists::name(call.number).unwrap_or("unknown");
        let looked_at = calls::is_looked_at(call.number);
        if !looked_at {
            lock(observer).refuse(task, name);
        } else if path_calls::of(call.number).is_some() {
            if lock(observer).has_begun() {
                let found = wants::look(told, &call, view);
                lock(observer).want(found);
            }
        } else if let Some(address) = address(told, &call) {
            lock(observer).seek(task, name, address);
        }
        // Whoever is gone needs no answer.
        notified::answer(told, &call, looked_at).ok();
    }
}

/// False when no task has the filter any more.
fn somebody_asks(told: BorrowedFd<'_>) -> bool {
    loop {
        let mut fds = [PollFd::new(told, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {
                let [fd] = fds;
                return fd.revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
            }
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// The address outside that `call` names, if it names one. One that cannot be read is taken for one: whoever asks by
/// an address that is not there asks for something.
fn address(told: BorrowedFd<'_>, call: &Call) -> Option<String> {
    let [_, second, third, _, fifth, sixth] = call.arguments;
    let (place, length) = if call.number == libc::SYS_connect { (second, third) } else { (fifth, sixth) };
    let mut bytes = [0_u8; ADDRESS_BYTES];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
    let read = read_memory(call.task, place, bytes.get_mut(..length)?);
    // If it waits no more, this may have been another task's memory.
    if !notified::still_waits(told, call) {
        return None;
    }
    if !read {
        return Some(UNREADABLE.to_owned());
    }
    outside(&bytes).map(|address| address.to_string())
}

/// Fills `bytes` from the memory of `task`; whether it could. By `process_vm_readv`(2), which asks what a tracer is asked:
/// the file in `/proc` is closed to an ordinary user where the task made itself undumpable.
fn read_memory(task: i32, place: u64, bytes: &mut [u8]) -> bool {
    let Ok(base) = usize::try_from(place) else { return false };
    let len = bytes.len();
    let there = RemoteIoVec { base, len };
    len == 0 || process_vm_readv(Pid::from_raw(task), &mut [IoSliceMut::new(bytes)], &[there]) == Ok(len)
}

/// An address of the internet families that is not the sandbox's own.
fn outside(bytes: &[u8; ADDRESS_BYTES]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip: IpAddr = match i32::from(u16::from_ne_bytes(*family)) {
        // A datagram to no family goes by the older one.
        libc::AF_INET | libc::AF_UNSPEC => Ipv4Addr::from(*rest.first_chunk::<4>()?).into(),
        // Behind four bytes of flow information.
        libc::AF_INET6 => Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_outside_is_an_address_outside() {
        let v4 = |ip: [u8; 4]| {
            let mut bytes = [0; ADDRESS_BYTES];
            bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
            bytes[2..4].copy_from_slice(&443_u16.to_be_bytes());
            bytes[4..8].copy_from_slice(&ip);
            outside(&bytes).map(|address| address.to_string())
        };
        assert_eq!(v4([192, 0, 2, 1]).as_deref(), Some("192.0.2.1:443"));
        assert_eq!(v4([127, 1, 2, 3]), None);
        assert_eq!(v4([0; 4]), None);
        let v6 = |ip: Ipv6Addr| {
            let mut bytes = [0; ADDRESS_BYTES];
            bytes[..2].copy_from_slice(&10_u16.to_ne_bytes());
            bytes[2..4].copy_from_slice(&53_u16.to_be_bytes());
            bytes[8..24].copy_from_slice(&ip.octets());
            outside(&bytes).map(|address| address.to_string())
        };
        assert_eq!(v6("2001:db8::1".parse().unwrap()).as_deref(), Some("[2001:db8::1]:53"));
        assert_eq!(v6("::ffff:127.0.0.1".parse().unwrap()), None);
        assert_eq!(v6("::ffff:192.0.2.1".parse().unwrap()).as_deref(), Some("192.0.2.1:53"));
        assert_eq!(outside(&[1; ADDRESS_BYTES]), None, "another family");
    }
}
