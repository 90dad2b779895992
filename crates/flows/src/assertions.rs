//! Assertions of identity providers: who speaks, may they, and of whom (RFC 7523 section 3).
//!
//! Both faces take assertions, each in its own words; what is checked, and in which order, is here and in
//! [`grantor_model::assertion`]. A use is noted last, when nothing else can fail, so that a refused request does not
//! burn the assertion.

use std::collections::BTreeMap;
use std::sync::Arc;

use grantor_model::assertion::{Assertion, Fault, Judgement, Keys, Stop, SubjectFault};
use grantor_model::identity_provider::{IdentityProvider, KeySource, SubjectRule};
use grantor_model::jose::{b64url_encode, sha256};
use grantor_model::realm::UserDocument;
use grantor_model::{Error, Instant, Refused, Trail};
use grantor_store::StoreError;
use grantor_store::identity_providers::link;
use grantor_store::users::{self as user_table, UserRow};
use serde_json::Value;

use crate::engine::{Call, Engine, store_error};
use crate::realms::{Client, Realm, User};

/// Whether a client may use the grant at all.
pub const ENABLED: &str = "oauth2.jwt.authorization.grant.enabled";

/// The aliases of the identity providers that a client may use, separated by `##`; `*` for all.
pub const PROVIDERS: &str = "oauth2.jwt.authorization.grant.idp";

/// What stands for every identity provider of the realm.
pub const EVERY_PROVIDER: &str = "*";

/// What is configured for assertions.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether the grant is offered.
    pub offered: bool,
    /// Seconds since `iat`, for providers that say nothing themselves; `None` when `iat` is not looked at.
    pub iat_window: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { offered: true, iat_window: Some(grantor_model::identity_provider::IAT_WINDOW) }
    }
}

/// How an issuer is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By the issuer that its settings name.
    Issuer,
    /// By that, and by its name when no other one has the issuer.
    IssuerOrName,
}

/// What came with a judgement that held.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// Who spoke.
    pub provider: Arc<IdentityProvider>,
    /// What was said.
    pub assertion: Assertion<'a>,
}

/// Where assertions are judged.
#[derive(Clone, Copy, Debug)]
pub struct Court<'a> {
    /// The realm.
    pub realm: &'a Realm,
    /// The client that shows the assertion; `None` judges without one.
    pub client: Option<&'a Client>,
    /// How an issuer is looked for.
    pub lookup: Lookup,
}

impl Realm {
    /// The identity provider that speaks as `issuer`; names are exact. One that is there for assertions goes before
    /// one that is not.
    fn provider_of(&self, issuer: &str, lookup: Lookup) -> Option<&Arc<IdentityProvider>> {
        let usable = |provider: &&Arc<IdentityProvider>| provider.enabled && provider.for_assertions;
        let by_issuer = || self.providers.iter().filter(|provider| provider.issuer.as_deref() == Some(issuer));
        let by_name = || self.providers.iter().filter(|provider| provider.name == issuer);
        let found = by_issuer().find(usable).or_else(|| by_issuer().next());
        match lookup {
            Lookup::Issuer => found,
            Lookup::IssuerOrName => found.or_else(|| by_name().find(usable)).or_else(|| by_name().next()),
        }
    }

    /// The names under which this realm may be an audience: its issuer and its token endpoints on both faces.
    pub fn own_audiences(&self, engine: &Engine, base: &str) -> Vec<String> {
        let issuer = self.issuer(base);
        let base = self.frontend().unwrap_or(base);
        let mut own = vec![format!("{issuer}/protocol/openid-connect/token"), issuer];
        own.push(format!("{base}/t/{}/oauth2/token", self.name));
        if self.name == engine.wso2.default_realm {
            own.push(format!("{base}/oauth2/token"));
        }
        own
    }
}

