//! Assertions of others (RFC 7523 section 3): what is asked of one, and how it fails.
//!
//! A judgement is a list of checks in a fixed order. The grant stops at the first that fails; whoever tries an
//! assertion on the command line sees them all, made by the same code. Nothing in the token is believed before its
//! signature holds, except for finding the issuer whose keys may verify it. Keys that a token brings along are never
//! looked at (RFC 8725 section 3.10).

use serde_json::{Map, Value};

use crate::Instant;
use crate::jose::{self, Algorithm, Dates, Parsed, TrustedKey, VerifyingKey};

/// What is asked of the assertions of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The algorithms that may have signed.
    pub algorithms: Vec<Algorithm>,
    /// Audiences that mean this server, besides its own issuer and token endpoint.
    pub audiences: Vec<String>,
    /// Whether `aud` may name others beside this server.
    pub other_audiences: bool,
    /// Seconds by which `exp` may have passed.
    pub expiry_skew: i64,
    /// Seconds by which the clocks may differ, for every other time.
    pub skew: i64,
    /// Seconds since `iat` at most; `None` when `iat` is not looked at but for the future.
    pub iat_window: Option<i64>,
    /// Seconds until `exp` at most.
    pub longest_life: Option<i64>,
    /// Whether the longest life counts only where `iat` is absent.
    pub life_by_iat: bool,
    /// Whether `jti` must be there.
    pub jti_required: bool,
    /// Whether an assertion is good only once, as far as it has a `jti`.
    pub once: bool,
}

/// Why an assertion does not hold. The faces have their own words for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not one signed token with a JSON object inside; says what.
    Form(String),
    /// A claim whose type is not that of RFC 7519.
    Type(&'static str),
    /// `iss`, `sub`, `exp` or `aud` is absent or empty.
    Missing(&'static str),
    /// No identity provider has this issuer.
    UnknownIssuer(String),
    /// The identity provider is off, or not there for assertions.
    ProviderOff(String),
    /// The client may not use this identity provider.
    NotForClient(String),
    /// `alg` is not one that the provider may use.
    Algorithm(String),
    /// The provider has no key that could have signed.
    NoKey {
        /// The provider's name.
        provider: String,
        /// Why.
        reason: String,
    },
    /// The key set of the provider cannot be had.
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why; for operators.
        reason: String,
    },
    /// The header has no `kid`, and the key set cannot be searched without.
    NoKid,
    /// The certificate's dates.
    Certificate(Dates),
    /// The signature is not one of the provider's keys'.
    Signature,
    /// None of the audiences is this server.
    Audience(String),
    /// More than this server is meant.
    ManyAudiences,
    /// `exp` has passed, by so many seconds.
    Expired(i64),
    /// `nbf` lies so many seconds ahead.
    TooEarly(i64),
    /// `iat` lies so many seconds ahead.
    FromTheFuture(i64),
    /// `iat` lies so many seconds behind.
    TooOld(i64),
    /// `exp` lies so many seconds ahead.
    TooLong(i64),
    /// `jti` is absent.
    NoJti,
    /// Used before.
    Replayed,
    /// The user that the subject stands for.
    Subject(SubjectFault),
}

/// What is wrong with the user that a subject stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectFault {
    /// Nobody is linked to the subject.
    Unknown,
    /// The user is off.
    Off,
    /// The user has something left to do.
    NotSetUp,
    /// The subject is the key of a user here, whom the provider must not speak for.
    OfOurs,
}

/// One check of a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was looked at.
    pub check: &'static str,
    /// What would have passed; `None` when it passed.
    pub expected: Option<String>,
    /// What was found.
    pub actual: String,
}

/// A judgement in the making.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The checks so far.
    pub checks: Vec<Judged>,
    /// Why it failed, in order; one at most unless all checks are made.
    pub faults: Vec<Fault>,
    /// Whether to go on after a failure.
    pub all: bool,
}

/// The judgement is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

impl Judgement {
    /// One that goes on after a failure.
    pub fn of_everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Notes a check that held.
    pub fn passed(&mut self, check: &'static str, actual: impl Into<String>) {
        self.checks.push(Judged { check, expected: None, actual: actual.into() });
    }

    /// Notes a check that did not hold.
    ///
    /// # Errors
    /// [`Stop`], unless all checks are made.
    pub fn failed(
        &mut self,
        check: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
        fault: Fault,
    ) -> Result<(), Stop> {
        self.checks.push(Judged { check, expected: Some(expected.into()), actual: actual.into() });
        self.faults.push(fault);
        if self.all { Ok(()) } else { Err(Stop) }
    }

