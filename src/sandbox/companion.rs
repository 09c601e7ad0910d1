//! A process beside a stub: it makes the network namespace meanwhile, and holds the mount namespace of the sandbox a little
//! longer than the sandbox lives.
//!
//! Both are waits of the kernel's for all processors: nobody waits for them here. Where the harness makes it, for a sandbox
//! that is wanted at once, it does both, and ends with the harness at the latest; where a stub forks it, it only holds. It
//! has nothing open but its channel and what it holds, and ends when the other end of that is closed, however that comes.
//! It stays in the network namespace that it has made, and does nothing there. Best effort: without it, things take longer.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Pid, Uid};

use super::elsewhere;
use super::network::Network;
use super::order::{Order, Refusal, refused};
use super::sys;
use crate::process::{receive, send};

/// How long the harness waits for a network at most. It is made in a fraction of a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// The stub's end. When it is closed, the companion ends.
#[derive(Debug)]
pub(super) struct Companion {
    channel: UnixStream,
    makes_network: bool,
}

impl Companion {
    /// Forks one, which has nothing to hold yet. The calling process is single-threaded, as every stub is.
    pub(super) fn fork() -> Option<Self> {
        let (channel, theirs) = UnixStream::pair().ok()?;
        if let Ok(None) = sys::fork() {
            drop(channel);
            hold(theirs);
            std::process::exit(0)
        }
        Some(Self { channel, makes_network: false })
    }

    /// The one that the harness makes; its channel is closed where it cannot.
    pub(super) fn sent(control: &UnixStream) -> Result<Self, Refusal> {
        let heard = receive::<Order>(control).map_err(refused("network", "hear of the companion"))?;
        let fds = heard.and_then(|(order, fds)| matches!(order, Order::Companion).then_some(fds));
        let channel = fds.and_then(|fds| fds.into_iter().next()).map(UnixStream::from);
        let channel = channel.ok_or_else(|| Refusal::new("network", "hear of the companion"))?;
        Ok(Self { channel, makes_network: true })
    }

    /// Lets an ordinary user's into the namespace that this process is root of: the network belongs there.
    pub(super) fn let_in(&self) {
        if self.makes_network {
            let here = File::open("/proc/self/ns/user").ok();
            // It waits for this frame; without a namespace in it, it answers that it could not make a network.
            let fds: Vec<_> = here.iter().map(File::as_fd).collect();
            send(&self.channel, &(), &fds).ok();
        }
    }

    /// Whether it makes the network.
    pub(super) fn makes_network(&self) -> bool {
        self.makes_network
    }

    /// Enters the network namespace that it has made; nothing where it made none.
    pub(super) fn share_network(&self) -> Option<Network> {
        if self.makes_network {
            elsewhere::stay_awake(&self.channel);
        }
        let heard = self.makes_network.then(|| receive::<Option<Network>>(&self.channel).ok()).flatten();
        let (made, fds) = heard.flatten()?;
        setns(fds.first()?, CloneFlags::CLONE_NEWNET).ok()?;
        made
    }

    /// Hands `mounts` over. Whoever closes it afterwards leaves the companion as the only one that has it open.
    pub(super) fn hold(&self, mounts: &File) {
        send(&self.channel, &(), &[mounts.as_fd()]).ok();
    }
}

/// Makes one with `fork`, gives it `channel`, whose other end the stub has, and stands still until the network is made: it
/// takes longer than what the caller does next, and the stub waits for it. On few processors they would share one. With
/// `alone`, nothing but the stub runs, and that elsewhere.
pub(super) fn begin(
    channel: UnixStream,
    alone: bool,
    fork: impl FnOnce(UnixStream) -> io::Result<Pid>,
) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let companion = fork(theirs)?;
    if alone {
        elsewhere::keep_here(companion);
    }
    send(&ours, &(), &[channel.as_fd()])?;
    drop(channel);
    ours.set_read_timeout(Some(PATIENCE))?;
    receive::<()>(&ours).map(drop)
}