/// Judges an assertion, but for the user it speaks of and whether it was used before. What the judgement holds at the
/// end says why there is nothing.
///
/// # Errors
/// When the database is lost.
pub async fn judged<'a>(
    engine: &Engine,
    call: &Call<'_>,
    court: Court<'_>,
    text: &'a str,
    judgement: &mut Judgement,
) -> Option<Accepted<'a>> {
    let Court { realm, client, lookup } = court;
    let assertion = Assertion::read(text, judgement).ok()?;
    assertion.shape(judgement).ok()?;
    let issuer = assertion.text("iss").unwrap_or_default();
    let Some(provider) = realm.provider_of(issuer, lookup).cloned() else {
        let known: Vec<&str> = realm.providers.iter().filter_map(|provider| provider.issuer.as_deref()).collect();
        let expected =
            if known.is_empty() { "an identity provider, there is none".to_owned() } else { known.join(" or ") };
        // Without the provider there is nothing to go on with.
        let _ = judgement.failed("iss", expected, issuer, Fault::UnknownIssuer(issuer.to_owned()));
        return None;
    };
    judgement.passed("iss", issuer);
    may_speak(&provider, client, judgement).ok()?;
    signed(engine, call.now, &provider, &assertion, judgement).await.ok()?;
    let own = realm.own_audiences(engine, call.base);
    assertion.terms(&provider.rules, &own, call.now, judgement).ok()?;
    Some(Accepted { provider, assertion })
}

fn may_speak(provider: &IdentityProvider, client: Option<&Client>, judgement: &mut Judgement) -> Result<(), Stop> {
    if !(provider.enabled && provider.for_assertions) {
        let found = if provider.enabled { "it takes no assertions" } else { "it is off" };
        judgement.failed("identity provider", "on", found, Fault::ProviderOff(provider.name.clone()))?;
    } else {
        judgement.passed("identity provider", provider.alias.as_str());
    }
    let Some(client) = client else { return Ok(()) };
    let listed = client.document.attribute(PROVIDERS).unwrap_or_default();
    let mut listed = listed.split(grantor_model::identity_provider::SEPARATOR);
    if listed.any(|alias| alias == provider.alias || alias == EVERY_PROVIDER) {
        judgement.passed("client may use it", client.client_id());
        return Ok(());
    }
    let fault = Fault::NotForClient(provider.name.clone());
    judgement.failed("client may use it", format!("{} among its providers", provider.alias), client.client_id(), fault)
}

async fn signed(
    engine: &Engine,
    now: Instant,
    provider: &IdentityProvider,
    assertion: &Assertion<'_>,
    judgement: &mut Judgement,
) -> Result<(), Stop> {
    let rules = &provider.rules;
    match &provider.keys {
        KeySource::Given(keys) => assertion.signature(rules, &Keys::Given(keys), now, judgement),
        KeySource::None(reason) => {
            let fault = Fault::NoKey { provider: provider.name.clone(), reason: reason.clone() };
            judgement.failed("key", "a key of the provider", reason.as_str(), fault)
        }
        KeySource::Url(url) => {
            // Nothing is fetched for an assertion that could not hold anyway.
            let usable = assertion.header().algorithm().is_ok_and(|one| rules.algorithms.contains(&one));
            if !usable || assertion.header().kid.is_none() {
                return assertion.signature(rules, &Keys::Set(&[]), now, judgement);
            }
            let kid = assertion.header().kid.as_deref();
            match engine.key_sets.get(Some(&engine.store), &engine.fetch, url, kid, now).await {
                Ok(set) => assertion.signature(rules, &Keys::Set(&set.keys), now, judgement),
                Err(reason) => {
                    let fault = Fault::Unreachable { url: url.clone(), reason: reason.clone() };
                    judgement.failed("key set", "an answer", reason, fault)
                }
            }
        }
    }
}

