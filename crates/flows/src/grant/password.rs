//! The password grant (RFC 6749 section 4.3), Keycloak's "direct grant".
//!
//! Whether a name exists shows neither in the answer nor in its time: an unknown user costs a hash as well. What the
//! account lacks is told only to who knows the password.

use std::sync::Arc;

use grantor_model::realm::{Factor, PasswordPolicy};
use grantor_model::{Code, Error, Instant, Kind, Refused, Secret, Trail};
use grantor_store::StoreError;
use grantor_store::sessions::ChainRow;
use grantor_store::users::{self, CredentialRow, UserRow};

use super::{ChainState, Granted, GrantedScopes, Refresh, new_session, scopes};
use crate::engine::{Call, Engine, store_error};
use crate::otp::{OneTime, Right};
use crate::parameters::Parameters;
use crate::passwords::{Hashing, StoredPassword};
use crate::realms::{Client, Realm, User};
use crate::throttle::Guesses;

fn wrong(realm: &Realm) -> Error {
    // Up to Keycloak 26.5 the answer was a 401; a realm may go on answering so for older programs.
    let kind = if realm.switched_on("grantor.password.invalid.401") { Kind::Unauthenticated } else { Kind::Request };
    Error::new(kind, Code::InvalidGrant, "Invalid user credentials")
}

