//! Tokens of this face: what they are made of, and how they are kept.

use std::sync::Arc;

use grantor_model::jose::{at_hash, sha256};
use grantor_model::{Error, Instant};
use grantor_store::Statement;
use grantor_store::opaque_tokens::{self as table, OpaqueTokenRow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::application::Application;
use crate::assertions::nobody;
use crate::engine::{Call, Engine, store_error};
use crate::issue::{self, IDENTITY_PROVIDER, sign, with_key};
use crate::realms::{Client, Realm, User};

/// Whom a token speaks of, as it is kept with an opaque one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(super) enum Subject {
    /// The application itself.
    Application,
    /// A user of ours.
    User {
        /// The user's key.
        id: String,
    },
    /// A user of an identity provider.
    Federated {
        /// The subject there.
        subject: String,
        /// The provider's alias.
        provider: String,
        /// What was taken over from the assertion.
        claims: Map<String, Value>,
    },
}

/// What is kept with an opaque token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) subject: Subject,
    /// The words that were asked for.
    pub(super) scope: String,
    /// With a refresh token: id and expiry of the JWT that was given out beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jwt: Option<(String, i64)>,
}

/// Whom a token speaks of, as things stand now.
pub(super) struct Spoken {
    pub(super) sub: String,
    pub(super) username: String,
    pub(super) user: Option<Arc<User>>,
    pub(super) provider: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl Subject {
    /// The subject that a user stands for.
    pub(super) fn of(user: &User) -> Self {
        let Some(provider) = &user.provider else { return Self::User { id: user.id.clone() } };
        let attributes = user.document.attributes.iter().map(|(name, values)| {
            let value = match values.as_slice() {
                [one] => Value::from(one.as_str()),
                many => Value::from(many.to_vec()),
            };
            (name.clone(), value)
        });
        let mut claims: Map<String, Value> = attributes.collect();
        let own = [
            ("email", &user.email),
            ("given_name", &user.document.first_name),
            ("family_name", &user.document.last_name),
        ];
        claims
            .extend(own.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from(value.as_deref()?)))));
        Self::Federated { subject: user.id.clone(), provider: provider.clone(), claims }
    }

    fn is_user(&self) -> bool {
        !matches!(self, Self::Application)
    }

    /// Whom it means now; `None` when nobody may be spoken of any more, or what was given out before `issued` is dead.
    pub(super) async fn now(
        &self,
        engine: &Engine,
        realm: &Realm,
        client: &Client,
        issued: Instant,
    ) -> Result<Option<Spoken>, Error> {
        let issued = issued.seconds();
        if issued < realm.settings.not_before.max(client.document.not_before) {
            return Ok(None);
        }
        Ok(match self {
            Self::Application => Some(Spoken {
                sub: client.client_id().to_owned(),
                username: client.client_id().to_owned(),
                user: None,
                provider: None,
                claims: Map::new(),
            }),
            Self::User { id } => {
                let row = engine.store.user(&realm.id, id).await.map_err(store_error)?;
                let Some(row) = row.filter(|row| row.enabled && issued >= row.not_before) else { return Ok(None) };
                let user = realm.user(row).map_err(|error| Error::internal(format!("a user: {error}")))?;
                Some(Spoken {
                    sub: user.id.clone(),
                    username: user.username.clone(),
                    user: Some(Arc::new(user)),
                    provider: None,
                    claims: Map::new(),
                })
            }
            Self::Federated { subject, provider, claims } => {
                let on = realm.providers.iter().any(|known| known.alias == *provider && known.enabled);
                on.then(|| Spoken {
                    sub: subject.clone(),
                    username: subject.clone(),
                    user: Some(Arc::new(nobody(subject, provider))),
                    provider: Some(provider.clone()),
                    claims: claims.clone(),
                })
            }
        })
    }
}

