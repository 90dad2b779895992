//! `/api/identity/oauth2/dcr/v1.1/register`: registration by programs (RFC 7591), for administrators.

use grantor_flows::Client;
use grantor_model::realm::ClientDocument;
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use serde_json::{Value, json};

use super::applications::{
    AccessToken, IdToken, Oidc, RefreshToken, applications, create, judged_name, oidc_of, with_fitting_secret,
};
use super::manage::{Told, enter, location};
use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

const PATH: &str = "/api/identity/oauth2/dcr/v1.1/register";
const MANAGE: [&str; 1] = ["manage-clients"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Model {
    client_name: String,
    redirect_uris: Vec<String>,
    grant_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    jwks_uri: Option<String>,
    ext_param_client_id: Option<String>,
    ext_param_client_secret: Option<String>,
    ext_token_type: Option<String>,
    ext_allowed_audience: Value,
    ext_user_token_lifetime: Option<i64>,
    ext_application_token_lifetime: Option<i64>,
    ext_refresh_token_lifetime: Option<i64>,
    ext_id_token_lifetime: Option<i64>,
    ext_public_client: bool,
}

impl Model {
    fn oidc(&self) -> Result<Oidc, Told> {
        let audience = match &self.ext_allowed_audience {
            Value::Null => Vec::new(),
            Value::String(one) => vec![one.clone()],
            Value::Array(all) if all.iter().all(Value::is_string) => {
                all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => return Err(Told::bad("ext_allowed_audience is a list of texts")),
        };
        Ok(Oidc {
            client_id: self.ext_param_client_id.clone(),
            client_secret: self.ext_param_client_secret.clone(),
            // RFC 7591 section 2.
            grant_types: self.grant_types.clone().unwrap_or_else(|| vec!["authorization_code".to_owned()]),
            callback_urls: self.redirect_uris.clone(),
            public_client: self.ext_public_client || self.token_endpoint_auth_method.as_deref() == Some("none"),
            allowed_origins: Vec::new(),
            access_token: AccessToken {
                kind: self.ext_token_type.clone(),
                user_access_token_expiry_in_seconds: self.ext_user_token_lifetime,
                application_access_token_expiry_in_seconds: self.ext_application_token_lifetime,
            },
            refresh_token: RefreshToken {
                expiry_in_seconds: self.ext_refresh_token_lifetime,
                renew_refresh_token: None,
            },
            id_token: IdToken { expiry_in_seconds: self.ext_id_token_lifetime, audience },
        })
    }

    /// How the client proves itself.
    async fn authentication(&self, app: &Shared, document: &mut ClientDocument) -> Result<(), Told> {
        match self.token_endpoint_auth_method.as_deref().unwrap_or("client_secret_basic") {
            "client_secret_basic" | "client_secret_post" | "none" => {}
            "private_key_jwt" => {
                let url = self.jwks_uri.as_deref().ok_or_else(|| Told::bad("private_key_jwt needs jwks_uri"))?;
                app.engine.fetch.admits(url).await.map_err(|reason| Told::bad(format!("jwks_uri: {reason}")))?;
                document.client_authenticator_type = "client-jwt".to_owned();
                for (name, value) in [("use.jwks.url", "true"), ("jwks.url", url)] {
                    document.attributes.insert(name.to_owned(), Some(value.to_owned()));
                }
            }
            other => return Err(Told::bad(format!("token_endpoint_auth_method: {other:?} is not known"))),
        }
        Ok(())
    }
}

/// Errors of this API have the shape of RFC 7591 section 3.2.2.
fn shown(told: &Told, inbound: &Inbound) -> Answer {
    match told.status() {
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT => {
            let of_redirect = told.description().starts_with("callbackURLs");
            let code = if of_redirect { "invalid_redirect_uri" } else { "invalid_client_metadata" };
            let trace = inbound.context.request_id.to_string();
            let body = json!({"error": code, "error_description": told.description(), "traceId": trace});
            Answer::json(told.status(), &body).no_store().with_standard_headers()
        }
        _ => told.answer(inbound),
    }
}

macro_rules! handler {
    ($name:ident, $inner:ident) => {
        pub(crate) async fn $name(app: Shared, mut inbound: Inbound) -> Answer {
            match $inner(&app, &mut inbound).await {
                Ok(answer) => answer.no_store().with_standard_headers(),
                Err(told) => shown(&told, &inbound),
            }
        }
    };
}

handler!(register, registered);
handler!(find, found);
handler!(get, got);
handler!(put, was_put);
handler!(delete, deleted);

/// A client as this API shows it.
async fn described(app: &Shared, inbound: &Inbound, realm: &str, client_id: &str) -> Result<Value, Told> {
    let realm = app.engine.required_realm(realm, inbound.context.now).await?;
    let (_, document, secrets) = app.engine.stored_client(&realm, client_id).await?;
    let oidc = oidc_of(&document, &secrets);
    let at = |place: &str| oidc.pointer(place).cloned().unwrap_or_default();
    Ok(json!({
        "client_id": client_id,
        "client_secret": secrets.secret,
        "client_secret_expires_at": 0,
        "client_name": document.name.as_deref().unwrap_or(client_id),
        "redirect_uris": at("/callbackURLs"),
        "grant_types": at("/grantTypes"),
        "ext_token_type": at("/accessToken/type"),
        "ext_user_token_lifetime": at("/accessToken/userAccessTokenExpiryInSeconds"),
        "ext_application_token_lifetime": at("/accessToken/applicationAccessTokenExpiryInSeconds"),
        "ext_refresh_token_lifetime": at("/refreshToken/expiryInSeconds"),
        "ext_id_token_lifetime": at("/idToken/expiryInSeconds"),
        "ext_allowed_audience": at("/idToken/audience"),
        "ext_public_client": at("/publicClient"),
    }))
}

async fn model(inbound: &mut Inbound) -> Result<Model, Told> {
    let body = Value::Object(inbound.object().await?);
    serde_json::from_value(body).map_err(|error| Told::bad(format!("the body: {error}")))
}

async fn registered(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let model = model(inbound).await?;
    judged_name(&model.client_name, &realm, None)?;
    let mut document = ClientDocument { name: Some(model.client_name.clone()), ..ClientDocument::default() };
    model.authentication(app, &mut document).await?;
    let id = create(app, inbound, &realm, document, Some(model.oidc()?)).await?;
    let realm = app.engine.required_realm(&realm.name, inbound.context.now).await?;
    let client = realm.clients.values().find(|client| client.id == id).ok_or(Told::missing("client"))?;
    let shown = described(app, inbound, &realm.name, client.client_id()).await?;
    let place = location(inbound, &format!("{PATH}/{}", client.client_id()));
    Ok(Answer::json(StatusCode::CREATED, &shown).header(LOCATION, &place))
}

/// By the name in the URL.
async fn found(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let query = inbound.query();
    let name = query.get("client_name").ok_or_else(|| Told::bad("client_name is missing"))?;
    let named =
        |client: &&&std::sync::Arc<Client>| client.document.name.as_deref().unwrap_or(client.client_id()) == name;
    let all = applications(&realm);
    let client = all.iter().find(named).ok_or(Told::missing("client"))?;
    Ok(Answer::json(StatusCode::OK, &described(app, inbound, &realm.name, client.client_id()).await?))
}

/// The client that the path names, if it is an application.
fn in_path(realm: &grantor_flows::Realm, inbound: &Inbound) -> Result<String, Told> {
    let id = inbound.segment(6);
    let known = applications(realm).iter().any(|client| client.client_id() == id);
    if known { Ok(id) } else { Err(Told::missing("client")) }
}

async fn got(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let id = in_path(&realm, inbound)?;
    Ok(Answer::json(StatusCode::OK, &described(app, inbound, &realm.name, &id).await?))
}

async fn was_put(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let id = in_path(&realm, inbound)?;
    let model = model(inbound).await?;
    let own = realm.clients.get(&id).map(|client| client.id.clone());
    judged_name(&model.client_name, &realm, own.as_deref())?;
    let oidc = model.oidc()?;
    oidc.judged()?;
    let mut proof = ClientDocument::default();
    model.authentication(app, &mut proof).await?;
    let (fresh, now) = (app.engine.entropy.letters(43)?, inbound.context.now);
    let edit = |document: &mut ClientDocument, secrets: &mut grantor_flows::admin::clients::ClientSecrets| {
        document.name = Some(model.client_name.clone());
        // This model knows no origins: those that there are stay.
        let origins = document.web_origins.clone();
        oidc.apply(document);
        document.web_origins = origins;
        with_fitting_secret(document, secrets, &fresh, now);
        document.client_authenticator_type.clone_from(&proof.client_authenticator_type);
        // A key set that is not named any more proves nothing any more.
        for name in ["use.jwks.url", "jwks.url"] {
            document.attributes.remove(name);
        }
        document.attributes.extend(proof.attributes.clone());
        Ok(Vec::new())
    };
    app.engine.edit_client(&realm, &id, now, edit).await?;
    Ok(Answer::json(StatusCode::OK, &described(app, inbound, &realm.name, &id).await?))
}

async fn deleted(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let id = in_path(&realm, inbound)?;
    app.engine.remove_client(&realm, &id, inbound.context.now).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
