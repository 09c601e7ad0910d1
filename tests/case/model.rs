//! A scripted Messages API on loopback: for each agent a list of answers, chosen by how much was said before.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// One answer of the model.
#[derive(Clone)]
pub enum Turn {
    /// Runs commands in the agent's shell.
    Shell(Vec<String>),
    /// Ends the phase with this result.
    Result(Value),
    /// Says something and gives no result.
    Chat(&'static str),
    /// As many output tokens as the request allows, and then a shell command.
    Most(String),
    /// An error status.
    Status(u16),
}

/// What reached the server.
#[derive(Clone)]
pub struct Seen {
    pub head: String,
    pub body: Value,
}

/// A model at work; its thread ends with the test process.
pub struct Model {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub type Script = BTreeMap<&'static str, Vec<Turn>>;

/// A result that says all went well.
pub fn well(summary: &str, extra: &Value) -> Turn {
    let mut result = json!({"status": "completed", "summary": summary, "artifacts": {"commit": null, "filesChanged": [],
        "testsPassed": null, "evidenceMarkers": [], "prUrl": null}, "error": null});
    for (name, value) in extra.as_object().cloned().unwrap_or_default() {
        result[name] = value;
    }
    Turn::Result(result)
}

/// A shell call.
pub fn shell(command: &str) -> Turn {
    Turn::Shell(vec![command.to_owned()])
}

/// A run in which every agent does its work; `repair` is what the implementer does.
pub fn good(repair: &str) -> Script {
    let files = json!({"artifacts": {"filesChanged": ["src/sum.sh"], "testsPassed": true, "evidenceMarkers": ["tested"]}});
    BTreeMap::from([
        ("implementer", vec![shell(repair), well("repaired", &files)]),
        ("verifier", vec![shell("sh tests/run.sh | ca mark-tested"), well("it holds", &json!({}))]),
        ("reviewer", vec![well("fine", &json!({"findings": {"critical": 0, "warnings": 0, "info": 0}}))]),
        ("closer", vec![well("nothing to publish", &json!({}))]),
        ("retrospective", vec![Turn::Chat("nothing learned")]),
    ])
}

impl Model {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (keep, script) = (Arc::clone(&seen), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (keep, script) = (Arc::clone(&keep), Arc::clone(&script));
                std::thread::spawn(move || answer(stream.unwrap(), &script, &keep));
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, script: &Script, keep: &Mutex<Vec<Seen>>) {
    let Some(seen) = read(&mut stream) else { return };
    let body = seen.body.clone();
    keep.lock().unwrap().push(seen);
    let system = body["system"].to_string();
    let answers = body["messages"].as_array().map_or(0, |all| all.len() / 2);
    let turns =
        script.iter().find(|(agent, _)| system.contains(&format!("the {agent}."))).map(|(_, turns)| turns);
    let turn =
        turns.and_then(|turns| turns.get(answers).or(turns.last())).cloned().unwrap_or(Turn::Status(404));
    let most = body["max_tokens"].as_u64().unwrap_or(0);
    let text = match turn {
        Turn::Shell(commands) => stream_of(&commands, "", 10),
        Turn::Most(command) => stream_of(&[command], "", most),
        Turn::Result(result) => {
            stream_of(&[], &format!("done\n<<<AGENT_RESULT\n{result}\nAGENT_RESULT>>>\n"), 10)
        }
        Turn::Chat(text) => stream_of(&[], text, 10),
        Turn::Status(status) => {
            let body =
                json!({"type": "error", "error": {"type": "authentication_error", "message": "scripted"}})
                    .to_string();
            let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n");
            drop(stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()));
            return;
        }
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
    drop(stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes()));
}

fn stream_of(commands: &[String], text: &str, tokens: u64) -> String {
    let usage = json!({"input_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": [], "usage": usage});
    let mut body = event("message_start", &json!({ "message": message }));
    let mut block = |index: usize, start: Value, delta: Value| {
        body += &event("content_block_start", &json!({"index": index, "content_block": start}));
        body += &event("content_block_delta", &json!({"index": index, "delta": delta}));
        body += &event("content_block_stop", &json!({ "index": index }));
    };
    if !text.is_empty() {
        block(0, json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}));
    }
    for (index, command) in commands.iter().enumerate() {
        let input = json!({ "command": command }).to_string();
        let start = json!({"type": "tool_use", "id": format!("toolu_{index}"), "name": "bash", "input": {}});
        block(index, start, json!({"type": "input_json_delta", "partial_json": input}));
    }
    let reason = if commands.is_empty() { "end_turn" } else { "tool_use" };
    body += &event(
        "message_delta",
        &json!({"delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": tokens}}),
    );
    body + &event("message_stop", &json!({}))
}

fn event(kind: &str, fields: &Value) -> String {
    let mut data = fields.clone();
    data["type"] = json!(kind);
    format!("event: {kind}\ndata: {data}\n\n")
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
