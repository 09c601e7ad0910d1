//! The broker on the way of a model call, with money set aside and settled: to the first byte, and under a hundred
//! streams at once, beside the endpoint itself; and a whole run of one turn beside bare `codex exec`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cto_harness::broker::spend::{Book, Caps, Ledger, PriceTable};
use cto_harness::broker::{Broker, Dial, Dialect, Purse, Route, Upstream, Ways};
use cto_harness::vocab::{MicroUsd, RunId, ThreadId, Timestamp};

use super::model_server::{Item, ModelServer, Turn};
use super::place::{Place, must};
use super::rounds::{Contender, Times, take_turns};
use super::rows::{Goal, Measured, Row, millis};

const ROUNDS: usize = 301;
/// By how much the first byte may be later.
const MORE: Duration = Duration::from_millis(1);
const STREAMS: usize = 100;
/// Pieces of each stream, and the time between two.
const PIECES: usize = 50;
const PACE: Duration = Duration::from_millis(10);
const MODEL: &str = "gpt-5.5";

/// Two rows, in this process.
pub(crate) fn broker(place: &Place) -> Vec<Row> {
    let direct = endpoint();
    let through = brokered(place, direct);
    let first = first_byte(direct, through);
    vec![first, streams(direct, through)]
}

fn row(what: &str, rounds: usize, goal: Goal, ours: Times, peer: &Times) -> Row {
    let measured = Measured { ours, peer: peer.name, peer_millis: millis(peer) };
    Row { what: what.to_owned(), goal, rounds, measured: Ok(measured) }
}

fn first_byte(direct: SocketAddr, through: SocketAddr) -> Row {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (straight, taken) = (ask(direct, 1), ask(through, 1));
        if round > 0 {
            ours.push(taken);
            peer.push(straight + MORE);
        }
    }
    let (ours, peer) = (Times::of("the broker", ours), Times::of("the endpoint itself, and 1 ms", peer));
    row(
        "a priced model call through the broker, to the first byte",
        ROUNDS,
        Goal::Ratio("1", 1.0),
        ours,
        &peer,
    )
}

fn streams(direct: SocketAddr, through: SocketAddr) -> Row {
    let all = |to: SocketAddr| {
        let callers: Vec<_> = (0..STREAMS).map(|_| std::thread::spawn(move || ask(to, PIECES))).collect();
        for caller in callers {
            caller.join().unwrap();
        }
    };
    let contenders = vec![
        Contender::new("the broker", || all(through)),
        Contender::new("the endpoint itself", || all(direct)),
    ];
    let mut times = take_turns(9, contenders);
    let (peer, ours) = (times.pop().unwrap(), times.pop().unwrap());
    let what = "100 streams at once through the broker, each of 50 pieces in half a second";
    row(what, 9, Goal::Ratio("1.05", 1.05), ours, &peer)
}

/// Sends a request for so many pieces and reads the answer; the time to its first byte.
fn ask(to: SocketAddr, pieces: usize) -> Duration {
    let text = format!("{pieces} {}", "x".repeat(30_000));
    let body = format!("{{\"model\":\"{MODEL}\",\"input\":\"{text}\",\"stream\":true}}");
    let begin = Instant::now();
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = "POST /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut first = None;
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
        if first.is_none() && answer.windows(5).any(|window| window == b"data:") {
            first = Some(begin.elapsed());
        }
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("response.completed"), "{text}");
    first.unwrap()
}

/// An endpoint that streams as many pieces as the input begins with.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let body = read(&mut stream);
                let said = body.split("\"input\":\"").nth(1).unwrap_or("");
                let pieces: usize = said.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(1);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
                stream.write_all(head.as_bytes()).unwrap();
                for piece in 0..pieces {
                    let event = format!(
                        "data: {{\"type\":\"response.output_text.delta\",\"delta\":\"piece {piece}\"}}\n\n"
                    );
                    stream.write_all(event.as_bytes()).unwrap();
                    if pieces > 1 {
                        std::thread::sleep(PACE);
                    }
                }
                let usage = "{\"input_tokens\":10,\"output_tokens\":10}";
                let event = format!(
                    "data: {{\"type\":\"response.completed\",\"response\":{{\"usage\":{usage}}}}}\n\n"
                );
                stream.write_all(event.as_bytes()).unwrap();
            });
        }
    });
    address
}

fn read(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0_u8; 64 * 1024]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse::<usize>();
        if body.len() >= length.unwrap() {
            return body.to_owned();
        }
    }
}

