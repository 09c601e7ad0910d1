//! Money around model calls: set aside before, settled after, whoever hangs up, breaks off or asks all at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::spend::{Book, Caps, Group, Ledger, PricedModel, Rates, Selection, Statement, Usage};
use super::{Broker, Dial, Dialect, Purse, Route, Upstream, Ways};
use crate::event::{Draft, EventKind};
use crate::evidence::CallSums;
use crate::vocab::{MicroUsd, RunId, ThreadId, Timestamp};

/// What the endpoint does with its n-th request.
type Script = Arc<dyn Fn(u64, &str, &mut TcpStream) + Send + Sync>;

struct Rig {
    seen: Arc<Mutex<Vec<String>>>,
    events: Vec<Draft>,
    answers: Vec<String>,
    statement: Statement,
}

impl Rig {
    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.kind.as_str()).collect()
    }

    fn sums(&self) -> CallSums {
        let mut sums = CallSums::default();
        self.events.iter().for_each(|event| sums.take(event.kind, &event.data));
        sums
    }

    /// Settled and not settled, of everything.
    fn counted(&self) -> (u64, u64) {
        let lines = self.statement.lines(Group::Run, &Selection::default(), &|_| true);
        let sum = |f: fn(&super::spend::Counted) -> MicroUsd| {
            lines.iter().map(|line| f(&line.counted).micros()).sum()
        };
        (sum(|c| c.settled_micro_usd), sum(|c| c.unsettled_micro_usd.plus(c.reserved_micro_usd)))
    }
}

fn model() -> PricedModel {
    let usd = |text: &str| text.parse().unwrap();
    let rates = Rates {
        input_micro_usd: usd("1"),
        cached_input_micro_usd: usd("0.1"),
        cache_write_micro_usd: usd("1"),
        output_micro_usd: usd("10"),
        long_context: None,
    };
    let as_of = Timestamp::now().day();
    PricedModel {
        provider: "p".into(),
        model: "m".into(),
        rates,
        max_output_tokens: 5_000,
        source: "made up".into(),
        as_of,
    }
}

fn endpoint(script: Script) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, number) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let keep = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, keep, number) = (Arc::clone(&script), Arc::clone(&keep), Arc::clone(&number));
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let Some(body) = body_of(&mut stream) else { return };
                keep.lock().unwrap().push(body.clone());
                script(number.fetch_add(1, Ordering::SeqCst), &body, &mut stream);
            });
        }
    });
    (address, seen)
}

