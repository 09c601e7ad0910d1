//! The body of an answer: frames that another task brings, passed on one by one.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

/// A body whose frames come over a bounded channel; an error aborts the connection, so that a cut answer is never
/// taken for a whole one.
pub(super) struct Answer {
    frames: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// Frames between the two sides; more would only fill memory.
const FRAMES: usize = 8;

impl Answer {
    pub(super) fn channel() -> (mpsc::Sender<std::io::Result<Bytes>>, Self) {
        let (sender, frames) = mpsc::channel(FRAMES);
        (sender, Self { frames })
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self::channel().1
    }

    /// A whole body at once.
    pub(super) fn whole(text: String) -> Self {
        let (sender, body) = Self::channel();
        // The channel is new and has room, so this cannot fail.
        drop(sender.try_send(Ok(Bytes::from(text))));
        body
    }
}

/// A small JSON answer.
pub(super) fn plain(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.frames.poll_recv(context).map(|next| next.map(|result| result.map(Frame::data)))
    }
}
