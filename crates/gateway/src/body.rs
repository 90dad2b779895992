//! A request's body on its way to the upstream: no larger than allowed, no slower than is borne.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::identity::is_forged;

/// How long the next piece of a request's body may take to come.
const NEXT_PIECE: Duration = Duration::from_secs(60);

/// Stands for a body that was too large.
pub(crate) const TOO_MUCH: u64 = u64::MAX;

/// A request's body on its way: no larger than allowed, no slower than is borne.
#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Incoming,
    left: u64,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Rises with each piece; [`TOO_MUCH`] for a body that was too large.
    pub(crate) progress: Arc<AtomicU64>,
}

impl Guarded {
    pub(crate) fn new(inner: Incoming, limit: u64) -> Self {
        Self { inner, left: limit, waiting: None, progress: Arc::default() }
    }
}

/// Trailers without what no trailer may say (RFC 9110 section 6.5.1), and without what only the gateway says.
fn harmless(frame: Frame<Bytes>) -> Frame<Bytes> {
    let mut trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(frame) => return frame,
    };
    let bad = |name: &HeaderName| {
        is_forged(name.as_str())
            || [AUTHORIZATION, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TE, CONNECTION, UPGRADE, COOKIE].contains(name)
    };
    let bad: Vec<HeaderName> = trailers.keys().filter(|name| bad(name)).cloned().collect();
    for name in bad {
        trailers.remove(&name);
    }
    Frame::trailers(trailers)
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                let length = frame.data_ref().map_or(0, Bytes::len);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                if length > self.left {
                    self.progress.store(TOO_MUCH, Ordering::Relaxed);
                    return Poll::Ready(Some(Err("the body is larger than allowed".into())));
                }
                self.left -= length;
                self.progress.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(harmless(frame))))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(NEXT_PIECE)));
                match waiting.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err("the body came too slowly".into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
