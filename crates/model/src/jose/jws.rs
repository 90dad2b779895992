//! Compact JWS (RFC 7515 section 7.1): taking tokens apart and putting them together.
//!
//! Owns the form. Reading a token says nothing about who made it: [`Parsed::verify`] does, with a key that the caller
//! chose and trusts. Keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) are never used here. What the claims
//! mean, and whether they still hold, is for the caller to judge.

use std::fmt;

use serde_json::{Map, Value};

use super::encoding::{b64url_append, b64url_len};
use super::{Algorithm, JoseError, SigningKey, VerifyingKey, b64url_decode, b64url_encode, json};

/// The longest token that [`parse`] looks at. Real tokens have a few thousand characters, those with many roles some
/// ten thousand.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The header of a token. Nothing in it is proven before the signature is.
#[derive(Clone, Debug)]
pub struct Header {
    /// The algorithm as it was written; [`Header::algorithm`] understands it.
    pub alg: String,
    /// Which key the issuer says it used.
    pub kid: Option<String>,
    /// What kind of token this is (`JWT`, `at+jwt`, `logout+jwt`, ...).
    pub typ: Option<String>,
    /// Every other member as it was read, such as the `jwk` of a DPoP proof.
    pub other: Map<String, Value>,
}

impl Header {
    /// The algorithm, if it is one that exists here.
    pub fn algorithm(&self) -> Result<Algorithm, JoseError> {
        Algorithm::parse(&self.alg).ok_or_else(|| JoseError::unsupported(&self.alg))
    }

    fn from_json(bytes: &[u8]) -> Result<Self, JoseError> {
        let mut members =
            json::object(bytes, "the header is not a JSON object", "a member of the header occurs twice")?;
        // No extension is understood, so whatever `crit` names must be refused (RFC 7515 section 4.1.11).
        if members.contains_key("crit") {
            return Err(JoseError::Malformed("the header has critical extensions"));
        }
        // Without `crit` it would be ignored, by those who know it not: two readings of one token (RFC 7797 section 6).
        if members.contains_key("b64") {
            return Err(JoseError::Malformed("the header has b64, which is not supported"));
        }
        let alg = text(&mut members, "alg")?.ok_or(JoseError::Malformed("the header has no algorithm"))?;
        let kid = text(&mut members, "kid")?;
        let typ = text(&mut members, "typ")?;
        Ok(Self { alg, kid, typ, other: members })
    }
}

/// Takes a member out that must be a string if it is there.
fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, JoseError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JoseError::Malformed("alg, kid or typ of the header is not a string")),
    }
}

/// A token taken apart, not yet verified.
pub struct Parsed<'token> {
    header: Header,
    signing_input: &'token str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Takes a compact JWS apart, if it is no longer than [`MAX_TOKEN_BYTES`].
pub fn parse(token: &str) -> Result<Parsed<'_>, JoseError> {
    parse_within(token, MAX_TOKEN_BYTES)
}

/// Takes a compact JWS of at most `limit` bytes apart.
///
/// It must be exactly what RFC 7515 section 7.1 describes: three parts, each base64url in its only spelling, and a
/// header that is a JSON object with a string `alg`, no member twice and no `crit`.
pub fn parse_within(token: &str, limit: usize) -> Result<Parsed<'_>, JoseError> {
    if token.len() > limit {
        return Err(JoseError::TooLarge);
    }
    let parts = token.rsplit_once('.').and_then(|(input, signature)| Some((input, input.split_once('.')?, signature)));
    let Some((signing_input, (header, payload), signature)) = parts else {
        return Err(JoseError::Malformed("the token does not have three parts"));
    };
    if payload.contains('.') {
        return Err(JoseError::Malformed("the token does not have three parts"));
    }
    let header = decode(header, "the header is not base64url without padding")?;
    let payload = decode(payload, "the payload is not base64url without padding")?;
    let signature = decode(signature, "the signature is not base64url without padding")?;
    Ok(Parsed { header: Header::from_json(&header)?, signing_input, payload, signature })
}

