//! What a connection is doing: reading the head of a request, answering, or nothing; and since when.
//!
//! Seen from both sides: the socket says when bytes arrive ([`Watched`]), the service says when a request begins and, through the
//! response's body ([`Counted`]), when its answer has been handed over. From that [`Activity::overdue`] tells whether the connection has
//! taken too long. The clock is an argument wherever a decision is made.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Limits;

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request takes too long.
    Head,
    /// There has been no request for too long.
    Idle,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// How many requests are being answered.
    answering: usize,
    /// Whether there was a request yet.
    begun: bool,
    /// Whether requests share the connection (HTTP/2). Then bytes arrive that belong to no request.
    multiplexed: bool,
    /// When the first byte arrived that no request has claimed yet.
    head_since: Option<Instant>,
    /// When the connection was opened or the last answer ended.
    quiet_since: Instant,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            answering: 0,
            begun: false,
            multiplexed: false,
            head_since: None,
            quiet_since: now,
        })))
    }

    /// The state. It is whole after each statement, so a panic elsewhere has not spoilt it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes arrived.
    fn heard(&self) {
        let mut state = self.state();
        if state.answering == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// A request begins; its answer ends when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, multiplexed: bool) -> Answering {
        let mut state = self.state();
        state.answering += 1;
        state.begun = true;
        state.multiplexed |= multiplexed;
        state.head_since = None;
        drop(state);
        Answering(Arc::clone(self))
    }

    fn end(&self, now: Instant) {
        let mut state = self.state();
        state.answering = state.answering.saturating_sub(1);
        if state.answering == 0 {
            state.quiet_since = now;
        }
    }

    /// Whether the connection has taken longer than it may.
    pub(super) fn overdue(&self, limits: &Limits, now: Instant) -> Option<Overdue> {
        let state = self.state();
        if state.answering > 0 {
            return None;
        }
        let head_since = if !state.begun {
            // A connection that was opened for nothing, or is silent on purpose, gets no more time than a slow one.
            Some(state.quiet_since)
        } else if state.multiplexed {
            None
        } else {
            state.head_since
        };
        if head_since.is_some_and(|since| now.duration_since(since) >= limits.head) {
            return Some(Overdue::Head);
        }
        (now.duration_since(state.quiet_since) >= limits.idle).then_some(Overdue::Idle)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.end(Instant::now());
    }
}

/// The body of an answer; the request is being answered for as long as it exists.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    _answering: Answering,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that reports what arrives on it. It also holds the connection's slot, which is thus taken until the stream is closed, by
/// whoever owns it then: an upgraded connection outlives HTTP.
#[derive(Debug)]
pub(super) struct Watched<T> {
    stream: T,
    activity: Arc<Activity>,
    _slot: OwnedSemaphorePermit,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, activity: Arc<Activity>, slot: OwnedSemaphorePermit) -> Self {
        Self { stream, activity, _slot: slot }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.heard();
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begun(start: Instant, multiplexed: bool) -> Arc<Activity> {
        let activity = Activity::new(start);
        drop(activity.begin(multiplexed));
        activity.end(start);
        activity
    }

    #[test]
    fn a_connection_must_say_something_soon() {
        let (limits, start) = (Limits::default(), Instant::now());
        let activity = Activity::new(start);
        assert_eq!(activity.overdue(&limits, start + 9 * SECOND), None);
        assert_eq!(activity.overdue(&limits, start + 10 * SECOND), Some(Overdue::Head));
        activity.heard();
        assert_eq!(activity.overdue(&limits, start + 10 * SECOND), Some(Overdue::Head));
    }

    #[test]
    fn a_request_in_progress_is_never_overdue() {
        let (limits, start) = (Limits::default(), Instant::now());
        let activity = Activity::new(start);
        let answering = activity.begin(false);
        let another = activity.begin(false);
        drop(answering);
        assert_eq!(activity.overdue(&limits, start + 9999 * SECOND), None);
        drop(another);
        assert_eq!(activity.overdue(&limits, start + 9999 * SECOND), Some(Overdue::Idle));
    }

    #[test]
    fn a_kept_connection_may_idle_but_not_dawdle() {
        let (limits, start) = (Limits::default(), Instant::now());
        let activity = begun(start, false);
        assert_eq!(activity.overdue(&limits, start + 74 * SECOND), None);
        assert_eq!(activity.overdue(&limits, start + 75 * SECOND), Some(Overdue::Idle));
        activity.heard();
        assert_eq!(activity.overdue(&limits, start + 9 * SECOND), None);
        assert_eq!(activity.overdue(&limits, start + 11 * SECOND), Some(Overdue::Head));
    }

    #[test]
    fn bytes_between_the_requests_of_http_2_are_not_a_head() {
        let (limits, start) = (Limits::default(), Instant::now());
        let activity = begun(start, true);
        activity.heard();
        assert_eq!(activity.overdue(&limits, start + 74 * SECOND), None);
        assert_eq!(activity.overdue(&limits, start + 75 * SECOND), Some(Overdue::Idle));
    }
}
