//! Client assertions: `private_key_jwt` and `client_secret_jwt` (RFC 7523 section 2.2, OpenID Connect Core section 9).

use std::sync::Arc;

use grantor_model::jose::{self, Algorithm, JwkSet, Parsed, VerifyingKey, pem_or_base64_der};
use grantor_model::{Code, Error, Kind, Refused, Trail};

use super::unknown;
use crate::client_secrets;
use crate::engine::{Call, Engine, store_error};
use crate::key_sets::KeySet;
use crate::realms::{Client, Realm};
use crate::verify::Known;

/// Seconds that an assertion lives at most: after `iat`, or ahead when there is no `iat`.
const LONGEST: i64 = 60;

/// Seconds by which the clocks of client and server may differ.
const SKEW: i64 = 15;

fn invalid(text: &'static str) -> Error {
    Error::new(Kind::Request, Code::InvalidClient, text)
}

/// The client that an assertion speaks of, unverified: only to find the keys to verify it with.
pub(super) fn subject(assertion: &str) -> Option<String> {
    let claims = jose::parse(assertion).ok()?.claims().ok()?;
    let (iss, sub) = (claims.get("iss")?.as_str()?, claims.get("sub")?.as_str()?);
    (iss == sub).then(|| sub.to_owned())
}

/// Checks an assertion: who, by which algorithm and key, for whom, when, and that it was not used before.
pub(super) async fn check(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    assertion: &str,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let unreadable = |trail: &mut Trail| trail.refuse("client assertion", "a signed JWT", "something else", unknown());
    let Ok(parsed) = jose::parse(assertion) else { return Err(unreadable(trail)) };
    let Ok(claims) = parsed.claims() else { return Err(unreadable(trail)) };
    let token = Known { claims };
    if ["exp", "iat", "nbf"].iter().any(|name| token.claims.contains_key(*name) && token.number(name).is_none()) {
        return Err(unreadable(trail));
    }
    let (iss, sub) = (token.text("iss"), token.text("sub"));
    if iss != sub || sub != Some(client.client_id()) {
        return Err(trail.refuse("iss and sub", "the client's id in both", sub.unwrap_or("absent"), unknown()));
    }
    trail.pass("iss and sub");
    let algorithm = algorithm(client, &parsed, trail)?;
    signature(engine, call, client, algorithm, &parsed, trail).await?;
    audience(engine, call, realm, &token, trail)?;
    time(call, &token, trail)?;
    once(engine, call, realm, client, &token, trail).await
}

fn algorithm(client: &Client, parsed: &Parsed<'_>, trail: &mut Trail) -> Result<Algorithm, Refused> {
    let by_secret = client.document.client_authenticator_type == "client-secret-jwt";
    let name = parsed.header().alg.as_str();
    let fixed = client.document.attribute("token.endpoint.auth.signing.alg").filter(|fixed| !fixed.is_empty());
    let allowed =
        |algorithm: &Algorithm| algorithm.is_hmac() == by_secret && fixed.is_none_or(|fixed| fixed == algorithm.name());
    match Algorithm::parse(name).filter(allowed) {
        Some(algorithm) => {
            trail.found("alg", name);
            Ok(algorithm)
        }
        None => {
            let expected = match fixed {
                Some(fixed) => fixed.to_owned(),
                None if by_secret => "HS256, HS384 or HS512".to_owned(),
                None => "an asymmetric algorithm".to_owned(),
            };
            Err(trail.refuse("alg", expected, name, invalid("Invalid signature algorithm")))
        }
    }
}

async fn signature(
    engine: &Engine,
    call: &Call<'_>,
    client: &Client,
    algorithm: Algorithm,
    parsed: &Parsed<'_>,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let unloaded = |trail: &mut Trail| {
        let kid = parsed.header().kid.as_deref().unwrap_or("no kid");
        trail.refuse("key", "a key of the client", kid, invalid("Unable to load public key"))
    };
    let (verified, text, code) = if algorithm.is_hmac() {
        if client.secrets.is_empty() {
            return Err(unloaded(trail));
        }
        let signed = |secret: &[u8]| {
            VerifyingKey::from_hmac_secret(secret, None, algorithm).is_ok_and(|key| parsed.verify(&key).is_ok())
        };
        let text = "Client authentication with client secret signed JWT failed: \
                    Signature on JWT token by client secret  failed validation";
        (client_secrets::signed_by(&client.secrets, call.now, signed), text, Code::UnauthorizedClient)
    } else {
        let key = public_key(engine, call, client, parsed.header().kid.as_deref(), algorithm).await;
        let Some(key) = key else { return Err(unloaded(trail)) };
        let text = "Client authentication with signed JWT failed: Signature on JWT token failed validation";
        (key.verifies(parsed), text, Code::InvalidClient)
    };
    if verified {
        trail.pass("signature");
        return Ok(());
    }
    Err(trail.refuse("signature", "made by the client's key", "another", Error::new(Kind::Request, code, text)))
}

