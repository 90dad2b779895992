//! The parameters of a request, in order, repeated ones included.

use std::collections::HashSet;

/// Names and values as the body held them; control characters are gone, as Keycloak drops them.
#[derive(Debug, Default)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

/// Longer values are refused, except those that hold a token or an assertion.
const LONGEST: usize = 4_000;

/// So many names are compared with each other in less time than a set of them is made.
const FEW: usize = 12;

/// Parameters that hold tokens: as long as the body allows.
const LONG: [&str; 6] = ["refresh_token", "token", "client_assertion", "assertion", "subject_token", "id_token_hint"];

impl Parameters {
    /// Takes pairs over and drops control characters from the values.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let clean = |text: String| {
            if text.chars().any(char::is_control) { text.chars().filter(|c| !c.is_control()).collect() } else { text }
        };
        Self { pairs: pairs.into_iter().map(|(name, value)| (clean(name), clean(value))).collect() }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The name of a parameter that occurs twice, also an unknown one (RFC 6749 section 3.2).
    pub fn repeated(&self) -> Option<&str> {
        let names = || self.pairs.iter().map(|(name, _)| name.as_str());
        if self.pairs.len() <= FEW {
            return names()
                .enumerate()
                .find(|(at, name)| names().take(*at).any(|other| other == *name))
                .map(|(_, name)| name);
        }
        // A set, since a body has room for tens of thousands of names.
        let mut seen = HashSet::with_capacity(self.pairs.len());
        names().find(|name| !seen.insert(*name))
    }

    /// The name of a parameter whose value is longer than is read.
    pub fn too_long(&self) -> Option<&str> {
        let long = |(name, value): &&(String, String)| value.len() > LONGEST && !LONG.contains(&name.as_str());
        self.pairs.iter().find(long).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn control_characters_are_dropped() {
        assert_eq!(parameters(&[("scope", "open\0id\n")]).get("scope"), Some("openid"));
    }

    #[test]
    fn repeated_names_are_found() {
        assert_eq!(parameters(&[("a", "1"), ("b", "2"), ("a", "1")]).repeated(), Some("a"));
        assert_eq!(parameters(&[("a", "1"), ("A", "2")]).repeated(), None);
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let mut pairs: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(parameters(&pairs).repeated(), None);
        pairs.push(("57", ""));
        assert_eq!(parameters(&pairs).repeated(), Some("57"));
    }

    #[test]
    fn only_tokens_may_be_long() {
        let long = "x".repeat(4_001);
        assert_eq!(parameters(&[("scope", &long)]).too_long(), Some("scope"));
        assert_eq!(parameters(&[("refresh_token", &long)]).too_long(), None);
    }
}
