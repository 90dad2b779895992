//! What a call must prove, in order. One code for calls that go through, for other gateways that ask, and for
//! `grantor api check`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use grantor_model::api::WhenStale;
use grantor_model::jose::{self, JoseError};
use grantor_model::{Code, Error, Instant, Kind, Refused, Trail};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::Gateway;
use crate::issuer::{Holder, Signature};
use crate::known::{Known, Times};
use crate::permit::{limited, permitted};
use crate::rate::Standing;
use crate::revoked::Named;
use crate::table::{Api, Found, Table};

/// Seconds by which clocks may differ.
pub const SKEW: i64 = 5;

/// Seconds that an answer of introspection is remembered.
const INTROSPECTED: i64 = 30;

/// Seconds that a token may live to count as short.
const SHORT: i64 = 300;

/// A call, as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The moment.
    pub now: Instant,
    /// The method.
    pub method: &'a Method,
    /// The name in the `Host` header or the URI.
    pub host: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Who calls, for limits.
    pub address: std::net::IpAddr,
}

/// A call that may go through.
#[derive(Debug)]
pub struct Allowed {
    /// To which API.
    pub api: Arc<Api>,
    /// Whose it is; `None` where nobody is asked.
    pub known: Option<Arc<Known>>,
    /// How it stands to the tightest limit.
    pub standing: Option<Standing>,
}

/// A call that may not.
#[derive(Debug)]
pub struct Denied {
    /// Why.
    pub refused: Refused,
    /// To which API it was made.
    pub api: Option<Arc<Api>>,
    /// The client whose token it was, once that is known.
    pub client: Option<String>,
    /// What the answer says besides.
    pub with: With,
}

/// What an answer that refuses says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// That a token is needed (RFC 6750 section 3).
    Challenge,
    /// The scopes that are needed.
    Scopes(String),
    /// The methods that there are.
    Methods(String),
    /// The limit.
    Limit(Standing),
}

/// The state of one judgement.
pub(crate) struct Case<'a> {
    pub(crate) trail: &'a mut Trail,
    api: Option<Arc<Api>>,
    /// The token, once it was verified: what it says is told with a refusal.
    known: Option<Arc<Known>>,
    now: Instant,
}

impl Case<'_> {
    pub(crate) fn deny(
        &mut self,
        check: &'static str,
        expected: impl Into<String>,
        actual: &str,
        error: Error,
        with: With,
    ) -> Box<Denied> {
        let known = self.known.take();
        if let Some(known) = &known {
            let (now, times) = (self.now.seconds(), known.times);
            let (age, left) = (now.saturating_sub(times.iat), times.exp.saturating_sub(now));
            self.trail.found("key", known.kid.as_deref().unwrap_or("none"));
            self.trail.found("the token by this clock", &format!("{age} s old, {left} s left"));
        }
        let client = known.and_then(|known| known.client().map(str::to_owned));
        let refused = self.trail.refuse(check, expected.into(), actual, error);
        Box::new(Denied { refused, api: self.api.take(), client, with })
    }

    /// The token does not count.
    fn bad_token(
        &mut self,
        check: &'static str,
        expected: impl Into<String>,
        actual: &str,
        text: &'static str,
    ) -> Box<Denied> {
        self.deny(check, expected, actual, Error::new(Kind::Unauthenticated, Code::InvalidToken, text), With::Challenge)
    }

    fn unavailable(&mut self, check: &'static str, expected: &'static str, actual: &str) -> Box<Denied> {
        self.deny(check, expected, actual, Error::unavailable(actual), With::Nothing)
    }
}

