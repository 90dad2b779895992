//! Keys as JSON (RFC 7517): reading what others publish, writing what we publish.
//!
//! Owns the shape only. Whether the numbers are a key, and what the key may be used for, is decided when a
//! [`VerifyingKey`] is made of it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::hash::sha1;
use super::{JoseError, VerifyingKey, b64url_encode, encoding, json, sha256};
use crate::Secret;

/// One key. The order of the fields is the order in which Keycloak publishes them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Jwk {
    /// Which key of its set this is (RFC 7517 section 4.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The type: `RSA`, `EC`, `OKP` or `oct`.
    pub kty: String,
    /// The only algorithm the key may be used with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig` or `enc` (RFC 7517 section 4.2).
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// What may be done with the key (RFC 7517 section 4.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_ops: Option<Vec<String>>,
    /// The certificate chain, each in standard base64 with padding (RFC 7517 section 4.7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x5c: Option<Vec<String>>,
    /// The certificate's SHA-1 thumbprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x5t: Option<String>,
    /// The certificate's SHA-256 thumbprint.
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
    /// RSA: the modulus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RSA: the exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// EC and OKP: the curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// EC and OKP: the point, or its first coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// EC: the second coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Symmetric keys: the key itself. Never published.
    #[serde(default, with = "secret_text", skip_serializing_if = "Option::is_none")]
    pub k: Option<Secret>,
    /// Every other member, as it was read. May hold private numbers if somebody gave us more than we asked for.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Jwk {
    /// Reads one key strictly: a JSON object, no member twice, the known members of the right type.
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseError> {
        let members = json::object(bytes, "the key is not a JSON object", "a member of the key occurs twice")?;
        serde_json::from_value(Value::Object(members)).map_err(|_| JoseError::Malformed("the key is not a JWK"))
    }

    /// Adds the certificate of the key, DER-encoded, and its thumbprints (RFC 7517 sections 4.7 to 4.9).
    #[must_use]
    pub fn with_certificate(mut self, der: &[u8]) -> Self {
        self.x5c = Some(vec![encoding::base64_encode(der)]);
        self.x5t = Some(b64url_encode(&sha1(der)));
        self.x5t_s256 = Some(b64url_encode(&sha256(der)));
        self
    }
}

/// Names the key and hides everything that could be private.
impl fmt::Debug for Jwk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Jwk")
            .field("kid", &self.kid)
            .field("kty", &self.kty)
            .field("alg", &self.alg)
            .field("use", &self.key_use)
            .finish_non_exhaustive()
    }
}

/// `serde` for the one member that must not be printed.
mod secret_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, out: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => out.serialize_str(secret.expose()),
            None => out.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

/// A set of keys. Members that are no keys are left out when it is read: a publisher may add kinds that we do not know,
/// and the keys beside them stay good (RFC 7517 section 5).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys, in the order of the document.
    #[serde(deserialize_with = "readable_keys")]
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// Reads a set leniently; what is no set at all is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, JoseError> {
        serde_json::from_slice(bytes).map_err(|_| JoseError::Malformed("the document is not a JWK set"))
    }

    /// The keys that signatures can be verified with. Keys for encryption, of unknown types, or broken are left out.
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        self.keys.iter().filter_map(|key| VerifyingKey::from_jwk(key).ok()).collect()
    }
}

fn readable_keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Jwk>, D::Error> {
    let members = Vec::<Value>::deserialize(from)?;
    Ok(members.into_iter().filter_map(|member| serde_json::from_value(member).ok()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use serde_json::{Map, Value};

    use super::{Jwk, JwkSet};
    use crate::jose::{Algorithm, JoseError, samples};

    fn members(jwk: &Jwk) -> Vec<String> {
        let text = serde_json::to_string(jwk).unwrap();
        serde_json::from_str::<Map<String, Value>>(&text).unwrap().keys().cloned().collect()
    }

    #[test]
    fn members_are_published_in_keycloaks_order() {
        let rsa = samples::signing_key(Algorithm::RS256).public_jwk().unwrap();
        assert_eq!(members(&rsa), ["kid", "kty", "alg", "use", "n", "e"]);
        let certified = rsa.with_certificate(b"certificate");
        assert_eq!(members(&certified), ["kid", "kty", "alg", "use", "x5c", "x5t", "x5t#S256", "n", "e"]);
        let ec = samples::signing_key(Algorithm::ES256).public_jwk().unwrap();
        assert_eq!(members(&ec), ["kid", "kty", "alg", "use", "crv", "x", "y"]);
        let okp = samples::signing_key(Algorithm::EdDSA).public_jwk().unwrap();
        assert_eq!(members(&okp), ["kid", "kty", "alg", "use", "crv", "x"]);
    }

    #[test]
    fn unknown_members_are_kept_and_symmetric_keys_hidden() {
        let text = r#"{"kid":"a","kty":"oct","k":"c2VjcmV0","iss":"https://id.example","exp":7}"#;
        let jwk = Jwk::parse(text.as_bytes()).unwrap();
        assert_eq!(jwk.other.keys().collect::<Vec<_>>(), ["iss", "exp"]);
        assert_eq!(serde_json::to_string(&jwk).unwrap(), text);
        assert!(!format!("{jwk:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn one_key_is_read_strictly() {
        for text in ["[]", "{}", r#"{"kty":7}"#, r#"{"kty":"RSA","key_ops":"verify"}"#, r#"{"kty":"RSA","kty":"EC"}"#] {
            assert!(matches!(Jwk::parse(text.as_bytes()), Err(JoseError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_set_is_read_leniently() {
        let good = serde_json::to_string(&samples::signing_key(Algorithm::ES256).public_jwk().unwrap()).unwrap();
        let text = format!(r#"{{"keys":[7,{{"kid":1,"kty":"EC"}},{{"kty":"AKP","pub":"x"}},{good}],"more":true}}"#);
        let set = JwkSet::parse(text.as_bytes()).unwrap();
        assert_eq!(set.keys.len(), 2, "the unknown type is a key, only not one for us");
        assert_eq!(set.verifying_keys().len(), 1);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(JwkSet::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(JwkSet::parse(br#"{"keys":[]}"#).unwrap().keys.is_empty());
    }
}
