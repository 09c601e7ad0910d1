//! One model request: its head and body checked, and a call made of it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::answer::Answer;
use super::call::Call;
use super::desk::Desk;
use super::refuse::Refusal;
use super::schema::{self, Checked};
use super::serve::Route;

/// Bytes of a request's body, and of all that are read at a time.
pub(super) const REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a body that is checked in less time than it takes to hand it to another thread and back.
const CHECKED_HERE: usize = 64 * 1024;
/// How long the body of a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Checks a request and carries it out.
pub(super) async fn forward(
    request: Request<Incoming>,
    route: &Arc<Route>,
    desk: &Arc<Desk>,
) -> Result<Response<Answer>, Refusal> {
    check_head(&request, route.dialect.path())?;
    let checked = read(request.into_body(), route, desk).await?;
    let (asker, answer) = oneshot::channel();
    tokio::spawn(Call::carry_out(Arc::clone(route), Arc::clone(desk), checked, asker));
    answer.await.map_err(|_| ended())?
}

fn ended() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "egress.ended", "the run is over")
}

/// Whether a request's head is that of the one request that is let through.
fn check_head(request: &Request<Incoming>, path: &str) -> Result<(), Refusal> {
    let uri = request.uri();
    if uri.authority().is_some() || uri.scheme().is_some() {
        return Err(Refusal::route("an absolute or authority target; this is no proxy"));
    }
    if request.method() != Method::POST || uri.path() != path || uri.query().is_some() {
        return Err(Refusal::route(format!("only POST {path} is let through")));
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

/// Reads a body and checks it. What is inside has many connections, and the harness one memory: all bodies that are
/// read at a time have together as much room as the largest one alone, and large ones are checked one at a time, beside the
/// event loop, so that a stop is heard meanwhile; a small one would spend more time on the way there and back. Whoever
/// hangs up ends no check, so the check itself holds room and turn.
async fn read(body: Incoming, route: &Route, desk: &Desk) -> Result<Checked, Refusal> {
    // Whoever does not say how much comes may bring as much as there is room for.
    let most = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let most = u32::try_from(most.unwrap_or(REQUEST_BYTES).min(REQUEST_BYTES)).unwrap_or(u32::MAX);
    let room = Arc::clone(&desk.room_for_bodies).acquire_many_owned(most).await.map_err(|_| ended())?;
    let bytes = collect(body).await?;
    if bytes.len() <= CHECKED_HERE {
        return schema::check(&bytes, route.dialect, &route.model, route.purse.is_some());
    }
    let turn = Arc::clone(&desk.large_bodies).acquire_owned().await.map_err(|_| ended())?;
    let (dialect, model, priced) = (route.dialect, route.model.clone(), route.purse.is_some());
    let check = move || {
        let _held = (room, turn);
        schema::check(&bytes, dialect, &model, priced)
    };
    tokio::task::spawn_blocking(check).await.map_err(|_| ended())?
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
