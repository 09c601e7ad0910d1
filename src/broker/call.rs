//! One model call from its reservation to its settlement, whoever is still there to hear the answer.
//!
//! It is a task of its own: an engine that hangs up ends a connection and not the call, because what it used is only
//! known when the provider has said so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::answer::{Answer, plain};
use super::desk::Desk;
use super::dial::{SILENCE, Unanswered};
use super::key::KeyFilter;
use super::purse::CallEnd;
use super::refuse::{Refusal, unanswered};
use super::schema::{Checked, Rebuilt};
use super::serve::Route;
use super::spend::Reserved;
use super::trouble::Trouble;
use super::usage::{Form, Reader, Told};

/// Bytes of one answer.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;
/// Media types of an answer that are passed on, in these words.
const MEDIA_TYPES: [(&str, Form); 3] =
    [("text/event-stream", Form::Events), ("application/json", Form::Document), ("text/plain", Form::Other)];
/// How a call ended that nobody waited for.
const GONE: &str = "the engine went away";
/// Digits of a waiting time that is passed on.
const WAIT_DIGITS: usize = 6;

/// Whoever asked; gone when he hung up.
pub(super) type Asker = oneshot::Sender<Result<Response<Answer>, Refusal>>;

/// A call under way.
pub(super) struct Call {
    number: u64,
    route: Arc<Route>,
    desk: Arc<Desk>,
    reserved: Option<Reserved>,
    begun: Instant,
    /// From the sending of the request to the answer's first byte.
    first_byte: Option<Duration>,
}

/// What is known of a call that is over.
struct Ended {
    status: Option<StatusCode>,
    bytes: u64,
    told: Told,
    error: Option<String>,
    trouble: Option<Trouble>,
    end: CallEnd,
}

impl Call {
    /// Carries a call out and answers `asker`.
    pub(super) async fn carry_out(route: Arc<Route>, desk: Arc<Desk>, request: Checked, asker: Asker) {
        let number = match desk.next_call() {
            Ok(number) => number,
            Err(refusal) => return drop(asker.send(Err(refusal))),
        };
        let mut call = Self { number, route, desk, reserved: None, begun: Instant::now(), first_byte: None };
        let size = request.size;
        if let Some(purse) = &call.route.purse {
            match purse.reserve(number, &size, &call.desk).await {
                Ok(reserved) => call.reserved = Some(reserved),
                Err(refusal) => {
                    call.desk.not_forwarded();
                    return drop(asker.send(Err(refusal)));
                }
            }
        }
        let most = call.reserved.map(|reserved| reserved.max_output_tokens);
        call.forward(request.bounded(most.or(size.wanted_output_tokens)), asker).await;
    }

    async fn forward(mut self, Rebuilt { bytes, digest }: Rebuilt, asker: Asker) {
        let upstream = self.route.dial.upstream();
        let data = json!({"call": self.number, "stage": "request", "method": "POST", "endpoint": upstream.authority,
            "path": upstream.target(self.route.dialect), "model": self.route.model, "request_bytes": bytes.len(),
            "request_digest": digest.to_string()});
        // On record before it is done.
        let request = match self.desk.allowed(data).await {
            Ok(()) => self.request(bytes),
            Err(refusal) => Err(refusal),
        };
        let request = match request {
            Ok(request) => request,
            Err(refusal) => {
                self.desk.not_forwarded();
                self.over(Ended::not_sent(refusal.sentence.clone())).await;
                return drop(asker.send(Err(refusal)));
            }
        };
        self.begun = Instant::now();
        let mut asker = asker;
        let answered = tokio::select! {
            answered = self.route.dial.send(request) => answered,
            // What nobody waits for and nobody pays for ends here.
            () = asker.closed(), if self.reserved.is_none() => Err(Unanswered::hung_up()),
        };
        let (answer, sender) = match answered {
            Ok(answered) => answered,
            Err(without) => {
                let body = unanswered(&without.why);
                self.over(Ended::unanswered(without)).await;
                return drop(asker.send(Ok(plain(StatusCode::BAD_GATEWAY, body))));
            }
        };
        let (parts, body) = answer.into_parts();
        let (frames, passed_on) = Answer::channel();
        let mut response = Response::new(passed_on);
        *response.status_mut() = parts.status;
        let form = pass_headers(&parts.headers, response.headers_mut());
        // Whoever hung up meanwhile hears nothing, and the answer is read all the same where money is at stake.
        drop(asker.send(Ok(response)));
        let reader = Reader::new(self.route.dialect, form);
        let filter = KeyFilter::new(self.route.key.as_ref());
        let carried = Carrier { frames: Some(frames), filter, reader, bytes: 0 };
        let dial = self.route.dial.clone();
        if self.carry(carried, body, parts.status).await {
            dial.rest(sender);
        }
    }

