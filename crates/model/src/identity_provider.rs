//! An identity provider as it is used: settings read, keys made ready, rules for its assertions.
//!
//! The settings are Keycloak's where Keycloak has them. What Keycloak has no word for is a setting that begins with
//! `grantor.`; a provider that has none of those is judged as Keycloak judges it: one audience, no leeway at `exp`,
//! a `jti` that must be there, subjects that are linked to users.

use std::collections::BTreeMap;

use crate::Instant;
use crate::assertion::Rules;
use crate::jose::{Algorithm, Dates, TrustedKey, trusted_keys};
use crate::realm::IdentityProviderDocument;

/// The names of settings.
pub mod setting {
    /// `iss` of its assertions.
    pub const ISSUER: &str = "issuer";
    /// Whether its assertions are taken at all.
    pub const FOR_ASSERTIONS: &str = "jwtAuthorizationGrantEnabled";
    /// Whether keys come from a URL.
    pub const USES_URL: &str = "useJwksUrl";
    /// The URL.
    pub const URL: &str = "jwksUrl";
    /// A public key.
    pub const PUBLIC_KEY: &str = "publicKeySignatureVerifier";
    /// Its `kid`.
    pub const PUBLIC_KEY_ID: &str = "publicKeySignatureVerifierKeyId";
    /// The only algorithm, as Keycloak has it.
    pub const ALGORITHM: &str = "jwtAuthorizationGrantAssertionSignatureAlg";
    /// Seconds by which clocks may differ, as Keycloak has it.
    pub const KEYCLOAK_SKEW: &str = "jwtAuthorizationGrantAllowedClockSkew";
    /// Seconds that an assertion lives, as Keycloak has it.
    pub const KEYCLOAK_LIFE: &str = "jwtAuthorizationGrantMaxAllowedAssertionExpiration";
    /// Whether an assertion may be used again.
    pub const REUSE: &str = "jwtAuthorizationGrantAssertionReuseAllowed";
    /// Seconds by which clocks may differ, at every time. Its presence makes the rules Grantor's.
    pub const SKEW: &str = "grantor.skew";
    /// Several keys and certificates.
    pub const CERTIFICATES: &str = "grantor.certificates";
    /// Algorithms, separated by `,`.
    pub const ALGORITHMS: &str = "grantor.algorithms";
    /// Audiences, separated by `##`.
    pub const AUDIENCES: &str = "grantor.audiences";
    /// Seconds since `iat`, or `off`.
    pub const IAT_WINDOW: &str = "grantor.iat.window";
    /// Seconds until `exp`.
    pub const LONGEST_LIFE: &str = "grantor.longest.life";
    /// Whom a subject stands for.
    pub const SUBJECT: &str = "grantor.subject";
    /// Claims that are taken over: `theirs=ours`, separated by `##`.
    pub const CLAIMS: &str = "grantor.claims";
    /// The claim that holds roles.
    pub const ROLE_CLAIM: &str = "grantor.role.claim";
    /// Roles that are taken over: `theirs=ours`, separated by `##`.
    pub const ROLES: &str = "grantor.roles";
}

use setting as s;

/// Between the entries of a setting that holds several, as Keycloak has it.
pub const SEPARATOR: &str = "##";

/// Seconds by which clocks may differ, unless somebody says otherwise.
pub const SKEW: i64 = 30;

/// Seconds since `iat`, unless somebody says otherwise.
pub const IAT_WINDOW: i64 = 1_800;

/// Seconds until `exp`, unless somebody says otherwise: each use is remembered so long.
pub const LONGEST_LIFE: i64 = 3_600;

/// The longest time that any of these settings may give, in seconds: a year.
const MOST: i64 = 366 * 86_400;

/// Whom the subject of an assertion stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// For itself: a user of the provider, who need not be known here.
    Federated,
    /// For the user who is linked to it.
    LinkedUser,
    /// For the linked user, who is made when there is none yet.
    JustInTime,
}