fn body_of(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 4096]);
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
        if body.len() >= length {
            return Some(body.to_owned());
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

fn completed(input: u64, output: u64) -> String {
    let usage = json!({"input_tokens": input, "output_tokens": output});
    let event =
        json!({"type": "response.completed", "response": {"id": "r", "model": "m-1", "usage": usage}});
    format!("data: {event}\n\n")
}

fn write(stream: &mut TcpStream, text: &str) {
    // Whoever went away is part of the test.
    drop(stream.write_all(text.as_bytes()));
}

fn post() -> Vec<u8> {
    let body = json!({"model": "m", "input": "x".repeat(100), "max_output_tokens": 2_000}).to_string();
    let head = "POST /v1/responses HTTP/1.1\r\nHost: x\r\nThread-Id: other\r\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn ask(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(&post()).unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Lets `client` loose on a broker with a cap of `cap` for the run, before an endpoint that plays `script`.
fn play(
    state: &Path,
    cap: u64,
    script: Script,
    client: impl FnOnce(SocketAddr) -> Vec<String> + Send + 'static,
) -> Rig {
    let (address, seen) = endpoint(script);
    let run = RunId::new();
    let caps = Caps { run: MicroUsd::new(cap), thread: MicroUsd::new(cap * 2), day: MicroUsd::new(cap * 3) };
    let ledger = Ledger::keep(Book::open(state, Timestamp::now).unwrap()).unwrap();
    let purse = Purse { ledger, thread: ThreadId::from(&run), run, caps, model: model() };
    let dial = Dial::new(Upstream::parse(&format!("http://{address}/v1")).unwrap(), None).unwrap();
    let route = Route { dial, dialect: Dialect::Responses, key: None, model: "m".into(), purse: Some(purse) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || client(at));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (answers, events) = runtime.block_on(async move {
        let ways = Ways { model: Some(Arc::new(route)), ..Ways::default() };
        let (broker, mut notices) = Broker::serve(listener, ways).unwrap();
        let mut events = Vec::new();
        while !client.is_finished() {
            tokio::select! {
                Some(notice) = notices.recv() => {
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
        (client.join().unwrap(), events)
    });
    Rig { seen, events, answers, statement: Statement::read(state).unwrap() }
}

fn once(cap: u64, script: Script) -> Rig {
    let state = tempfile::tempdir().unwrap();
    play(state.path(), cap, script, |at| vec![ask(at)])
}

const PLENTY: u64 = 10_000_000;

#[test]
fn the_worst_is_set_aside_before_and_the_usage_settles_it() {
    let rig = once(PLENTY, Arc::new(|_, _, stream| write(stream, &format!("{HEAD}{}", completed(50, 20)))));
    assert!(rig.answers[0].contains("response.completed"), "{:?}", rig.answers);
    assert_eq!(rig.kinds(), ["spend.reserved", "egress.allowed", "spend.settled", "egress.allowed"]);
    let sent: Value = serde_json::from_str(&rig.seen.lock().unwrap()[0]).unwrap();
    assert_eq!((&sent["max_output_tokens"], &sent["service_tier"]), (&json!(2_000), &json!("default")));
    let reserved = rig.events[0].data["amount_micro_usd"].as_u64().unwrap();
    assert!(reserved > 20_000, "2,000 tokens of output and the input: {reserved}");
    assert_eq!(rig.counted(), (50 + 200, 0));
    let sums = rig.sums();
    assert_eq!((sums.spend.settled_micro_usd.micros(), sums.spend.unsettled_micro_usd.micros()), (250, 0));
    assert_eq!((sums.input_tokens, sums.output_tokens, sums.trouble), (50, 20, None));
    assert_eq!(rig.events[3].data["model"], "m-1");
    assert_eq!(rig.events[3].data["cost_micro_usd"], 250);
}

#[test]
fn what_would_cross_a_cap_never_leaves_and_is_told_so_that_nobody_asks_again() {
    let rig = once(12_000, Arc::new(|_, _, stream| write(stream, HEAD)));
    assert!(rig.answers[0].starts_with("HTTP/1.1 429") && rig.answers[0].contains("insufficient_quota"));
    assert!(rig.answers[0].contains("spend.cap.run"), "{:?}", rig.answers);
    assert!(rig.seen.lock().unwrap().is_empty());
    assert_eq!(rig.kinds(), ["egress.denied"]);
    let refused = rig.sums().refused.unwrap();
    assert_eq!(refused.code, "spend.cap.run");
    assert!(refused.remedy.contains("run_usd"), "{refused:?}");
    assert_eq!(rig.counted(), (0, 0));
}

#[test]
fn the_output_is_bounded_by_what_the_cap_leaves() {
    let rig = once(20_000, Arc::new(|_, _, stream| write(stream, &format!("{HEAD}{}", completed(1, 1)))));
    let sent: Value = serde_json::from_str(&rig.seen.lock().unwrap()[0]).unwrap();
    let most = sent["max_output_tokens"].as_u64().unwrap();
    assert!((1_024..2_000).contains(&most), "{most}");
    let reserved = rig.events[0].data["amount_micro_usd"].as_u64().unwrap();
    assert!(reserved <= 20_000 && reserved > 19_980, "{reserved}");
}

#[test]
fn whoever_hangs_up_does_not_keep_the_usage_from_being_known() {
    let state = tempfile::tempdir().unwrap();
    let script: Script = Arc::new(|_, _, stream| {
        write(stream, &format!("{HEAD}data: {{\"type\":\"response.created\"}}\n\n"));
        std::thread::sleep(Duration::from_millis(300));
        write(stream, &completed(7, 3));
    });
    let rig = play(state.path(), PLENTY, script, |at| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&post()).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        vec![]
    });
    assert_eq!(rig.counted(), (7 + 30, 0));
    // And before the answer began.
    let state = tempfile::tempdir().unwrap();
    let (asked, is_asked) = std::sync::mpsc::channel();
    let script: Script = Arc::new(move |_, _, stream| {
        asked.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        write(stream, &format!("{HEAD}{}", completed(7, 3)));
    });
    let rig = play(state.path(), PLENTY, script, move |at| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&post()).unwrap();
        is_asked.recv().unwrap();
        vec![]
    });
    assert_eq!(rig.counted(), (7 + 30, 0));
}

#[test]
fn without_a_usage_it_counts_in_full() {
    let half = "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":0,";
    for script in [
        format!("{HEAD}data: {{\"type\":\"response.created\"}}\n\n"),
        format!("{HEAD}{half}"),
        "HTTP/1.1 500 Broken\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\ncut".to_owned(),
        String::new(),
    ] {
        let play = script.clone();
        let rig = once(PLENTY, Arc::new(move |_, _, stream| write(stream, &play)));
        let reserved = rig.events[0].data["amount_micro_usd"].as_u64().unwrap();
        assert_eq!(rig.counted(), (0, reserved), "{script}");
        assert_eq!(rig.sums().spend.unsettled_micro_usd.micros(), reserved, "{script}");
    }
}

#[test]
fn what_provably_cost_nothing_is_given_back() {
    let refused = "HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let rig = once(PLENTY, Arc::new(move |_, _, stream| write(stream, refused)));
    assert_eq!((rig.counted(), rig.sums().trouble.as_deref()), ((0, 0), Some("unauthorized")));

    // Nobody listens: not a byte can have left.
    let state = tempfile::tempdir().unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ledger = Ledger::keep(Book::open(state.path(), Timestamp::now).unwrap()).unwrap();
    let run = RunId::new();
    let caps = Caps { run: MicroUsd::new(PLENTY), thread: MicroUsd::new(PLENTY), day: MicroUsd::new(PLENTY) };
    let purse = Purse { ledger, thread: ThreadId::from(&run), run, caps, model: model() };
    let dial = Dial::new(Upstream::parse(&format!("http://{nowhere}/v1")).unwrap(), None).unwrap();
    let route = Route { dial, dialect: Dialect::Responses, key: None, model: "m".into(), purse: Some(purse) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || ask(at));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (answer, events) = runtime.block_on(async {
        let ways = Ways { model: Some(Arc::new(route)), ..Ways::default() };
        let (_broker, mut notices) = Broker::serve(listener, ways).unwrap();
        let mut events = Vec::new();
        for _ in 0..4 {
            let notice = notices.recv().await.unwrap();
            events.push(notice.draft);
            notice.recorded.send(()).unwrap();
        }
        (tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap(), events)
    });
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(events[3].data["trouble"], "connection-refused");
    assert_eq!(Statement::read(state.path()).unwrap().counted_on(Timestamp::now().day()), MicroUsd::ZERO);
}

#[test]
fn sixty_four_at_once_never_overspend_whatever_they_and_the_provider_do() {
    const CAP: u64 = 400_000;
    let truth = Arc::new(AtomicU64::new(0));
    let spent = Arc::clone(&truth);
    // The provider bills whatever it likes within what it was asked for, and tells it, breaks off, or fails.
    let script: Script = Arc::new(move |number, body, stream| {
        let asked: Value = serde_json::from_str(body).unwrap();
        let most = asked["max_output_tokens"].as_u64().unwrap();
        let usage = Usage {
            input_tokens: number % 120,
            output_tokens: most - (number * 7_919) % most,
            ..Usage::default()
        };
        spent.fetch_add(model().rates.cost(usage).unwrap().micros(), Ordering::SeqCst);
        match number % 7 {
            0 => write(stream, HEAD),
            1 => {}
            2 => write(stream, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            _ => write(stream, &format!("{HEAD}{}", completed(usage.input_tokens, usage.output_tokens))),
        }
    });
    let state = tempfile::tempdir().unwrap();
    let rig = play(state.path(), CAP, script, |at| {
        let callers: Vec<_> = (0..64)
            .map(|caller| {
                std::thread::spawn(move || {
                    let mut answers = Vec::new();
                    for round in 0..4 {
                        if (caller + round) % 5 == 0 {
                            let mut stream = TcpStream::connect(at).unwrap();
                            drop(stream.write_all(&post()));
                            std::thread::sleep(Duration::from_millis(caller));
                        } else {
                            answers.push(ask(at));
                        }
                    }
                    answers
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let (settled, unsettled) = rig.counted();
    let truth = truth.load(Ordering::SeqCst);
    assert!(truth <= settled + unsettled, "{truth} was spent, {settled} + {unsettled} counted");
    assert!(settled + unsettled <= CAP, "{settled} + {unsettled}");
    assert!(rig.answers.iter().any(|answer| answer.contains("spend.cap.run")), "the cap was reached");
    assert_eq!(rig.sums().spend.total().micros(), settled + unsettled, "events and ledger agree");
    let reserved = rig.events.iter().filter(|event| event.kind == EventKind::SpendReserved).count();
    assert!(reserved > 15, "{reserved}");
}
