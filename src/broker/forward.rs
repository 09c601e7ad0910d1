//! One model request: checked, made anew, sent, and its answer streamed back.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::answer::Answer;
use super::key::KeyFilter;
use super::refuse::{Refusal, unanswered};
use super::schema::{self, Rebuilt};
use super::serve::{Desk, Route};

/// Bytes of a request's body.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// How long the body of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long connecting to the endpoint may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long the endpoint may stay silent, before and within its answer.
const SILENCE: Duration = Duration::from_mins(5);
/// Bytes of one answer.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// The one path that is let through.
pub(super) const PATH: &str = "/v1/responses";
/// Media types of an answer that are passed on, in these words.
const MEDIA_TYPES: [&str; 3] = ["text/event-stream", "application/json", "text/plain"];
/// Digits of a waiting time that is passed on.
const WAIT_DIGITS: usize = 6;

/// Whether a request's head is that of the one request that is let through.
pub(super) fn check_head(request: &Request<Incoming>) -> Result<(), Refusal> {
    let uri = request.uri();
    if uri.authority().is_some() || uri.scheme().is_some() {
        return Err(Refusal::route("an absolute or authority target; this is no proxy"));
    }
    if request.method() != Method::POST || uri.path() != PATH || uri.query().is_some() {
        return Err(Refusal::route(format!("only POST {PATH} is let through")));
    }
    let headers = request.headers();
    if headers.contains_key(header::UPGRADE) {
        return Err(Refusal::route("upgrades are not let through"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "egress.framing", "two lengths for one body"));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let sentence = "an encoded body cannot be checked";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "egress.encoding", sentence));
    }
    Ok(())
}

/// Reads a body and makes the request anew, one body at a time: what is inside has 16 connections, and the harness
/// one memory. Reading and writing JSON happens beside the event loop, so that a stop is heard meanwhile.
pub(super) async fn rebuild(
    body: Incoming,
    model: &str,
    one_at_a_time: &Semaphore,
) -> Result<Rebuilt, Refusal> {
    let ended = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "egress.ended", "the run is over");
    let _turn = one_at_a_time.acquire().await.map_err(|_| ended())?;
    let bytes = collect(body).await?;
    let model = model.to_owned();
    tokio::task::spawn_blocking(move || schema::rebuild(&bytes, &model)).await.map_err(|_| ended())?
}

async fn collect(body: Incoming) -> Result<Bytes, Refusal> {
    let collected = timeout(REQUEST_TIME, Limited::new(body, REQUEST_BYTES).collect()).await;
    match collected {
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "egress.slow", "the body took too long")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let sentence = format!("the body is larger than {REQUEST_BYTES} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "egress.size", sentence))
        }
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "egress.framing", "the body ended early")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// Sends the request to the endpoint and hands back its answer, whose body streams.
pub(super) async fn forward(
    route: &Route,
    desk: &Arc<Desk>,
    body: Rebuilt,
) -> Result<Response<Answer>, Refusal> {
    let Rebuilt { bytes: body, digest } = body;
    let call = desk.next_call()?;
    let data = json!({"call": call, "stage": "request", "method": "POST", "endpoint": route.upstream.authority,
        "path": route.upstream.target, "request_bytes": body.len(), "request_digest": digest.to_string()});
    // On record before it is done.
    desk.allowed(data).await?;
    match send(route, body).await {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let (frames, passed_on) = Answer::channel();
            let mut response = Response::new(passed_on);
            *response.status_mut() = parts.status;
            pass_headers(&parts.headers, response.headers_mut());
            let pump = Pump { call, status: parts.status, filter: KeyFilter::new(route.key.clone()), frames };
            tokio::spawn(pump.run(body, Arc::clone(desk)));
            Ok(response)
        }
        Err(why) => {
            desk.allowed(json!({"call": call, "stage": "answer", "status": Value::Null, "error": why}))
                .await?;
            Ok(plain(StatusCode::BAD_GATEWAY, unanswered(&why)))
        }
    }
}

