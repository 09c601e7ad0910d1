//! The harness's side: from a policy to a sandbox in force, from there to a running payload.

use std::io::{self, stderr, stdin, stdout};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FileType, Gid, Uid};

use super::grouped;
use super::order::{Answer, Order, Refusal};
use super::policy::{LISTENER_PORT, SandboxPolicy};
use super::zygote;
use crate::evidence::{LayerRow, SandboxSection};
use crate::process::{
    Copies, Down, Group, LaunchError, Launched, Payload, PayloadParts, ProcessError, Version, end_and_wait,
    receive, send, spawn_stub,
};

/// The stub's file name, beside the running executable.
const STUB: &str = "cto-stub";
/// How long a sandbox may take to stand. It takes milliseconds; a stopped or swapped-out machine more.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where stubs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StubProgram {
    /// The zygote, in a process that has one; else the program beside the running executable, or one folder up
    /// (where cargo puts it for tests).
    BesideMe,
    /// Elsewhere: for tests.
    At(PathBuf),
}

/// What the payload's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Three pipes to the owner.
    Piped,
    /// Output by pipes, input is empty.
    PipedNoInput,
    /// The caller's own (a person at a terminal).
    Inherit,
}

/// Why there is no sandbox. Nothing of the payload has run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The policy cannot be carried out.
    #[error("this sandbox policy cannot be carried out: {0}")]
    Policy(String),
    /// Where this program lies could not be found out.
    #[error("cannot find the program of this process: {0}")]
    Myself(#[source] io::Error),
    /// The stub could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The stub could not be spoken to.
    #[error("cannot {act}: {source}")]
    Control {
        /// What failed.
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The stub ended without an answer.
    #[error("the sandbox's first process ended without an answer, {0}")]
    Silent(String),
    /// The stub answered out of turn.
    #[error("the sandbox's first process answered out of turn")]
    Protocol,
    /// A layer could not be put in force.
    #[error("layer `{layer}` refused: cannot {act}: {source}")]
    Refused {
        /// Which layer.
        layer: String,
        /// Which act.
        act: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A layer stands otherwise than asked for.
    #[error("layer `{layer}` is not in force: asked for {requested}, found {enforced}")]
    NotInForce {
        /// Which layer.
        layer: String,
        /// What was asked for.
        requested: String,
        /// What was found.
        enforced: String,
    },
    /// The payload could not be taken over.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A sandbox in which every layer is in force and nothing runs yet. Dropping it ends it.
#[derive(Debug)]
#[must_use = "an established sandbox that is dropped is gone"]
pub struct Sandbox {
    // INVARIANT: `Some` until `start` or `drop` takes it.
    launched: Option<Launched>,
    init: OwnedFd,
    /// PID 1's pid, as `/proc` counts.
    pid: u32,
    listener: Option<TcpListener>,
    observed: Option<OwnedFd>,
    layers: Vec<LayerRow>,
    policy: SandboxPolicy,
    group: Option<Group>,
}

impl Sandbox {
    /// Establishes `policy` by the stub beside the running executable. Every layer is in force, or it is an
    /// error. Call it on the thread that will own the payload: the sandbox ends when that thread ends.
    #[expect(clippy::unused_async, reason = "milliseconds today; callers must not rely on it never waiting")]
    pub async fn establish(policy: SandboxPolicy) -> Result<Self, SandboxError> {
        Self::establish_with(policy, &StubProgram::BesideMe)
    }

    /// The same with a stub from elsewhere, and without a runtime.
    pub fn establish_with(mut policy: SandboxPolicy, stub: &StubProgram) -> Result<Self, SandboxError> {
        if let Some(flaw) = policy.flaw() {
            return Err(SandboxError::Policy(flaw));
        }
        let parent =
            i32::try_from(std::process::id()).map_err(io::Error::other).map_err(SandboxError::Myself)?;
        let pipe = policy.observed.then(io::pipe).transpose();
        let pipe = pipe.map_err(|source| SandboxError::Control { act: "make a pipe", source })?;
        let (observed, told) = pipe.map(|(read, write)| (OwnedFd::from(read), OwnedFd::from(write))).unzip();
        let group = grouped::make(&mut policy)?;
        let (entrances, clone_into) = grouped::entrances(group.as_ref())?;
        // The observer's end comes first.
        let given = told.into_iter().chain(entrances).collect();
        let mut launched = stub.start()?;
        let order = Order::Establish { parent, policy: Box::new(policy.clone()), clone_into };
        let standing = converse(&launched.control, &order, given)
            .and_then(|stands| Ok((stands.pid?, stands.init, stands.listener, stands.layers)))
            .and_then(|stands| grouped::in_sight(stands.0).map(|()| stands));
        match standing {
            Ok((pid, init, listener, mut layers)) => {
                layers.extend(grouped::rows(group.as_ref(), pid));
                let launched = Some(launched);
                let sandbox = Self { launched, init, pid, listener, observed, layers, policy, group };
                match sandbox.layers.iter().find(|row| !row.ok) {
                    None => Ok(sandbox),
                    Some(row) => Err(SandboxError::NotInForce {
                        layer: row.layer.clone(),
                        requested: row.requested.clone(),
                        enforced: row.enforced.clone(),
                    }),
                }
            }
            Err(error) => Err(end_with(&mut launched, error)),
        }
    }

    /// What was asked for and what is in force, layer by layer, for the evidence.
    #[must_use]
    pub fn section(&self) -> SandboxSection {
        SandboxSection {
            layers: self.layers.clone(),
            workspace_form: self.policy.tree_form().to_owned(),
            identity: if self.policy.uid.own { "own-uid" } else { "caller-uid" }.to_owned(),
        }
    }

    /// The policy it was established with.
    #[must_use]
    pub fn policy(&self) -> &SandboxPolicy {
        &self.policy
    }

    /// The kind of control group that holds it, if one does.
    #[must_use]
    pub fn group(&self) -> Option<Version> {
        self.group.as_ref().map(Group::version)
    }

    /// The listener inside the sandbox's network namespace, once, if the policy asks for one.
    pub fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// The listener's port inside, if the policy asks for one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.policy.listener.then_some(LISTENER_PORT)
    }

    /// Executes the payload. Needs a tokio runtime with I/O and time.
    pub fn start(mut self, stdio: Stdio) -> Result<Payload, SandboxError> {
        let act = |act| move |source| SandboxError::Control { act, source };
        let (theirs, ours) =
            Streams::make(stdio, &self.policy).map_err(act("make the payload's standard streams"))?;
        let launched = self.launched.take().ok_or(SandboxError::Protocol)?;
        let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(|fd| fd.as_fd()).collect();
        let told = send(&launched.control, &Down::Go, &fds);
        drop(theirs);
        let init = self.init.try_clone().map_err(act("keep the pid descriptor"))?;
        let parts = PayloadParts {
            launched,
            init,
            pid: self.pid,
            stdin: ours.stdin,
            stdout: ours.stdout,
            stderr: ours.stderr,
            copies: ours.copies,
            observed: self.observed.take(),
            learning: self.policy.learning,
            limits: self.policy.limits.clone(),
            group: self.group.take(),
            tree: grouped::watched(&self.policy),
        };
        let payload = Payload::new(parts)?;
        told.map_err(act("tell PID 1 to go"))?;
        Ok(payload)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(launched) = self.launched.take() {
            // Nothing of the payload has run: PID 1 and its stub end by themselves, and nobody has to wait for that.
            launched.control.shutdown(std::net::Shutdown::Both).ok();
            launched.stub.leave();
            if self.group.is_some() {
                // A group is removed when it is empty.
                end_and_wait(&self.init);
            }
        }
    }
}

impl StubProgram {
    /// A stub that waits for its order.
    pub(super) fn start(&self) -> Result<Launched, SandboxError> {
        let zygote = zygote::prepared().filter(|_| *self == Self::BesideMe);
        match zygote.map(zygote::Zygote::fork_stub).transpose()?.flatten() {
            Some(launched) => Ok(launched),
            None => Ok(spawn_stub(&self.path()?)?),
        }
    }

    fn path(&self) -> Result<PathBuf, SandboxError> {
        match self {
            Self::At(path) => Ok(path.clone()),
            Self::BesideMe => {
                let me = std::env::current_exe().map_err(SandboxError::Myself)?;
                let beside = me.with_file_name(STUB);
                let above = me.parent().and_then(|folder| folder.parent()).map(|folder| folder.join(STUB));
                let in_tests = me.parent().is_some_and(|folder| folder.ends_with("deps"));
                // What lies among cargo's own files may be of another build.
                Ok(above.filter(|_| in_tests).unwrap_or(beside))
            }
        }
    }
}

#[derive(Debug, Default)]
struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    copies: Copies,
}

/// What fstatfs(2) says of a pipe that has no name (`PIPEFS_MAGIC` of linux/magic.h).
const PIPEFS: rustix::fs::FsWord = 0x5049_5045;

impl Streams {
    /// The payload's three ends, and the owner's.
    fn make(stdio: Stdio, policy: &SandboxPolicy) -> io::Result<([OwnedFd; 3], Self)> {
        if stdio == Stdio::Inherit {
            return Self::inherit(policy.uid.own);
        }
        let (out_read, out_write) = io::pipe()?;
        let (err_read, err_write) = io::pipe()?;
        let (input, feed) = if stdio == Stdio::Piped {
            let (read, write) = io::pipe()?;
            (OwnedFd::from(read), Some(OwnedFd::from(write)))
        } else {
            (OwnedFd::from(std::fs::File::open("/dev/null")?), None)
        };
        if policy.uid.own {
            // So that `/dev/stderr` and its like can be opened inside: a pipe belongs to whoever made it.
            let (uid, gid) =
                (Some(Uid::from_raw(policy.uid.host_uid)), Some(Gid::from_raw(policy.uid.host_gid)));
            for pipe in [feed.as_ref().map(AsFd::as_fd), Some(out_write.as_fd()), Some(err_write.as_fd())] {
                pipe.map(|pipe| rustix::fs::fchown(pipe, uid, gid)).transpose()?;
            }
        }
        let (stdout, stderr) = (Some(out_read.into()), Some(err_read.into()));
        let ours = Self { stdin: feed, stdout, stderr, copies: Copies::default() };
        Ok(([input, out_write.into(), err_write.into()], ours))
    }

    /// The caller's own streams; only their descriptors are taken. Where the payload's uid is the caller's, a file comes
    /// as a pipe, so that nothing but its bytes can be changed.
    fn inherit(own_uid: bool) -> io::Result<([OwnedFd; 3], Self)> {
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
        let mut ours = Self::default();
        let mut three = [own(stdin().as_fd())?, own(stdout().as_fd())?, own(stderr().as_fd())?];
        for (index, stream) in three.iter_mut().enumerate() {
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&*stream)?.st_mode);
            if kind == FileType::Directory {
                // A directory's descriptor reaches all of the host: `..` of it is outside.
                return Err(io::Error::other("a standard stream is a directory"));
            }
            let named = kind == FileType::Fifo && rustix::fs::fstatfs(&*stream)?.f_type != PIPEFS;
            if own_uid || !(kind.is_file() || kind == FileType::BlockDevice || named) {
                continue;
            }
            let file = own(stream.as_fd())?;
            *stream = if index == 0 {
                Copies::input(file.into())?.into()
            } else {
                ours.copies.output(file)?.into()
            };
        }
        Ok((three, ours))
    }
}