impl Gateway {
    /// Judges a call.
    ///
    /// # Errors
    /// Why it may not go through.
    pub async fn decide(&self, ask: &Ask<'_>, trail: &mut Trail) -> Result<Allowed, Box<Denied>> {
        let table = self.table.load();
        let mut case = Case { trail, api: None, known: None, now: ask.now };
        if let Some(reason) = crate::path::oddity(ask.path) {
            let error = Error::request("The path can be read in two ways");
            return Err(case.deny("path", "one that can be read in one way", reason, error, With::Nothing));
        }
        let Some((host, _)) = crate::host::canonical(ask.host) else {
            let error = Error::request("The host cannot be read");
            return Err(case.deny("host", "a name and perhaps a port", ask.host, error, With::Nothing));
        };
        let Some((api, rest)) = table.find(&host, ask.path) else {
            let error = Error::new(Kind::NotFound, Code::NoRoute, "No API has this host and path");
            return Err(case.deny("API", "one that has this host and path", "none", error, With::Nothing));
        };
        case.api = Some(api.clone());
        case.trail.pass("API");
        let found = api.rule(ask.method, rest);
        if let Found::Rule(rule) = &found
            && rule.document.public
        {
            case.trail.pass("public");
            let standing = limited(&mut case, ask, api, rule, None)?;
            return Ok(Allowed { api: api.clone(), known: None, standing });
        }
        let known = self.authenticated(&table, api, ask, &mut case).await?;
        case.known = Some(known.clone());
        self.alive(api, &known, ask, &mut case)?;
        if self.is_stale(ask.now) && known.issuer.realm_id().is_some() {
            while_unheard(self.heard(), api, &known, ask.now, &mut case).await?;
        }
        let rule = match found {
            Found::Rule(rule) => rule,
            Found::OtherMethods(methods) => {
                let methods = methods.join(", ");
                let error = Error::new(Kind::Method, Code::InvalidRequest, "This method is not offered here");
                return Err(case.deny("method", methods.clone(), ask.method.as_str(), error, With::Methods(methods)));
            }
            Found::Nothing => {
                let error = Error::new(Kind::NotFound, Code::NoRoute, "The API has nothing here");
                return Err(case.deny("rule", "one that fits the path", "none", error, With::Nothing));
            }
        };
        permitted(rule, &known, &mut case)?;
        let standing = limited(&mut case, ask, api, rule, Some(&known))?;
        Ok(Allowed { api: api.clone(), known: Some(known), standing })
    }

    /// The token of a call, verified.
    async fn authenticated(
        &self,
        table: &Table,
        api: &Arc<Api>,
        ask: &Ask<'_>,
        case: &mut Case<'_>,
    ) -> Result<Arc<Known>, Box<Denied>> {
        let token = bearer(ask.headers, case)?;
        if let Some(known) = self.memory.recall(token, table.epoch)
            && known.ask_again.is_none_or(|until| ask.now.seconds() < until)
            && api.issuers.iter().any(|issuer| Arc::ptr_eq(issuer, &known.issuer))
            && known.issuer.still_has(known.kid.as_deref())
        {
            case.trail.pass("signature");
            return Ok(known);
        }
        let token = text_of(token, case)?;
        let known = Arc::new(match token.contains('.') {
            true => self.verified(table, api, token, ask.now, case).await?,
            false => introspected(table, api, token, ask.now, case).await?,
        });
        self.memory.keep(&known);
        Ok(known)
    }