/// The client's public key: from its JWKS text, its JWKS URL or its certificate. A key that is bound to another
/// algorithm is returned as well, so that the answer is about the signature, as recorded.
async fn public_key(
    engine: &Engine,
    call: &Call<'_>,
    client: &Client,
    kid: Option<&str>,
    algorithm: Algorithm,
) -> Option<Key> {
    let document = &client.document;
    let text = |name: &str| document.attribute(name).filter(|text| !text.is_empty());
    if document.switched_on("use.jwks.url") {
        let got = engine.key_sets.get(Some(&engine.store), &engine.fetch, text("jwks.url")?, kid, call.now).await;
        let complain = |reason: &String| {
            tracing::warn!(client = client.client_id(), reason, "the client's key set cannot be had");
        };
        let set = got.inspect_err(complain).ok()?;
        return chosen(&set.keys, kid, algorithm).map(|at| Key::Published(set, at));
    }
    if document.switched_on("use.jwks.string") {
        let mut keys = JwkSet::parse(text("jwks.string")?.as_bytes()).ok()?.verifying_keys();
        return chosen(&keys, kid, algorithm).map(|at| Key::Own(keys.swap_remove(at)));
    }
    let der = pem_or_base64_der(text("jwt.credential.certificate")?).ok()?;
    let key = VerifyingKey::from_certificate(&der, None, None).ok()?;
    kid.is_none().then_some(Key::Own(key))
}

/// A key, or one of a set that others use too.
enum Key {
    Own(VerifyingKey),
    Published(Arc<KeySet>, usize),
}

impl Key {
    fn verifies(&self, parsed: &Parsed<'_>) -> bool {
        match self {
            Self::Own(key) => parsed.verify(key).is_ok(),
            Self::Published(set, at) => set.keys.get(*at).is_some_and(|key| parsed.verify(key).is_ok()),
        }
    }
}

/// The key of that name that fits the algorithm, else the first of that name.
fn chosen(keys: &[VerifyingKey], kid: Option<&str>, algorithm: Algorithm) -> Option<usize> {
    let named = |key: &VerifyingKey| kid.is_none_or(|kid| key.kid() == Some(kid));
    keys.iter().position(|key| named(key) && key.fits(algorithm)).or_else(|| keys.iter().position(named))
}

/// Exactly one audience: the issuer, or an endpoint that clients authenticate at. More than one would let another
/// receiver use the assertion here.
fn audience(engine: &Engine, call: &Call<'_>, realm: &Realm, token: &Known, trail: &mut Trail) -> Result<(), Refused> {
    let issuer = realm.issuer(call.base);
    let endpoints = [
        "",
        "/protocol/openid-connect/token",
        "/protocol/openid-connect/token/introspect",
        "/protocol/openid-connect/ext/par/request",
    ];
    match token.audience().as_slice() {
        [one] if one.strip_prefix(issuer.as_str()).is_some_and(|rest| endpoints.contains(&rest)) => {
            trail.pass("aud");
            Ok(())
        }
        [one] if realm.own_audiences(engine, call.base).iter().any(|own| own == one) => {
            trail.pass("aud");
            Ok(())
        }
        [] => Err(trail.refuse("aud", issuer, "absent", invalid("Invalid token audience"))),
        [other] => Err(trail.refuse("aud", issuer, other, invalid("Invalid token audience"))),
        many => Err(trail.refuse("aud", "one audience", &many.join(", "), invalid("Multiple audiences not allowed"))),
    }
}

fn time(call: &Call<'_>, token: &Known, trail: &mut Trail) -> Result<(), Refused> {
    let now = call.now.seconds();
    let Some(exp) = token.number("exp") else {
        return Err(trail.refuse("exp", "a time", "absent", invalid("Token exp claim is required")));
    };
    if !token.is_active(call.now) {
        let expected = format!("exp after and nbf not after {now}");
        return Err(trail.refuse("exp and nbf", expected, &format!("exp {exp}"), invalid("Token is not active")));
    }
    match token.number("iat") {
        None if exp > now + LONGEST + SKEW => {
            let text = "Token expiration is too far in the future and iat claim not present in token";
            Err(trail.refuse("exp", "iat, or at most a minute ahead", &exp.to_string(), invalid(text)))
        }
        Some(iat) if iat > now + SKEW => {
            let text = "Token was issued in the future";
            Err(trail.refuse("iat", format!("not after {now}"), &iat.to_string(), invalid(text)))
        }
        Some(iat) if iat + LONGEST + SKEW < now => {
            let text = "Token was issued too far in the past to be used now";
            Err(trail.refuse("iat", format!("{LONGEST} seconds ago at most"), &iat.to_string(), invalid(text)))
        }
        _ => {
            trail.pass("exp, nbf and iat");
            Ok(())
        }
    }
}

async fn once(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    token: &Known,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let Some(jti) = token.text("jti") else {
        return Err(trail.refuse("jti", "an id of the assertion", "absent", invalid("Token jti claim is required")));
    };
    // Beyond iat + LONGEST the assertion is refused anyway, so the note need not outlive that.
    let until = call.now.plus_seconds(2 * (LONGEST + SKEW));
    let issuer = format!("client {}", client.id);
    // Whatever text the client chose, what is stored has one length and no odd characters.
    let noted = jose::b64url_encode(&jose::sha256(jti.as_bytes()));
    match engine.store.record_seen(&realm.id, &issuer, &noted, until).await {
        Ok(true) => {
            trail.pass("jti, first use");
            Ok(())
        }
        Ok(false) => Err(trail.refuse("jti", "an assertion not used before", jti, invalid("Token reuse detected"))),
        Err(error) => Err(trail.fail(store_error(error))),
    }
}
