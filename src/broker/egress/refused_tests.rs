//! Everything that is no way out, as whoever is inside would try it (H34, H35, H36 and a relay). After each, nothing
//! was resolved that may not be, and nothing was dialled.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::allowed::Egress;
use super::bench::{Far, Names, Seen, ask, connect, dial, egress, rest, serve};
use super::hello::tests::hello;
use crate::event::EventKind;

/// Which of the attempts is the preface of HTTP/2.
const HTTP_2: usize = 20;

/// Sends each of `heads` over a connection of its own: the answers' first lines.
fn each(egress: Egress, heads: Vec<Vec<u8>>) -> Seen<Vec<String>> {
    serve(egress, move |at| {
        let answer = |head: &Vec<u8>| ask(&mut dial(at), head).lines().next().unwrap_or("").to_owned();
        heads.iter().map(answer).collect()
    })
}

#[test]
fn only_an_allowed_destination_in_its_one_spelling_is_asked_for() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let port = far.port;
    let to = format!("allowed.example:{port}");
    let way = || egress(&[&to], &["127.0.0.1"], &names);
    let control = each(way(), vec![connect(&to), connect(&to.to_uppercase())]);
    assert!(control.value.iter().all(|line| line.starts_with("HTTP/1.1 200")), "{:?}", control.value);
    assert_eq!((names.asked().len(), far.heard_from(2).len()), (2, 2), "letters' case is let go");

    let heads = [
        "allowed.example:25".to_owned(),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("0x7f.1:{port}"),
        format!("2130706433:{port}"),
        "169.254.169.254:80".to_owned(),
        format!("allowed.example.evil:{port}"),
        format!("evil.allowed.example:{port}"),
        format!("allowed.example.:{port}"),
        format!("allowed.example%2eevil:{port}"),
        format!("allowed.example%00.evil:{port}"),
        format!("allowed.example:{port}@evil.example:{port}"),
        format!("user@allowed.example:{port}"),
        format!("allowed.example:0{port}"),
        format!("allowed.example:{port}:{port}"),
        "allowed.example:".to_owned(),
        "allowed.example".to_owned(),
        format!("https://allowed.example:{port}"),
        format!("https://allowed.example:{port}/"),
        format!("/allowed.example:{port}"),
        "*".to_owned(),
        format!("аllowed.example:{port}"),
        format!("allowed。example:{port}"),
    ];
    let count = heads.len();
    let seen = each(way(), heads.iter().map(|to| connect(to)).collect());
    for (head, line) in heads.iter().zip(&seen.value) {
        assert!(line.starts_with("HTTP/1.1 4"), "{head}: {line}");
    }
    assert_eq!((names.asked().len(), far.heard().len()), (2, 2), "nothing more was resolved or dialled");
    assert_eq!((seen.counts.refused, seen.codes().len()), (count as u64, count));
    assert_eq!(seen.counts.tunnels, 0);
}