    /// Form, issuer, key, signature, type.
    async fn verified(
        &self,
        table: &Table,
        api: &Arc<Api>,
        token: &str,
        now: Instant,
        case: &mut Case<'_>,
    ) -> Result<Known, Box<Denied>> {
        const FORM: &str = "one signed JWT with a JSON object as claims";
        let form = |case: &mut Case<'_>, error: JoseError| {
            case.bad_token("form", FORM, &error.to_string(), "The token cannot be read")
        };
        let parsed = jose::parse(token).map_err(|error| form(case, error))?;
        // Nothing in it is believed before its signature holds, except for whose keys may verify it.
        let claims = parsed.claims_of_access_token().map_err(|error| form(case, error))?;
        case.trail.pass("form");
        let iss = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let Some(issuer) = api.issuers.iter().find(|issuer| issuer.is_called(iss)) else {
            let names: Vec<&str> = api.issuers.iter().map(|issuer| issuer.url().unwrap_or(issuer.name())).collect();
            return Err(case.bad_token("issuer", names.join(" or "), iss, "The token is of another issuer"));
        };
        case.trail.pass("issuer");
        let header = parsed.header();
        let mut signature = issuer.signature(&parsed, now);
        if signature == Signature::NoKey || issuer.is_stale(now) {
            if let Err(reason) = issuer.learn(header.kid.as_deref(), now).await
                && signature == Signature::NoKey
            {
                return Err(case.unavailable("key", "the issuer's key set", &reason));
            }
            signature = issuer.signature(&parsed, now);
        }
        match signature {
            Signature::Good => case.trail.pass("signature"),
            Signature::Algorithm => {
                let expected = "an algorithm of the issuer's keys";
                return Err(case.bad_token(
                    "alg",
                    expected,
                    &header.alg,
                    "The token is signed by an algorithm that does not count",
                ));
            }
            Signature::NoKey => {
                let kid = header.kid.as_deref().unwrap_or("no kid");
                return Err(case.bad_token("key", "a key of the issuer", kid, "The token is signed by an unknown key"));
            }
            Signature::Bad => {
                let kid = header.kid.as_deref().unwrap_or("no kid");
                return Err(case.bad_token(
                    "signature",
                    "made by the key that the header names",
                    kid,
                    "The token's signature is wrong",
                ));
            }
        }
        let header_type = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        let header_type = header_type.strip_prefix("application/").unwrap_or(&header_type);
        if !matches!(header_type, "jwt" | "at+jwt") {
            return Err(case.bad_token(
                "typ",
                "JWT or at+jwt in the header",
                header_type,
                "The token is no access token",
            ));
        }
        let is_access = match claims.get("typ") {
            None => !issuer.types_its_tokens() || header_type == "at+jwt",
            Some(typ) => typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("Bearer")),
        };
        if !is_access {
            let found = claims.get("typ").map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(case.bad_token("typ", "\"Bearer\"", &found, "The token is no access token"));
        }
        case.trail.pass("typ");
        let times = times(&claims, case)?;
        let kid = header.kid.clone();
        Ok(Known::of(table.epoch, token, issuer.clone(), kid, claims, times, None))
    }

    /// What changes while a token stays the same: times, audience, holder, revocations. Asked at every call.
    fn alive(&self, api: &Api, known: &Known, ask: &Ask<'_>, case: &mut Case<'_>) -> Result<(), Box<Denied>> {
        let now = ask.now.seconds();
        let Times { exp, nbf, iat } = known.times;
        if now >= exp.saturating_add(SKEW) {
            let found = format!("expired {} s ago", now.saturating_sub(exp));
            return Err(case.bad_token("exp", "later than now", &found, "The token has expired"));
        }
        if let Some(early) = nbf.map(|nbf| nbf.saturating_sub(now)).filter(|early| *early > SKEW) {
            return Err(case.bad_token(
                "nbf",
                "not later than now",
                &format!("{early} s ahead"),
                "The token is not valid yet",
            ));
        }
        if iat.saturating_sub(now) > SKEW {
            let found = format!("{} s ahead", iat.saturating_sub(now));
            return Err(case.bad_token("iat", "not later than now", &found, "The token comes from the future"));
        }
        case.trail.pass("times");
        audience(api, known, case)?;
        if known.claims.contains_key("cnf") {
            let text = "The token is bound to a key, and nothing here can prove that key";
            return Err(case.bad_token("cnf", "no binding to a key", "a binding", text));
        }
        // A token that names nobody cannot be ended with its user.
        if known.issuer.types_its_tokens() && !known.claims.contains_key("sub") {
            return Err(case.bad_token("sub", "a token that names its user", "none", "The token names no user"));
        }
        let since = known.issuer.not_before();
        if iat < since {
            return Err(case.bad_token(
                "not before",
                format!("given out at {since} or later"),
                &iat.to_string(),
                "The token was revoked",
            ));
        }
        match known.client().map(|client| known.issuer.holder(client)) {
            Some(Holder::Gone) => {
                return Err(case.bad_token("client", "one that exists", "gone", "The token was revoked"));
            }
            Some(Holder::Off) => {
                return Err(case.bad_token("client", "one that is on", "off", "The token was revoked"));
            }
            Some(Holder::Since(since)) if iat < since => {
                let expected = format!("given out at {since} or later");
                return Err(case.bad_token("client's not before", expected, &iat.to_string(), "The token was revoked"));
            }
            Some(Holder::Since(_)) | None => case.trail.pass("client"),
        }
        self.not_revoked(known, case)
    }

    /// Whether a token that was let through once would not be known as revoked now. Times do not count: what was opened
    /// in time may outlast its token.
    pub(crate) fn stands(&self, api: &str, known: &Known) -> bool {
        let table = self.table.load();
        // As the issuer stands now: the one that verified the token may be of a table before.
        let issuer = table.named(api).and_then(|api| {
            api.issuers
                .iter()
                .find(|now| now.name() == known.issuer.name() && now.realm_id() == known.issuer.realm_id())
        });
        let Some(issuer) = issuer.filter(|issuer| issuer.still_has(known.kid.as_deref())) else { return false };
        let iat = known.times.iat;
        let holder_stands = match known.client().map(|client| issuer.holder(client)) {
            Some(Holder::Gone | Holder::Off) => false,
            Some(Holder::Since(since)) => iat >= since,
            None => true,
        };
        holder_stands
            && iat >= issuer.not_before()
            && issuer.realm_id().is_none_or(|realm| self.revoked.load().of(realm, named(known)).is_none())
    }

    fn not_revoked(&self, known: &Known, case: &mut Case<'_>) -> Result<(), Box<Denied>> {
        let Some(realm_id) = known.issuer.realm_id() else {
            return Ok(());
        };
        let revoked = self.revoked.load();
        if let Some(what) = revoked.of(realm_id, named(known)) {
            return Err(case.bad_token(
                "revocations",
                "no revocation that names the token",
                what,
                "The token was revoked",
            ));
        }
        case.trail.pass("revocations");
        Ok(())
    }
}

