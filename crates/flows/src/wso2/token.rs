//! The token endpoint of this face. The order of checks is WSO2's; where its code or status is not the RFC's, the RFC's
//! is given.

use std::sync::Arc;

use grantor_model::{Code, Error, Kind, Refused, Trail};
use grantor_store::opaque_tokens as table;
use grantor_store::{Statement, StoreError};

use super::application::Application;
use super::mint::{self, Granted, Kept, Made, RefreshToken, Spoken, Subject};
use super::read::stored;
use super::words;
use crate::assertions::{self, Court, Lookup};
use crate::client_auth;
use crate::engine::{Call, Engine, store_error};
use crate::grant::{Grant, password};
use crate::parameters::Parameters;
use crate::realms::{Client, Realm, User};
use crate::token::{Seen, open};

/// Parameters that must not stand in a URL, where logs and histories keep them.
const NOT_IN_QUERY: [&str; 4] = ["username", "password", "client_secret", "assertion"];

/// Judges a request and issues what it is granted. `query` are the parameters of the URL.
///
/// # Errors
/// A refusal with the checks in order.
pub async fn token(
    engine: &Engine,
    call: &Call<'_>,
    realm: Arc<Realm>,
    parameters: &Parameters,
    query: &Parameters,
    seen: &mut Seen,
) -> Result<String, Refused> {
    let mut trail = Trail::new();
    seen.about.realm.clone_from(&realm.name);
    seen.about.endpoint = "oauth2/token";
    seen.about.client = parameters.get("client_id").map(str::to_owned);
    open(call, &realm, &mut trail)?;
    let client = caller(engine, call, &realm, parameters, query, seen, &mut trail).await?;
    let grant = requested(engine, &client, parameters, seen, &mut trail)?;
    client_auth::unbound(&client, &mut trail)?;
    let scope = scope(&client, grant, parameters, &mut trail)?;
    let (granted, replay) = match grant {
        Grant::JwtBearer => by_assertion(engine, call, &realm, &client, parameters, scope, &mut trail).await?,
        Grant::ClientCredentials => (by_itself(&client, scope, &mut trail)?, None),
        Grant::Password => (by_password(engine, call, &realm, &client, parameters, scope, &mut trail).await?, None),
        Grant::RefreshToken => {
            return refreshed(engine, call, &realm, &client, parameters, scope, &mut trail).await;
        }
    };
    let made = mint::made(engine, call, &realm, &client, granted).await.map_err(|error| trail.fail(error))?;
    match written(engine, made.statements).await {
        Ok(()) => Ok(made.body),
        Err(StoreError::Duplicate) if replay.is_some() => {
            let (fault, found) = (grantor_model::assertion::Fault::Replayed, replay.unwrap_or_default());
            Err(trail.refuse("jti", "an assertion not used before", &found, words::of(&fault)))
        }
        Err(error) => Err(trail.fail(store_error(error))),
    }
}

async fn written(engine: &Engine, statements: Vec<Statement>) -> Result<(), StoreError> {
    if statements.is_empty() { Ok(()) } else { engine.store.apply(statements).await }
}