/// A small JSON answer.
pub(super) fn plain(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Two headers come in, and neither in the endpoint's own words: those could hold the key that it was sent.
fn pass_headers(from: &HeaderMap, to: &mut HeaderMap) {
    let said = from.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = said.split(';').next().unwrap_or("").trim();
    if let Some(known) = MEDIA_TYPES.iter().find(|known| known.eq_ignore_ascii_case(media)) {
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(known));
    }
    let digits = |wait: &&HeaderValue| {
        (1..=WAIT_DIGITS).contains(&wait.len()) && wait.as_bytes().iter().all(u8::is_ascii_digit)
    };
    if let Some(wait) = from.get(header::RETRY_AFTER).filter(digits) {
        to.insert(header::RETRY_AFTER, wait.clone());
    }
}

async fn send(route: &Route, body: Vec<u8>) -> Result<Response<Incoming>, String> {
    let connect = tokio::net::TcpStream::connect(route.upstream.address);
    let stream = timeout(CONNECT_TIME, connect).await.map_err(|_| "connecting took too long".to_owned())?;
    let stream = stream.map_err(|error| format!("connecting failed: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("speaking HTTP failed: {error}"))?;
    // It ends with the connection; what went wrong on it is seen at the body.
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        route.upstream.target.parse().map_err(|_| "the endpoint's path is no target".to_owned())?;
    let headers = request.headers_mut();
    let host =
        HeaderValue::from_str(&route.upstream.authority).map_err(|_| "the endpoint's name is no header")?;
    headers.insert(header::HOST, host);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let agent = concat!("cto-harness/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    if let Some(key) = &route.key {
        let value = key.authorization().map_err(|_| "the key holds what a header cannot".to_owned())?;
        headers.insert(header::AUTHORIZATION, value);
    }
    let answer = timeout(SILENCE, sender.send_request(request)).await;
    answer
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| format!("the request failed: {error}"))
}

/// Carries an answer's frames over, within bounds, and says at the end how much it was.
struct Pump {
    call: u64,
    status: StatusCode,
    filter: KeyFilter,
    frames: mpsc::Sender<std::io::Result<Bytes>>,
}

impl Pump {
    async fn run(mut self, body: Incoming, desk: Arc<Desk>) {
        let mut bytes = 0_u64;
        let error = self.carry(body, &mut bytes).await.err();
        if let Some(why) = &error {
            // The receiver may be gone, which is one way to end here.
            drop(self.frames.send(Err(std::io::Error::other(why.clone()))).await);
        }
        let data = json!({"call": self.call, "stage": "answer", "status": self.status.as_u16(), "bytes": bytes,
            "error": error});
        desk.ended(data).await;
    }

    async fn carry(&mut self, mut body: Incoming, bytes: &mut u64) -> Result<(), String> {
        loop {
            let next =
                timeout(SILENCE, body.frame()).await.map_err(|_| "the endpoint fell silent".to_owned())?;
            let Some(frame) = next else { break };
            let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
            let Ok(data) = frame.into_data() else { continue };
            *bytes = bytes.saturating_add(data.len() as u64);
            if *bytes > ANSWER_BYTES {
                return Err(format!("the answer is larger than {ANSWER_BYTES} bytes"));
            }
            self.push(&data).await?;
        }
        let rest = self.filter.finish();
        if rest.is_empty() { Ok(()) } else { self.hand_on(rest).await }
    }

    async fn push(&mut self, data: &[u8]) -> Result<(), String> {
        let out = self.filter.pass(data);
        if out.is_empty() { Ok(()) } else { self.hand_on(out).await }
    }

    async fn hand_on(&self, bytes: Vec<u8>) -> Result<(), String> {
        let sent = timeout(SILENCE, self.frames.send(Ok(Bytes::from(bytes)))).await;
        sent.map_err(|_| "the engine did not read".to_owned())?.map_err(|_| "the engine went away".to_owned())
    }
}
