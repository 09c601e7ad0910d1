//! The control channel between the harness and a sandbox's PID 1: frames of JSON over a socket pair.
//!
//! A frame is four bytes of length (little endian) and that many bytes of JSON; descriptors travel with the
//! first bytes. The payload never holds an end of this channel. It carries no authority: the harness believes
//! only the kernel (pid descriptor, end of file) about whether a tree is dead.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest frame, bytes. A policy is a few kilobytes; arguments may be long.
const FRAME_MAX: usize = 4 * 1024 * 1024;
/// Most descriptors in one frame.
pub(crate) const FDS_MAX: usize = 64;

/// What the harness tells PID 1 once the sandbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Down {
    /// Execute the payload; its three standard descriptors come along.
    Go,
    /// Send SIGTERM to every process but PID 1.
    Terminate,
    /// Send SIGINT to the payload's process group.
    Interrupt,
}

/// What PID 1 tells the harness about the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Up {
    /// The program was executed.
    Started,
    /// It could not be; the error number of the failed step.
    NotStarted {
        /// Which step.
        act: String,
        /// errno.
        errno: i32,
    },
    /// The payload ended and was reaped. PID 1 exits next.
    Exited {
        /// Exit code, if it exited.
        code: Option<i32>,
        /// Signal number, if it was killed.
        signal: Option<i32>,
        /// Wall time from start to end, microseconds.
        micros: u64,
        /// CPU time of all reaped processes, microseconds.
        cpu_micros: u64,
        /// Largest resident set of any reaped process, KiB.
        max_rss_kib: u64,
    },
}

/// Sends one frame, blocking.
pub(crate) fn send<T: Serialize>(socket: &UnixStream, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let frame = frame(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one frame"));
    }
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    let rest = frame.get(sent..).unwrap_or(&[]);
    let mut socket = socket;
    socket.write_all(rest)
}

/// The bytes of one frame.
pub(crate) fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_MAX);
    let length = length.ok_or_else(|| io::Error::other("control frame too large"))?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Receives one frame, blocking; `None` when the other end is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut head = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut head)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let mut socket = socket;
    if let Some(missing) = head.get_mut(got.bytes..) {
        socket.read_exact(missing)?;
    }
    let mut body = vec![0_u8; body_length(head)?];
    socket.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, fds)))
}

fn body_length(head: [u8; 4]) -> io::Result<usize> {
    usize::try_from(u32::from_le_bytes(head))
        .ok()
        .filter(|length| *length <= FRAME_MAX)
        .ok_or_else(|| io::Error::other("control frame too large"))
}

/// Frames cut out of bytes that arrive in any portions.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + body_length(*head)?;
        let Some(body) = self.bytes.get(4..end) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..end);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_frame_and_its_descriptor_arrive_whole() {
        let (a, b) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&a, &"x".repeat(100_000), &[writer.as_fd()]).unwrap();
        drop(writer);
        let (text, fds) = receive::<String>(&b).unwrap().unwrap();
        assert_eq!(text.len(), 100_000);
        std::fs::File::from(fds.into_iter().next().unwrap()).write_all(b"!").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "!");
    }

    #[test]
    fn a_closed_channel_is_none_and_a_huge_length_an_error() {
        let (a, b) = UnixStream::pair().unwrap();
        (&a).write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive::<Down>(&b).is_err());
        drop(a);
        assert!(receive::<Down>(&b).unwrap().is_none());
    }

    #[test]
    fn frames_come_out_of_any_portions() {
        let mut bytes = frame(&Down::Go).unwrap();
        bytes.extend(frame(&Down::Terminate).unwrap());
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for byte in bytes {
            frames.push(&[byte]);
            seen.extend(frames.next::<Down>().unwrap());
        }
        assert_eq!(seen, [Down::Go, Down::Terminate]);
    }
}