/// The client that calls: what the URL and the header must not hold, then its credentials.
pub(super) async fn caller(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    parameters: &Parameters,
    query: &Parameters,
    seen: &mut Seen,
    trail: &mut Trail,
) -> Result<Arc<Client>, Refused> {
    if let Some(name) = parameters.repeated() {
        let error = Error::request("Invalid request with repeated parameters.");
        return Err(trail.refuse("parameters", "each one once", name, error));
    }
    if let Some(name) = parameters.too_long() {
        let error = Error::request(format!("The parameter {name} is longer than allowed."));
        return Err(trail.refuse("parameters", "at most 4000 bytes", name, error));
    }
    if let Some(name) = NOT_IN_QUERY.into_iter().find(|name| query.get(name).is_some()) {
        let error = Error::request("Invalid request with sensitive data in the URL.");
        return Err(trail.refuse("query", "nothing secret", name, error));
    }
    let told = |text: &'static str| Error::new(Kind::Unauthenticated, Code::InvalidClient, text);
    match client_auth::basic_header(call.authorization) {
        client_auth::BasicHeader::Unreadable => {
            let text =
                "Error decoding authorization header. Space delimited <authMethod> <base64Hash> format violated.";
            return Err(trail.refuse("Basic header", "base64 of id and secret", "something else", told(text)));
        }
        client_auth::BasicHeader::Credentials(id) => {
            let other = parameters.get("client_id").is_some_and(|named| named != id);
            if other || parameters.get("client_secret").is_some() {
                let error = Error::request("Request body and headers contain authorization information");
                return Err(trail.refuse("credentials", "in one place", "header and body", error));
            }
        }
        client_auth::BasicHeader::None => {
            if parameters.get("client_id").is_none() && parameters.get("client_assertion").is_none() {
                let error = told("Client ID not found in the request.");
                return Err(trail.refuse("client", "an id", "absent", error));
            }
        }
    }
    let client = client_auth::authenticate(engine, call, realm, parameters, trail).await;
    let client = client.map_err(|refused| refused.reworded(words::wrong_client))?;
    seen.about.client = Some(client.client_id().to_owned());
    seen.echo_origin = true;
    crate::token::origin(call, &client, seen, trail)?;
    Ok(client)
}

/// The grant that is asked for, and that the application may use.
fn requested(
    engine: &Engine,
    client: &Client,
    parameters: &Parameters,
    seen: &mut Seen,
    trail: &mut Trail,
) -> Result<Grant, Refused> {
    let Some(name) = parameters.get("grant_type").filter(|name| !name.is_empty()) else {
        let error = Error::request("Missing grant_type parameter value");
        return Err(trail.refuse("grant_type", "a parameter", "absent", error));
    };
    seen.about.grant = Some(name.to_owned());
    let Some(grant) = Grant::parse(name).filter(|grant| grant.is_offered(engine)) else {
        let error = Error::new(Kind::Request, Code::UnsupportedGrantType, "Unsupported grant_type value");
        return Err(trail.refuse("grant_type", Grant::offered(engine).join(", "), name, error));
    };
    seen.grant = Some(grant.name());
    trail.found("grant_type", name);
    let needed: &[&str] = match grant {
        Grant::JwtBearer => &["assertion"],
        Grant::Password => &["username", "password"],
        Grant::RefreshToken => &["refresh_token"],
        Grant::ClientCredentials => &[],
    };
    if let Some(missing) = needed.iter().find(|name| parameters.get(name).is_none()) {
        let error = Error::request(format!("Missing parameters: {missing}"));
        return Err(trail.refuse("parameters", needed.join(", "), &format!("no {missing}"), error));
    }
    if !Application(client).allows(grant) {
        let text = "The authenticated client is not authorized to use this authorization grant type";
        let error = Error::new(Kind::Request, Code::UnauthorizedClient, text);
        return Err(trail.refuse("allowed grant", grant.name(), "not allowed for this client", error));
    }
    trail.pass("allowed grant");
    Ok(grant)
}

/// The words of `scope`, each of which the client lists. A refresh may leave them out.
fn scope(client: &Client, grant: Grant, parameters: &Parameters, trail: &mut Trail) -> Result<Option<String>, Refused> {
    let Some(text) = parameters.get("scope") else { return Ok(None) };
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut kept = Vec::new();
    words.retain(|word| {
        let new = !kept.contains(word);
        kept.push(*word);
        new
    });
    let known = |word: &&str| *word == grantor_model::scope::OPENID || client.scope(word).is_some();
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        let error = Error::new(Kind::Request, Code::InvalidScope, "Invalid Scope!");
        return Err(trail.refuse("scope", "scopes that the client lists", unknown, error));
    }
    if grant == Grant::ClientCredentials {
        // An application is nobody whom an ID token could speak of.
        words.retain(|word| *word != grantor_model::scope::OPENID);
    }
    trail.found("scope", text);
    Ok(Some(words.join(" ")))
}