/// Proves that the caller knows a user's password, and the one-time code where the user has one.
///
/// # Errors
/// A refusal.
pub async fn grant(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    client: &Arc<Client>,
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<Granted, Refused> {
    if !client.document.allows_direct_access() {
        let error = Error::new(Kind::Request, Code::UnauthorizedClient, "Client not allowed for direct access grants");
        return Err(trail.refuse("directAccessGrantsEnabled", "true", "false", error));
    }
    if client.document.consent_required {
        let error = Error::new(Kind::Request, Code::InvalidClient, "Client requires user consent");
        return Err(trail.refuse("consentRequired", "false: nobody can be asked here", "true", error));
    }
    let requested = scopes::requested(client, parameters.get("scope"), trail)?;
    let Some(username) = parameters.get("username") else {
        let error = Error::new(Kind::Unauthenticated, Code::InvalidRequest, "Missing parameter: username");
        return Err(trail.refuse("username", "a form parameter", "absent", error));
    };
    // Somebody who guesses does not learn here that it is of no use any more, as at a Keycloak.
    let told = |error: Error| match error.kind {
        Kind::Throttled(_) => wrong(realm),
        _ => error,
    };
    let user = authenticated(engine, call, realm, username, parameters, trail).await;
    let user = user.map_err(|refused| refused.reworded(told))?;
    let scopes = scopes::granted(client, &user, &requested);
    let asks_offline = requested.contains(&grantor_model::scope::OFFLINE_ACCESS);
    if asks_offline && !scopes.offline() {
        let text = "Offline tokens not allowed for the user or client";
        let error = Error::new(Kind::Request, Code::NotAllowed, text);
        return Err(trail.refuse("offline access", "the realm role offline_access", "the user lacks it", error));
    }
    let issuing = || -> Result<_, Error> {
        let session = new_session(engine, call, realm, client, &user.id, scopes.offline())?;
        let refreshes = client.document.attribute("use.refresh.tokens") != Some("false");
        let refresh = if refreshes { first_refresh(engine, call, realm, &scopes)? } else { Refresh::No };
        Ok((session, refresh))
    };
    let (session, refresh) = issuing().map_err(|error| trail.fail(error))?;
    Ok(Granted { user: Arc::new(user), client: client.clone(), scopes, session, letters: "ro", refresh })
}

/// The first refresh token of a session; it begins a chain where the realm rotates.
pub(super) fn first_refresh(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    scopes: &GrantedScopes,
) -> Result<Refresh, Error> {
    let scope = scopes.all();
    if !realm.settings.revoke_refresh_token {
        return Ok(Refresh::Yes { scope, chain: None, successor: None });
    }
    let jti = engine.entropy.uuid(call.now)?;
    let chain = ChainRow {
        id: engine.entropy.uuid(call.now)?,
        used: String::new(),
        uses: 0,
        successors: vec![format!("{jti}@{}", call.now.seconds())],
        revision: 0,
    };
    Ok(Refresh::Yes { scope, chain: Some((chain, ChainState::Begins)), successor: Some((jti, call.now)) })
}

/// The user whom name and password belong to, with everything that an account needs to sign in.
///
/// # Errors
/// A refusal; of kind [`Kind::Throttled`] where the name has failed too often to be asked for a password now.
pub(crate) async fn authenticated(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    username: &str,
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<User, Refused> {
    let row = find(engine, realm, username).await.map_err(|error| trail.fail(error))?;
    let row = row.filter(|row| row.service_client.is_none());
    let mut guesses = Guesses::at(engine, call, realm, row.as_ref(), username);
    guesses.none_too_many(wrong(realm), trail).await?;
    let credentials = match &row {
        Some(row) => engine.store.credentials(&row.id).await.map_err(|error| trail.fail(store_error(error)))?,
        None => Vec::new(),
    };
    let password = Secret::new(parameters.get("password").unwrap_or_default());
    let right = check_password(engine, realm, &credentials, password).await.map_err(|error| trail.fail(error))?;
    // The caller is told one thing, the operator which of the two it was.
    let Some(row) = row else {
        guesses.failed(Factor::First).await.map_err(|error| trail.fail(error))?;
        return Err(trail.refuse("user", "a user of this realm", username, wrong(realm)));
    };
    trail.found("user", &row.username);
    if !right {
        guesses.failed(Factor::First).await.map_err(|error| trail.fail(error))?;
        return Err(trail.refuse("password", "the user's password", "another one", wrong(realm)));
    }
    trail.pass("password");
    if !row.enabled {
        return Err(trail.refuse("user enabled", "true", "false", Error::grant("Account disabled")));
    }
    // Of many guesses that were under way at once, only as many count as one after the other would have.
    guesses.none_too_many(wrong(realm), trail).await?;
    if let Err(refused) = one_time_code(engine, call, realm, &credentials, parameters, trail).await {
        if refused.error().code == Code::InvalidGrant {
            guesses.failed(Factor::Second).await.map_err(|error| trail.fail(error))?;
        }
        return Err(refused);
    }
    let user = realm.user(row).map_err(|error| trail.fail(Error::internal(format!("a user: {error}"))))?;
    not_expired(realm, &credentials, call.now, trail)?;
    fully_set_up(realm, &user, trail)?;
    guesses.succeeded().await.map_err(|error| trail.fail(error))?;
    Ok(user)
}

/// By name, else by address where the realm allows it. Names and addresses are compared in lower case.
pub(crate) async fn find(engine: &Engine, realm: &Realm, username: &str) -> Result<Option<UserRow>, Error> {
    let name = username.trim().to_lowercase();
    if name.is_empty() {
        return Ok(None);
    }
    let store = &engine.store;
    if let Some(row) = store.user_by_name(&realm.id, &name).await.map_err(store_error)? {
        return Ok(Some(row));
    }
    if !realm.settings.login_with_email_allowed || !name.contains('@') {
        return Ok(None);
    }
    let mut found = store.users_by_email(&realm.id, &name).await.map_err(store_error)?;
    // Two users with one address: nobody can say which of them is meant.
    Ok(if found.len() == 1 { found.pop() } else { None })
}

async fn check_password(
    engine: &Engine,
    realm: &Realm,
    credentials: &[CredentialRow],
    password: Secret,
) -> Result<bool, Error> {
    let credential = credentials.iter().find(|credential| credential.kind == "password");
    let stored = credential.map(|credential| read_password(engine, credential)).transpose()?.flatten();
    let wanted = Hashing::of_policy(PasswordPolicy::new(realm.settings.password_policy.as_deref()));
    let checked = engine.passwords.check(stored, password, wanted, &engine.entropy).await?;
    if let (Some(credential), Some(hash)) = (credential, checked.rehashed) {
        let renewed = crate::admin::users::password_row(&engine.vault, credential.clone(), &hash)?;
        // Another login may have done the same; then this one changes nothing.
        match engine.store.apply(vec![users::update_credential(&renewed, credential)]).await {
            Ok(()) | Err(StoreError::Guard { .. }) => {}
            Err(error) => return Err(store_error(error)),
        }
    }
    Ok(checked.right)
}

fn read_password(engine: &Engine, credential: &CredentialRow) -> Result<Option<StoredPassword>, Error> {
    let (open, secret) = crate::admin::users::credential_texts(&engine.vault, credential)?;
    Ok(StoredPassword::read(&open, &secret))
}

/// The code of a user who has a one-time credential. Each code is good once (RFC 6238 section 5.2).
async fn one_time_code(
    engine: &Engine,
    call: &Call<'_>,
    realm: &Realm,
    credentials: &[CredentialRow],
    parameters: &Parameters,
    trail: &mut Trail,
) -> Result<(), Refused> {
    let mut has_one = false;
    let code = parameters.get("totp").or(parameters.get("otp")).unwrap_or_default();
    for credential in credentials.iter().filter(|credential| credential.kind == "otp") {
        has_one = true;
        let (open, secret) =
            crate::admin::users::credential_texts(&engine.vault, credential).map_err(|error| trail.fail(error))?;
        let Some(one) = OneTime::read(&open, &secret) else { continue };
        let window = realm.settings.otp_policy_look_ahead_window;
        let used = match one.find(code, call.now, window) {
            None => false,
            Some(Right::Step(_)) if realm.settings.otp_policy_code_reusable => true,
            Some(Right::Step(step)) => {
                let (issuer, jti) = (format!("otp {}", credential.id), step.to_string());
                let noted = engine.store.record_seen(&realm.id, &issuer, &jti, one.end_of(step, window)).await;
                noted.map_err(|error| trail.fail(store_error(error)))?
            }
            Some(Right::Counter(counter)) => {
                let moved = crate::admin::users::moved_counter(credential, counter.saturating_add(1));
                let moved = moved.map_err(|error| trail.fail(error))?;
                match engine.store.apply(vec![users::update_credential(&moved, credential)]).await {
                    Ok(()) => true,
                    // Another login was there first: the code is used.
                    Err(StoreError::Guard { .. }) => false,
                    Err(error) => return Err(trail.fail(store_error(error))),
                }
            }
        };
        if used {
            trail.pass("one-time code");
            return Ok(());
        }
    }
    if has_one {
        return Err(trail.refuse("one-time code", "the current code, unused", "another or none", wrong(realm)));
    }
    Ok(())
}

/// A password that is older than the realm allows has to be replaced first.
fn not_expired(realm: &Realm, credentials: &[CredentialRow], now: Instant, trail: &mut Trail) -> Result<(), Refused> {
    let limit = PasswordPolicy::new(realm.settings.password_policy.as_deref()).expires_after();
    let made = || crate::admin::users::created(credentials.iter().find(|credential| credential.kind == "password")?);
    let Some((limit, made)) = limit.and_then(|limit| Some((limit, made()?))) else { return Ok(()) };
    let age = now.millis().saturating_sub(made);
    if age <= limit {
        return Ok(());
    }
    let days = |millis: i64| millis / 86_400_000;
    let actual = format!("{} days of {}", days(age), days(limit));
    let error = Error::grant("Account is not fully set up");
    Err(trail.refuse("age of the password", "what the password policy allows", &actual, error))
}

/// A user with something left to do cannot do it here.
fn fully_set_up(realm: &Realm, user: &User, trail: &mut Trail) -> Result<(), Refused> {
    let error = || Error::grant("Account is not fully set up");
    if !user.document.required_actions.is_empty() {
        let actions = user.document.required_actions.join(", ");
        return Err(trail.refuse("required actions", "none", &actions, error()));
    }
    match realm.lacks_in_profile(user) {
        Some(missing) => {
            Err(trail.refuse("user profile", "every required attribute", &format!("{missing} is missing"), error()))
        }
        None => {
            trail.pass("account is set up");
            Ok(())
        }
    }
}
