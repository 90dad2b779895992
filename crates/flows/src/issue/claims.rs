//! Claims of access, ID and refresh tokens, of userinfo and introspection, in Keycloak's order of members.

use grantor_model::claims::{Facts, Mapped, ResolvedRoles, map};
use grantor_model::jose::{Algorithm, Jwk, JwkSet, encrypt_token};
use grantor_model::mapper::{Mapper, Target};
use grantor_model::{Code, Error, Kind};
use serde_json::{Map, Value};

use super::{Expiries, algorithm, sign};
use crate::engine::{Call, Engine};
use crate::grant::{ChainState, Granted, GrantedScopes, Refresh, Session};
use crate::keys::{INTERNAL, Signer};
use crate::realms::{Client, Realm, User};

/// Claims after `typ` and `azp` that have a fixed place when mappers make them.
const PLACED: [&str; 5] = ["sid", "acr", "allowed-origins", "realm_access", "resource_access"];

/// Whose user a token speaks of, when it is none of ours.
pub(crate) const IDENTITY_PROVIDER: &str = "identity_provider";

/// The work on one answer: facts and mappers, gathered once.
pub(crate) struct Making<'a> {
    engine: &'a Engine,
    call: &'a Call<'a>,
    realm: &'a Realm,
    granted: &'a Granted,
    issuer: String,
    facts: Facts<'a>,
    mappers: Vec<&'a Mapper>,
    session: String,
}

/// An access token's claims, and what other tokens take over from it.
pub(crate) struct Access {
    pub(crate) claims: Map<String, Value>,
}

