//! A broker with ways out on loopback, a resolver that is told what to say, and a far side that keeps what it hears.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::allowed::Egress;
use super::resolve::{Resolve, Resolving};
use crate::broker::{Broker, BrokerCounts, Ways};
use crate::event::{Draft, EventKind};
use crate::vocab::Destination;

/// A resolver that answers as it is told, once for each answer, the last one for ever; and counts.
#[derive(Debug, Default)]
pub(super) struct Names {
    answers: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn say(&self, name: &str, answers: &[&[&str]]) {
        let read = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(read).collect());
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = answers
            .get_mut(name)
            .and_then(|said| if said.len() > 1 { said.pop_front() } else { said.front().cloned() });
        Box::pin(async move { answer.ok_or_else(|| std::io::Error::other("nobody told")) })
    }
}

/// A far side on loopback: keeps what each connection says, and answers `answer` to its first bytes.
pub(super) struct Far {
    pub(super) port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Far {
    pub(super) fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, keep) = (stream.unwrap(), Arc::clone(&keep));
                let number = {
                    let mut all = keep.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                std::thread::spawn(move || {
                    let (mut buffer, mut first) = ([0; 4096], true);
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        keep.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
                        if std::mem::take(&mut first) {
                            drop(stream.write_all(answer));
                        }
                    }
                    drop(stream.write_all(b"bye"));
                });
            }
        });
        Self { port, heard }
    }

    /// What each connection said, once there are `count` of them: one is accepted after whoever dialled knows of it.
    pub(super) fn heard_from(&self, count: usize) -> Vec<Vec<u8>> {
        let begun = std::time::Instant::now();
        while self.heard().len() < count && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.heard()
    }

    /// What each connection said so far.
    pub(super) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

/// What came of it.
pub(super) struct Seen<T> {
    pub(super) value: T,
    pub(super) events: Vec<Draft>,
    pub(super) counts: BrokerCounts,
}

impl<T> Seen<T> {
    pub(super) fn codes(&self) -> Vec<&str> {
        let denied = self.events.iter().filter(|event| event.kind == EventKind::EgressDenied);
        denied.map(|event| event.data["code"].as_str().unwrap()).collect()
    }

    pub(super) fn allowed(&self) -> Vec<&serde_json::Value> {
        let allowed = self.events.iter().filter(|event| event.kind == EventKind::EgressAllowed);
        allowed.map(|event| &event.data).collect()
    }
}

/// Ways to `allow`, with loopback as an exception, and names that `names` knows.
pub(super) fn egress(allow: &[&str], exceptions: &[&str], names: &Arc<Names>) -> Egress {
    let policy = allow.iter().map(|text| Destination::parse(text).unwrap()).collect();
    let exceptions = exceptions.iter().map(|text| text.parse().unwrap()).collect();
    let asked: Vec<String> = allow.iter().map(ToString::to_string).collect();
    Egress::new(&asked, &policy, &exceptions).unwrap().resolving_by(Arc::<Names>::clone(names))
}

/// Serves `egress` while `client` attacks it.
pub(super) fn serve<T: Send + 'static>(
    egress: Egress,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> Seen<T> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || client(at));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let (broker, mut notices) = Broker::serve(listener, Ways { model: None, egress }).unwrap();
        let mut events = Vec::new();
        while !client.is_finished() {
            tokio::select! {
                notice = notices.recv() => {
                    let notice = notice.unwrap();
                    events.push(notice.draft);
                    notice.recorded.send(()).ok();
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        broker.stop();
        while let Some(notice) = notices.recv().await {
            events.push(notice.draft);
            notice.recorded.send(()).ok();
        }
        Seen { value: client.join().unwrap(), events, counts: broker.counts() }
    })
}

/// A connection with patience.
pub(super) fn dial(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends `head` and reads the answer's head, byte by byte, so that nothing after it is taken.
pub(super) fn ask(stream: &mut TcpStream, head: &[u8]) -> String {
    drop(stream.write_all(head));
    let (mut answer, mut byte) = (Vec::new(), [0; 1]);
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        answer.extend_from_slice(&byte);
    }
    String::from_utf8(answer).unwrap()
}

/// The CONNECT that clients send.
pub(super) fn connect(to: &str) -> Vec<u8> {
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: test\r\n\r\n").into_bytes()
}

/// What is left to read.
pub(super) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    bytes
}