#[test]
fn nothing_but_a_plain_connect_becomes_a_tunnel() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let to = format!("allowed.example:{}", far.port);
    let with = |headers: &str| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{headers}\r\n").into_bytes();
    let raw = |text: String| text.into_bytes();
    let attempts = vec![
        raw(format!("CONNECT {to} HTTP/1.1\r\n\r\n")),
        raw(format!("CONNECT {to} HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")),
        raw(format!("CONNECT {to} HTTP/1.1\r\nHost: allowed.example\r\n\r\n")),
        with("Host: evil.example\r\n"),
        raw(format!("CONNECT evil.example:443 HTTP/1.1\r\nHost: {to}\r\n\r\n")),
        raw(format!("CONNECT {to} HTTP/1.0\r\nHost: {to}\r\n\r\n")),
        with("Content-Length: 0\r\n"),
        with("Content-Length: 5\r\n"),
        with("Transfer-Encoding: chunked\r\n"),
        with("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
        with("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        with("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
        with("Expect: 100-continue\r\n"),
        raw(format!("GET https://{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n")),
        raw(format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n")),
        raw("GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        raw(format!("connect {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")),
        raw(format!("CONNECT  {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")),
        raw(format!("CONNECT {to} HTTP/1.1\nHost : {to}\n\n")),
        raw(format!("CONNECT {to}\r\n\r\n")),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        // SOCKS 5: a greeting. SOCKS 4: a connect, a bind.
        b"\x05\x01\x00\r\n\r\n".to_vec(),
        b"\x04\x01\x01\xbb\x7f\x00\x00\x01\x00\r\n\r\n".to_vec(),
        b"\x04\x02\x01\xbb\x7f\x00\x00\x01\x00\r\n\r\n".to_vec(),
    ];
    let count = attempts.len();
    assert!(attempts[HTTP_2].starts_with(b"PRI"));
    let seen = each(egress(&[&to], &["127.0.0.1"], &names), attempts);
    for (number, line) in seen.value.iter().enumerate() {
        // Whoever speaks HTTP/2 is hung up on without a word.
        let silent = line.is_empty() && number == HTTP_2;
        assert!(
            line.starts_with("HTTP/1.1 4") || line.starts_with("HTTP/1.0 4") || silent,
            "{number}: {line}"
        );
    }
    assert_eq!((names.asked().len(), far.heard().len()), (0, 0));
    assert_eq!((seen.counts.refused, seen.counts.tunnels), (count as u64, 0));
    assert_eq!(seen.codes().len(), count);
}

#[test]
fn a_refused_connect_carries_no_second_request() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let to = format!("allowed.example:{}", far.port);
    let smuggled = [connect("evil.example:443"), connect(&to)].concat();
    let with_body = [
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        connect(&to),
    ]
    .concat();
    let seen = serve(egress(&[&to], &["127.0.0.1"], &names), move |at| {
        [smuggled, with_body].map(|bytes| {
            let mut stream = dial(at);
            stream.write_all(&bytes).unwrap();
            String::from_utf8(rest(&mut stream)).unwrap()
        })
    });
    for answer in &seen.value {
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("refused by the harness"), "{answer}");
    }
    assert_eq!((names.asked().len(), far.heard().len(), seen.counts.refused), (0, 0, 2));
}

#[test]
fn every_answer_is_judged_and_one_bad_one_refuses_them_all() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    let to = format!("allowed.example:{}", far.port);
    let answers: [&[&str]; 18] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["0.0.0.0"],
        &["::"],
        &["10.0.0.1"],
        &["172.16.3.4"],
        &["192.168.1.1"],
        &["169.254.169.254"],
        &["fd00:ec2::254"],
        &["fe80::1"],
        &["100.64.0.1"],
        &["64:ff9b::a9fe:a9fe"],
        &["2002:7f00:1::"],
        &["224.0.0.1"],
        // Rebinding within one answer.
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "2606:4700::1", "::ffff:10.0.0.1"],
    ];
    names.say("allowed.example", &answers);
    let seen = each(egress(&[&to], &[], &names), vec![connect(&to); answers.len()]);
    assert!(seen.value.iter().all(|line| line.starts_with("HTTP/1.1 403")), "{:?}", seen.value);
    assert_eq!(seen.codes(), ["egress.address"; 18]);
    assert_eq!(names.asked(), ["allowed.example"; 18], "once for each");
    assert!(far.heard().is_empty());

    // The exception is for one address, in whatever clothes, and not for its neighbours.
    names.say(
        "allowed.example",
        &[&["127.0.0.1"], &["::ffff:127.0.0.1"], &["127.0.0.2"], &["127.0.0.1", "127.0.0.2"]],
    );
    let seen = each(egress(&[&to], &["127.0.0.1"], &names), vec![connect(&to); 4]);
    let status: Vec<_> = seen.value.iter().map(|line| &line[9..12]).collect();
    assert_eq!(status, ["200", "200", "403", "403"]);
    let addresses: Vec<_> = seen.allowed().iter().filter_map(|data| data["address"].as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1"; 2], "what was judged is what is dialled");
}

#[test]
fn an_address_as_a_destination_is_judged_like_any_other() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    let to = format!("127.0.0.1:{}", far.port);
    let refused = each(egress(&[&to], &[], &names), vec![connect(&to)]);
    assert_eq!(refused.codes(), ["egress.address"]);
    assert!(far.heard().is_empty());
    let excepted = each(egress(&[&to], &["127.0.0.1"], &names), vec![connect(&to)]);
    assert!(excepted.value[0].starts_with("HTTP/1.1 200"), "{:?}", excepted.value);
    assert!(names.asked().is_empty(), "an address needs no resolver");
}