impl<'a> Making<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        call: &'a Call<'a>,
        realm: &'a Realm,
        granted: &'a Granted,
    ) -> Result<Self, Error> {
        let session = match &granted.session {
            Session::Transient => engine.entropy.session_id(call.now)?,
            Session::New(session, _) | Session::Known(session, _) => session.id.clone(),
        };
        let client = &granted.client;
        let mut facts = facts(realm, &granted.user, client, &granted.scopes);
        if granted.user.is_service_account {
            facts.notes = service_notes(call, client);
        }
        facts.session.clone_from(&session);
        Ok(Self {
            engine,
            call,
            realm,
            granted,
            issuer: realm.issuer(call.base),
            facts,
            mappers: mappers(client, &granted.scopes),
            session,
        })
    }

    /// Whether a mapper writes the session's id, which is another one each time.
    pub(super) fn names_the_session(&self) -> bool {
        self.mappers.iter().any(|mapper| mapper.names_the_session())
    }

    /// What the mappers make for a kind of answer.
    pub(crate) fn mapped(&self, target: Target) -> Mapped {
        map(&self.facts, &self.mappers, target)
    }

    pub(crate) fn signer(&self, attribute: &str) -> Result<&'a Signer, Error> {
        signer(self.realm, &self.granted.client, attribute)
    }

    pub(crate) fn is_at_jwt(&self) -> bool {
        is_at_jwt(&self.granted.client)
    }

    fn is_lightweight(&self) -> bool {
        self.granted.client.document.switched_on("client.use.lightweight.access.token.enabled")
    }

    pub(crate) fn is_offline(&self) -> bool {
        matches!(&self.granted.session, Session::New(session, _) | Session::Known(session, _) if session.offline)
    }

    /// The session that tokens name; a transient one is named by none.
    pub(crate) fn session_id(&self) -> Option<&str> {
        match self.granted.session {
            Session::Transient => None,
            _ => Some(&self.session),
        }
    }

    pub(crate) fn access(&self, expiry: i64) -> Result<Access, Error> {
        let lightweight = self.is_lightweight();
        let mut mapped = self.mapped(if lightweight { Target::Lightweight } else { Target::Access });
        let kind = match &self.granted.session {
            Session::Transient => "tr",
            Session::New(session, _) | Session::Known(session, _) if session.offline => "of",
            _ => "on",
        };
        let weight = if lightweight { "lt" } else { "rt" };
        let id = self.engine.entropy.uuid(self.call.now)?;
        let mut claims =
            self.head(Some(expiry), format!("{kind}{weight}{}:{id}", self.granted.letters), self.call.now.seconds());
        move_claim(&mut mapped.claims, "auth_time", &mut claims);
        insert_audience(&mut claims, mapped.audience);
        match mapped.claims.shift_remove("sub") {
            Some(sub) => drop(claims.insert("sub".to_owned(), sub)),
            // A lightweight token of a user names nobody; a service account is named always, as recorded.
            None if lightweight && !matches!(self.granted.session, Session::Transient) => {}
            None => drop(claims.insert("sub".to_owned(), Value::from(self.granted.user.id.as_str()))),
        }
        claims.insert("typ".to_owned(), Value::from("Bearer"));
        claims.insert("azp".to_owned(), Value::from(self.granted.client.client_id()));
        if let Some(session) = self.session_id() {
            claims.insert("sid".to_owned(), Value::from(session));
        }
        for name in PLACED {
            move_claim(&mut mapped.claims, name, &mut claims);
        }
        claims.insert("scope".to_owned(), Value::from(self.granted.scopes.visible()));
        claims.extend(mapped.claims);
        if let Some(provider) = &self.granted.user.provider {
            claims.insert(IDENTITY_PROVIDER.to_owned(), Value::from(provider.as_str()));
        }
        Ok(Access { claims })
    }

    pub(crate) fn id_token(&self, expiry: i64, access: &Access, at_hash: &str) -> Result<Map<String, Value>, Error> {
        let mut mapped = self.mapped(Target::Id);
        let mut claims = self.head(Some(expiry), self.engine.entropy.uuid(self.call.now)?, self.call.now.seconds());
        move_claim(&mut mapped.claims, "auth_time", &mut claims);
        let client = self.granted.client.client_id();
        let mut audience = vec![client.to_owned()];
        audience.extend(mapped.audience.into_iter().filter(|one| one != client));
        insert_audience(&mut claims, audience);
        let sub = mapped.claims.shift_remove("sub").or_else(|| access.claims.get("sub").cloned());
        claims.insert("sub".to_owned(), sub.unwrap_or_else(|| Value::from(self.granted.user.id.as_str())));
        claims.insert("typ".to_owned(), Value::from("ID"));
        claims.insert("azp".to_owned(), Value::from(client));
        if let Some(session) = self.session_id() {
            claims.insert("sid".to_owned(), Value::from(session));
        }
        claims.insert("at_hash".to_owned(), Value::from(at_hash));
        for name in PLACED {
            move_claim(&mut mapped.claims, name, &mut claims);
        }
        claims.extend(mapped.claims);
        if let Some(provider) = &self.granted.user.provider {
            claims.insert(IDENTITY_PROVIDER.to_owned(), Value::from(provider.as_str()));
        }
        Ok(claims)
    }

    /// The refresh token and the seconds it lives; 0 for one without an end.
    pub(crate) fn refresh(
        &self,
        access: &Access,
        expiries: &Expiries,
        granted: &Granted,
    ) -> Result<Option<(String, i64)>, Error> {
        let Refresh::Yes { scope, chain, successor } = &granted.refresh else { return Ok(None) };
        let (Session::New(session, _) | Session::Known(session, _)) = &granted.session else { return Ok(None) };
        let (id, issued) = match successor {
            Some((id, issued)) => (id.clone(), *issued),
            None => (self.engine.entropy.uuid(self.call.now)?, self.call.now),
        };
        let mut claims = self.head(expiries.refresh, id, issued.seconds());
        claims.insert("aud".to_owned(), Value::from(self.issuer.as_str()));
        if let Some(sub) = access.claims.get("sub") {
            claims.insert("sub".to_owned(), sub.clone());
        }
        claims.insert("typ".to_owned(), Value::from(if session.offline { "Offline" } else { "Refresh" }));
        claims.insert("azp".to_owned(), Value::from(granted.client.client_id()));
        claims.insert("sid".to_owned(), Value::from(session.id.as_str()));
        claims.insert("scope".to_owned(), Value::from(scope.as_str()));
        if let Some(audience) = access.claims.get("aud") {
            claims.insert("aud_x".to_owned(), audience.clone());
        }
        claims.insert("prov".to_owned(), Value::from("default"));
        if let Some((chain, ChainState::Begins | ChainState::Moved)) = chain {
            claims.insert("reuse_id".to_owned(), Value::from(chain.id.as_str()));
        }
        let signer = self.realm.keys.signer(INTERNAL);
        let signer = signer.ok_or_else(|| Error::internal("the realm has no key for refresh tokens"))?;
        let seconds = expiries.refresh.map_or(0, |expiry| expiry - self.call.now.seconds());
        Ok(Some((sign(self.engine, signer, &claims, false)?, seconds)))
    }

    /// `exp`, `iat`, `jti`, `iss`.
    fn head(&self, expiry: Option<i64>, id: String, issued: i64) -> Map<String, Value> {
        let mut claims = Map::new();
        if let Some(expiry) = expiry {
            claims.insert("exp".to_owned(), Value::from(expiry));
        }
        claims.insert("iat".to_owned(), Value::from(issued));
        claims.insert("jti".to_owned(), Value::from(id));
        claims.insert("iss".to_owned(), Value::from(self.issuer.as_str()));
        claims
    }
}

pub(super) fn signer<'a>(realm: &'a Realm, client: &Client, attribute: &str) -> Result<&'a Signer, Error> {
    let algorithm = algorithm(realm, client, attribute);
    realm.keys.signer(algorithm).ok_or_else(|| Error::internal(format!("the realm has no key for {algorithm}")))
}

