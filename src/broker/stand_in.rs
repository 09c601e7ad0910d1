//! A model that only recites, on loopback: after n results of tools it gives answer n of a script.
//!
//! It is for the check of an engine, whose every word has to be known before. It keeps nothing of what it is asked but
//! the names of the tools that it is offered, and refuses what its script has no answer to. It goes by what was said
//! and not by how often it was asked: an engine whose turn is steered while an answer comes in drops that answer, and
//! asks again.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::endpoint::Upstream;
use crate::vocab::shown;

/// Bytes of a request; what the broker lets through is not larger.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Names of tools that are kept, and bytes of each.
const TOOLS: (usize, usize) = (64, 120);

/// A scripted model at work; dropped, it is gone.
#[derive(Debug)]
pub struct StandIn {
    upstream: Upstream,
    script: Arc<Script>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Script {
    answers: Vec<Vec<Value>>,
    tokens: (u64, u64),
    offered: Mutex<BTreeSet<String>>,
}

impl Script {
    /// Keeps the names of the tools in a request: what it can be called by, or else its type.
    fn offered(&self, body: &Value) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in body.get("tools").and_then(Value::as_array).into_iter().flatten() {
            let name = ["name", "type"].iter().find_map(|member| tool.get(member)?.as_str());
            if offered.len() < TOOLS.0 {
                offered.insert(shown(&name.unwrap_or("").chars().take(TOOLS.1).collect::<String>()));
            }
        }
    }
}

impl StandIn {
    /// Begins to answer with `answers` (output items each); each names `tokens` (input, output). Needs a tokio runtime.
    pub async fn serve(answers: Vec<Vec<Value>>, tokens: (u64, u64)) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr()?;
        let upstream = Upstream::parse(&format!("http://{address}/v1")).map_err(std::io::Error::other)?;
        let script = Arc::new(Script { answers, tokens, offered: Mutex::default() });
        let played = Arc::clone(&script);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&played);
                let service = service_fn(move |request| answer(Arc::clone(&script), request));
                // One at a time: whoever asks is the broker, and waits for the answer.
                let mut server = hyper::server::conn::http1::Builder::new();
                server.keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
            }
        });
        Ok(Self { upstream, script, serving })
    }

    /// Names of the tools that it was offered in any request so far.
    #[must_use]
    pub fn offered(&self) -> BTreeSet<String> {
        self.script.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it is.
    #[must_use]
    pub const fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How many results of tools a request holds.
fn results(body: &Value) -> usize {
    let kind = |item: &Value| item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = body.get("input").and_then(Value::as_array).into_iter().flatten();
    items.filter(|item| kind(item).ends_with("_call_output")).count()
}

async fn answer(
    script: Arc<Script>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = Limited::new(request.into_body(), REQUEST_BYTES).collect().await;
    let body = read.ok().and_then(|body| serde_json::from_slice::<Value>(&body.to_bytes()).ok());
    if let Some(body) = &body {
        script.offered(body);
    }
    // One that cannot be read holds more results than any script.
    let number = body.as_ref().map_or(usize::MAX, results);
    let (status, kind, body) = if let Some(items) = script.answers.get(number) {
        (StatusCode::OK, "text/event-stream", stream(number, items, script.tokens))
    } else {
        let body = json!({"error": {"message": "the script is over", "type": "invalid_request_error"}});
        (StatusCode::BAD_REQUEST, "application/json", body.to_string())
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Ok(response)
}

/// One answer as a stream of events: created, its items, completed with the usage.
fn stream(number: usize, items: &[Value], (input, output): (u64, u64)) -> String {
    let response = |status: &str, output: &[Value], usage: Value| {
        json!({"id": format!("resp_{number}"), "object": "response", "created_at": 0, "model": "scripted",
            "status": status, "output": output, "usage": usage})
    };
    let event = |kind: &str, mut data: Value| {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
        }
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let mut text = event("response.created", json!({"response": response("in_progress", &[], Value::Null)}));
    for (index, item) in items.iter().enumerate() {
        text += &event("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let usage = json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input.saturating_add(output)});
    text += &event("response.completed", json!({"response": response("completed", items, usage)}));
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::super::endpoint::Peer;
    use super::*;

    async fn asked(model: &StandIn, body: &str) -> String {
        let Peer::Loopback(address) = model.upstream().peer else { panic!("it is on loopback") };
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_by_what_was_said_and_refuses_beyond_its_script() {
        let item = |text: &str| vec![json!({"type": "message", "text": text})];
        let model = StandIn::serve(vec![item("first"), item("second")], (1, 2)).await.unwrap();
        let result = r#"{"type":"function_call_output","output":"x"}"#;
        for _ in 0..2 {
            let first = asked(&model, r#"{"input":[{"type":"message"}]}"#).await;
            assert!(first.starts_with("HTTP/1.1 200") && first.contains("first"), "{first}");
        }
        let second = asked(&model, &format!(r#"{{"input":[{result}]}}"#)).await;
        assert!(second.contains("second") && second.contains("\"total_tokens\":3"), "{second}");
        for beyond in [format!(r#"{{"input":[{result},{result}]}}"#), "no JSON".to_owned()] {
            let refused = asked(&model, &beyond).await;
            assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("script is over"), "{refused}");
        }
        assert_eq!(model.offered().len(), 0);
        for tools in [r#"{"name":"b","type":"function"},{"type":"web_search"}"#, r#"{"name":"a\u202e"},7"#] {
            asked(&model, &format!(r#"{{"input":[],"tools":[{tools}]}}"#)).await;
        }
        let names: Vec<String> = model.offered().into_iter().collect();
        assert_eq!(names, ["", "a\\u{202e}", "b", "web_search"]);
    }
}