#[test]
fn a_name_that_is_not_allowed_is_never_resolved_whatever_its_labels_carry() {
    let names = Arc::new(Names::default());
    let data = |number: usize| connect(&format!("{:x}{}.t.allowed.example:443", number, "5ec2e7".repeat(9)));
    let heads = (0..300).map(data).collect();
    let seen = each(egress(&["allowed.example:443"], &[], &names), heads);
    assert!(names.asked().is_empty(), "{:?}", names.asked());
    assert_eq!((seen.counts.refused, seen.codes().len()), (300, 200), "counted beyond what is recorded");
}

#[test]
fn a_name_that_nobody_knows_and_a_resolver_that_is_silent_are_told_apart_from_a_refusal() {
    #[derive(Debug)]
    struct Silent;
    impl super::Resolve for Silent {
        fn resolve<'a>(&'a self, _name: &'a str) -> super::Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    let to = "allowed.example:443".to_owned();
    let unknown = each(egress(&[&to], &[], &Arc::new(Names::default())), vec![connect(&to)]);
    let mut silent = egress(&[&to], &[], &Arc::new(Names::default())).resolving_by(Arc::new(Silent));
    silent.bounds.resolving = Duration::from_millis(100);
    let silent = each(silent, vec![connect(&to)]);
    let empty = Arc::new(Names::default());
    empty.say("allowed.example", &[&[]]);
    let empty = each(egress(&[&to], &[], &empty), vec![connect(&to)]);
    for seen in [unknown, silent, empty] {
        assert!(seen.value[0].starts_with("HTTP/1.1 502"), "{:?}", seen.value);
        assert_eq!(seen.codes(), ["egress.dns"]);
    }
}

#[test]
fn without_a_destination_a_connect_is_refused_as_ever() {
    let names = Arc::new(Names::default());
    let seen = each(egress(&[], &["127.0.0.1"], &names), vec![connect("allowed.example:443")]);
    assert!(seen.value[0].starts_with("HTTP/1.1 403"), "{:?}", seen.value);
    assert_eq!(seen.codes(), ["egress.route"]);
    assert!(names.asked().is_empty());
}

#[test]
fn hundreds_of_idle_and_ten_thousand_refused_connections_leave_the_way_open() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let to = format!("allowed.example:{}", far.port);
    let good = connect(&to);
    let seen = serve(egress(&[&to], &["127.0.0.1"], &names), move |at| {
        for _ in 0..10_000 {
            ask(&mut dial(at), &connect("evil.example:443"));
        }
        // Slow-loris: each holds a place with half a head, or waits in the listener's queue, or does not even get in.
        let half = |_| {
            let mut stream = TcpStream::connect_timeout(&at, Duration::from_millis(20)).ok()?;
            stream.write_all(b"CONNECT evil.example:443 HTTP/1.1\r\nHo").ok().map(|()| stream)
        };
        let idle: Vec<TcpStream> = (0..200).filter_map(half).collect();
        assert!(idle.len() > 16, "{}", idle.len());
        drop(idle);
        let mut stream = dial(at);
        ask(&mut stream, &good)
    });
    assert!(seen.value.starts_with("HTTP/1.1 200"), "{}", seen.value);
    let denied = seen.events.iter().filter(|event| event.kind == EventKind::EgressDenied).count();
    assert_eq!(denied, 200, "recorded within bounds");
    assert!(seen.counts.refused >= 10_000, "{:?}", seen.counts);
    assert_eq!(names.asked().len(), 1);
}

#[test]
fn what_a_relay_inside_says_in_a_tunnel_opens_no_second_way() {
    let (names, far) = (Arc::new(Names::default()), Far::start(b""));
    names.say("allowed.example", &[&["127.0.0.1"]]);
    let to = format!("allowed.example:{}", far.port);
    let open = connect(&to);
    let seen = serve(egress(&[&to], &["127.0.0.1"], &names), move |at| {
        // Whoever relays inside gives another one inside the same tunnel, and what is said there is for the far side.
        let mut stream = dial(at);
        assert!(ask(&mut stream, &open).starts_with("HTTP/1.1 200"));
        stream.write_all(&[hello(Some("allowed.example")), connect("evil.example:443")].concat()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        rest(&mut stream)
    });
    let said = far.heard().concat();
    assert!(said.ends_with(&connect("evil.example:443")), "it reaches the far side, which decides");
    assert_eq!(names.asked(), ["allowed.example"]);
    assert_eq!((seen.counts.tunnels, seen.counts.refused), (1, 0));
}