/// A broker before `endpoint`, whose notices are taken for recorded at once; it serves as long as this process lives.
fn brokered(place: &Place, endpoint: SocketAddr) -> SocketAddr {
    let book = Book::open(&place.folder("ledger-of-broker"), Timestamp::now).unwrap();
    let (run, much) = (RunId::new(), MicroUsd::new(u64::MAX / 4));
    let purse = Purse {
        ledger: Ledger::keep(book).unwrap(),
        thread: ThreadId::from(&run),
        run,
        caps: Caps { run: much, thread: much, day: much },
        model: PriceTable::read(None).unwrap().get("openai", MODEL).unwrap().clone(),
    };
    let upstream = Upstream::parse(&format!("http://{endpoint}/v1")).unwrap();
    let route = Route {
        dial: Dial::new(upstream, None).unwrap(),
        dialect: Dialect::Responses,
        key: None,
        model: MODEL.to_owned(),
        purse: Some(purse),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let ways = Ways { model: Some(Arc::new(route)), ..Ways::default() };
            let (_broker, mut notices) = Broker::serve(listener, ways).unwrap();
            while let Some(notice) = notices.recv().await {
                notice.recorded.send(()).ok();
            }
        });
    });
    address
}

const CONTRACT: &str = r#"
contract_version = "1"
task_id = "one-turn"
title = "Say hello"
instructions = "Say hello."
target_repository = "repo"
authority_basis = { kind = "task-contract", reference = "bench" }
risk_class = "SAFE"
mutation_mode = "none"
allowed_paths = []
forbidden_actions = []
approval_required = false
verification_commands = []
evidence_expectations = []
engine = "codex"
"#;

/// A run of one turn, beside the same turn without anything around it.
pub(crate) fn codex(place: &Place) -> Vec<Row> {
    const ROUNDS: usize = 15;
    let goal = Goal::Ratio("1.1", 1.1);
    let what =
        "`cto run` of one turn with the real Codex, after `cto engine check codex`, and a scripted model";
    let what = what.to_owned();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/codex/codex");
    let Ok(program) = std::fs::canonicalize(tool) else {
        let measured = Err("not measured: scripts/install-codex.sh installs it");
        return vec![Row { what, goal, rounds: ROUNDS, measured }];
    };
    let server = ModelServer::start(vec![Turn::Items(vec![Item::Message("Hello.".to_owned())])]);
    let fixture = place.folder("one-turn");
    std::fs::create_dir_all(fixture.join("repo")).unwrap();
    std::fs::write(fixture.join("repo/README"), "a file\n").unwrap();
    std::fs::write(fixture.join("contract.toml"), CONTRACT).unwrap();
    must(&mut place.cto(&["doctor"]));
    let config = format!(
        "[engines.codex]\nprogram = \"{}\"\nendpoint = \"{}\"\nmodel = \"{MODEL}\"\nunpriced = true\n",
        program.display(),
        server.url()
    );
    std::fs::create_dir_all(place.path("home/config")).unwrap();
    std::fs::write(place.path("home/config/config.toml"), config).unwrap();
    // As whoever uses it would: once, before anything is measured.
    let out = place.fresh("checks").display().to_string();
    must(&mut place.cto(&["engine", "check", "codex", "--json", "--out", &out]));
    let bare = bare(place, &program, &server.url());
    let contenders = vec![
        Contender::new("cto run", || {
            let out = place.fresh("bundles").display().to_string();
            drop(must(&mut place.cto(&["run", "one-turn", "--engine", "codex", "--json", "--out", &out])));
        }),
        Contender::new("bare `codex exec`, in a home of its own each time, as a run's is", || {
            drop(must(&mut bare(&place.fresh("codex-home"))));
        }),
        Contender::new("bare `codex exec`, in a home that was used before", || {
            drop(must(&mut bare(&place.path("codex-used"))));
        }),
    ];
    let mut times = take_turns(ROUNDS, contenders);
    let (used, fresh, ours) = (times.pop().unwrap(), times.pop().unwrap(), times.pop().unwrap());
    vec![row(&what, ROUNDS, goal, ours.clone(), &fresh), row(&what, ROUNDS, goal, ours, &used)]
}

fn bare(place: &Place, program: &Path, url: &str) -> impl Fn(&Path) -> Command + use<> {
    let program = program.to_owned();
    let work: PathBuf = place.folder("codex-work");
    let provider =
        format!("model_providers.bench={{name=\"bench\",base_url=\"{url}\",wire_api=\"responses\"}}");
    move |home| {
        std::fs::create_dir_all(home).unwrap();
        let mut command = Command::new(&program);
        command.args([
            "exec",
            "--json",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
        ]);
        for feature in ["plugins", "apps", "shell_snapshot", "unbounded_connection_retries"] {
            command.args(["--disable", feature]);
        }
        for setting in [
            "analytics.enabled=false",
            "check_for_update_on_startup=false",
            "otel.metrics_exporter=\"none\"",
            "web_search=\"disabled\"",
            "model_provider=\"bench\"",
            "model=\"gpt-5.5\"",
            &provider,
        ] {
            command.args(["-c", setting]);
        }
        command.arg("Say hello.").current_dir(&work).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("HOME", &work).env("CODEX_HOME", home).env("TMPDIR", home);
        command
    }
}
