//! Fetching from others: the one thing that flows ask of the network, as a trait that the server fulfils.

use std::future::Future;
use std::pin::Pin;

/// A future that a trait object gives back.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A guarded outbound GET: public addresses only unless allowed, limits on size and time, no redirects.
pub trait Fetch: Send + Sync + 'static {
    /// The body of a 200 answer, or why there is none.
    fn get<'a>(&'a self, url: &'a str) -> Boxed<'a, Result<Vec<u8>, String>>;
}
