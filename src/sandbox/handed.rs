//! What PID 1 hears over the gate when its policy is known: the policy, and the descriptors that go with it.
//!
//! PID 1 may have been made before anybody knew the policy, so nothing of it can be inherited.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::entrances::Entrances;
use super::order::{Refusal, refused};
use super::policy::SandboxPolicy;
use super::sources::{Shape, Sources};
use crate::process::{FDS_MAX, receive, send};

/// The policy, and what tells the descriptors apart that follow in this order.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    policy: Box<SandboxPolicy>,
    /// Whether the first is the socket to whom refused calls are told.
    watched: bool,
    /// Whether PID 1 was born into its control group.
    born_in_group: bool,
    /// How many are files of control groups.
    groups: usize,
    /// What the rest are.
    sources: Shape,
    /// How many there are.
    all: usize,
}

/// Everything, on PID 1's side.
pub(super) struct Handed {
    pub(super) policy: Box<SandboxPolicy>,
    pub(super) watcher: Option<UnixStream>,
    pub(super) entrances: Entrances,
    pub(super) sources: Sources,
}

/// Tells PID 1, at the other end of `gate`.
pub(super) fn hand_over(
    gate: &UnixStream,
    policy: &SandboxPolicy,
    watcher: Option<UnixStream>,
    entrances: Entrances,
    sources: Sources,
) -> Result<(), Refusal> {
    let (born_in_group, groups) = match entrances {
        Entrances::Folder(_) | Entrances::Born => (true, Vec::new()),
        Entrances::Files(files) => (false, files),
    };
    let (shape, opened) = sources.into_parts();
    let (is_watched, group_files) = (watcher.is_some(), groups.len());
    let all: Vec<OwnedFd> = watcher.map(OwnedFd::from).into_iter().chain(groups).chain(opened).collect();
    let head = Head {
        policy: Box::new(policy.clone()),
        watched: is_watched,
        born_in_group,
        groups: group_files,
        sources: shape,
        all: all.len(),
    };
    let borrowed: Vec<BorrowedFd<'_>> = all.iter().map(|fd| fd.as_fd()).collect();
    let (first, rest) = borrowed.split_at(borrowed.len().min(FDS_MAX));
    let sent = send(gate, &head, first);
    sent.and_then(|()| rest.chunks(FDS_MAX).try_for_each(|more| send(gate, &(), more)))
        .map_err(refused("control", "hand the policy to PID 1"))
}

impl Handed {
    /// Hears it; `None` where the stub is gone or nobody wanted this sandbox.
    pub(super) fn receive(gate: &UnixStream) -> Result<Option<Self>, Refusal> {
        let failed = |error| refused("control", "hear the policy")(error);
        let Some((head, mut fds)) = receive::<Head>(gate).map_err(failed)? else { return Ok(None) };
        while fds.len() < head.all {
            let Some(((), more)) = receive(gate).map_err(failed)? else { return Ok(None) };
            fds.extend(more);
        }
        let mut fds = fds.into_iter();
        let watcher = head.watched.then(|| fds.next()).flatten().map(UnixStream::from);
        let files: Vec<OwnedFd> = fds.by_ref().take(head.groups).collect();
        let entrances = if head.born_in_group { Entrances::Born } else { Entrances::Files(files) };
        let Some(sources) = Sources::from_parts(&head.policy, &head.sources, fds) else {
            return Err(Refusal::new("control", "tell the descriptors of the policy apart"));
        };
        Ok(Some(Self { policy: head.policy, watcher, entrances, sources }))
    }
}