fn first_refresh(client: &Client) -> RefreshToken {
    if Application(client).allows(Grant::RefreshToken) { RefreshToken::First } else { RefreshToken::No }
}

fn of_user(client: &Client, user: User, scope: Option<String>, before: Vec<Statement>) -> Granted {
    let subject = Subject::of(&user);
    let claims = match &subject {
        Subject::Federated { claims, .. } => claims.clone(),
        _ => serde_json::Map::new(),
    };
    let spoken = Spoken {
        sub: user.id.clone(),
        username: user.username.clone(),
        provider: user.provider.clone(),
        user: Some(Arc::new(user)),
        claims,
    };
    let scope = scope.unwrap_or_default();
    Granted { subject, spoken, whole: scope.clone(), scope, refresh: first_refresh(client), before }
}

/// The assertion's user; beside it the `jti` whose use is written together with the tokens.
async fn by_assertion(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    client: &Client,
    parameters: &Parameters,
    scope: Option<String>,
    trail: &mut Trail,
) -> Result<(Granted, Option<String>), Refused> {
    let text = parameters.get("assertion").unwrap_or_default();
    if text.is_empty() {
        let told = "No Valid Assertion was found for urn:ietf:params:oauth:grant-type:jwt-bearer";
        return Err(trail.refuse("assertion", "a JWT", "empty", Error::grant(told)));
    }
    let court = Court { realm, client: Some(client), lookup: Lookup::IssuerOrName };
    let (accepted, user) = assertions::proved(engine, call, court, text, words::of, trail).await?;
    let used = assertions::use_of(realm, &accepted, call.now);
    let replay = used.as_ref().map(|_| accepted.assertion.text("jti").unwrap_or_default().to_owned());
    Ok((of_user(client, user, scope, used.into_iter().collect()), replay))
}

fn by_itself(client: &Client, scope: Option<String>, trail: &mut Trail) -> Result<Granted, Refused> {
    if !client.service_account.as_ref().is_some_and(|user| user.enabled) {
        let error = Error::new(Kind::Request, Code::UnauthorizedClient, "The application may not act for itself");
        return Err(trail.refuse("service account", "a user that is on", "none", error));
    }
    let id = client.client_id().to_owned();
    Ok(Granted {
        subject: Subject::Application,
        spoken: Spoken { sub: id.clone(), username: id, user: None, provider: None, claims: serde_json::Map::new() },
        scope: scope.unwrap_or_default(),
        whole: String::new(),
        refresh: RefreshToken::No,
        before: Vec::new(),
    })
}

async fn by_password(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Client,
    parameters: &Parameters,
    scope: Option<String>,
    trail: &mut Trail,
) -> Result<Granted, Refused> {
    let username = parameters.get("username").unwrap_or_default();
    let user = Box::pin(password::authenticated(engine, call, realm, username, parameters, trail)).await;
    let told = |error: Error| match error.code {
        Code::InvalidGrant => Error { reason: error.reason, ..Error::grant("Authentication failed") },
        _ => error,
    };
    Ok(of_user(client, user.map_err(|refused| refused.reworded(told))?, scope, Vec::new()))
}