/// What a stub hands out when its sandbox stands.
pub(super) struct Stands {
    /// Pid descriptor of PID 1.
    pub(super) init: OwnedFd,
    /// Its pid, as `/proc` counts.
    pub(super) pid: Result<u32, SandboxError>,
    pub(super) listener: Option<TcpListener>,
    pub(super) layers: Vec<LayerRow>,
}

pub(super) fn converse(
    control: &UnixStream,
    order: &Order,
    given: Vec<OwnedFd>,
) -> Result<Stands, SandboxError> {
    let act = |act| move |source| SandboxError::Control { act, source };
    control.set_read_timeout(Some(PATIENCE)).map_err(act("set a timeout"))?;
    let want_listener = matches!(order, Order::Establish { policy, .. } if policy.listener);
    let fds: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
    send(control, order, &fds).map_err(act("hand the policy to the stub"))?;
    // The stub alone has them from here on: its end is the end of what the observer tells.
    drop(given);
    let (init, outside) = match hear(control)? {
        (Answer::Born { layers }, mut fds) => (fds.pop().ok_or(SandboxError::Protocol)?, layers),
        (Answer::Refused(refusal), _) => return Err(refusal.into()),
        _ => return Err(SandboxError::Protocol),
    };
    // While PID 1 confines itself. What it says of itself comes first, should it have failed.
    let pid = grouped::pid(&init);
    Answer::rehearse();
    match hear(control)? {
        (Answer::Established { mut layers }, mut fds) => {
            layers.extend(outside);
            let listener = fds.pop().map(TcpListener::from);
            if listener.is_some() != want_listener {
                return Err(SandboxError::Protocol);
            }
            control.set_read_timeout(None).map_err(act("clear a timeout"))?;
            Ok(Stands { init, pid, listener, layers })
        }
        (Answer::Refused(refusal), _) => Err(refusal.into()),
        _ => Err(SandboxError::Protocol),
    }
}

/// The next answer of a stub.
pub(super) fn hear(control: &UnixStream) -> Result<(Answer, Vec<OwnedFd>), SandboxError> {
    receive(control)
        .map_err(|source| SandboxError::Control { act: "hear from the stub", source })?
        .ok_or_else(|| SandboxError::Silent(String::new()))
}

/// Ends a stub that will not become a sandbox; says how it ended where that is all there is to say.
fn end_with(launched: &mut Launched, error: SandboxError) -> SandboxError {
    launched.control.shutdown(std::net::Shutdown::Both).ok();
    if !matches!(error, SandboxError::Refused { .. } | SandboxError::Silent(_)) {
        launched.stub.kill().ok();
    }
    match (launched.stub.wait(), error) {
        (Ok(status), SandboxError::Silent(_)) => SandboxError::Silent(status),
        (_, error) => error,
    }
}

impl From<Refusal> for SandboxError {
    fn from(refusal: Refusal) -> Self {
        let source = match refusal.errno {
            0 => io::Error::other("not as it must be"),
            errno => io::Error::from_raw_os_error(errno),
        };
        Self::Refused { layer: refusal.layer, act: refusal.act, source }
    }
}