/// The user that an accepted assertion speaks of.
///
/// # Errors
/// When the database is lost.
pub async fn subject(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    accepted: &Accepted<'_>,
) -> Result<Result<User, SubjectFault>, Error> {
    let Accepted { provider, assertion } = accepted;
    let subject = assertion.text("sub").unwrap_or_default();
    let store = &engine.store;
    if provider.subject == SubjectRule::Federated {
        // Who trusts this server's tokens looks at `sub` alone: a provider must not speak as a user of ours.
        if store.user(&realm.id, subject).await.map_err(store_error)?.is_some() {
            return Ok(Err(SubjectFault::OfOurs));
        }
        return Ok(Ok(federated(realm, provider, assertion)));
    }
    let mut linked = store.linked_user(&provider.id, subject).await.map_err(store_error)?;
    if linked.is_none() && provider.subject == SubjectRule::JustInTime {
        linked = made(engine, call, realm, provider, assertion).await?;
    }
    let Some(id) = linked else { return Ok(Err(SubjectFault::Unknown)) };
    let mut found = user_of(engine, realm, provider, &id).await?;
    if let Ok(user) = &mut found {
        user.roles.extend(given_roles(realm, provider, assertion));
    }
    Ok(found)
}

/// Whether the user that an assertion speaks of could be given a token, without making anybody.
///
/// # Errors
/// When the database is lost.
pub async fn known_subject(
    engine: &Engine,
    realm: &Realm,
    accepted: &Accepted<'_>,
) -> Result<Result<(), SubjectFault>, Error> {
    let subject = accepted.assertion.text("sub").unwrap_or_default();
    let store = &engine.store;
    match accepted.provider.subject {
        SubjectRule::Federated => {
            let ours = store.user(&realm.id, subject).await.map_err(store_error)?.is_some();
            Ok(if ours { Err(SubjectFault::OfOurs) } else { Ok(()) })
        }
        rule => match store.linked_user(&accepted.provider.id, subject).await.map_err(store_error)? {
            Some(id) => user_of(engine, realm, &accepted.provider, &id).await.map(|found| found.map(drop)),
            None if rule == SubjectRule::JustInTime => Ok(Ok(())),
            None => Ok(Err(SubjectFault::Unknown)),
        },
    }
}

/// A linked user, if it may be given tokens.
async fn user_of(
    engine: &Engine,
    realm: &Realm,
    provider: &IdentityProvider,
    id: &str,
) -> Result<Result<User, SubjectFault>, Error> {
    let row = engine.store.user(&realm.id, id).await.map_err(store_error)?;
    let Some(row) = row else { return Ok(Err(SubjectFault::Unknown)) };
    if !row.enabled {
        return Ok(Err(SubjectFault::Off));
    }
    let user = realm.user(row).map_err(|error| Error::internal(format!("a user: {error}")))?;
    let set_up = user.document.required_actions.is_empty()
        && (provider.subject == SubjectRule::JustInTime || realm.lacks_in_profile(&user).is_none());
    Ok(if set_up { Ok(user) } else { Err(SubjectFault::NotSetUp) })
}

/// A user of the provider, who is nobody here.
fn federated(realm: &Realm, provider: &IdentityProvider, assertion: &Assertion<'_>) -> User {
    let subject = assertion.text("sub").unwrap_or_default();
    let mut user = nobody(subject, &provider.alias);
    let mut attributes = taken_over(provider, assertion);
    let mut first = |name: &str| attributes.remove(name).and_then(|values| values.into_iter().next());
    user.email = first("email");
    user.document.first_name = first("firstName");
    user.document.last_name = first("lastName");
    user.document.attributes = attributes;
    user.roles = given_roles(realm, provider, assertion);
    user
}

/// A user of whom only the subject is known.
pub(crate) fn nobody(subject: &str, provider: &str) -> User {
    User {
        id: subject.to_owned(),
        username: subject.to_owned(),
        email: None,
        enabled: true,
        is_service_account: false,
        provider: Some(provider.to_owned()),
        not_before: 0,
        document: UserDocument::default(),
        roles: std::collections::BTreeSet::new(),
        groups: Vec::new(),
    }
}