impl SubjectRule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Federated, Self::LinkedUser, Self::JustInTime];

    /// As settings write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Federated => "federated",
            Self::LinkedUser => "linked-user",
            Self::JustInTime => "just-in-time",
        }
    }

    /// The rule of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// Where its keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// An administrator gave them.
    Given(Vec<TrustedKey>),
    /// It publishes them there.
    Url(String),
    /// Nowhere; says why.
    None(String),
}

/// An identity provider, ready for use.
#[derive(Debug)]
pub struct IdentityProvider {
    /// The key in the store.
    pub id: String,
    /// The name in URLs and settings.
    pub alias: String,
    /// The name for people; management APIs know it by this one.
    pub name: String,
    /// `iss` of its assertions.
    pub issuer: Option<String>,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether its assertions are taken.
    pub for_assertions: bool,
    /// Its keys.
    pub keys: KeySource,
    /// What is asked of its assertions.
    pub rules: Rules,
    /// Whom its subjects stand for.
    pub subject: SubjectRule,
    /// Claims that are taken over, by their name there.
    pub claims: BTreeMap<String, String>,
    /// The claim that holds roles.
    pub role_claim: String,
    /// Realm roles that are given, by the name of the role there.
    pub roles: BTreeMap<String, String>,
}

impl IdentityProvider {
    /// Reads a document. What cannot be used is left out: then assertions are refused, and say why.
    ///
    /// `iat_window` is the one of providers that name none.
    pub fn of(id: &str, document: &IdentityProviderDocument, iat_window: Option<i64>) -> Self {
        let keys = key_source(document);
        Self {
            id: id.to_owned(),
            alias: document.alias.clone(),
            name: document.display_name.clone().unwrap_or_else(|| document.alias.clone()),
            issuer: document.setting(s::ISSUER).map(str::to_owned),
            enabled: document.enabled,
            for_assertions: document.switched_on(s::FOR_ASSERTIONS),
            rules: rules(document, &keys, iat_window),
            keys,
            subject: document.setting(s::SUBJECT).and_then(SubjectRule::parse).unwrap_or(SubjectRule::LinkedUser),
            claims: pairs(document.setting(s::CLAIMS)).into_iter().map(|(a, b)| (a, short(&b).to_owned())).collect(),
            role_claim: document.setting(s::ROLE_CLAIM).unwrap_or("roles").to_owned(),
            roles: pairs(document.setting(s::ROLES)),
        }
    }
}

fn key_source(document: &IdentityProviderDocument) -> KeySource {
    if document.switched_on(s::USES_URL) {
        return match document.setting(s::URL) {
            Some(url) => KeySource::Url(url.to_owned()),
            None => KeySource::None("it has no URL of a key set".to_owned()),
        };
    }
    let kid = document.setting(s::PUBLIC_KEY_ID);
    let read = match (document.setting(s::CERTIFICATES), document.setting(s::PUBLIC_KEY)) {
        (Some(text), _) => trusted_keys(text, None, None),
        (None, Some(text)) => trusted_keys(text, kid, Some(Algorithm::RS256)),
        (None, None) => return KeySource::None("it has no key".to_owned()),
    };
    match read {
        Ok(keys) => KeySource::Given(keys),
        Err(error) => KeySource::None(error.to_string()),
    }
}

fn is_asymmetric(algorithm: &Algorithm) -> bool {
    !algorithm.is_hmac()
}

