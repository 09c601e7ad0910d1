//! The broker as whoever is inside would attack it, against an endpoint that writes down what reaches it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Broker, BrokerCounts, Dial, Dialect, ModelKey, Route, Upstream, Ways};
use crate::event::{Draft, EventKind};

/// A request that ends so is cut off there: the client says that no more will come.
const CUT: &[u8] = b"{cut";
/// Which of the refused requests has no whole head.
const UNFINISHED: usize = 18;
const BODY: &str = r#"{"model":"m-1","stream":true,"input":[]}"#;

/// An endpoint that keeps every request's bytes and answers each with `answer`.
fn endpoint(answer: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            keep.lock().unwrap().push(request);
            stream.write_all(&answer).unwrap();
        }
    });
    (url, seen)
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        let whole = text.find("\r\n\r\n").is_some_and(|end| bytes.len() >= end + 4 + length.unwrap_or(0));
        if whole || count == 0 {
            return text;
        }
    }
}

fn sse(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Secret: 1\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        .into_bytes()
}

fn key_text() -> String {
    ["sk", "-made", "-up-0123456789"].concat()
}

struct Seen {
    answers: Vec<String>,
    events: Vec<Draft>,
    counts: BrokerCounts,
    endpoint: Vec<String>,
}

/// Sends each of `requests` over a connection of its own, as raw bytes, and gathers everything that came of it.
fn attack(requests: Vec<Vec<u8>>, upstream_answer: Vec<u8>) -> Seen {
    let (url, endpoint) = endpoint(upstream_answer);
    let route = route(&url, Some(ModelKey::from(Zeroizing::new(key_text()))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let send = |request: Vec<u8>| {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // A refused request may be answered and closed before all of it was sent.
            drop(stream.write_all(&request));
            if request.ends_with(CUT) {
                drop(stream.shutdown(std::net::Shutdown::Write));
            }
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            String::from_utf8_lossy(&answer).into_owned()
        };
        requests.into_iter().map(send).collect::<Vec<_>>()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let (broker, mut notices) = Broker::serve(listener, to_the_model(route)).unwrap();
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
        }
        let counts = broker.counts();
        let endpoint = endpoint.lock().unwrap().clone();
        Seen { answers: client.join().unwrap(), events, counts, endpoint }
    })
}

fn to_the_model(route: Route) -> Ways {
    Ways { model: Some(Arc::new(route)), ..Ways::default() }
}

fn route(url: &str, key: Option<ModelKey>) -> Route {
    let dial = Dial::new(Upstream::parse(url).unwrap(), None).unwrap();
    Route { dial, dialect: Dialect::Responses, key, model: "m-1".into(), purse: None }
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn the_one_request_goes_through_made_anew_with_the_key() {
    let headers = "Authorization: Bearer stolen\r\nX-Note: hello\r\nCookie: a=b\r\n";
    let seen = attack(vec![post("/v1/responses", headers, BODY)], sse("data: {}\n\n"));
    assert!(
        seen.answers[0].starts_with("HTTP/1.1 200") && seen.answers[0].contains("data: {}"),
        "{:?}",
        seen.answers
    );
    assert!(!seen.answers[0].to_lowercase().contains("x-secret"), "only named headers come back");
    let request = &seen.endpoint[0];
    assert!(request.starts_with("POST /base/responses HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Bearer {}", key_text())));
    for absent in ["stolen", "x-note", "cookie", "X-Note"] {
        assert!(!request.contains(absent), "{absent} reached the endpoint");
    }
    assert_eq!(seen.counts, BrokerCounts { forwarded: 1, ..BrokerCounts::default() });
    let kinds: Vec<_> = seen.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::EgressAllowed, EventKind::EgressAllowed]);
    assert!(seen.events.iter().all(|event| !event.data.to_string().contains(&key_text())));
}

