//! Why a token or a key was refused.
//!
//! Every text may be shown to whoever sent the token: none holds key material, claims, or characters that
//! `error_description` may not hold (RFC 6749 section 5.2). What is made of it is the caller's matter.

use std::fmt;

/// Why a token or a key was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoseError {
    /// The text is not what it should be; says which part.
    Malformed(&'static str),
    /// The token is longer than is read.
    TooLarge,
    /// The token names an algorithm that does not exist here. Made by [`JoseError::unsupported`].
    UnsupportedAlgorithm(String),
    /// The algorithm exists, but this key must not be used with it.
    AlgorithmNotForKey,
    /// The signature is not this key's signature of this message.
    SignatureInvalid,
    /// The key cannot be used; says why.
    KeyUnusable(&'static str),
    /// The cryptographic library failed at something that only fails when the machine is in trouble.
    Backend,
}

impl JoseError {
    /// How much of an unknown algorithm's name is repeated: longer than every registered one.
    const SHOWN_NAME: usize = 24;

    /// An algorithm that does not exist here. The name comes from a stranger's token, so only its first characters
    /// are kept, and only those that are safe in an answer, a header and a log.
    pub fn unsupported(name: &str) -> Self {
        let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.');
        Self::UnsupportedAlgorithm(name.chars().filter(safe).take(Self::SHOWN_NAME).collect())
    }
}

impl fmt::Display for JoseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) | Self::KeyUnusable(what) => out.write_str(what),
            Self::TooLarge => out.write_str("the token is too large"),
            Self::UnsupportedAlgorithm(name) => write!(out, "the algorithm '{name}' is not supported"),
            Self::AlgorithmNotForKey => out.write_str("the algorithm does not fit the key"),
            Self::SignatureInvalid => out.write_str("the signature is not valid"),
            Self::Backend => out.write_str("the cryptographic library failed"),
        }
    }
}

impl std::error::Error for JoseError {}

#[cfg(test)]
mod tests {
    use super::JoseError;

    #[test]
    fn a_foreign_name_is_shown_short_and_harmless() {
        let error = JoseError::unsupported("<b>\"no\nne\\</b>");
        assert_eq!(error.to_string(), "the algorithm 'bnoneb' is not supported");
        let long = JoseError::unsupported(&"A".repeat(60_000));
        assert!(long.to_string().len() < 64);
    }
}