    fn request(&self, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Refusal> {
        let odd = |what: &str| Refusal::new(StatusCode::BAD_GATEWAY, "egress.endpoint", what);
        let (upstream, dialect) = (self.route.dial.upstream(), self.route.dialect);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            upstream.target(dialect).parse().map_err(|_| odd("the endpoint's path is no target"))?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&upstream.authority)
            .map_err(|_| odd("the endpoint's name is no header"))?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        // Read as it is: an encoded answer could not be read along.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let agent = concat!("cto-harness/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in dialect.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        if let Some(key) = &self.route.key {
            let (name, before) = dialect.key_header();
            let value = key.header(before).map_err(|_| odd("the key holds what a header cannot"))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// Carries the answer over; whether it came to its own end.
    async fn carry(mut self, mut carrier: Carrier, mut body: Incoming, status: StatusCode) -> bool {
        let (began, mut first) = (self.begun, None);
        let paid = self.reserved.is_some();
        let error =
            carrier.all(&mut body, paid, || *first.get_or_insert_with(|| began.elapsed())).await.err();
        self.first_byte = first;
        if let Some(why) = &error {
            carrier.break_off(why).await;
        }
        let told = carrier.reader.finish(status.as_u16());
        let end = match told.usage {
            Some(usage) => CallEnd::Used(usage),
            None if error.is_none() && Trouble::costs_nothing(status) => CallEnd::Refused,
            None => CallEnd::Lost,
        };
        let whole = error.is_none();
        let trouble = told.trouble.or_else(|| error.as_ref().map(|_| Trouble::BrokenOff));
        self.over(Ended { status: Some(status), bytes: carrier.bytes, told, error, trouble, end }).await;
        whole
    }

    /// Settles and records.
    async fn over(&self, ended: Ended) {
        let cost = match (&self.route.purse, self.reserved) {
            (Some(purse), Some(reserved)) => purse.close(self.number, reserved, ended.end, &self.desk).await,
            _ => None,
        };
        let Ended { status, bytes, told, error, trouble, .. } = ended;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let tokens = |count: fn(&super::spend::Usage) -> u64| told.usage.as_ref().map(count);
        let data = json!({"call": self.number, "stage": "answer", "status": status.map(|status| status.as_u16()),
            "bytes": bytes, "error": error, "trouble": trouble, "model": said(told.model.as_deref()),
            "response": said(told.id.as_deref()),
            "input_tokens": tokens(|usage| usage.input_tokens),
            "cached_input_tokens": tokens(|usage| usage.cached_input_tokens),
            "output_tokens": tokens(|usage| usage.output_tokens),
            "cost_micro_usd": cost, "first_byte_ms": self.first_byte.map(millis), "ms": millis(self.begun.elapsed())});
        self.desk.ended(data).await;
    }
}

/// What a provider calls something, bounded and made visible.
fn said(name: Option<&str>) -> Option<String> {
    /// Characters.
    const MOST: usize = 120;
    name.map(|name| crate::vocab::shown(&name.chars().take(MOST).collect::<String>()))
}

impl Ended {
    fn not_sent(why: String) -> Self {
        let (told, end) = (Told::default(), CallEnd::NotSent);
        Self { status: None, bytes: 0, told, error: Some(why), trouble: None, end }
    }

    fn unanswered(unanswered: Unanswered) -> Self {
        let end = if unanswered.may_have_left { CallEnd::Lost } else { CallEnd::NotSent };
        Self {
            status: None,
            bytes: 0,
            told: Told::default(),
            error: Some(unanswered.why),
            trouble: Some(unanswered.trouble),
            end,
        }
    }
}

/// Carries an answer's frames over, within bounds, and reads along.
struct Carrier {
    /// `None` once nobody takes them.
    frames: Option<mpsc::Sender<std::io::Result<Bytes>>>,
    filter: KeyFilter,
    reader: Reader,
    bytes: u64,
}

impl Carrier {
    /// Everything that comes. Where nobody takes it any more it is read on only if it is `paid` for.
    async fn all(
        &mut self,
        body: &mut Incoming,
        paid: bool,
        mut on_byte: impl FnMut() -> Duration,
    ) -> Result<(), String> {
        loop {
            let gone = async {
                match &self.frames {
                    Some(frames) if !paid => frames.closed().await,
                    _ => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = timeout(SILENCE, body.frame()) => next.map_err(|_| "the endpoint fell silent".to_owned())?,
                () = gone => return Err(GONE.to_owned()),
            };
            let Some(frame) = next else { break };
            let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
            let Ok(data) = frame.into_data() else { continue };
            on_byte();
            self.bytes = self.bytes.saturating_add(data.len() as u64);
            if self.bytes > ANSWER_BYTES {
                return Err(format!("the answer is larger than {ANSWER_BYTES} bytes"));
            }
            self.reader.take(&data);
            let out = self.filter.pass(&data);
            self.hand_on(out, paid).await?;
        }
        let rest = self.filter.finish();
        self.hand_on(rest, paid).await
    }

    async fn hand_on(&mut self, bytes: Vec<u8>, paid: bool) -> Result<(), String> {
        let Some(frames) = self.frames.as_ref().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        let sent = timeout(SILENCE, frames.send(Ok(Bytes::from(bytes)))).await;
        let gone = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => GONE,
            Err(_) => "the engine did not read",
        };
        self.frames = None;
        if paid { Ok(()) } else { Err(gone.to_owned()) }
    }

    /// Whoever still reads must not take what he has for the whole.
    async fn break_off(&mut self, why: &str) {
        if let Some(frames) = self.frames.take() {
            drop(frames.send(Err(std::io::Error::other(why.to_owned()))).await);
        }
    }
}

/// Two headers come in, and neither in the endpoint's own words: those could hold the key that it was sent.
fn pass_headers(from: &HeaderMap, to: &mut HeaderMap) -> Form {
    let said = from.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = said.split(';').next().unwrap_or("").trim();
    let digits = |wait: &&HeaderValue| {
        (1..=WAIT_DIGITS).contains(&wait.len()) && wait.as_bytes().iter().all(u8::is_ascii_digit)
    };
    if let Some(wait) = from.get(header::RETRY_AFTER).filter(digits) {
        to.insert(header::RETRY_AFTER, wait.clone());
    }
    let Some((known, form)) = MEDIA_TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(media)) else {
        return Form::Other;
    };
    to.insert(header::CONTENT_TYPE, HeaderValue::from_static(known));
    *form
}