fn decode(part: &str, otherwise: &'static str) -> Result<Vec<u8>, JoseError> {
    b64url_decode(part).map_err(|_| JoseError::Malformed(otherwise))
}

impl<'token> Parsed<'token> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is signed: header and payload as they were written (RFC 7515 section 5.1, step 5).
    pub fn signing_input(&self) -> &'token str {
        self.signing_input
    }

    /// The payload's bytes, whatever they are.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The claims of a JWT: the payload must be a JSON object without a member twice (RFC 7519 section 4). Read anew at
    /// each call, so that a token that fails earlier costs nothing.
    pub fn claims(&self) -> Result<Map<String, Value>, JoseError> {
        json::object(&self.payload, "the claims are not a JSON object", "a claim occurs twice")
    }

    /// The claims of an access token, as [`Parsed::claims`] but for a claim that stands again with the same value:
    /// Keycloak 24 gives out such tokens, and every reader takes them alike. Assertions get no such leave.
    pub fn claims_of_access_token(&self) -> Result<Map<String, Value>, JoseError> {
        json::object_with_repeats(&self.payload, "the claims are not a JSON object", "a claim has two values")
    }

    /// Whether `key` signed this token. The key decides whether the algorithm in the header may be used at all.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), JoseError> {
        key.verify(self.header.algorithm()?, self.signing_input.as_bytes(), &self.signature)
    }
}

/// Shows the header only: the rest is personal, and together it is a credential.
impl fmt::Debug for Parsed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parsed").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The encoded header of every token of one type that a key signs, in Keycloak's order. Make it once for each key and
/// give it to [`sign_with_header`]. A header of another shape is `b64url_encode` of its JSON.
pub fn encoded_header(key: &SigningKey, typ: &str) -> String {
    let mut members = Map::new();
    members.insert("alg".to_owned(), Value::from(key.algorithm().name()));
    members.insert("typ".to_owned(), Value::from(typ));
    members.insert("kid".to_owned(), Value::from(key.kid()));
    b64url_encode(Value::Object(members).to_string().as_bytes())
}

/// Signs `payload` under a header that [`encoded_header`] made for this key: one allocation for the token, one for the
/// signature.
pub fn sign_with_header(encoded_header: &str, payload: &[u8], key: &SigningKey) -> Result<String, JoseError> {
    let mut token = String::with_capacity(token_len(encoded_header.len(), payload, key));
    token.push_str(encoded_header);
    finish(token, payload, key)
}

/// Signs `payload` under a header given as JSON, which must name the algorithm of `key`.
pub fn sign_compact(header_json: &str, payload: &[u8], key: &SigningKey) -> Result<String, JoseError> {
    let mut token = String::with_capacity(token_len(b64url_len(header_json.len()), payload, key));
    b64url_append(header_json.as_bytes(), &mut token);
    finish(token, payload, key)
}

fn token_len(encoded_header_len: usize, payload: &[u8], key: &SigningKey) -> usize {
    encoded_header_len + 1 + b64url_len(payload.len()) + 1 + b64url_len(key.signature_len())
}

