//! A scripted stand-in for a Responses API on loopback: answers each request with the next turn of a script, as a
//! stream of events, and keeps what reached it. It knows no more of the API than the tests need.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// One thing that the model says or does.
pub enum Item {
    /// Words.
    Message(String),
    /// A shell command.
    Exec(String),
    /// A patch in the engine's own format.
    Patch(String),
    /// Any other call: the tool's name and its arguments.
    Call(&'static str, Value),
}

/// The answer to one request.
pub enum Turn {
    /// These items, in order, and 100 input and 10 output tokens.
    Items(Vec<Item>),
    /// These items, and as many output tokens as the request allows.
    Most(Vec<Item>),
    /// These items, and this many output tokens, whatever the request allows.
    Using(Vec<Item>, u64),
    /// What follows from the request's body.
    Then(fn(&Value) -> Vec<Item>),
    /// An error status.
    Status(u16),
    /// An error status with a word for it.
    Failing(u16, &'static str),
    /// Nothing, until the client goes away.
    Hang,
}

/// What reached the server.
#[derive(Clone)]
pub struct Seen {
    /// Request line and headers, as they came.
    pub head: String,
    /// The body.
    pub body: Value,
}

/// A server at work; its thread ends with the test process.
pub struct ModelServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl ModelServer {
    /// Answers the n-th request with the n-th turn, and every later one with the last.
    pub fn start(turns: Vec<Turn>) -> Self {
        Self::choosing(turns, |number, _| number)
    }

    /// Answers each request with the turn that `choose` names from its number and body; past the end, with the last.
    pub fn choosing(turns: Vec<Turn>, choose: fn(usize, &Value) -> usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let turns = Arc::new(turns);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (keep, turns) = (Arc::clone(&keep), Arc::clone(&turns));
                std::thread::spawn(move || answer(stream.unwrap(), &turns, choose, &keep));
            }
        });
        Self { address, seen }
    }

    /// The base URL for the configuration.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Everything that reached it so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Which turn comes next, by the results of tools that the thread holds (one a turn) and not by how often it was asked: a
/// turn that is steered drops an answer in flight and asks again, and what was cut off is asked for once more.
pub fn by_results(_: usize, body: &Value) -> usize {
    let items = body["input"].as_array().into_iter().flatten();
    let result = |item: &&Value| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output"));
    items.filter(result).filter(|item| !item["output"].to_string().contains("aborted")).count()
}

fn answer(
    mut stream: TcpStream,
    turns: &[Turn],
    choose: fn(usize, &Value) -> usize,
    keep: &Mutex<Vec<Seen>>,
) {
    let Some(seen) = read(&mut stream) else { return };
    let body = seen.body.clone();
    let most = body["max_output_tokens"].as_u64().unwrap_or(0);
    let (number, chosen) = {
        let mut all = keep.lock().unwrap();
        let chosen = choose(all.len(), &seen.body);
        all.push(seen);
        (all.len() - 1, chosen)
    };
    let turn = turns.get(chosen).or(turns.last()).unwrap();
    // A client that went away is not this server's concern.
    match turn {
        Turn::Items(items) => drop(stream.write_all(stream_of(number, items, 10).as_bytes())),
        Turn::Then(items) => drop(stream.write_all(stream_of(number, &items(&body), 10).as_bytes())),
        Turn::Most(items) => drop(stream.write_all(stream_of(number, items, most).as_bytes())),
        Turn::Using(items, tokens) => drop(stream.write_all(stream_of(number, items, *tokens).as_bytes())),
        Turn::Status(status) => fail(&mut stream, *status, "server_error"),
        Turn::Failing(status, word) => fail(&mut stream, *status, word),
        Turn::Hang => drop(stream.read(&mut [0])),
    }
}

fn fail(stream: &mut TcpStream, status: u16, word: &str) {
    let body = json!({"error": {"message": "scripted", "type": word, "code": word}}).to_string();
    let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n");
    drop(stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()));
}

fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 8192]);
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let body = &bytes[end + 4..];
        if body.len() >= length.unwrap_or(0) {
            return Some(Seen { body: serde_json::from_slice(body).unwrap_or(Value::Null), head });
        }
    }
}

fn stream_of(number: usize, items: &[Item], tokens: u64) -> String {
    let response = json!({"id": format!("resp_{number}"), "object": "response", "created_at": 0, "model": "scripted",
        "status": "in_progress", "output": []});
    let mut body = event("response.created", &json!({"response": response}));
    let mut output = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let item = document(number, index, item);
        body += &event("response.output_item.done", &json!({"output_index": index, "item": item}));
        output.push(item);
    }
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 100 + tokens});
    let mut last = response;
    last["status"] = json!("completed");
    last["output"] = json!(output);
    last["usage"] = usage;
    body += &event("response.completed", &json!({"response": last}));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn event(kind: &str, fields: &Value) -> String {
    let mut data = fields.clone();
    data["type"] = json!(kind);
    format!("event: {kind}\ndata: {data}\n\n")
}

fn document(number: usize, index: usize, item: &Item) -> Value {
    let id = |prefix: &str| format!("{prefix}_{number}_{index}");
    match item {
        Item::Message(text) => {
            json!({"type": "message", "role": "assistant", "id": id("msg"), "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]})
        }
        Item::Exec(command) => json!({"type": "function_call", "id": id("fc"), "call_id": id("call"),
            "name": "exec_command", "status": "completed",
            "arguments": json!({"cmd": command, "yield_time_ms": 30_000}).to_string()}),
        Item::Call(name, arguments) => json!({"type": "function_call", "id": id("fc"), "call_id": id("call"),
            "name": name, "status": "completed", "arguments": arguments.to_string()}),
        Item::Patch(patch) => json!({"type": "custom_tool_call", "id": id("ctc"), "call_id": id("call"),
            "name": "apply_patch", "status": "completed", "input": patch}),
    }
}
