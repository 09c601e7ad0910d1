//! The owner's ear for what an observer tells: after something was heard it leaves the pipe alone for a moment.
//!
//! A tree tells twice of each program. An owner that were woken each time would take a processor from the tree twice a
//! program, and the tree would pay for that (a fifth of what observing costs, on two processors). So it rests, and the
//! pipe holds what comes meanwhile. Guarantees: nothing is lost, the order stays, the end is heard; where nobody tells
//! anything, nobody is woken. Does not: hear at once what is told within [`REST`] of what was heard before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use tokio::net::unix::pipe;

/// How long the pipe is left alone. Whoever tells more meanwhile than a pipe holds, waits as long.
const REST: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) enum Ear {
    /// Woken by whatever comes.
    Listening(pipe::Receiver),
    /// Nobody but the clock wakes it: the reactor would, for each byte, were the pipe left with it.
    Resting { pipe: OwnedFd, until: Instant },
    /// Nobody tells any more, or it cannot be heard.
    Deaf,
}

impl Ear {
    pub(super) fn listen(pipe: OwnedFd) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(pipe).map(Self::Listening)
    }

    /// Until it is time to [`Ear::take`].
    pub(super) async fn wait(&self) {
        match self {
            Self::Listening(pipe) => drop(pipe.readable().await),
            Self::Resting { until, .. } => tokio::time::sleep_until((*until).into()).await,
            Self::Deaf => {}
        }
    }

    /// What was told since; nothing, where nobody has told anything. `None`: nobody tells any more.
    pub(super) fn take(&mut self, room: &mut [u8]) -> Option<usize> {
        let read = match &*self {
            Self::Listening(pipe) => pipe.try_read(room),
            Self::Resting { pipe, .. } => rustix::io::read(pipe, room).map_err(io::Error::from),
            Self::Deaf => return None,
        };
        let (next, count) = match (std::mem::replace(self, Self::Deaf), read) {
            (Self::Listening(pipe), Ok(count)) if count > 0 => {
                (Self::rest(pipe.into_nonblocking_fd().ok()?), count)
            }
            (Self::Resting { pipe, .. }, Ok(count)) if count > 0 => (Self::rest(pipe), count),
            (Self::Resting { pipe, .. }, Err(error)) if is_nothing(&error) => (Self::listen(pipe).ok()?, 0),
            (listening, Err(error)) if is_nothing(&error) => (listening, 0),
            _ => return None,
        };
        *self = next;
        Some(count)
    }

    fn rest(pipe: OwnedFd) -> Self {
        Self::Resting { pipe, until: Instant::now() + REST }
    }

    /// For whoever waits for the end outside of the reactor.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Listening(pipe) => Some(pipe.as_fd()),
            Self::Resting { pipe, .. } => Some(pipe.as_fd()),
            Self::Deaf => None,
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn hear(ear: &mut Ear) -> Option<String> {
        let mut room = [0; 64];
        loop {
            ear.wait().await;
            match ear.take(&mut room) {
                Some(0) => {}
                told => return told.map(|count| String::from_utf8_lossy(&room[..count]).into_owned()),
            }
        }
    }

    #[tokio::test]
    async fn what_is_told_while_it_rests_comes_together_and_the_end_is_heard() {
        let (read, mut tell) = io::pipe().unwrap();
        let mut ear = Ear::listen(read.into()).unwrap();
        tell.write_all(b"one").unwrap();
        let begin = Instant::now();
        assert_eq!(hear(&mut ear).await.as_deref(), Some("one"));
        for word in ["two", ", three", ", four"] {
            tell.write_all(word.as_bytes()).unwrap();
        }
        assert_eq!(hear(&mut ear).await.as_deref(), Some("two, three, four"));
        assert!(begin.elapsed() >= REST, "it was woken");
        // After a rest in which nothing came it listens: nothing wakes it, and then what is told does.
        ear.wait().await;
        assert_eq!(ear.take(&mut [0; 64]), Some(0));
        tokio::time::timeout(REST * 4, ear.wait()).await.expect_err("it was woken by nothing");
        let later = std::thread::spawn(move || {
            std::thread::sleep(REST * 4);
            tell.write_all(b"five").unwrap();
        });
        assert_eq!(hear(&mut ear).await.as_deref(), Some("five"));
        later.join().unwrap();
        assert_eq!(hear(&mut ear).await, None);
        assert!(ear.pipe().is_none() && ear.take(&mut [0]).is_none());
    }
}
