//! `/api/server/v1/applications`, with `inbound-protocols/oidc`. An application is a client: its key is the
//! application's id, its client id the application's client key.

use grantor_flows::admin::AdminError;
use grantor_flows::admin::clients::ClientSecrets;
use grantor_flows::assertions::{ENABLED, EVERY_PROVIDER, PROVIDERS};
use grantor_flows::client_secrets::attribute;
use grantor_flows::wso2::setting as s;
use grantor_flows::{Client, Realm};
use grantor_model::identity_provider::{SEPARATOR, entries};
use grantor_model::realm::ClientDocument;
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::manage::{Told, enter, location, page};
use super::providers::handler;
use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

const PATH: &str = "/api/server/v1/applications";
const VIEW: [&str; 2] = ["view-clients", "manage-clients"];
const MANAGE: [&str; 1] = ["manage-clients"];

/// Clients that every realm has: no applications of anybody.
const BUILT_IN: [&str; 6] =
    ["account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"];

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A secret that is kept beside another one without an end: ten years.
const ENDLESS: i64 = 10 * 366 * 86_400;

/// OAuth settings, as a caller writes them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Oidc {
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) grant_types: Vec<String>,
    #[serde(rename = "callbackURLs")]
    pub(super) callback_urls: Vec<String>,
    pub(super) public_client: bool,
    pub(super) allowed_origins: Vec<String>,
    pub(super) access_token: AccessToken,
    pub(super) refresh_token: RefreshToken,
    pub(super) id_token: IdToken,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AccessToken {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) user_access_token_expiry_in_seconds: Option<i64>,
    pub(super) application_access_token_expiry_in_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RefreshToken {
    pub(super) expiry_in_seconds: Option<i64>,
    pub(super) renew_refresh_token: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IdToken {
    pub(super) expiry_in_seconds: Option<i64>,
    pub(super) audience: Vec<String>,
}

impl Oidc {
    /// What is wrong with it.
    pub(super) fn judged(&self) -> Result<(), Told> {
        const KNOWN: [&str; 6] =
            ["authorization_code", "implicit", "password", "client_credentials", "refresh_token", JWT_BEARER];
        if self.grant_types.is_empty() {
            return Err(Told::bad("grantTypes: at least one"));
        }
        if let Some(unknown) = self.grant_types.iter().find(|grant| !KNOWN.contains(&grant.as_str())) {
            return Err(Told::bad(format!("grantTypes: {unknown:?} is none of {}", KNOWN.join(", "))));
        }
        if (self.has("authorization_code") || self.has("implicit")) && self.callback_urls.is_empty() {
            return Err(Told::bad("callbackURLs: these grants need at least one"));
        }
        if let Some(bad) = self.callback_urls.iter().find(|url| !is_callback(url)) {
            return Err(Told::bad(format!("callbackURLs: {bad:?} is not an absolute URL without a fragment")));
        }
        if self.id_token.audience.iter().any(|one| one.is_empty() || one.contains(SEPARATOR)) {
            return Err(Told::bad("audience: none may be empty or contain ##"));
        }
        let seconds = [
            self.access_token.user_access_token_expiry_in_seconds,
            self.access_token.application_access_token_expiry_in_seconds,
            self.refresh_token.expiry_in_seconds,
            self.id_token.expiry_in_seconds,
        ];
        if seconds.iter().flatten().any(|seconds| !(1..=ENDLESS).contains(seconds)) {
            return Err(Told::bad("an expiry is a number of seconds above 0"));
        }
        let kind = self.access_token.kind.as_deref().unwrap_or("Default");
        if !["default", "jwt"].contains(&kind.to_ascii_lowercase().as_str()) {
            return Err(Told::bad(format!("accessToken.type: {kind:?} is neither Default nor JWT")));
        }
        if self.public_client && self.has("client_credentials") {
            return Err(Told::bad("a public client cannot act for itself"));
        }
        Ok(())
    }

    fn has(&self, grant: &str) -> bool {
        self.grant_types.iter().any(|one| one == grant)
    }

    /// Writes it into a client.
    pub(super) fn apply(&self, document: &mut ClientDocument) {
        document.protocol = Some("openid-connect".to_owned());
        document.public_client = Some(self.public_client);
        document.service_accounts_enabled = self.has("client_credentials");
        document.direct_access_grants_enabled = Some(self.has("password"));
        document.standard_flow_enabled = self.has("authorization_code");
        document.implicit_flow_enabled = self.has("implicit");
        document.redirect_uris.clone_from(&self.callback_urls);
        document.web_origins = Some(self.allowed_origins.clone());
        let mut audience: Vec<&str> = Vec::new();
        for one in &self.id_token.audience {
            if !audience.contains(&one.as_str()) {
                audience.push(one);
            }
        }
        let number = |seconds: Option<i64>| seconds.map(|seconds| seconds.to_string());
        let settings = [
            (ENABLED, Some(self.has(JWT_BEARER).to_string())),
            (PROVIDERS, self.has(JWT_BEARER).then(|| EVERY_PROVIDER.to_owned())),
            (s::REFRESHES, Some(self.has("refresh_token").to_string())),
            (s::ACCESS_TOKEN_TYPE, self.access_token.kind.clone()),
            (s::AUDIENCES, (!audience.is_empty()).then(|| audience.join(SEPARATOR))),
            (s::USER_LIFESPAN, number(self.access_token.user_access_token_expiry_in_seconds)),
            (s::APPLICATION_LIFESPAN, number(self.access_token.application_access_token_expiry_in_seconds)),
            (s::REFRESH_LIFESPAN, number(self.refresh_token.expiry_in_seconds)),
            (s::ID_LIFESPAN, number(self.id_token.expiry_in_seconds)),
            (s::RENEWS, self.refresh_token.renew_refresh_token.map(|renews| renews.to_string())),
            (s::WITHOUT_OAUTH, None),
        ];
        for (name, value) in settings {
            match value {
                Some(value) => drop(document.attributes.insert(name.to_owned(), Some(value))),
                None => drop(document.attributes.remove(name)),
            }
        }
    }
}

fn is_callback(url: &str) -> bool {
    if url.starts_with("regexp=(") {
        return url.ends_with(')');
    }
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let harmless = !["javascript", "data", "vbscript", "file"].contains(&scheme.to_ascii_lowercase().as_str());
    let named = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    harmless && named && !rest.is_empty() && !url.contains('#') && !url.chars().any(|c| c.is_control() || c == ' ')
}

/// OAuth settings as a caller reads them.
pub(super) fn oidc_of(document: &ClientDocument, secrets: &ClientSecrets) -> Value {
    let seconds = |name: &str, otherwise: i64| document.seconds(name).unwrap_or(otherwise);
    let grants = [
        (document.standard_flow_enabled, "authorization_code"),
        (document.implicit_flow_enabled, "implicit"),
        (document.allows_direct_access(), "password"),
        (document.service_accounts_enabled, "client_credentials"),
        (document.attribute(s::REFRESHES) != Some("false"), "refresh_token"),
        (document.switched_on(ENABLED), JWT_BEARER),
    ];
    let grants: Vec<&str> = grants.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    json!({
        "clientId": document.client_id,
        "clientSecret": secrets.secret,
        "state": if document.switched_on(s::REVOKED) { "REVOKED" } else { "ACTIVE" },
        "grantTypes": grants,
        "callbackURLs": document.redirect_uris,
        "publicClient": document.is_public(),
        "allowedOrigins": document.web_origins.clone().unwrap_or_default(),
        "accessToken": {
            "type": document.attribute(s::ACCESS_TOKEN_TYPE).unwrap_or("Default"),
            "userAccessTokenExpiryInSeconds": seconds(s::USER_LIFESPAN, 3_600),
            "applicationAccessTokenExpiryInSeconds": seconds(s::APPLICATION_LIFESPAN, 3_600),
        },
        "refreshToken": {
            "expiryInSeconds": seconds(s::REFRESH_LIFESPAN, 86_400),
            "renewRefreshToken": document.attribute(s::RENEWS) != Some("false"),
        },
        "idToken": {
            "expiryInSeconds": seconds(s::ID_LIFESPAN, 3_600),
            "audience": entries(document.attribute(s::AUDIENCES)),
        },
    })
}

fn shown(inbound: &Inbound, client: &Client) -> Map<String, Value> {
    let document = &client.document;
    let place = format!("{PATH}/{}", client.id);
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("id", json!(client.id));
    put("name", json!(name_of(client)));
    if let Some(description) = &document.description {
        put("description", json!(description));
    }
    put("applicationEnabled", json!(document.enabled));
    put("clientId", json!(client.client_id()));
    put("self", json!(location(inbound, &place)));
    let has_oauth = !document.switched_on(s::WITHOUT_OAUTH);
    let protocols: Vec<Value> = has_oauth
        .then(|| json!({"type": "oidc", "self": location(inbound, &format!("{place}/inbound-protocols/oidc"))}))
        .into_iter()
        .collect();
    put("inboundProtocols", json!(protocols));
    shown
}

/// The name of an application; a client that has none is called by its id.
fn name_of(client: &Client) -> &str {
    client.document.name.as_deref().unwrap_or(client.client_id())
}

/// The clients that are applications.
pub(super) fn applications(realm: &Realm) -> Vec<&std::sync::Arc<Client>> {
    let own = |client: &&std::sync::Arc<Client>| {
        let document = &client.document;
        document.is_openid() && !document.bearer_only && !BUILT_IN.contains(&client.client_id())
    };
    let mut all: Vec<_> = realm.clients.values().filter(own).collect();
    all.sort_by(|one, other| name_of(one).cmp(name_of(other)).then(one.id.cmp(&other.id)));
    all
}

/// Refuses a name that an application cannot have, or that another one has.
pub(super) fn judged_name(name: &str, realm: &Realm, own: Option<&str>) -> Result<(), Told> {
    let fine = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if name.len() > 255 || !name.split(' ').all(fine) {
        return Err(Told::bad("a name has words of letters, digits, '.', '_' and '-', with one blank between them"));
    }
    let taken =
        applications(realm).into_iter().any(|client| name_of(client) == name && Some(client.id.as_str()) != own);
    if taken {
        Err(Told::taken(format!("Application with the name {name} already exist in the system")))
    } else {
        Ok(())
    }
}

fn by_id<'a>(realm: &'a Realm, id: &str) -> Result<&'a std::sync::Arc<Client>, Told> {
    applications(realm).into_iter().find(|client| client.id == id).ok_or(Told::missing("application"))
}