/// The signing input grows into the token, so that it is not copied.
fn finish(mut token: String, payload: &[u8], key: &SigningKey) -> Result<String, JoseError> {
    token.push('.');
    b64url_append(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    b64url_append(&signature, &mut token);
    Ok(token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use proptest::prelude::*;

    use super::{encoded_header, parse, parse_within, sign_compact, sign_with_header, token_len};
    use crate::jose::samples::{SECRET, signing_key};
    use crate::jose::{
        Algorithm, JoseError, Jwk, MAX_TOKEN_BYTES, SigningKey, VerifyingKey, b64url_encode, pem_or_base64_der,
    };

    const CLAIMS: &[u8] = br#"{"iss":"https://id.example","exp":1300819380}"#;

    fn hs256() -> SigningKey {
        signing_key(Algorithm::HS256)
    }

    /// A token with that header over `CLAIMS`, rightly signed.
    fn under(header: &str) -> String {
        sign_compact(header, CLAIMS, &hs256()).unwrap()
    }

    #[test]
    fn every_algorithm_round_trips() {
        for algorithm in Algorithm::ALL {
            let key = signing_key(algorithm);
            let header = encoded_header(&key, "at+jwt");
            let token = sign_with_header(&header, CLAIMS, &key).unwrap();
            assert_eq!(token.len(), token_len(header.len(), CLAIMS, &key), "{algorithm}");
            let parsed = parse(&token).unwrap();
            assert_eq!(parsed.header().alg, algorithm.name());
            assert_eq!(parsed.header().kid.as_deref(), Some(key.kid()));
            assert_eq!(parsed.header().typ.as_deref(), Some("at+jwt"));
            assert_eq!(parsed.payload(), CLAIMS);
            assert_eq!(parsed.claims().unwrap()["exp"], 1_300_819_380);
            parsed.verify(&key.verifying_key().unwrap()).unwrap();
            if let Some(jwk) = key.public_jwk() {
                parsed.verify(&VerifyingKey::from_jwk(&jwk).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn no_key_accepts_what_another_algorithm_signed() {
        let keys: Vec<_> = Algorithm::ALL.into_iter().map(signing_key).collect();
        for signer in &keys {
            let token = sign_with_header(&encoded_header(signer, "JWT"), CLAIMS, signer).unwrap();
            for other in keys.iter().filter(|other| other.algorithm() != signer.algorithm()) {
                let refused = parse(&token).unwrap().verify(&other.verifying_key().unwrap());
                assert_eq!(refused, Err(JoseError::AlgorithmNotForKey), "{signer:?} by {other:?}");
            }
        }
    }

    #[test]
    fn a_public_key_is_no_shared_secret() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            let key = signing_key(algorithm);
            let spki = key.spki_der().unwrap();
            let forger = SigningKey::hmac(key.kid().to_owned(), Algorithm::HS256, spki).unwrap();
            let token = sign_with_header(&encoded_header(&forger, "JWT"), CLAIMS, &forger).unwrap();
            for victim in [key.verifying_key().unwrap(), VerifyingKey::from_spki(spki, None, None).unwrap()] {
                assert_eq!(parse(&token).unwrap().verify(&victim), Err(JoseError::AlgorithmNotForKey), "{algorithm}");
            }
        }
    }

    #[test]
    fn none_verifies_with_no_key() {
        for name in ["none", "None", ""] {
            let token =
                format!("{}.{}.", b64url_encode(format!(r#"{{"alg":"{name}"}}"#).as_bytes()), b64url_encode(CLAIMS));
            let parsed = parse(&token).unwrap();
            let refused = parsed.verify(&hs256().verifying_key().unwrap());
            assert_eq!(refused, Err(JoseError::UnsupportedAlgorithm(name.to_owned())));
        }
    }

    #[test]
    fn odd_headers_are_refused_although_rightly_signed() {
        for header in [
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","kty":"RSA"}}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","b64":true}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","typ":null}"#,
            r#"{"typ":"JWT"}"#,
            r#"["HS256"]"#,
            "",
        ] {
            assert!(matches!(parse(&under(header)), Err(JoseError::Malformed(_))), "{header}");
        }
        let kept = under(r#"{ "alg" : "HS256", "jku":"https://evil.example" }"#);
        assert_eq!(parse(&kept).unwrap().header().other["jku"], "https://evil.example");
    }

    #[test]
    fn odd_claims_are_refused_although_rightly_signed() {
        let key = hs256();
        for claims in [r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#, "[]", "7", "", "{} {}"] {
            let token = sign_compact(r#"{"alg":"HS256"}"#, claims.as_bytes(), &key).unwrap();
            let parsed = parse(&token).unwrap();
            parsed.verify(&key.verifying_key().unwrap()).unwrap();
            assert!(matches!(parsed.claims(), Err(JoseError::Malformed(_))), "{claims}");
            assert_eq!(parsed.payload(), claims.as_bytes());
        }
    }

    #[test]
    fn a_token_has_one_spelling() {
        let token = under(r#"{"alg":"HS256"}"#);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = input.split_once('.').unwrap();
        // 43 characters for 32 bytes: the last one has two bits to spare. The successor sets one of them.
        let last = signature.chars().last().unwrap();
        let stray = format!("{}{}", &signature[..42], char::from_u32(u32::from(last) + 1).unwrap());
        for other in [
            format!("{token}="),
            format!("{token}."),
            format!(".{token}"),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{header}.{payload}"),
            format!("{header}..{payload}.{signature}"),
            format!("{header}.{payload} .{signature}"),
            format!("{header}=.{payload}.{signature}"),
            format!("{input}.{stray}"),
            format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
        ] {
            assert!(matches!(parse(&other), Err(JoseError::Malformed(_))), "{other}");
        }
    }

    #[test]
    fn a_long_token_is_not_looked_at() {
        assert_eq!(parse(&"a".repeat(MAX_TOKEN_BYTES + 1)).unwrap_err(), JoseError::TooLarge);
        let token = under(r#"{"alg":"HS256"}"#);
        assert!(parse_within(&token, token.len()).is_ok());
        assert_eq!(parse_within(&token, token.len() - 1).unwrap_err(), JoseError::TooLarge);
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        // RFC 7515 appendix A.1: HMAC, a header with a line break, claims with line breaks.
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
            .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
            .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let k = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let jwk = Jwk::parse(format!(r#"{{"kty":"oct","k":"{k}"}}"#).as_bytes()).unwrap();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        parse(token).unwrap().verify(&key).unwrap();

        // RFC 8037 appendix A.4: Ed25519 signs the same way each time.
        let private = pem_or_base64_der("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g");
        let key = SigningKey::ed25519(None, &private.unwrap(), None).unwrap();
        assert_eq!(key.public_jwk().unwrap().x.unwrap(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let token = sign_compact(r#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", &key).unwrap();
        assert_eq!(
            token,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
            .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn a_truncated_token_is_refused_wherever_it_ends() {
        let token = under(r#"{"alg":"HS256"}"#);
        let key = hs256().verifying_key().unwrap();
        for end in 0..token.len() {
            assert!(parse(&token[..end]).and_then(|parsed| parsed.verify(&key)).is_err(), "{end}");
        }
    }

    #[test]
    fn debug_shows_neither_claims_nor_signature() {
        let token = under(r#"{"alg":"HS256"}"#);
        let shown = format!("{:?} {:?}", parse(&token).unwrap(), hs256());
        assert!(!shown.contains("id.example") && !shown.contains(&token[token.len() - 20..]), "{shown}");
        assert!(!shown.contains(std::str::from_utf8(SECRET).unwrap()), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_three_parts_panic(header in "\\PC{0,60}", payload in "\\PC{0,60}", signature in "[A-Za-z0-9_=-]{0,90}") {
            let (header, payload) = (b64url_encode(header.as_bytes()), b64url_encode(payload.as_bytes()));
            let token = format!("{header}.{payload}.{signature}");
            if let Ok(parsed) = parse(&token) {
                let _ = parsed.claims();
                prop_assert!(parsed.verify(&hs256().verifying_key().unwrap()).is_err());
            }
        }

        #[test]
        fn one_changed_character_breaks_a_token(place in any::<prop::sample::Index>(), replacement in any::<char>()) {
            let mut characters: Vec<char> = under(r#"{"alg":"HS256"}"#).chars().collect();
            let place = place.index(characters.len());
            prop_assume!(characters[place] != replacement);
            characters[place] = replacement;
            let changed: String = characters.into_iter().collect();
            let key = hs256().verifying_key().unwrap();
            prop_assert!(parse(&changed).and_then(|parsed| parsed.verify(&key)).is_err());
        }

        #[test]
        fn one_inserted_character_breaks_a_token(place in any::<prop::sample::Index>(), inserted in any::<char>()) {
            let mut characters: Vec<char> = under(r#"{"alg":"HS256"}"#).chars().collect();
            characters.insert(place.index(characters.len() + 1), inserted);
            let changed: String = characters.into_iter().collect();
            let key = hs256().verifying_key().unwrap();
            prop_assert!(parse(&changed).and_then(|parsed| parsed.verify(&key)).is_err());
        }
    }
}
