//! What goes through an open tunnel, what does not, how it is recorded, and what ends it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allowed::Egress;
use super::bench::{Far, Names, ask, connect, dial, egress, rest, serve};
use super::hello::tests::hello;
use crate::broker::{Broker, Ways};
use crate::event::EventKind;

/// A way to `far` under the name `allowed.example`.
fn way(far: &Far) -> (Egress, String) {
    let names = Arc::new(Names::default());
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let to = format!("allowed.example:{}", far.port);
    (egress(&[&to], &["127.0.0.1"], &names), to)
}

fn opened(at: std::net::SocketAddr, to: &str) -> TcpStream {
    let mut stream = dial(at);
    let answer = ask(&mut stream, &connect(to));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream
}

#[test]
fn what_is_said_after_the_hello_goes_both_ways_and_is_on_record() {
    let far = Far::start(b"hello from afar");
    let (egress, to) = way(&far);
    let first = hello(Some("Allowed.Example"));
    let length = first.len() as u64;
    let said = [first.clone(), vec![7; 100_000]].concat();
    let sent = said.clone();
    let seen = serve(egress, move |at| {
        let mut stream = opened(at, &to);
        stream.write_all(&sent).unwrap();
        // One side closes, and hears the other to its end.
        stream.shutdown(Shutdown::Write).unwrap();
        rest(&mut stream)
    });
    assert_eq!(seen.value, b"hello from afarbye");
    assert_eq!(far.heard(), [said]);
    let allowed = seen.allowed();
    assert_eq!(allowed.len(), 2, "{allowed:?}");
    assert_eq!(
        *allowed[0],
        serde_json::json!({"tunnel": 1, "stage": "open", "host": "allowed.example", "port": far.port,
            "address": "127.0.0.1"})
    );
    assert_eq!(
        *allowed[1],
        serde_json::json!({"tunnel": 1, "stage": "end", "bytes_out": length + 100_000, "bytes_in": 18,
            "ended": "closed"})
    );
    assert_eq!((seen.counts.tunnels, seen.counts.refused), (1, 0));
}

#[test]
fn nothing_goes_out_before_a_hello_that_names_the_host() {
    let far = Far::start(b"");
    let (egress, to) = way(&far);
    let ended = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 1);
        bytes
    };
    let cases: Vec<Vec<u8>> = vec![
        hello(Some("evil.example")),
        hello(Some("allowed.example.")),
        hello(Some("allowed.example.evil")),
        hello(None),
        b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9\r\n".to_vec(),
        connect("evil.example:443"),
        ended(hello(Some("allowed.example"))),
        vec![22, 3, 1, 0x40, 0],
        [vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc], vec![0; 20_000]].concat(),
    ];
    let count = cases.len();
    let seen = serve(egress, move |at| {
        for bytes in cases {
            let mut stream = opened(at, &to);
            drop(stream.write_all(&bytes));
            drop(stream.shutdown(Shutdown::Write));
            assert!(rest(&mut stream).is_empty());
        }
    });
    assert_eq!(far.heard_from(count), vec![Vec::<u8>::new(); count], "connected to, and never spoken to");
    assert_eq!(seen.codes(), vec!["egress.sni"; count]);
    let ends: Vec<_> = seen.allowed().iter().filter_map(|data| data["ended"].as_str()).collect();
    assert_eq!(ends, vec!["refused: egress.sni"; count]);
    assert_eq!((seen.counts.tunnels, seen.counts.refused), (count as u64, count as u64));
}

#[test]
fn to_an_address_a_hello_names_nobody() {
    let far = Far::start(b"yes");
    let to = format!("127.0.0.1:{}", far.port);
    let egress = egress(&[&to], &["127.0.0.1"], &Arc::new(Names::default()));
    let seen = serve(egress, move |at| {
        [hello(None), hello(Some("127.0.0.1")), hello(Some("allowed.example"))].map(|bytes| {
            let mut stream = opened(at, &to);
            stream.write_all(&bytes).unwrap();
            drop(stream.shutdown(Shutdown::Write));
            rest(&mut stream)
        })
    });
    assert_eq!(seen.value, [b"yesbye".to_vec(), Vec::new(), Vec::new()]);
    assert_eq!(seen.codes(), ["egress.sni"; 2]);
}

#[test]
fn what_is_said_before_the_tunnel_is_open_closes_it() {
    let far = Far::start(b"");
    let (egress, to) = way(&far);
    let early = [connect(&to), hello(Some("allowed.example"))].concat();
    let smuggled = [connect(&to), connect("evil.example:443")].concat();
    let seen = serve(egress, move |at| {
        [early, smuggled].map(|bytes| {
            let mut stream = dial(at);
            stream.write_all(&bytes).unwrap();
            String::from_utf8(rest(&mut stream)).unwrap()
        })
    });
    assert!(seen.value.iter().all(|answer| answer.matches("HTTP/1.1").count() <= 1), "{:?}", seen.value);
    assert_eq!(far.heard_from(2), [b"", b""].map(|nothing| nothing.to_vec()));
    assert_eq!(seen.codes(), ["egress.early"; 2]);
}