handler!(list, listed);
handler!(add, added);
handler!(get, got);
handler!(patch, patched);
handler!(delete, deleted);
handler!(oidc_get, oidc_got);
handler!(oidc_put, oidc_was_put);
handler!(oidc_delete, oidc_deleted);
handler!(regenerate, regenerated);
handler!(revoke, revoked);
handler!(secrets_list, secrets_listed);
handler!(secrets_add, secret_added);
handler!(secrets_delete, secret_deleted);

async fn listed(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &VIEW).await?;
    let all = applications(&realm).into_iter().map(|client| shown(inbound, client)).collect();
    Ok(Answer::json(StatusCode::OK, &page(all, &inbound.query(), "applications")?))
}

async fn added(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Model {
        name: String,
        description: Option<String>,
        application_enabled: Option<bool>,
        inbound_protocol_configuration: Protocols,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Protocols {
        oidc: Option<Oidc>,
    }
    let realm = enter(app, inbound, &MANAGE).await?;
    let body = Value::Object(inbound.object().await?);
    let model: Model = serde_json::from_value(body).map_err(|error| Told::bad(format!("the body: {error}")))?;
    judged_name(&model.name, &realm, None)?;
    let oidc = model.inbound_protocol_configuration.oidc;
    let mut document = ClientDocument { name: Some(model.name), ..ClientDocument::default() };
    document.enabled = model.application_enabled.unwrap_or(true);
    document.description = model.description;
    let id = create(app, inbound, &realm, document, oidc).await?;
    let realm = app.engine.required_realm(&realm.name, inbound.context.now).await?;
    let client = by_id(&realm, &id)?;
    let mut answer = shown(inbound, client);
    let (_, _, secrets) = app.engine.stored_client(&realm, client.client_id()).await?;
    if let Some(secret) = secrets.secret {
        answer.insert("clientSecret".to_owned(), Value::from(secret));
    }
    let place = location(inbound, &format!("{PATH}/{id}"));
    Ok(Answer::json(StatusCode::CREATED, &answer).header(LOCATION, &place))
}

/// Adds an application; gives back its key.
pub(super) async fn create(
    app: &Shared,
    inbound: &Inbound,
    realm: &Realm,
    mut document: ClientDocument,
    oidc: Option<Oidc>,
) -> Result<String, Told> {
    let (engine, now) = (&app.engine, inbound.context.now);
    // What is not asked for is not in a token; whatever the realm has may be asked for.
    document.default_client_scopes = Some(Vec::new());
    document.optional_client_scopes = Some(realm.scopes.keys().cloned().collect());
    match &oidc {
        Some(oidc) => {
            oidc.judged()?;
            oidc.apply(&mut document);
        }
        None => {
            Oidc::default().apply(&mut document);
            document.attributes.insert(s::WITHOUT_OAUTH.to_owned(), Some("true".to_owned()));
        }
    }
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let wanted = oidc.map(|oidc| (given(oidc.client_id), given(oidc.client_secret)));
    let (client_id, secret) = wanted.unwrap_or_default();
    if let Some(id) = &client_id {
        let fine = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(15..=30).contains(&id.len()) || !fine {
            return Err(Told::bad("a client id has 15 to 30 letters, digits and '_'"));
        }
    }
    if secret.as_ref().is_some_and(|secret| secret.len() < 16) {
        return Err(Told::bad("a client secret has at least 16 characters; leave it out, and one is made"));
    }
    document.client_id = match client_id {
        Some(id) => id,
        None => engine.entropy.letters(28)?,
    };
    if !document.is_public() {
        document.secret = Some(match secret {
            Some(secret) => secret,
            None => engine.entropy.letters(43)?,
        });
        document.attributes.insert(attribute::CREATED.to_owned(), Some(now.seconds().to_string()));
    }
    let (id, client_id) = (engine.entropy.uuid(now)?, document.client_id.clone());
    match engine.insert_client(realm, &id, document, now).await? {
        true => Ok(id),
        false => Err(Told::taken(format!("Client id {client_id} already exist in the system"))),
    }
}

async fn got(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &VIEW).await?;
    Ok(Answer::json(StatusCode::OK, &shown(inbound, by_id(&realm, &inbound.segment(4))?)))
}