/// The claims that the provider's settings take over, under their names here.
fn taken_over(provider: &IdentityProvider, assertion: &Assertion<'_>) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let values = |value: &Value| match value {
        Value::Array(all) => all.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect::<Vec<_>>(),
    };
    let claims = provider.claims.iter().filter_map(|(theirs, ours)| {
        Some((ours.clone(), values(assertion.claims().get(theirs)?))).filter(|(_, values)| !values.is_empty())
    });
    claims.collect()
}

/// The roles that the provider's settings give, with all that come with them. A role there is nothing here unless
/// somebody said so.
fn given_roles(
    realm: &Realm,
    provider: &IdentityProvider,
    assertion: &Assertion<'_>,
) -> std::collections::BTreeSet<usize> {
    if provider.roles.is_empty() {
        return std::collections::BTreeSet::new();
    }
    let theirs: Vec<&str> = match assertion.claims().get(&provider.role_claim) {
        Some(Value::String(one)) => one.split([' ', ',']).filter(|role| !role.is_empty()).collect(),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let ours = theirs.iter().filter_map(|theirs| provider.roles.get(*theirs));
    let positions =
        ours.filter_map(|name| realm.roles.iter().position(|role| role.client.is_none() && role.name == *name));
    realm.with_members(positions.collect::<Vec<_>>())
}

/// Makes the user of a subject that comes for the first time, and links them.
async fn made(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    provider: &IdentityProvider,
    assertion: &Assertion<'_>,
) -> Result<Option<String>, Error> {
    let subject = assertion.text("sub").unwrap_or_default();
    let mut attributes = taken_over(provider, assertion);
    let mut first = |name: &str| attributes.remove(name).and_then(|values| values.into_iter().next());
    let (email, first_name, last_name) = (first("email"), first("firstName"), first("lastName"));
    let mut email = email.map(|email| email.trim().to_lowercase());
    // An address that somebody has already is not the partner's to give: two with one address cannot sign in by it.
    if let Some(address) = &email
        && !engine.store.users_by_email(&realm.id, address).await.map_err(store_error)?.is_empty()
    {
        email = None;
    }
    let document = UserDocument {
        first_name,
        last_name,
        attributes,
        created_timestamp: Some(call.now.millis()),
        ..UserDocument::default()
    };
    let document = serde_json::to_string(&document).map_err(|error| Error::internal(error.to_string()))?;
    let default = format!("default-roles-{}", realm.name);
    let default = realm.roles.iter().find(|role| role.client.is_none() && role.name == default);
    let id = engine.entropy.uuid(call.now)?;
    let mut row = UserRow {
        id: id.clone(),
        realm_id: realm.id.clone(),
        // A name of its own: nobody signs in with it, and it takes none of a local user's.
        username: format!("{}.{subject}", provider.alias).to_lowercase(),
        email,
        enabled: true,
        service_client: None,
        not_before: 0,
        document,
        roles: default.map(|role| role.id.clone()).into_iter().collect(),
        groups: Vec::new(),
    };
    // Names are compared in lower case and subjects to the letter, so a name may be taken: then the key is the name.
    for username in [row.username.clone(), format!("{}.{id}", provider.alias).to_lowercase()] {
        row.username = username;
        let mut statements = user_table::insert(&row);
        statements.push(link(&provider.id, subject, &id, subject));
        match engine.store.apply(statements).await {
            Ok(()) => return Ok(Some(id)),
            Err(StoreError::Duplicate) => {}
            Err(error) => return Err(store_error(error)),
        }
        // Another request may have made the user a moment ago.
        let linked = engine.store.linked_user(&provider.id, subject).await.map_err(store_error)?;
        if linked.is_some() {
            return Ok(linked);
        }
    }
    Ok(None)
}

/// Turns what a judgement found into the trail of the request, and its fault into a refusal in the face's words.
///
/// # Errors
/// The refusal.
pub fn noted(judgement: Judgement, trail: &mut Trail, words: impl Fn(&Fault) -> Error) -> Result<(), Refused> {
    let mut faults = judgement.faults.into_iter();
    for judged in judgement.checks {
        match judged.expected {
            None => trail.found(judged.check, &judged.actual),
            Some(expected) => {
                let error = faults.next().map_or_else(|| Error::internal("a check without a fault"), |f| words(&f));
                return Err(trail.refuse(judged.check, expected, &judged.actual, error));
            }
        }
    }
    Ok(())
}

/// Judges an assertion and finds its user, in the face's words.
///
/// # Errors
/// A refusal.
pub async fn proved<'a>(
    engine: &Engine,
    call: &Call<'_>,
    court: Court<'_>,
    text: &'a str,
    words: impl Fn(&Fault) -> Error,
    trail: &mut Trail,
) -> Result<(Accepted<'a>, User), Refused> {
    let mut judgement = Judgement::default();
    let accepted = judged(engine, call, court, text, &mut judgement).await;
    noted(judgement, trail, &words)?;
    let Some(accepted) = accepted else { return Err(trail.fail(Error::internal("a judgement without an end"))) };
    match subject(engine, call, court.realm, &accepted).await.map_err(|error| trail.fail(error))? {
        Ok(user) => {
            trail.found("subject", &user.username);
            Ok((accepted, user))
        }
        Err(fault) => {
            let found = accepted.assertion.text("sub").unwrap_or_default().to_owned();
            Err(trail.refuse("subject", wanted(&accepted.provider, fault), &found, words(&Fault::Subject(fault))))
        }
    }
}