fn rules(document: &IdentityProviderDocument, keys: &KeySource, iat_window: Option<i64>) -> Rules {
    let once = !document.switched_on(s::REUSE);
    let seconds =
        |name: &str| document.setting(name).and_then(|text| text.parse::<i64>().ok()).map(|n| n.clamp(0, MOST));
    let named =
        document.setting(s::ALGORITHMS).map(|names| names.split(',').filter_map(|n| Algorithm::parse(n.trim())));
    let named: Option<Vec<Algorithm>> = named.map(|names| names.filter(is_asymmetric).collect());
    let only =
        document.setting(s::ALGORITHM).map(|name| Algorithm::parse(name).into_iter().filter(is_asymmetric).collect());
    let algorithms = named.or(only);
    let audiences = entries(document.setting(s::AUDIENCES));
    if let Some(skew) = seconds(s::SKEW) {
        // A certificate of RSA was never used with PSS where such settings come from.
        let usual = |algorithm: &Algorithm| {
            let padded = matches!(algorithm, Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512);
            is_asymmetric(algorithm) && !(padded && matches!(keys, KeySource::Given(_)))
        };
        return Rules {
            algorithms: algorithms.unwrap_or_else(|| Algorithm::ALL.into_iter().filter(usual).collect()),
            audiences,
            other_audiences: true,
            expiry_skew: skew,
            skew,
            iat_window: match document.setting(s::IAT_WINDOW) {
                Some("off") => None,
                _ => seconds(s::IAT_WINDOW).or(iat_window),
            },
            longest_life: seconds(s::LONGEST_LIFE).or(Some(LONGEST_LIFE)),
            life_by_iat: false,
            jti_required: false,
            once,
        };
    }
    let life = seconds(s::KEYCLOAK_LIFE).filter(|life| *life > 0).unwrap_or(300);
    Rules {
        algorithms: algorithms.unwrap_or_else(|| Algorithm::ALL.into_iter().filter(is_asymmetric).collect()),
        audiences,
        other_audiences: false,
        expiry_skew: 0,
        skew: seconds(s::KEYCLOAK_SKEW).unwrap_or(15),
        iat_window: Some(life),
        longest_life: Some(life),
        life_by_iat: true,
        jti_required: once,
        once,
    }
}