    fn judge(
        &mut self,
        holds: bool,
        check: &'static str,
        expected: impl FnOnce() -> String,
        actual: impl Into<String>,
        fault: impl FnOnce() -> Fault,
    ) -> Result<(), Stop> {
        if holds {
            self.passed(check, actual);
            return Ok(());
        }
        self.failed(check, expected(), actual, fault())
    }
}

/// An assertion taken apart. Nothing in it is proven.
#[derive(Debug)]
pub struct Assertion<'a> {
    parsed: Parsed<'a>,
    claims: Map<String, Value>,
}

/// `exp`, `nbf` and `iat` are numbers (RFC 7519 section 2, NumericDate).
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];

/// Types of tokens that are signed for something else (RFC 9068, OpenID Connect Back-Channel Logout, RFC 9449, RFC
/// 8417): one of these is no assertion, although the same issuer signed it (RFC 8725 section 3.11).
const OTHER_TYPES: [&str; 5] = ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "token-introspection+jwt"];

/// The longest subject, in bytes (OpenID Connect Core section 2).
const LONGEST_SUBJECT: usize = 255;

/// Claims without which an assertion says nothing (RFC 7523 section 3).
const MANDATORY: [&str; 4] = ["iss", "sub", "aud", "exp"];

impl<'a> Assertion<'a> {
    /// Takes an assertion apart. Further checks need what this gives, so it always stops here.
    ///
    /// # Errors
    /// [`Stop`], with the fault noted.
    pub fn read(text: &'a str, judgement: &mut Judgement) -> Result<Self, Stop> {
        const FORM: &str = "one signed JWT with a JSON object as claims";
        let parsed = match jose::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let _ = judgement.failed("form", FORM, error.to_string(), Fault::Form(error.to_string()));
                return Err(Stop);
            }
        };
        let claims = match parsed.claims() {
            Ok(claims) => claims,
            Err(error) => {
                let _ = judgement.failed("form", FORM, error.to_string(), Fault::Form(error.to_string()));
                return Err(Stop);
            }
        };
        judgement.passed("form", "a signed JWT");
        Ok(Self { parsed, claims })
    }

    /// The header.
    pub fn header(&self) -> &jose::Header {
        self.parsed.header()
    }

    /// The claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim as text, unless it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A time in whole seconds, rounded down.
    fn time(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))
    }

    /// `aud` as a list.
    pub fn audience(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Types of times, and presence of what must be there.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn shape(&self, judgement: &mut Judgement) -> Result<(), Stop> {
        let typ = self.header().typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        if OTHER_TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ)) {
            judgement.failed("typ", "JWT, or none", typ, Fault::Type("typ"))?;
        }
        for name in TIMES {
            let value = self.claims.get(name);
            if value.is_some_and(|value| !value.is_number()) {
                let found = value.map(Value::to_string).unwrap_or_default();
                judgement.failed(name, "a number of seconds since 1970", found, Fault::Type(name))?;
            }
        }
        let texts = |value: &Value| match value {
            Value::String(_) => true,
            Value::Array(all) => all.iter().all(Value::is_string),
            _ => false,
        };
        if let Some(value) = self.claims.get("aud")
            && !texts(value)
        {
            judgement.failed("aud", "a text or a list of texts", value.to_string(), Fault::Type("aud"))?;
        }
        if self.claims.get("jti").is_some_and(|jti| !jti.is_string()) {
            judgement.failed("jti", "a text", "something else", Fault::Type("jti"))?;
        }
        // It becomes a name here.
        let fine = |sub: &str| sub.len() <= LONGEST_SUBJECT && !sub.chars().any(char::is_control);
        if self.text("sub").is_some_and(|sub| !fine(sub)) {
            let expected = format!("at most {LONGEST_SUBJECT} bytes, none of them a control character");
            judgement.failed("sub", expected, "another text", Fault::Type("sub"))?;
        }
        for name in MANDATORY {
            let there = match name {
                "aud" => self.audience().iter().any(|one| !one.is_empty()),
                "exp" => self.claims.get(name).is_some_and(|value| !value.is_null()),
                name => self.text(name).is_some(),
            };
            if !there {
                judgement.failed(name, "not empty", "absent or empty", Fault::Missing(name))?;
            }
        }
        Ok(())
    }

    /// `alg`, key and signature.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn signature(
        &self,
        rules: &Rules,
        keys: &Keys<'_>,
        now: Instant,
        judgement: &mut Judgement,
    ) -> Result<(), Stop> {
        let header = self.header();
        let Ok(algorithm) = self.algorithm(rules) else {
            let names: Vec<&str> = rules.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            return judgement.failed(
                "alg",
                names.join(", "),
                header.alg.as_str(),
                Fault::Algorithm(header.alg.clone()),
            );
        };
        judgement.passed("alg", algorithm.name());
        let kid = header.kid.as_deref();
        let shown = kid.unwrap_or("no kid");
        match keys {
            Keys::Given(keys) => {
                // A key without a name fits every name.
                let named = |key: &&TrustedKey| key.key().kid().is_none() || kid.is_none() || key.key().kid() == kid;
                let verified = keys.iter().filter(named).find(|key| self.parsed.verify(key.key()).is_ok());
                let Some(key) = verified else {
                    let expected = format!("made by {}", counted(keys.len(), "key"));
                    return judgement.failed(
                        "signature",
                        expected,
                        format!("{shown}, another key's"),
                        Fault::Signature,
                    );
                };
                judgement.passed("signature", shown);
                let dates = key.dates(now);
                let actual =
                    key.until().map_or_else(|| "a key without dates".to_owned(), |until| format!("until {until}"));
                judgement.judge(
                    dates == Dates::Valid,
                    "certificate",
                    || format!("valid at {}", now.seconds()),
                    actual,
                    || Fault::Certificate(dates),
                )
            }
            Keys::Set(keys) => {
                let named: Vec<_> = keys.iter().filter(|key| key.kid() == kid && kid.is_some()).collect();
                if named.is_empty() {
                    let names: Vec<&str> = keys.iter().filter_map(VerifyingKey::kid).collect();
                    return judgement.failed(
                        "kid",
                        names.join(", "),
                        shown,
                        match kid {
                            None => Fault::NoKid,
                            Some(_) => Fault::Signature,
                        },
                    );
                }
                let holds = named.iter().any(|key| self.parsed.verify(key).is_ok());
                judgement.judge(holds, "signature", || format!("made by the key {shown}"), shown, || Fault::Signature)
            }
        }
    }

    /// The algorithm, if the provider may use it.
    fn algorithm(&self, rules: &Rules) -> Result<Algorithm, ()> {
        self.header().algorithm().ok().filter(|algorithm| rules.algorithms.contains(algorithm)).ok_or(())
    }

    /// For whom and when. `own` are the names of this server.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn terms(&self, rules: &Rules, own: &[String], now: Instant, judgement: &mut Judgement) -> Result<(), Stop> {
        self.audience_is_ours(rules, own, judgement)?;
        let now = now.seconds();
        if let Some(exp) = self.time("exp") {
            let holds = now.saturating_sub(rules.expiry_skew) < exp;
            let expected = || format!("after {}", now.saturating_sub(rules.expiry_skew));
            judgement.judge(holds, "exp", expected, exp.to_string(), || Fault::Expired(now.saturating_sub(exp)))?;
        }
        if let Some(nbf) = self.time("nbf") {
            let latest = now.saturating_add(rules.skew);
            judgement.judge(
                nbf <= latest,
                "nbf",
                || format!("{latest} at most"),
                nbf.to_string(),
                || Fault::TooEarly(nbf.saturating_sub(now)),
            )?;
        }
        if let Some(iat) = self.time("iat") {
            let latest = now.saturating_add(rules.skew);
            judgement.judge(
                iat <= latest,
                "iat",
                || format!("{latest} at most"),
                iat.to_string(),
                || Fault::FromTheFuture(iat.saturating_sub(now)),
            )?;
            if let Some(window) = rules.iat_window {
                let earliest = now.saturating_sub(window).saturating_sub(rules.skew);
                judgement.judge(
                    iat >= earliest,
                    "age",
                    || format!("{earliest} at least"),
                    iat.to_string(),
                    || Fault::TooOld(now.saturating_sub(iat)),
                )?;
            }
        }
        if let (Some(exp), Some(life)) = (self.time("exp"), rules.longest_life)
            && !(rules.life_by_iat && self.time("iat").is_some())
        {
            let latest = now.saturating_add(life).saturating_add(rules.skew);
            judgement.judge(
                exp <= latest,
                "lifetime",
                || format!("exp {latest} at most"),
                exp.to_string(),
                || Fault::TooLong(exp.saturating_sub(now)),
            )?;
        }
        if rules.jti_required && self.text("jti").is_none() {
            judgement.failed("jti", "an id of the assertion", "absent", Fault::NoJti)?;
        }
        Ok(())
    }

    fn audience_is_ours(&self, rules: &Rules, own: &[String], judgement: &mut Judgement) -> Result<(), Stop> {
        let audience = self.audience();
        if audience.is_empty() {
            return Ok(());
        }
        let ours = |one: &str| own.iter().chain(&rules.audiences).any(|name| name == one);
        let expected = || own.iter().chain(&rules.audiences).cloned().collect::<Vec<_>>().join(" or ");
        let actual = audience.join(", ");
        if !rules.other_audiences && audience.len() > 1 {
            return judgement.failed("aud", "one audience", actual, Fault::ManyAudiences);
        }
        let holds = audience.iter().any(|one| ours(one));
        judgement.judge(holds, "aud", expected, actual.clone(), || Fault::Audience(actual))
    }

    /// Until when a use has to be remembered: afterwards the assertion is refused in any case.
    pub fn remembered_until(&self, rules: &Rules, now: Instant) -> Instant {
        let by_exp = self.time("exp").map(|exp| exp.saturating_add(rules.expiry_skew));
        let by_iat = match (self.time("iat"), rules.iat_window) {
            (Some(iat), Some(window)) => Some(iat.saturating_add(window).saturating_add(rules.skew)),
            _ => None,
        };
        let until = by_exp.into_iter().chain(by_iat).min().unwrap_or(now.seconds());
        Instant::from_seconds(until.saturating_add(1))
    }
}