/// What would have been right about a subject.
pub fn wanted(provider: &IdentityProvider, fault: SubjectFault) -> String {
    match fault {
        SubjectFault::Unknown => format!("a subject of {} that is linked to a user", provider.alias),
        SubjectFault::Off => "a user that is on".to_owned(),
        SubjectFault::NotSetUp => "a user without anything left to do".to_owned(),
        SubjectFault::OfOurs => "no user of this realm: the provider speaks for its own users only".to_owned(),
    }
}

/// How uses of an issuer's assertions are remembered: realm, issuer and `jti` together are the key. Whatever text the
/// issuer chose, what is stored has one length and no odd characters.
fn place_of_use(accepted: &Accepted<'_>) -> Option<(String, String)> {
    let jti = accepted.assertion.text("jti").filter(|_| accepted.provider.rules.once)?;
    let issuer = accepted.assertion.text("iss").unwrap_or_default();
    Some((format!("assertion {issuer}"), b64url_encode(&sha256(jti.as_bytes()))))
}

/// Notes the use of an assertion: the last step, and the one that only one of many callers gets past.
///
/// # Errors
/// A refusal.
pub async fn used(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    accepted: &Accepted<'_>,
    words: impl Fn(&Fault) -> Error,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let Some((issuer, jti)) = place_of_use(accepted) else { return Ok(()) };
    let until = accepted.assertion.remembered_until(&accepted.provider.rules, call.now);
    match engine.store.record_seen(&realm.id, &issuer, &jti, until).await {
        Ok(true) => {
            trail.pass("jti, first use");
            Ok(())
        }
        Ok(false) => {
            let found = accepted.assertion.text("jti").unwrap_or_default().to_owned();
            Err(trail.refuse("jti", "an assertion not used before", &found, words(&Fault::Replayed)))
        }
        Err(error) => Err(trail.fail(store_error(error))),
    }
}

/// The same as a statement, for the batch that stores what is given out for it.
pub(crate) fn use_of(realm: &Realm, accepted: &Accepted<'_>, now: Instant) -> Option<grantor_store::Statement> {
    let (issuer, jti) = place_of_use(accepted)?;
    let until = accepted.assertion.remembered_until(&accepted.provider.rules, now);
    Some(grantor_store::once::see(&realm.id, &issuer, &jti, until))
}

/// Whether an assertion was used before, without using it.
///
/// # Errors
/// When the database is lost.
pub async fn was_used(engine: &Engine, realm: &Realm, accepted: &Accepted<'_>) -> Result<bool, Error> {
    match place_of_use(accepted) {
        Some((issuer, jti)) => engine.store.was_seen(&realm.id, &issuer, &jti).await.map_err(store_error),
        None => Ok(false),
    }
}