/// Whether access tokens say `at+jwt` (RFC 9068 section 2.1).
pub(super) fn is_at_jwt(client: &Client) -> bool {
    client.document.switched_on("access.token.header.type.rfc9068")
}

fn facts<'a>(realm: &'a Realm, user: &'a User, client: &'a Client, scopes: &GrantedScopes) -> Facts<'a> {
    let roles: ResolvedRoles = realm.roles_for(user, client, &scopes.scopes);
    Facts {
        subject: realm.subject(user),
        client_id: client.client_id(),
        sector: client.sector.as_deref(),
        allowed_origins: &client.allowed_origins,
        session: String::new(),
        notes: Vec::new(),
        acr: Some(&client.acr),
        nonce: None,
        roles,
    }
}

/// What a service account's session notes; the claims come from the scope `service_account`.
fn service_notes(call: &Call<'_>, client: &Client) -> Vec<(&'static str, String)> {
    let address = call.address.to_string();
    let id = client.client_id().to_owned();
    vec![("clientHost", address.clone()), ("clientAddress", address), ("client_id", id.clone()), ("clientId", id)]
}

fn mappers<'a>(client: &'a Client, scopes: &'a GrantedScopes) -> Vec<&'a Mapper> {
    scopes.scopes.iter().flat_map(|scope| &scope.mappers).chain(&client.mappers).collect()
}

fn move_claim(from: &mut Map<String, Value>, name: &str, to: &mut Map<String, Value>) {
    if let Some(value) = from.shift_remove(name) {
        to.insert(name.to_owned(), value);
    }
}

/// One audience is a text, several are a list, none is no claim (RFC 7519 section 4.1.3).
fn insert_audience(claims: &mut Map<String, Value>, mut audience: Vec<String>) {
    let value = match audience.len() {
        0 => return,
        1 => audience.pop().map(Value::from).unwrap_or_default(),
        _ => Value::from(audience),
    };
    claims.insert("aud".to_owned(), value);
}

/// The scopes that a token's `scope` names, as the client and the user stand today. An access token names only visible
/// scopes: the client's defaults belong to it in any case.
pub fn granted_scopes(client: &Client, user: &User, scope: &str) -> GrantedScopes {
    let words: Vec<&str> = scope.split_whitespace().collect();
    crate::grant::scopes_of(client, user, &words)
}

/// The userinfo answer.
pub fn userinfo(realm: &Realm, user: &User, client: &Client, scope: &str, session: &str) -> Map<String, Value> {
    let scopes = granted_scopes(client, user, scope);
    let mut facts = facts(realm, user, client, &scopes);
    facts.session = session.to_owned();
    let mut mapped = map(&facts, &mappers(client, &scopes), Target::Userinfo);
    // The plain subject is not a matter of mappers here: userinfo always has one (OpenID Connect Core 5.3.2).
    let sub = mapped.claims.shift_remove("sub").unwrap_or_else(|| Value::from(user.id.as_str()));
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), sub);
    claims.extend(mapped.claims);
    claims
}

/// What introspection adds to the token's own claims. Notes of a transient session went with the session.
pub fn introspected(realm: &Realm, user: &User, client: &Client, scope: &str, session: &str) -> Mapped {
    let scopes = granted_scopes(client, user, scope);
    let mut facts = facts(realm, user, client, &scopes);
    facts.session = session.to_owned();
    map(&facts, &mappers(client, &scopes), Target::Introspection)
}

/// An ID token that the client wants encrypted is never given out in the open.
pub(super) fn encrypted_if_wanted(client: &Client, id_token: String) -> Result<String, Error> {
    let setting = |name: &str| client.document.attribute(name).filter(|value| !value.is_empty());
    let Some(algorithm) = setting("id.token.encrypted.response.alg") else { return Ok(id_token) };
    let encryption = setting("id.token.encrypted.response.enc").unwrap_or("A128CBC-HS256");
    let set = JwkSet::parse(setting("jwks.string").unwrap_or_default().as_bytes()).ok();
    let fits =
        |key: &&Jwk| key.key_use.as_deref() != Some("sig") && key.alg.as_deref().is_none_or(|alg| alg == algorithm);
    let key = set.as_ref().and_then(|set| set.keys.iter().find(fits));
    let failed = |reason: String| {
        Error::new(Kind::Request, Code::InvalidClient, "The ID token cannot be encrypted for this client")
            .because(reason)
    };
    let key = key.ok_or_else(|| failed(format!("client {} has no key for {algorithm}", client.client_id())))?;
    encrypt_token(&id_token, key, algorithm, encryption).map_err(|error| failed(error.to_string()))
}

/// The algorithm of a signed userinfo answer, if the client wants one.
pub(crate) fn userinfo_algorithm(client: &Client) -> Option<Algorithm> {
    client.document.attribute("user.info.response.signature.alg").and_then(Algorithm::parse)
}