/// The keys that may have signed.
#[derive(Debug)]
pub enum Keys<'a> {
    /// Those that the administrator gave.
    Given(&'a [TrustedKey]),
    /// Those that the provider publishes.
    Set(&'a [VerifyingKey]),
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 {
        format!("the {what} of this provider")
    } else {
        format!("one of the {number} {what}s of this provider")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Assertion, Fault, Judgement, Keys, Rules};
    use crate::Instant;
    use crate::jose::{Algorithm, SigningKey, VerifyingKey, b64url_decode, b64url_encode, samples, sign_compact};

    const NOW: i64 = 1_800_000_000;
    const OWN: &str = "https://id.example/oauth2/token";

    fn rules() -> Rules {
        Rules {
            algorithms: vec![Algorithm::ES256],
            audiences: Vec::new(),
            other_audiences: true,
            expiry_skew: 30,
            skew: 30,
            iat_window: Some(1_800),
            longest_life: Some(3_600),
            life_by_iat: false,
            jti_required: true,
            once: true,
        }
    }

    fn claims() -> Value {
        json!({"iss": "p", "sub": "u", "aud": OWN, "iat": NOW, "nbf": NOW, "exp": NOW + 60, "jti": "j"})
    }

    fn key() -> &'static SigningKey {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        KEY.get_or_init(|| samples::signing_key(Algorithm::ES256))
    }

    fn signed(claims: &str) -> String {
        sign_compact(r#"{"alg":"ES256","kid":"k"}"#, claims.as_bytes(), key()).unwrap()
    }

    /// Why a token is refused at a moment; `None` when it is not.
    fn fault_at(token: &str, now: i64) -> Option<Fault> {
        let jwk = key().public_jwk().unwrap();
        let jwk = crate::jose::Jwk { kid: Some("k".to_owned()), ..jwk };
        let (keys, now) = (vec![VerifyingKey::from_jwk(&jwk).unwrap()], Instant::from_seconds(now));
        let mut judgement = Judgement::default();
        let judged = Assertion::read(token, &mut judgement).and_then(|assertion| {
            assertion.shape(&mut judgement)?;
            assertion.signature(&rules(), &Keys::Set(&keys), now, &mut judgement)?;
            assertion.terms(&rules(), &[OWN.to_owned()], now, &mut judgement)
        });
        assert_eq!(judged.is_err(), !judgement.faults.is_empty());
        judgement.faults.into_iter().next()
    }

    fn fault(token: &str) -> Option<Fault> {
        fault_at(token, NOW)
    }

    #[test]
    fn the_assertion_that_is_mutated_below_holds() {
        assert_eq!(fault(&signed(&claims().to_string())), None);
    }

    #[test]
    fn whoever_tries_sees_every_check() {
        let token = signed(&json!({"iss": "p", "sub": "u", "aud": "x", "exp": NOW - 60}).to_string());
        let mut judgement = Judgement::of_everything();
        let assertion = Assertion::read(&token, &mut judgement).unwrap();
        assertion.shape(&mut judgement).unwrap();
        assertion.signature(&rules(), &Keys::Set(&[]), Instant::from_seconds(NOW), &mut judgement).unwrap();
        assertion.terms(&rules(), &[OWN.to_owned()], Instant::from_seconds(NOW), &mut judgement).unwrap();
        let faults = [Fault::Signature, Fault::Audience("x".to_owned()), Fault::Expired(60), Fault::NoJti];
        assert_eq!(judgement.faults, faults);
    }

    /// A claim with another value, and the one reason for which that must be refused.
    fn another() -> impl Strategy<Value = (&'static str, Value, Fault)> {
        prop_oneof![
            (31_i64..1 << 40).prop_map(|by| ("nbf", json!(NOW + by), Fault::TooEarly(by))),
            (31_i64..1 << 40).prop_map(|by| ("iat", json!(NOW + by), Fault::FromTheFuture(by))),
            (1_831_i64..1 << 30).prop_map(|by| ("iat", json!(NOW - by), Fault::TooOld(by))),
            (30_i64..1 << 30).prop_map(|by| ("exp", json!(NOW - by), Fault::Expired(by))),
            (3_631_i64..1 << 40).prop_map(|by| ("exp", json!(NOW + by), Fault::TooLong(by))),
            "[a-z:/.]{1,20}".prop_map(|text| ("aud", json!(text), Fault::Audience(text.clone()))),
            prop_oneof![Just("iat"), Just("exp"), Just("nbf")]
                .prop_flat_map(|name| (Just(name), "\\PC{0,8}"))
                .prop_map(|(name, text)| (name, json!(text), Fault::Type(name))),
            prop_oneof![Just("iss"), Just("sub"), Just("exp"), Just("aud")].prop_map(|name| (
                name,
                Value::Null,
                Fault::Missing(name)
            )),
            Just(("jti", Value::Null, Fault::NoJti)),
        ]
    }

    proptest! {
        /// Whatever one claim says that it may not say is the reason that is given.
        #[test]
        fn one_changed_claim_is_the_reason((name, value, reason) in another()) {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value;
            }
            prop_assert_eq!(fault(&signed(&claims.to_string())), Some(reason));
        }

        /// Whichever character of the token is another one, the token is refused: never for its claims, since the
        /// signature comes first.
        #[test]
        fn no_character_can_be_changed(at in 0_usize..1_000, with in "[A-Za-z0-9_.=+/ -]") {
            let token = signed(&claims().to_string());
            let at = at % token.len();
            let mutated = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            prop_assume!(mutated != token);
            let found = fault(&mutated);
            let fits = matches!(
                found,
                Some(Fault::Form(_) | Fault::Algorithm(_) | Fault::Signature | Fault::NoKid | Fault::Missing(_) | Fault::Type(_))
            );
            prop_assert!(fits, "{:?}", found);
        }

        /// Claims that are replaced under the old signature are refused for the signature, whatever they say.
        #[test]
        fn claims_cannot_be_replaced(sub in "[a-z]{1,9}", exp in NOW..NOW + 3_000) {
            let token = signed(&claims().to_string());
            let parts: Vec<&str> = token.split('.').collect();
            let mut claims: Value = serde_json::from_slice(&b64url_decode(parts[1]).unwrap()).unwrap();
            claims["sub"] = json!(sub);
            claims["exp"] = json!(exp);
            let payload = b64url_encode(claims.to_string().as_bytes());
            prop_assume!(payload != parts[1]);
            prop_assert_eq!(fault(&format!("{}.{payload}.{}", parts[0], parts[2])), Some(Fault::Signature));
        }

        /// At every moment an assertion is taken or refused for its times, and what is remembered of it outlives that.
        #[test]
        fn a_use_is_remembered_as_long_as_it_could_be_repeated(now in NOW - 100..NOW + 4_000, life in 1_i64..3_600) {
            let mut claims = claims();
            claims["exp"] = json!(NOW + life);
            let token = signed(&claims.to_string());
            let assertion = Assertion::read(&token, &mut Judgement::default()).unwrap();
            let until = assertion.remembered_until(&rules(), Instant::from_seconds(NOW));
            if fault_at(&token, now).is_none() {
                prop_assert!(until > Instant::from_seconds(now), "{until:?} and {now}");
            }
        }
    }
}
