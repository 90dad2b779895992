//! The types of configuration values: what each accepts, and how it is written.
//!
//! Each type reads itself from text (`FromStr`) and writes itself back (`Display`); serde goes through the same two, so the file, the
//! environment and the flags accept exactly the same words. What is wrong with a text is said by [`Invalid`], for a person; where the
//! text came from is said by whoever read it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is wrong with a value, as a phrase to be read after the place where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub(super) String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// Lets serde read and write a type through its `FromStr` and `Display`.
macro_rules! written_as_text {
    ($($type:ty),+ $(,)?) => {$(
        impl TryFrom<String> for $type {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}

pub(super) use written_as_text;

written_as_text!(Listen, PublicUrl, DatabaseUrl);

/// Where a listener listens, or that it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// Nothing listens.
    Off,
    /// Address and port.
    At(SocketAddr),
}

impl Listen {
    /// A port of the loopback address, where only this machine can reach it.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address, unless the listener is switched off.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| {
            Invalid(format!("\"{text}\" is not ADDRESS:PORT (such as 127.0.0.1:8080 or [::1]:8080), nor \"off\""))
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// The URL under which the server is known, without a trailing slash: the beginning of every issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| Err(Invalid(format!("\"{text}\" {what}")));
        let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
            return wrong("does not begin with https:// or http://");
        };
        if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            return Err(Invalid("the URL must not hold a user name or password".to_owned()));
        }
        if text.contains('#') {
            return wrong("has a fragment (#): leave it out");
        }
        if text.contains('?') {
            return wrong("has a query (?): leave it out");
        }
        if !has_host(text) {
            return wrong("is not a URL such as https://id.example.org");
        }
        if let Some(without) = text.strip_suffix('/') {
            return wrong(&format!("ends with a slash: write \"{}\"", without.trim_end_matches('/')));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether a URL parses, names a host, and has a port that exists if it has one.
fn has_host(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.authority().is_some_and(|authority| {
            let bare = authority.as_str() == authority.host();
            !authority.host().is_empty() && (bare || authority.port_u16().is_some())
        })
    })
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which database to open. A PostgreSQL URL holds a password, so everything that prints this value prints it without;
/// [`DatabaseUrl::as_str`] is the one way to the whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// An embedded database in this file.
    #[must_use]
    pub fn sqlite(file: &Path) -> Self {
        Self(format!("sqlite:{}", file.display()))
    }

    /// The URL with its password, to open the database with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The text is not repeated in the refusal: what is mistyped may be a password.
        let known = ["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if known {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid("the URL is neither sqlite:FILE nor postgres://USER:PASSWORD@HOST/DATABASE".to_owned()))
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The least important kind of line that is still logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what needs somebody to act.
    Error,
    /// Also what may need somebody to act.
    Warn,
    /// Also one line for each request.
    #[default]
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, which is also the directive that `tracing-subscriber` understands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What stands where a password was.
pub(super) const REDACTED: &str = "[redacted]";

/// The text without the password of the URL in it.
pub(super) fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(range) = secret_range(&text) {
        text.replace_range(range, REDACTED);
    }
    text
}

/// Where a text holds the password of a URL: between the user's name and the `@`, or in the query. Too much is taken rather than too
/// little, since a line of a configuration file with a mistake in it need not be a URL at all.
pub(super) fn secret_range(text: &str) -> Option<Range<usize>> {
    match (password_of_user(text), password_in_query(text)) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    }
}

fn password_of_user(text: &str) -> Option<Range<usize>> {
    let begin = text.find("://")? + "://".len();
    let end = begin + text.get(begin..)?.rfind('@')?;
    let colon = begin + text.get(begin..end)?.find(':')?;
    Some(colon + 1..end)
}

fn password_in_query(text: &str) -> Option<Range<usize>> {
    let begin = text.find("password=")? + "password=".len();
    let rest = text.get(begin..)?;
    let length = rest.find(['&', '"', '\'', ' ']).unwrap_or(rest.len());
    Some(begin..begin + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn refusal<T: FromStr<Err = Invalid>>(text: &str) -> Option<String> {
        text.parse::<T>().err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn a_listener_is_an_address_or_off() -> Outcome {
        assert_eq!("off".parse::<Listen>()?, Listen::Off);
        assert_eq!("127.0.0.1:8080".parse::<Listen>()?, Listen::loopback(8080));
        assert_eq!("[::1]:80".parse::<Listen>()?.to_string(), "[::1]:80");
        for wrong in ["8080", "localhost:8080", "127.0.0.1", "Off", ""] {
            assert_eq!(
                refusal::<Listen>(wrong),
                Some(format!("\"{wrong}\" is not ADDRESS:PORT (such as 127.0.0.1:8080 or [::1]:8080), nor \"off\""))
            );
        }
        Ok(())
    }

    #[test]
    fn a_public_url_is_exact() -> Outcome {
        for right in ["https://id.example.org", "http://localhost:8080", "https://example.org/id", "https://[::1]:8443"]
        {
            assert_eq!(right.parse::<PublicUrl>()?.as_str(), right);
        }
        let cases = [
            ("id.example.org", "\"id.example.org\" does not begin with https:// or http://"),
            ("ftp://id.example.org", "\"ftp://id.example.org\" does not begin with https:// or http://"),
            ("https://u:p@id.example.org", "the URL must not hold a user name or password"),
            (
                "https://id.example.org/",
                "\"https://id.example.org/\" ends with a slash: write \"https://id.example.org\"",
            ),
            ("https://id.example.org?a", "\"https://id.example.org?a\" has a query (?): leave it out"),
            ("https://id.example.org#a", "\"https://id.example.org#a\" has a fragment (#): leave it out"),
            ("https://", "\"https://\" is not a URL such as https://id.example.org"),
            ("https://id:99999", "\"https://id:99999\" is not a URL such as https://id.example.org"),
            ("https://a b", "\"https://a b\" is not a URL such as https://id.example.org"),
        ];
        for (wrong, message) in cases {
            assert_eq!(refusal::<PublicUrl>(wrong).as_deref(), Some(message));
        }
        Ok(())
    }

    #[test]
    fn a_database_url_never_prints_its_password() -> Outcome {
        let cases = [
            ("postgres://grantor:hunter2@db/grantor", "postgres://grantor:[redacted]@db/grantor"),
            ("postgres://grantor:a@b@db/grantor", "postgres://grantor:[redacted]@db/grantor"),
            (
                "postgresql://db/grantor?user=u&password=hunter2&x=1",
                "postgresql://db/grantor?user=u&password=[redacted]&x=1",
            ),
            ("postgres://grantor@db:5432/grantor", "postgres://grantor@db:5432/grantor"),
            ("sqlite:./grantor-data/grantor.db", "sqlite:./grantor-data/grantor.db"),
        ];
        for (text, shown) in cases {
            let url: DatabaseUrl = text.parse()?;
            assert_eq!(url.as_str(), text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
            assert_eq!(serde_json::to_value(&url)?, serde_json::Value::from(shown));
        }
        for wrong in ["mysql://u:hunter2@db/x", "sqlite:", "", "postgres:hunter2"] {
            assert_eq!(
                refusal::<DatabaseUrl>(wrong).as_deref(),
                Some("the URL is neither sqlite:FILE nor postgres://USER:PASSWORD@HOST/DATABASE")
            );
        }
        Ok(())
    }
}