/// The entries of a setting that holds several.
pub fn entries(text: Option<&str>) -> Vec<String> {
    text.into_iter().flat_map(|text| text.split(SEPARATOR)).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn pairs(text: Option<&str>) -> BTreeMap<String, String> {
    entries(text).iter().filter_map(|entry| entry.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// A claim's name without the dialect that some servers write before it: `http://wso2.org/claims/email` is `email`.
fn short(claim: &str) -> &str {
    if claim.contains("://") { claim.rsplit('/').next().unwrap_or(claim) } else { claim }
}

/// What is wrong with a document that somebody wants to save: names the setting and what to do. Stricter than reading,
/// which has to make do with what other servers exported.
pub fn problem(document: &IdentityProviderDocument, now: Instant) -> Option<String> {
    let alias = document.alias.as_str();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if alias.is_empty() || alias.len() > 255 || !alias.chars().all(fine) {
        return Some(format!(
            "{alias:?} is not a name for an identity provider: it has letters, digits, '-', '_' and '.'"
        ));
    }
    if document.switched_on(s::USES_URL) {
        if [s::CERTIFICATES, s::PUBLIC_KEY].iter().any(|name| document.setting(name).is_some()) {
            return Some("keys come from a URL or are given, not both".to_owned());
        }
        let url = document.setting(s::URL).unwrap_or_default();
        if let Some(problem) = url_problem(url) {
            return Some(problem);
        }
    } else if let Some(text) = document.setting(s::CERTIFICATES).or(document.setting(s::PUBLIC_KEY)) {
        let keys = match trusted_keys(text, None, None) {
            Ok(keys) => keys,
            Err(error) => return Some(format!("a key or certificate cannot be used: {error}")),
        };
        if let Some(Dates::Expired(at)) =
            keys.iter().map(|key| key.dates(now)).find(|dates| matches!(dates, Dates::Expired(_)))
        {
            return Some(format!("a certificate has expired: it was valid until second {at}"));
        }
    }
    let numbers = [s::SKEW, s::IAT_WINDOW, s::LONGEST_LIFE];
    for name in numbers {
        let value = document.setting(name).filter(|value| !(name == s::IAT_WINDOW && *value == "off"));
        if value.is_some_and(|value| !value.parse::<i64>().is_ok_and(|seconds| (0..=MOST).contains(&seconds))) {
            return Some(format!("{name} must be a number of seconds"));
        }
    }
    let algorithms = document.setting(s::ALGORITHMS).into_iter().flat_map(|names| names.split(','));
    if let Some(bad) = algorithms.map(str::trim).find(|name| !Algorithm::parse(name).is_some_and(|a| is_asymmetric(&a)))
    {
        let known: Vec<&str> = Algorithm::ALL.iter().filter(|a| is_asymmetric(a)).map(|a| a.name()).collect();
        return Some(format!("{bad:?} is not an algorithm for assertions: {}", known.join(", ")));
    }
    if document.setting(s::SUBJECT).is_some_and(|rule| SubjectRule::parse(rule).is_none()) {
        let known: Vec<&str> = SubjectRule::ALL.iter().map(|rule| rule.name()).collect();
        return Some(format!("a subject is one of: {}", known.join(", ")));
    }
    None
}

/// What is wrong with the address of a key set, as far as its text tells.
fn url_problem(url: &str) -> Option<String> {
    let lower = url.to_ascii_lowercase();
    if !(lower.starts_with("https://") || lower.starts_with("http://")) {
        return Some("the URL of a key set begins with https://".to_owned());
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::{IdentityProvider, KeySource, SubjectRule, problem, setting as s};
    use crate::Instant;
    use crate::jose::Algorithm;
    use crate::realm::IdentityProviderDocument;

    fn document(settings: &[(&str, &str)]) -> IdentityProviderDocument {
        let config = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        IdentityProviderDocument { alias: "p".to_owned(), config, ..IdentityProviderDocument::default() }
    }

    #[test]
    fn without_settings_of_ours_the_rules_are_keycloaks() {
        let provider = IdentityProvider::of(
            "1",
            &document(&[(s::USES_URL, "true"), (s::URL, "https://x.example/jwks")]),
            Some(1_800),
        );
        assert!(matches!(provider.keys, KeySource::Url(_)));
        assert_eq!(provider.subject, SubjectRule::LinkedUser);
        assert_eq!((provider.rules.expiry_skew, provider.rules.skew, provider.rules.iat_window), (0, 15, Some(300)));
        assert!(!provider.rules.other_audiences && provider.rules.jti_required);
        let ours = IdentityProvider::of(
            "1",
            &document(&[(s::SKEW, "30"), (s::IAT_WINDOW, "off"), (s::ALGORITHMS, "ES256, HS256")]),
            Some(1_800),
        );
        assert_eq!((ours.rules.expiry_skew, ours.rules.iat_window), (30, None));
        assert_eq!(ours.rules.algorithms, [Algorithm::ES256], "a shared secret is never an algorithm for assertions");
    }

    #[test]
    fn what_cannot_work_is_told_when_it_is_saved() {
        let now = Instant::from_seconds(0);
        assert_eq!(problem(&document(&[]), now), None);
        for bad in [
            [(s::USES_URL, "true"), (s::URL, "file:///etc/passwd")],
            [(s::CERTIFICATES, "garbage"), (s::SKEW, "1")],
            [(s::SKEW, "many"), (s::URL, "")],
            [(s::ALGORITHMS, "none"), (s::URL, "")],
            [(s::ALGORITHMS, "HS256"), (s::URL, "")],
            [(s::SUBJECT, "anybody"), (s::URL, "")],
            [(s::IAT_WINDOW, "-1"), (s::URL, "")],
        ] {
            assert!(problem(&document(&bad), now).is_some(), "{bad:?}");
        }
        let nameless = IdentityProviderDocument { alias: "a/b".to_owned(), ..document(&[]) };
        assert!(problem(&nameless, now).is_some());
    }
}