/// The life of one that the harness has made; whether it went well. It comes `clean` when nobody waits for it any more.
pub(super) fn live(harness: UnixStream, clean: impl FnOnce(UnixStream) -> io::Result<UnixStream>) -> bool {
    let Ok(Some(((), fds))) = receive::<()>(&harness) else { return false };
    let Some(channel) = fds.into_iter().next().map(UnixStream::from) else { return false };
    let made = make_network(&channel);
    let fds: Vec<_> = made.iter().map(|(_, namespace)| namespace.as_fd()).collect();
    // Where it cannot be made, the stub tries for itself, and says why.
    let told = send(&channel, &made.as_ref().map(|(network, _)| network), &fds);
    // Nothing, where nobody waits any more.
    send(&harness, &(), &[]).ok();
    drop((made, harness));
    told.is_ok() && clean(channel).is_ok_and(hold)
}

fn make_network(channel: &UnixStream) -> Option<(Network, File)> {
    if !Uid::effective().is_root() {
        let ((), fds) = receive::<()>(channel).ok()??;
        setns(fds.first()?, CloneFlags::CLONE_NEWUSER).ok()?;
    }
    let made = Network::make().ok()?;
    Some((made, Network::namespace().ok()?))
}

/// Keeps what is handed over until the other end is closed.
fn hold(theirs: UnixStream) -> bool {
    // INVARIANT: not the control channel: its end says that stub and PID 1 are gone.
    if nix::unistd::dup2_stdin(theirs).is_err() || sys::close_from(3, false).is_err() {
        return false;
    }
    let channel = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let held = channel.and_then(|channel| receive::<()>(&channel)).ok().flatten();
    let Some(mounts) = held.and_then(|((), fds)| fds.into_iter().next()) else { return false };
    // In the place of the streams, so that nothing else is open.
    let moved = nix::unistd::dup2_stdout(&mounts).and_then(|()| nix::unistd::dup2_stderr(&mounts));
    drop(mounts);
    // Nothing more is ever said.
    moved.is_ok() && io::stdin().read_exact(&mut [0]).is_err()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Whatever becomes of it, the stub goes on, and makes the network itself.
    #[test]
    fn one_that_makes_no_network_keeps_nobody_waiting() {
        let here = || std::fs::read_link("/proc/self/ns/net").unwrap();
        let before = here();
        let told = |says: &dyn Fn(UnixStream)| {
            let (channel, theirs) = UnixStream::pair().unwrap();
            let companion = Companion { channel, makes_network: true };
            companion.let_in();
            says(theirs);
            companion.share_network().is_none()
        };
        assert!(told(&drop), "gone");
        assert!(told(&|theirs| send(&theirs, &None::<Network>, &[]).unwrap()), "it could not");
        let no_namespace = File::open("/dev/null").unwrap();
        let network = serde_json::json!({ "id": "net:[1]", "interfaces": ["lo"], "routes": 0 });
        assert!(told(&|theirs| send(&theirs, &network, &[no_namespace.as_fd()]).unwrap()), "another thing");
        assert!(told(&|theirs| send(&theirs, &network, &[]).unwrap()), "nothing to enter");
        // One that only holds is not asked.
        let (channel, _theirs) = UnixStream::pair().unwrap();
        assert!(Companion { channel, makes_network: false }.share_network().is_none());
        assert_eq!(here(), before);
    }

    /// It stands still for one that is at work, and for no other.
    #[test]
    fn the_harness_goes_on_whatever_becomes_of_its_companion() {
        let after = |life: &dyn Fn(UnixStream) -> io::Result<Pid>| {
            let (channel, theirs) = UnixStream::pair().unwrap();
            let begun = Instant::now();
            let went_well = begin(theirs, false, life).is_ok();
            assert!(begun.elapsed() < PATIENCE);
            // Nor does the stub wait for what nobody makes.
            assert!(Companion { channel, makes_network: true }.share_network().is_none());
            went_well
        };
        assert!(!after(&|_| Err(io::ErrorKind::WouldBlock.into())), "it could not be forked");
        let gone = |harness: UnixStream| {
            drop(harness);
            Ok(Pid::this())
        };
        assert!(!after(&gone), "it ended at once");
        let at_work = |harness: UnixStream, says: bool| {
            std::thread::spawn(move || {
                let ((), fds) = receive::<()>(&harness).unwrap().unwrap();
                let channel = UnixStream::from(fds.into_iter().next().unwrap());
                if says {
                    send(&channel, &None::<Network>, &[]).unwrap();
                    send(&harness, &(), &[]).unwrap();
                }
            });
            Ok(Pid::this())
        };
        assert!(after(&|harness| at_work(harness, true)), "it could make none");
        assert!(after(&|harness| at_work(harness, false)), "it died over it");
    }
}