#[test]
fn a_hello_that_drips_and_a_tunnel_that_is_silent_are_ended() {
    let far = Far::start(b"");
    let (mut egress, to) = way(&far);
    egress.bounds.hello = Duration::from_millis(300);
    egress.bounds.silence = Duration::from_millis(300);
    let seen = serve(egress, move |at| {
        let mut drips = opened(at, &to);
        let begun = Instant::now();
        for byte in hello(Some("allowed.example")) {
            if drips.write_all(&[byte]).is_err() || begun.elapsed() > Duration::from_secs(5) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let dripped = begun.elapsed();
        let mut silent = opened(at, &to);
        silent.write_all(&hello(Some("allowed.example"))).unwrap();
        rest(&mut silent);
        dripped
    });
    assert!(seen.value < Duration::from_secs(5), "{:?}", seen.value);
    assert_eq!(far.heard()[0], b"");
    assert_eq!(seen.codes(), ["egress.sni"]);
    assert!(seen.allowed().iter().any(|data| data["ended"] == "silent for too long"), "{:?}", seen.allowed());
}

#[test]
fn a_run_carries_so_many_bytes_and_no_more() {
    let far = Far::start(b"0123456789");
    for (out, into, ended) in [(5_000, 1_000, "closed"), (900, 1_000, "many bytes"), (5_000, 5, "many bytes")]
    {
        let (mut egress, to) = way(&far);
        (egress.bounds.sent, egress.bounds.received) = (out, into);
        let seen = serve(egress, move |at| {
            let mut stream = opened(at, &to);
            drop(stream.write_all(&[hello(Some("allowed.example")), vec![1; 1_000]].concat()));
            drop(stream.shutdown(Shutdown::Write));
            rest(&mut stream)
        });
        let allowed = seen.allowed();
        let end = allowed.last().unwrap();
        assert!(end["ended"].as_str().unwrap().contains(ended), "{end}");
        assert!(
            end["bytes_out"].as_u64().unwrap() <= out && end["bytes_in"].as_u64().unwrap() <= into,
            "{end}"
        );
    }
}

#[test]
fn so_many_tunnels_are_open_at_a_time_and_other_requests_still_heard() {
    let far = Far::start(b"");
    let (egress, to) = way(&far);
    let seen = serve(egress, move |at| {
        let mut open: Vec<TcpStream> = (0..32).map(|_| opened(at, &to)).collect();
        let another = ask(&mut dial(at), &connect(&to));
        let other = ask(&mut dial(at), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        open.truncate(31);
        // The place is free once the tunnel has noticed.
        let begun = Instant::now();
        while !ask(&mut dial(at), &connect(&to)).starts_with("HTTP/1.1 200") {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(20));
        }
        (another, other)
    });
    assert!(seen.value.0.starts_with("HTTP/1.1 503"), "{}", seen.value.0);
    assert!(seen.value.1.starts_with("HTTP/1.1 403"), "{}", seen.value.1);
    assert!(seen.codes().contains(&"egress.tunnels"), "{:?}", seen.codes());
}

#[test]
fn a_tunnel_ends_with_the_run_and_that_is_on_record() {
    let far = Far::start(b"here");
    let (egress, to) = way(&far);
    let seen = serve(egress, move |at| {
        let mut stream = opened(at, &to);
        stream.write_all(&hello(Some("allowed.example"))).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        stream
    });
    assert_eq!(seen.allowed().last().unwrap()["ended"], "with the run");
    let mut stream = seen.value;
    assert!(rest(&mut stream).is_empty(), "it was closed on this side, too");
}

#[test]
fn a_far_side_that_is_still_dialled_when_the_run_ends_is_on_record_to_its_end() {
    // A listener whose queue is full: whoever comes next gets no answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let full = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(0).unwrap()
    });
    let far = full.local_addr().unwrap();
    let waiting = |_: &TcpStream| TcpStream::connect_timeout(&far, Duration::from_millis(200)).ok();
    let queue: Vec<_> = std::iter::successors(TcpStream::connect(far).ok(), waiting).take(100).collect();
    assert!(queue.len() < 100, "the control: it is full");
    let to = far.to_string();
    let egress = egress(&[&to], &["127.0.0.1"], &Arc::new(Names::default()));
    let seen = serve(egress, move |at| {
        let mut stream = dial(at);
        stream.write_all(&connect(&to)).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        stream
    });
    let stages: Vec<_> =
        seen.allowed().iter().map(|data| (data["stage"].clone(), data["ended"].clone())).collect();
    assert_eq!(stages, [("open".into(), serde_json::Value::Null), ("end".into(), "with the run".into())]);
}

#[test]
fn a_far_side_that_does_not_listen_is_an_answer_and_a_record() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to = format!("127.0.0.1:{nobody}");
    let egress = egress(&[&to], &["127.0.0.1"], &Arc::new(Names::default()));
    let seen = serve(egress, move |at| {
        let mut stream = dial(at);
        ask(&mut stream, &connect(&to)) + &String::from_utf8(rest(&mut stream)).unwrap()
    });
    assert!(
        seen.value.starts_with("HTTP/1.1 502") && seen.value.contains("could not be reached"),
        "{}",
        seen.value
    );
    assert!(!seen.value.contains("refused by the harness"));
    let ends: Vec<_> = seen.allowed().iter().filter_map(|data| data["ended"].as_str()).collect();
    assert!(ends.len() == 1 && ends[0].starts_with("connecting failed"), "{ends:?}");
    assert_eq!(seen.counts.refused, 0);
}

#[test]
fn a_tunnel_that_cannot_be_recorded_is_not_dialled() {
    let far = Far::start(b"");
    let (egress, to) = way(&far);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || ask(&mut dial(at), &connect(&to)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let (_broker, mut notices) = Broker::serve(listener, Ways { model: None, egress }).unwrap();
        // It asks for leave, and is not given any.
        let notice = notices.recv().await.unwrap();
        assert_eq!(notice.draft.kind, EventKind::EgressAllowed);
        assert_eq!(far.heard().len(), 0, "asked before it dialled");
        drop(notice);
        drop(notices);
        tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(far.heard().is_empty());
}