#[test]
fn everything_else_is_refused_recorded_and_never_reaches_the_endpoint() {
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    let requests = vec![
        get("/v1/responses"),
        get("/v1/models"),
        get("/"),
        post("/v1/responses/", "", BODY),
        post("/v1/responses?x=1", "", BODY),
        post("/v1/responses/compact", "", BODY),
        post("/v1/chat/completions", "", BODY),
        post("/v1/../v1/responses", "", BODY),
        post("/v1/%72esponses", "", BODY),
        post("http://127.0.0.1:1/v1/responses", "", BODY),
        post("http://example.com/v1/responses", "", BODY),
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n".to_vec(),
        post("/v1/responses", "Upgrade: websocket\r\n", BODY),
        post("/v1/responses", "Content-Encoding: gzip\r\n", BODY),
        post("/v1/responses", "", r#"{"model":"another"}"#),
        post("/v1/responses", "", r#"{"model":"m-1","background":true}"#),
        post("/v1/responses", "", r#"{"model":"m-1","tools":[{"type":"web_search"}]}"#),
        post("/v1/responses", "", &format!(r#"{{"model":"m-1","input":[{}1]}}"#, "0,".repeat(300_000))),
        b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nX-Not-Ended: {cut".to_vec(),
        post("/v1/responses", "", "[]"),
        post("/v1/responses", "", "not json"),
        post("/v1/responses", "", ""),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    let count = requests.len();
    assert!(requests[UNFINISHED].ends_with(CUT), "the one that nobody can answer");
    let seen = attack(requests, sse(""));
    assert!(seen.endpoint.is_empty(), "{:?}", seen.endpoint);
    for (index, answer) in seen.answers.iter().enumerate().filter(|(index, _)| *index != UNFINISHED) {
        assert!(answer.starts_with("HTTP/1.1 4"), "request {index} got {answer:?}");
    }
    assert_eq!(seen.counts, BrokerCounts { refused: count as u64, ..BrokerCounts::default() });
    assert_eq!(seen.events.iter().filter(|event| event.kind == EventKind::EgressDenied).count(), count);
}

#[test]
fn two_lengths_cannot_smuggle_a_second_request() {
    let inner = "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n{inner}", BODY.len());
    let both = format!(
        "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}",
        chunked.len()
    );
    let two_lengths = format!(
        "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let odd =
        format!("POST /v1/responses HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n{chunked}");
    let twice = post("/v1/responses", "", r#"{"model":"other","model":"m-1","input":"one","input":"two"}"#);
    let last = post("/v1/responses", "", r#"{"model":"m-1","input":"three"}"#);
    let seen = attack(vec![both.into(), two_lengths.into(), odd.into(), twice, last], sse("ok"));
    assert!(seen.answers[1].starts_with("HTTP/1.1 400"), "{:?}", seen.answers[1]);
    for request in &seen.endpoint {
        assert!(request.starts_with("POST /base/responses "), "{request}");
        assert!(
            !request.to_lowercase().contains("transfer-encoding") && !request.contains("/v1/models"),
            "{request}"
        );
        assert_eq!(request.matches("\"model\"").count(), 1, "{request}");
    }
    assert!(
        seen.answers[3].starts_with("HTTP/1.1 400") && seen.answers[3].contains("twice"),
        "{:?}",
        seen.answers[3]
    );
    assert!(seen.endpoint.iter().all(|request| !request.contains("two") && !request.contains("one")));
    assert!(seen.endpoint.last().unwrap().contains("three"));
}

#[test]
fn heads_and_bodies_are_bounded() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let huge = "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{cut";
    let short = "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{cut";
    let seen = attack(vec![long.into(), many.into(), huge.into(), short.into()], sse(""));
    assert!(seen.endpoint.is_empty());
    // Whoever sends 100 kB of head is cut off while still sending, and may see no answer at all.
    let refused = |answer: &String| answer.is_empty() || answer.starts_with("HTTP/1.1 4");
    assert!(seen.answers.iter().all(refused), "{:?}", seen.answers);
    assert_eq!(seen.counts, BrokerCounts { refused: 4, ..BrokerCounts::default() });
}

#[test]
fn an_endpoint_that_echoes_the_key_does_not_hand_it_in() {
    let seen = attack(vec![post("/v1/responses", "", BODY)], sse(&format!("wrong key {}!", key_text())));
    assert!(seen.answers[0].contains("wrong key [key]!"), "{:?}", seen.answers);
    assert!(!seen.answers[0].contains(&key_text()));
}

#[test]
fn headers_come_in_only_in_words_of_a_closed_form() {
    let answer =
        |headers: String| format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok").into_bytes();
    let sent = || vec![post("/v1/responses", "", BODY)];
    let echo = answer(format!("Content-Type: text/plain; x={0}\r\nRetry-After: {0}\r\n", key_text()));
    let seen = attack(sent(), echo);
    assert!(seen.answers[0].contains("content-type: text/plain\r\n"), "{:?}", seen.answers);
    assert!(!seen.answers[0].contains(&key_text()) && !seen.answers[0].contains("retry-after"));
    let seen = attack(sent(), answer(format!("Content-Type: {}\r\nRetry-After: 20\r\n", key_text())));
    assert!(seen.answers[0].contains("retry-after: 20\r\n"), "{:?}", seen.answers);
    assert!(!seen.answers[0].contains(&key_text()) && !seen.answers[0].contains("content-type"));
}

#[test]
fn a_dead_endpoint_is_an_answer_and_a_record() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&post("/v1/responses", "", BODY)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let route = route(&format!("http://{nowhere}/v1"), None);
        let (_broker, mut notices) = Broker::serve(listener, to_the_model(route)).unwrap();
        for _ in 0..2 {
            notices.recv().await.unwrap().recorded.send(()).unwrap();
        }
        tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("did not answer"), "{answer}");
    assert!(!answer.contains("refused by the harness") && !answer.contains("egress"), "{answer}");
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let (url, seen) = endpoint(sse(""));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&post("/v1/responses", "", BODY)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let (_broker, notices) = Broker::serve(listener, to_the_model(route(&url, None))).unwrap();
        drop(notices);
        tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(seen.lock().unwrap().is_empty());
}