impl Spoken {
    /// What userinfo and the ID token say.
    pub(super) fn profile(&self, realm: &Realm, client: &Client, scope: &str) -> Map<String, Value> {
        let mut claims = match &self.user {
            Some(user) if user.provider.is_none() => issue::userinfo(realm, user, client, scope, ""),
            _ => self.claims.clone(),
        };
        claims.shift_remove("sub");
        let mut all = Map::from_iter([("sub".to_owned(), Value::from(self.sub.as_str()))]);
        all.extend(claims);
        all
    }
}

/// What a grant proved.
pub(super) struct Granted {
    pub(super) subject: Subject,
    pub(super) spoken: Spoken,
    /// The words of the access token.
    pub(super) scope: String,
    /// All that was granted, which a refresh token goes on with (RFC 6749 section 6).
    pub(super) whole: String,
    pub(super) refresh: RefreshToken,
    /// What has to be written together with the tokens, in this order before them.
    pub(super) before: Vec<Statement>,
}

/// The refresh token to give out.
pub(super) enum RefreshToken {
    /// None.
    No,
    /// The first of a grant.
    First,
    /// The next one.
    Next { grant: String },
    /// The same again, since the application keeps it.
    Same {
        /// The token.
        token: String,
        /// Its key.
        id: String,
        /// What it belongs to.
        grant: String,
    },
}

/// Tokens in the making: the answer, and what has to be written for it.
pub(super) struct Made {
    pub(super) body: String,
    pub(super) statements: Vec<Statement>,
}