async fn patched(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Model {
        name: Option<String>,
        description: Option<String>,
        application_enabled: Option<bool>,
    }
    let realm = enter(app, inbound, &MANAGE).await?;
    let id = inbound.segment(4);
    let client = by_id(&realm, &id)?;
    let body = Value::Object(inbound.object().await?);
    let model: Model = serde_json::from_value(body).map_err(|error| Told::bad(format!("the body: {error}")))?;
    if let Some(name) = &model.name {
        judged_name(name, &realm, Some(&id))?;
    }
    let edit = |document: &mut ClientDocument, _: &mut ClientSecrets| {
        document.name = model.name.clone().or(document.name.take());
        document.enabled = model.application_enabled.unwrap_or(document.enabled);
        document.description = model.description.clone().or(document.description.take());
        Ok(Vec::new())
    };
    app.engine.edit_client(&realm, client.client_id(), inbound.context.now, edit).await?;
    let realm = app.engine.required_realm(&realm.name, inbound.context.now).await?;
    Ok(Answer::json(StatusCode::OK, &shown(inbound, by_id(&realm, &id)?)))
}

async fn deleted(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client = by_id(&realm, &inbound.segment(4))?;
    app.engine.remove_client(&realm, client.client_id(), inbound.context.now).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn oidc_answer(app: &Shared, realm: &Realm, client_id: &str) -> Result<Answer, Told> {
    let (_, document, secrets) = app.engine.stored_client(realm, client_id).await?;
    if document.switched_on(s::WITHOUT_OAUTH) {
        return Err(Told::missing("OAuth configuration"));
    }
    Ok(Answer::json(StatusCode::OK, &oidc_of(&document, &secrets)))
}

/// With the secret, so for those who could replace it, too.
async fn oidc_got(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    oidc_answer(app, &realm, by_id(&realm, &inbound.segment(4))?.client_id()).await
}

async fn oidc_was_put(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client = by_id(&realm, &inbound.segment(4))?.clone();
    let body = Value::Object(inbound.object().await?);
    let oidc: Oidc = serde_json::from_value(body).map_err(|error| Told::bad(format!("the body: {error}")))?;
    oidc.judged()?;
    if oidc.client_id.as_deref().is_some_and(|id| !id.is_empty() && id != client.client_id()) {
        return Err(Told::bad("the client id of an application does not change"));
    }
    let now = inbound.context.now;
    let fresh = app.engine.entropy.letters(43)?;
    let edit = |document: &mut ClientDocument, secrets: &mut ClientSecrets| {
        oidc.apply(document);
        with_fitting_secret(document, secrets, &fresh, now);
        Ok(Vec::new())
    };
    app.engine.edit_client(&realm, client.client_id(), now, edit).await?;
    oidc_answer(app, &realm, client.client_id()).await
}

/// A public client has no secret; one that begins to prove itself gets one, unless its access was revoked.
pub(super) fn with_fitting_secret(
    document: &mut ClientDocument,
    secrets: &mut ClientSecrets,
    fresh: &str,
    now: grantor_model::Instant,
) {
    if document.is_public() {
        *secrets = ClientSecrets { kept: std::mem::take(&mut secrets.kept), ..ClientSecrets::default() };
    } else if secrets.secret.is_none() && !document.switched_on(s::REVOKED) {
        secrets.secret = Some(fresh.to_owned());
        document.attributes.insert(attribute::CREATED.to_owned(), Some(now.seconds().to_string()));
    }
}

/// Ends what an application holds: its secrets and everything that was given out to it.
async fn ended(app: &Shared, inbound: &Inbound, realm: &Realm, client: &Client, mark: &str) -> Result<(), Told> {
    let now = inbound.context.now;
    let edit = |document: &mut ClientDocument, secrets: &mut ClientSecrets| {
        document.attributes.insert(mark.to_owned(), Some("true".to_owned()));
        document.not_before = now.seconds().saturating_add(1);
        for name in [attribute::CREATED, attribute::OLD_CREATED, attribute::OLD_UNTIL] {
            document.attributes.remove(name);
        }
        *secrets = ClientSecrets { kept: std::mem::take(&mut secrets.kept), ..ClientSecrets::default() };
        Ok(vec![grantor_store::opaque_tokens::delete_of_client(&client.id)])
    };
    Ok(app.engine.edit_client(realm, client.client_id(), now, edit).await?)
}

async fn oidc_deleted(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client = by_id(&realm, &inbound.segment(4))?;
    ended(app, inbound, &realm, client, s::WITHOUT_OAUTH).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn revoked(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client = by_id(&realm, &inbound.segment(4))?;
    ended(app, inbound, &realm, client, s::REVOKED).await?;
    Ok(Answer::empty(StatusCode::OK))
}

async fn regenerated(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client_id = by_id(&realm, &inbound.segment(4))?.client_id().to_owned();
    let now = inbound.context.now;
    app.engine.rotate_client_secret(&realm, &client_id, None, now).await?;
    let edit = |document: &mut ClientDocument, _: &mut ClientSecrets| {
        document.attributes.remove(s::REVOKED);
        Ok::<_, AdminError>(Vec::new())
    };
    app.engine.edit_client(&realm, &client_id, now, edit).await?;
    oidc_answer(app, &realm, &client_id).await
}

async fn secrets_listed(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &VIEW).await?;
    let client_id = by_id(&realm, &inbound.segment(4))?.client_id();
    let facts = app.engine.client_secrets(&realm, client_id, inbound.context.now).await?;
    let list: Vec<Value> = facts
        .iter()
        .map(|one| json!({"id": one.id, "created": one.created, "expiresAt": one.until, "lastUsed": one.last_used, "uses": one.uses}))
        .collect();
    Ok(Answer::json(StatusCode::OK, &json!({"totalResults": list.len(), "secrets": list})))
}

async fn secret_added(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client = by_id(&realm, &inbound.segment(4))?.clone();
    let now = inbound.context.now;
    if client.document.switched_on(s::REVOKED) || client.document.switched_on(s::WITHOUT_OAUTH) {
        return Err(Told::taken("the credentials were revoked: regenerate the secret"));
    }
    let facts = app.engine.client_secrets(&realm, client.client_id(), now).await?;
    if facts.len() > 1 {
        return Err(Told::taken("an application has two secrets at most: remove one first"));
    }
    let until = now.seconds() + ENDLESS;
    let secret = app.engine.rotate_client_secret(&realm, client.client_id(), Some(until), now).await?;
    let facts = app.engine.client_secrets(&realm, client.client_id(), now).await?;
    let id = facts.first().map(|one| one.id.clone()).unwrap_or_default();
    let place = location(inbound, &format!("{PATH}/{}/inbound-protocols/oidc/secrets/{id}", client.id));
    Ok(Answer::json(StatusCode::CREATED, &json!({"id": id, "clientSecret": secret})).header(LOCATION, &place))
}

async fn secret_deleted(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let client_id = by_id(&realm, &inbound.segment(4))?.client_id();
    app.engine.remove_secret(&realm, client_id, &inbound.segment(8), inbound.context.now).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
