//! Answers that last (WebSocket, server-sent events, gRPC) end when the token that opened them is revoked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::Gateway;
use crate::enforce::Allowed;
use crate::known::Known;

/// How often a lasting answer asks whether its token still stands.
const LOOK: Duration = Duration::from_millis(500);

/// By which token at which API something was opened.
#[derive(Debug)]
pub(crate) struct Lease {
    gateway: Arc<Gateway>,
    api: String,
    known: Arc<Known>,
}

impl Lease {
    /// That of a call; `None` where nobody was asked for a token.
    pub(crate) fn of(gateway: &Arc<Gateway>, allowed: &Allowed) -> Option<Self> {
        let known = allowed.known.clone()?;
        Some(Self { gateway: gateway.clone(), api: allowed.api.name.clone(), known })
    }

    fn holds(&self) -> bool {
        self.gateway.stands(&self.api, &self.known)
    }

    /// Returns once the token is revoked.
    pub(crate) async fn ended(&self) {
        while self.holds() {
            sleep(LOOK).await;
        }
    }
}

/// An answer's body on its way to the caller.
#[derive(Debug)]
pub struct Watched {
    inner: Incoming,
    lease: Option<(Lease, Pin<Box<Sleep>>)>,
}

impl Watched {
    pub(crate) fn new(inner: Incoming, lease: Option<Lease>) -> Self {
        Self { inner, lease: lease.map(|lease| (lease, Box::pin(sleep(LOOK)))) }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some((lease, next)) = &mut self.lease {
            while next.as_mut().poll(context).is_ready() {
                if !lease.holds() {
                    return Poll::Ready(Some(Err("the token that opened this answer was revoked".into())));
                }
                next.set(sleep(LOOK));
            }
        }
        Pin::new(&mut self.inner).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
