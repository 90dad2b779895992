//! Fetching from others: the one thing that flows ask of the network, as a trait that the server fulfils.

use std::future::Future;
use std::pin::Pin;

/// A future that a trait object gives back.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The whole body.
    pub body: Vec<u8>,
    /// Seconds for which the server says it may be kept (RFC 9111 section 5.2.2); 0 for not at all.
    pub max_age: Option<i64>,
}

/// A guarded outbound GET: public addresses only unless allowed, limits on size and time, no redirects.
pub trait Fetch: Send + Sync + 'static {
    /// A 200 answer, or why there is none.
    fn get<'a>(&'a self, url: &'a str) -> Boxed<'a, Result<Fetched, String>>;

    /// Posts a form as a client (HTTP Basic), and gives the body of a 200 answer.
    ///
    /// The default says that nothing is posted: for those who fetch only.
    fn post_as<'a>(
        &'a self,
        _url: &'a str,
        _client: (&'a str, &'a str),
        _form: String,
    ) -> Boxed<'a, Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err("nothing can be posted".to_owned())))
    }

    /// Whether a URL may be asked at all, as far as can be told now: for settings, before they are saved. A name that
    /// does not resolve yet is let through, since each request is judged again.
    fn admits<'a>(&'a self, url: &'a str) -> Boxed<'a, Result<(), String>>;
}