/// What of a token revocations may name.
fn named(known: &Known) -> Named<'_> {
    let text = |name: &str| known.claims.get(name).and_then(Value::as_str);
    Named {
        token: text("jti"),
        session: text("sid"),
        client: known.client(),
        user: text("sub"),
        key: known.kid.as_deref(),
        issued: known.times.iat,
    }
}

/// What the API wants while nobody has told of revocations for a while.
async fn while_unheard(
    heard: Instant,
    api: &Api,
    known: &Known,
    now: Instant,
    case: &mut Case<'_>,
) -> Result<(), Box<Denied>> {
    let lets = match api.when_stale {
        WhenStale::Accept => true,
        WhenStale::AcceptShort => known.times.exp.saturating_sub(known.times.iat) <= SHORT,
        WhenStale::Introspect if now.seconds() < known.vouched.load(Ordering::Relaxed) => true,
        WhenStale::Introspect => match known.issuer.introspect(known.token(), now).await {
            Ok(Some(_)) => {
                let until = now.seconds().saturating_add(known.issuer.introspection_lasts().min(INTROSPECTED));
                known.vouched.store(until, Ordering::Relaxed);
                true
            }
            Ok(None) => {
                let expected = "a token that its issuer calls active";
                return Err(case.bad_token("introspection", expected, "an inactive one", "The token was revoked"));
            }
            Err(reason) => return Err(case.unavailable("introspection", "an answer", &reason)),
        },
        WhenStale::Refuse => false,
    };
    if lets {
        return Ok(());
    }
    let silence = format!("last heard of {} s ago", now.seconds().saturating_sub(heard.seconds()));
    Err(case.unavailable("revocations", "heard of a moment ago", &silence))
}

