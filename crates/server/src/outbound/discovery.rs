//! What an issuer says about itself (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).

use serde_json::{Map, Value};

use super::Outbound;

/// The metadata of an issuer, which was found to be its own.
#[derive(Clone, Debug)]
pub struct Metadata {
    issuer: String,
    members: Map<String, Value>,
}

impl Outbound {
    /// Fetches the metadata of an issuer.
    ///
    /// # Errors
    /// When they cannot be fetched, or are not of exactly this issuer: otherwise whoever answers could speak for
    /// another one (OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3).
    pub async fn discover(&self, issuer: &str) -> Result<Metadata, String> {
        if issuer.contains(['?', '#']) {
            return Err("the URL of an issuer has no query and no fragment".to_owned());
        }
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let body = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        Metadata::read(issuer, &body)
    }
}

impl Metadata {
    fn read(issuer: &str, body: &[u8]) -> Result<Self, String> {
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| format!("the metadata of {issuer} are not a JSON object"))?;
        match members.get("issuer").and_then(Value::as_str) {
            Some(named) if named == issuer => Ok(Self { issuer: issuer.to_owned(), members }),
            Some(other) => Err(format!("the metadata found under {issuer} are of another issuer: {other}")),
            None => Err(format!("the metadata found under {issuer} name no issuer")),
        }
    }

    /// The URL of an endpoint, such as `token_endpoint` or `jwks_uri`.
    ///
    /// # Errors
    /// When there is none, or when an issuer that is reached by `https` sends us to one that is not.
    pub fn endpoint(&self, name: &str) -> Result<&str, String> {
        let url = self.members.get(name).and_then(Value::as_str);
        let url = url.ok_or_else(|| format!("the metadata of {} name no {name}", self.issuer))?;
        if self.issuer.starts_with("https://") && !url.starts_with("https://") {
            return Err(format!("the {name} of {} is not an https URL", self.issuer));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn metadata_speak_for_their_own_issuer_only() {
        let read = |body: &str| Metadata::read("https://id.example", body.as_bytes()).err();
        assert_eq!(read(r#"{"issuer":"https://id.example"}"#), None);
        for other in ["https://id.example/", "http://id.example", "https://ID.example", "https://evil.example"] {
            assert_eq!(
                read(&format!(r#"{{"issuer":"{other}"}}"#)),
                Some(format!("the metadata found under https://id.example are of another issuer: {other}"))
            );
        }
        for body in ["{}", "[]", "", r#"{"issuer":7}"#] {
            assert!(read(body).is_some(), "{body}");
        }
    }

    #[test]
    fn an_endpoint_is_as_safe_as_its_issuer() -> Result<(), String> {
        let body = br#"{"issuer":"https://id.example","a":"https://id.example/a","b":"http://id.example/b"}"#;
        let metadata = Metadata::read("https://id.example", body)?;
        assert_eq!(metadata.endpoint("a")?, "https://id.example/a");
        assert_eq!(metadata.endpoint("b"), Err("the b of https://id.example is not an https URL".to_owned()));
        assert_eq!(metadata.endpoint("c"), Err("the metadata of https://id.example name no c".to_owned()));
        let local = Metadata::read("http://localhost", br#"{"issuer":"http://localhost","a":"http://localhost/a"}"#)?;
        assert_eq!(local.endpoint("a")?, "http://localhost/a");
        Ok(())
    }
}
