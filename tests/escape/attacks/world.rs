//! What attacks are aimed at: files, a process, sockets. All of it is the test's own, and goes with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cto_harness::workspace::RunUid;
use serde_json::{Value, json};

use crate::rig::{open_folder, own};

/// The whole environment of whoever is outside, but for the secret.
pub(crate) const OUTSIDE_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Everything that one class of attacks has before it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    victim: Child,
    told: Value,
    canary: String,
    name: String,
    sockets: Sockets,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Whether the payload's uid is its own.
    own: bool,
    /// A descriptor of the folder that programs would inherit.
    _inherited: OwnedFd,
}

/// Who listens outside.
struct Sockets {
    tcp: TcpListener,
    tcp6: Option<TcpListener>,
    udp: u16,
    /// A port where nobody listens; who listens there is connected to.
    awaited: u16,
    _unix: Vec<OwnedFd>,
}

impl World {
    /// A new one, of which `uid` owns every file.
    pub(crate) fn new(uid: RunUid) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("escape-{}-{made}", std::process::id());
        // Put together here, so that no search of the sources finds it.
        let canary = format!("{}-{}-{name}", "not", "for-you");
        let folder = open_folder();
        files(folder.path(), uid, &canary);
        // Of the kernel's shared memory: no other process of this host has the same.
        let key = 0x4000_0000 | (std::process::id() & 0x3f_ffff) << 6 | made & 0x3f;
        let (stop, mut threads) = (Arc::new(AtomicBool::new(false)), Vec::new());
        let sockets = sockets(folder.path(), &name, &canary, uid, &stop, &mut threads);
        let (victim, told) = victim(folder.path(), &name, &canary, uid, key);
        let inherited = std::fs::File::open(folder.path().join("open")).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        Self {
            folder,
            victim,
            told,
            canary,
            name,
            sockets,
            stop,
            threads,
            own: uid.own,
            _inherited: inherited.into(),
        }
    }

    /// Where what is handed in lies.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The secret.
    pub(crate) fn canary(&self) -> &str {
        &self.canary
    }

    /// What an attack is told of it, from outside or inside.
    pub(crate) fn told(&self, inside: bool) -> String {
        let at = |name: &str| self.at(name).display().to_string();
        let folders = [("/ro", "ro"), ("/rw", "rw"), ("/workspace", "tree")];
        let [ro, rw, tree] = folders.map(|(to, from)| if inside { to.to_owned() } else { at(from) });
        let mut told = json!({
            "host": self.folder.path(), "ro": ro, "rw": rw, "tree": tree, "victim": self.victim.id(),
            "canary": self.canary, "own": self.own, "name": self.name, "udp": self.sockets.udp, "awaited": self.sockets.awaited,
            "pids": std::fs::read_link("/proc/self/ns/pid").unwrap(),
            "tcp": port(&self.sockets.tcp), "tcp6": self.sockets.tcp6.as_ref().map(port),
        });
        for (name, value) in self.told.as_object().unwrap() {
            told[name] = value.clone();
        }
        told.to_string()
    }

    /// Everything that could be seen to have changed where nothing may be: names, kinds, modes, owners, times, sizes, attributes, content.
    pub(crate) fn print(&self) -> String {
        // `%A` and `%C` would change by being looked at or linked.
        let script = "find . -path ./rw -prune -o -printf '%p %y %m %U %G %T@ %s %l\\n' | sort; find . -path ./rw -prune -o -type f -print | sort | xargs cat";
        let output =
            Command::new("bash").args(["-c", script]).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success());
        let mut names = vec![0; 4096];
        let length = rustix::fs::listxattr(self.at("ro/file"), &mut names).unwrap_or_default();
        format!("{}{:?}", String::from_utf8_lossy(&output.stdout), &names[..length])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.victim.stdin.take());
        self.victim.wait().ok();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// `open` is everybody's, `ro` is handed in, `tree` is the base of a work tree.
fn files(top: &Path, uid: RunUid, canary: &str) {
    for folder in ["open", "ro", "rw", "tree", "home"] {
        std::fs::create_dir(top.join(folder)).unwrap();
    }
    let ro = ["file", "goner", "moved", "leaves", "covered", "locked", "watched"];
    let names = ro.iter().map(|name| format!("ro/{name}"));
    for name in names.chain(["open/canary", "tree/a", "home/key"].map(str::to_owned)) {
        std::fs::write(top.join(&name), canary).unwrap();
        own(&top.join(&name), uid);
    }
    rustix::fs::setxattr(top.join("ro/file"), "user.mark", b"1", rustix::fs::XattrFlags::empty()).ok();
    symlink(top.join("open/canary"), top.join("ro/out")).unwrap();
    for folder in ["open", "ro", "rw", "tree", "home"] {
        let mode = std::fs::Permissions::from_mode(if folder == "open" { 0o777 } else { 0o755 });
        std::fs::set_permissions(top.join(folder), mode).unwrap();
        own(&top.join(folder), uid);
    }
    own(top, uid);
}

fn sockets(
    top: &Path,
    name: &str,
    canary: &str,
    uid: RunUid,
    stop: &Arc<AtomicBool>,
    threads: &mut Vec<JoinHandle<()>>,
) -> Sockets {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp6 = TcpListener::bind("[::1]:0").ok();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = udp.local_addr().unwrap().port();
    udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (answer, until) = (canary.to_owned(), Arc::clone(stop));
    threads.push(std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            if let Ok((_, from)) = udp.recv_from(&mut [0; 64]) {
                udp.send_to(answer.as_bytes(), from).ok();
            }
        }
    }));
    let awaited = port(&TcpListener::bind("127.0.0.1:0").unwrap());
    let (there, until) = (UnixAddr::from_abstract_name(format!("{name}-awaited")).unwrap(), Arc::clone(stop));
    threads.push(std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            drop(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], awaited))));
            drop(UnixStream::connect_addr(&there));
            std::thread::sleep(Duration::from_millis(20));
        }
    }));
    let mut unix: Vec<OwnedFd> = Vec::new();
    let stream = UnixAddr::from_abstract_name(name).unwrap();
    unix.push(UnixListener::bind_addr(&stream).unwrap().into());
    let datagram = UnixAddr::from_abstract_name(format!("{name}-d")).unwrap();
    unix.push(UnixDatagram::bind_addr(&datagram).unwrap().into());
    for path in ["ro/socket", "rw/socket", "open/socket"].map(|path| top.join(path)) {
        unix.push(UnixListener::bind(&path).unwrap().into());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        own(&path, uid);
    }
    unix.push(UnixDatagram::bind(top.join("ro/datagrams")).unwrap().into());
    own(&top.join("ro/datagrams"), uid);
    Sockets { tcp, tcp6, udp: udp_port, awaited, _unix: unix }
}

/// A process of the payload's own uid, so that no permission is what holds.
fn victim(top: &Path, name: &str, canary: &str, uid: RunUid, key: u32) -> (Child, Value) {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", include_str!("victim.py")]).arg(top).args([&key.to_string(), name]);
    // It becomes that user by itself.
    command.arg(uid.host_uid.to_string());
    command.env_clear().env("PATH", OUTSIDE_PATH).env("CANARY", canary);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    child.stdin.as_mut().unwrap().flush().unwrap();
    (child, serde_json::from_str(&line).unwrap())
}