/// A refresh token for the next tokens. Each is good once, unless the application keeps it; a second use shows that
/// two have it, and ends what the grant brought (RFC 9700 section 4.14.2).
async fn refreshed(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Arc<Realm>,
    client: &Client,
    parameters: &Parameters,
    scope: Option<String>,
    trail: &mut Trail,
) -> Result<String, Refused> {
    const WRONG: &str = "Invalid refresh token value in the request";
    let text = parameters.get("refresh_token").unwrap_or_default();
    let row = stored(engine, realm, text).await.map_err(|error| trail.fail(error))?;
    let Some(row) = row.filter(|row| row.kind == "refresh" && row.client_id == client.id) else {
        return Err(trail.refuse("refresh token", "one of this client", "something else", Error::grant(WRONG)));
    };
    if row.spent {
        ended(engine, realm, &row.grant_id).await.map_err(|error| trail.fail(error))?;
        let error = Error::grant("Invalid refresh token state");
        return Err(trail.refuse("refresh token", "one that was not used before", "used before", error));
    }
    if row.until <= call.now {
        let error = Error::grant("Refresh token is expired.");
        let found = row.until.seconds().to_string();
        return Err(trail.refuse("refresh token", format!("good at {}", call.now.seconds()), &found, error));
    }
    let kept: Kept = serde_json::from_str(&row.document)
        .map_err(|error| trail.fail(Error::internal(format!("a stored token cannot be read: {error}"))))?;
    let spoken = kept.subject.now(engine, realm, client, row.issued).await.map_err(|error| trail.fail(error))?;
    let Some(spoken) = spoken else {
        let error = Error::grant("The user of the refresh token is disabled.");
        return Err(trail.refuse("subject", "somebody who may be spoken of", "off, gone or signed out", error));
    };
    let whole: Vec<&str> = kept.scope.split_whitespace().collect();
    let scope = scope.unwrap_or_else(|| kept.scope.clone());
    if let Some(more) = scope.split_whitespace().find(|word| !whole.contains(word)) {
        let error = Error::new(Kind::Request, Code::InvalidScope, "Invalid Scope!");
        return Err(trail.refuse("scope", format!("words out of: {}", kept.scope), more, error));
    }
    let renews = Application(client).renews();
    let mut before = vec![table::delete_access(&row.grant_id)];
    before.extend(jwt_revoked(realm, &kept));
    if renews {
        before.insert(0, table::spend(&row.id));
    }
    let refresh = if renews {
        RefreshToken::Next { grant: row.grant_id.clone() }
    } else {
        RefreshToken::Same { token: text.to_owned(), id: row.id.clone(), grant: row.grant_id.clone() }
    };
    let granted = Granted { subject: kept.subject, spoken, scope, whole: kept.scope, refresh, before };
    let Made { body, statements } =
        mint::made(engine, call, realm, client, granted).await.map_err(|error| trail.fail(error))?;
    match written(engine, statements).await {
        Ok(()) => Ok(body),
        // Another request used it a moment ago.
        Err(StoreError::Guard { .. }) => {
            ended(engine, realm, &row.grant_id).await.map_err(|error| trail.fail(error))?;
            let error = Error::grant("Invalid refresh token state");
            Err(trail.refuse("refresh token", "one that was not used before", "used at the same moment", error))
        }
        Err(error) => Err(trail.fail(store_error(error))),
    }
}

/// Ends the JWT that was given out beside a refresh token.
fn jwt_revoked(realm: &Realm, kept: &Kept) -> Option<Statement> {
    let (jti, exp) = kept.jwt.as_ref()?;
    let until = grantor_model::Instant::from_seconds(exp.saturating_add(1));
    Some(grantor_store::once::revoke(&realm.id, jti, until))
}

/// Ends everything that a grant brought, JWTs too.
pub(super) async fn ended(engine: &Engine, realm: &Realm, grant: &str) -> Result<(), Error> {
    let kept = engine.store.refresh_documents(grant).await.map_err(store_error)?;
    let kept = kept.iter().filter_map(|text| serde_json::from_str::<Kept>(text).ok());
    let mut statements: Vec<Statement> = kept.filter_map(|kept| jwt_revoked(realm, &kept)).collect();
    statements.push(table::delete_grant(grant));
    engine.store.apply(statements).await.map_err(store_error)
}