/// Makes tokens.
pub(super) async fn made(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    client: &Client,
    granted: Granted,
) -> Result<Made, Error> {
    let application = Application(client);
    let lifespan = application.lifespan(granted.subject.is_user());
    let mut statements = granted.before;
    let first = opaque(engine, call.now)?;
    let grant = match &granted.refresh {
        RefreshToken::Next { grant } | RefreshToken::Same { grant, .. } => grant.clone(),
        _ => first.id.clone(),
    };
    let until = call.now.plus_seconds(lifespan);
    let kept = Kept { subject: granted.subject, scope: granted.scope.clone(), jwt: None };
    let row = |token: &Opaque, kind: &str, until: Instant, kept: &Kept| -> Result<OpaqueTokenRow, Error> {
        Ok(OpaqueTokenRow {
            id: token.id.clone(),
            realm_id: realm.id.clone(),
            hash: sha256(token.text.as_bytes()).to_vec(),
            kind: kind.to_owned(),
            client_id: client.id.clone(),
            grant_id: grant.clone(),
            spent: false,
            issued: call.now,
            until,
            document: serde_json::to_string(kept).map_err(|error| Error::internal(error.to_string()))?,
        })
    };
    let opens_id = granted.scope.split(' ').any(|word| word == grantor_model::scope::OPENID);
    let signing = application.wants_jwt() || opens_id;
    let algorithm = issue::algorithm(realm, client, "access.token.signed.response.alg");
    let realm = if signing { with_key(engine, realm, algorithm, call.now).await? } else { realm.clone() };
    let signer = || realm.keys.signer(algorithm).ok_or_else(|| Error::internal("the realm has no key to sign with"));
    let issuer = engine.wso2.issuer_of(&realm, call.base);
    let (access_token, jwt) = if application.wants_jwt() {
        let jti = engine.entropy.uuid(call.now)?;
        let mut claims = head(&issuer, &granted.spoken.sub, call.now, lifespan);
        claims.insert("aud".to_owned(), Value::from(application.audience(&engine.wso2.audiences)));
        claims.insert("azp".to_owned(), Value::from(client.client_id()));
        claims.insert("client_id".to_owned(), Value::from(client.client_id()));
        claims.insert("jti".to_owned(), Value::from(jti.as_str()));
        if !granted.scope.is_empty() {
            claims.insert("scope".to_owned(), Value::from(granted.scope.as_str()));
        }
        claims.insert("aut".to_owned(), Value::from(kind_of(kept.subject.is_user())));
        if let Some(provider) = &granted.spoken.provider {
            claims.insert(IDENTITY_PROVIDER.to_owned(), Value::from(provider.as_str()));
        }
        (sign(engine, signer()?, &claims, true)?, Some((jti, until.seconds())))
    } else {
        statements.push(table::insert(&row(&first, "access", until, &kept)?));
        (first.text.clone(), None)
    };
    let refresh_token = match granted.refresh {
        RefreshToken::No => None,
        RefreshToken::Same { token, id, .. } => {
            let kept = Kept { jwt, scope: granted.whole, ..kept };
            let document = serde_json::to_string(&kept).map_err(|error| Error::internal(error.to_string()))?;
            statements.push(table::update_document(&id, &document));
            Some(token)
        }
        RefreshToken::First | RefreshToken::Next { .. } => {
            let token = opaque(engine, call.now)?;
            let until = call.now.plus_seconds(application.refresh_lifespan());
            statements.push(table::insert(&row(
                &token,
                "refresh",
                until,
                &Kept { jwt, scope: granted.whole, ..kept },
            )?));
            Some(token.text)
        }
    };
    let mut body = Map::new();
    body.insert("access_token".to_owned(), Value::from(access_token.as_str()));
    if let Some(token) = refresh_token {
        body.insert("refresh_token".to_owned(), Value::from(token));
    }
    if !granted.scope.is_empty() {
        body.insert("scope".to_owned(), Value::from(granted.scope.as_str()));
    }
    if opens_id {
        let mut claims = head(&issuer, &granted.spoken.sub, call.now, application.id_lifespan());
        claims.insert("aud".to_owned(), Value::from(application.audience(&engine.wso2.audiences)));
        claims.insert("azp".to_owned(), Value::from(client.client_id()));
        claims.insert("at_hash".to_owned(), Value::from(at_hash(algorithm, &access_token)));
        if let Some(provider) = &granted.spoken.provider {
            claims.insert(IDENTITY_PROVIDER.to_owned(), Value::from(provider.as_str()));
        }
        for (name, value) in granted.spoken.profile(&realm, client, &granted.scope) {
            // What an ID token consists of is nobody else's to write.
            claims.entry(name).or_insert(value);
        }
        body.insert("id_token".to_owned(), Value::from(sign(engine, signer()?, &claims, false)?));
    }
    body.insert("token_type".to_owned(), Value::from("Bearer"));
    body.insert("expires_in".to_owned(), Value::from(lifespan));
    let body = serde_json::to_string(&body).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Made { body, statements })
}

/// `aut`: of whom a token speaks.
pub(super) const fn kind_of(of_user: bool) -> &'static str {
    if of_user { "APPLICATION_USER" } else { "APPLICATION" }
}

/// `iss`, `sub`, `iat`, `nbf`, `exp`.
fn head(issuer: &str, sub: &str, now: Instant, lifespan: i64) -> Map<String, Value> {
    let now = now.seconds();
    let claims = [
        ("iss", Value::from(issuer)),
        ("sub", Value::from(sub)),
        ("iat", Value::from(now)),
        ("nbf", Value::from(now)),
        ("exp", Value::from(now + lifespan)),
    ];
    claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A token that says nothing.
struct Opaque {
    id: String,
    text: String,
}

/// Characters of a token that are its id.
pub(super) const ID_LENGTH: usize = 24;

/// The id, 12 bytes that begin with the time, then 168 random bits.
fn opaque(engine: &Engine, now: Instant) -> Result<Opaque, Error> {
    let time = format!("{:012x}", now.millis().clamp(0, 0xffff_ffff_ffff));
    let id = time + &engine.entropy.hex::<6>()?;
    let text = format!("{id}{}", engine.entropy.secret::<21>()?);
    Ok(Opaque { id, text })
}