/// Asks the issuer about a token that says nothing itself.
async fn introspected(
    table: &Table,
    api: &Arc<Api>,
    token: &str,
    now: Instant,
    case: &mut Case<'_>,
) -> Result<Known, Box<Denied>> {
    for issuer in &api.issuers {
        match issuer.introspect(token, now).await {
            Ok(None) => {}
            Ok(Some(claims)) => {
                case.trail.pass("introspection");
                let times = times(&claims, case)?;
                let again = now.seconds().saturating_add(issuer.introspection_lasts().min(INTROSPECTED));
                return Ok(Known::of(table.epoch, token, issuer.clone(), None, claims, times, Some(again)));
            }
            Err(reason) => return Err(case.unavailable("introspection", "an answer", &reason)),
        }
    }
    Err(case.bad_token("introspection", "a token that an issuer knows", "an unknown one", "The token is not known"))
}

/// The bearer token of a call (RFC 6750 section 2.1).
fn bearer<'a>(headers: &'a HeaderMap, case: &mut Case<'_>) -> Result<&'a [u8], Box<Denied>> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else {
        let error = Error::new(Kind::Unauthenticated, Code::NoToken, "A token is needed");
        return Err(case.deny(AUTHORIZED, WANTED, "absent", error, With::Challenge));
    };
    if lines.next().is_some() {
        let error = Error::request("Two Authorization headers");
        return Err(case.deny(AUTHORIZED, "one", "several", error, With::Nothing));
    }
    // What stands behind the scheme is looked at once it is not one of the tokens that are remembered.
    let token =
        line.as_bytes().split_at_checked(SCHEME.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
    match token {
        Some((_, token)) if !token.is_empty() => Ok(token),
        _ => Err(no_bearer(case)),
    }
}

const SCHEME: &[u8] = b"Bearer ";
const AUTHORIZED: &str = "Authorization";
const WANTED: &str = "Bearer and a token";

fn no_bearer(case: &mut Case<'_>) -> Box<Denied> {
    let text = "The header Authorization must hold Bearer and one token";
    case.bad_token(AUTHORIZED, WANTED, "something else", text)
}

/// The token as text, if it is one (RFC 6750 section 2.1, `b64token`).
fn text_of<'a>(token: &'a [u8], case: &mut Case<'_>) -> Result<&'a str, Box<Denied>> {
    let fine =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    match std::str::from_utf8(token) {
        Ok(text) if token.iter().all(fine) => Ok(text),
        _ => Err(no_bearer(case)),
    }
}

/// `exp` must be there; all are numbers (RFC 7519 section 4.1).
fn times(claims: &Map<String, Value>, case: &mut Case<'_>) -> Result<Times, Box<Denied>> {
    let mut read = |name: &'static str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64)) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(case.bad_token(
                name,
                "a number of seconds since 1970",
                &value.to_string(),
                "The token cannot be read",
            )),
        },
    };
    let (exp, nbf, iat) = (read("exp")?, read("nbf")?, read("iat")?);
    let Some(exp) = exp else {
        return Err(case.bad_token("exp", "a number of seconds since 1970", "absent", "The token never expires"));
    };
    Ok(Times { exp, nbf, iat: iat.unwrap_or_default() })
}

fn audience(api: &Api, known: &Known, case: &mut Case<'_>) -> Result<(), Box<Denied>> {
    let wanted = api.document.audience();
    let found = match known.claims.get("aud") {
        None if api.without_audience && known.issuer.realm_id().is_some() => return Ok(()),
        None => "none".to_owned(),
        Some(Value::String(one)) if one == wanted => return passed(case),
        Some(Value::Array(all)) if all.iter().any(|one| one.as_str() == Some(wanted)) => return passed(case),
        Some(other) => other.to_string(),
    };
    fn passed(case: &mut Case<'_>) -> Result<(), Box<Denied>> {
        case.trail.pass("audience");
        Ok(())
    }
    Err(case.bad_token("audience", wanted, &found, "The token is for another audience"))
}
