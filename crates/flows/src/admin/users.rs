//! Users and their credentials.

use grantor_model::realm::{CredentialDocument, Lock, UserDocument};
use grantor_model::{Error, Instant, Secret};
use grantor_store::users::{self as table, CredentialRow, UserRow};
use grantor_store::{StoreError, login_failures, realms as realm_table};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::new_passwords::Owner;
use super::{AdminError, json};
use crate::engine::Engine;
use crate::passwords::StoredPassword;
use crate::realms::Realm;
use crate::revocations;
use crate::throttle::{self, Failed};
use crate::vault::Vault;

/// The open part of a credential: `credentialData` and what people see.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenPart {
    credential_data: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_date: Option<i64>,
}

fn place(id: &str) -> String {
    format!("credentials/{id}")
}

/// `credentialData` and `secretData` of a stored credential.
pub(crate) fn credential_texts(vault: &Vault, row: &CredentialRow) -> Result<(String, Zeroizing<String>), Error> {
    let bad = |error: String| Error::internal(format!("{}: {error}", place(&row.id)));
    let open: OpenPart = serde_json::from_str(&row.document).map_err(|error| bad(error.to_string()))?;
    let clear = vault.open(&place(&row.id), &row.secret)?;
    let secret = std::str::from_utf8(&clear).map_err(|error| bad(error.to_string()))?;
    Ok((open.credential_data, Zeroizing::new(secret.to_owned())))
}

/// When a credential was made, in milliseconds since 1970.
pub(crate) fn created(row: &CredentialRow) -> Option<i64> {
    serde_json::from_str::<OpenPart>(&row.document).ok()?.created_date
}

/// A stored credential as a realm file has it.
pub(crate) fn credential_document(vault: &Vault, row: &CredentialRow) -> Result<CredentialDocument, Error> {
    let (credential_data, secret_data) = credential_texts(vault, row)?;
    let open: OpenPart =
        serde_json::from_str(&row.document).map_err(|error| Error::internal(format!("{}: {error}", place(&row.id))))?;
    Ok(CredentialDocument {
        id: Some(row.id.clone()),
        kind: row.kind.clone(),
        user_label: open.user_label,
        created_date: open.created_date,
        secret_data: Some(secret_data.to_string()),
        credential_data: Some(credential_data),
        ..CredentialDocument::default()
    })
}

/// A credential as it is stored.
pub(crate) struct NewCredential<'a> {
    pub(crate) id: String,
    pub(crate) user_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) position: i64,
    pub(crate) credential_data: String,
    pub(crate) secret_data: Zeroizing<String>,
    pub(crate) user_label: Option<String>,
    pub(crate) created_date: Option<i64>,
}

/// Seals a credential.
pub(crate) fn credential_row(vault: &Vault, new: NewCredential<'_>) -> Result<CredentialRow, Error> {
    let open =
        OpenPart { credential_data: new.credential_data, user_label: new.user_label, created_date: new.created_date };
    Ok(CredentialRow {
        secret: vault.seal(&place(&new.id), new.secret_data.as_bytes())?,
        document: serde_json::to_string(&open).map_err(|error| Error::internal(error.to_string()))?,
        id: new.id,
        user_id: new.user_id.to_owned(),
        kind: new.kind.to_owned(),
        position: new.position,
    })
}

/// A password credential with another hash.
pub(crate) fn password_row(vault: &Vault, row: CredentialRow, hash: &StoredPassword) -> Result<CredentialRow, Error> {
    let mut open: OpenPart = serde_json::from_str(&row.document).map_err(|error| Error::internal(error.to_string()))?;
    open.credential_data = hash.credential_data();
    Ok(CredentialRow {
        secret: vault.seal(&place(&row.id), hash.secret_data().as_bytes())?,
        document: serde_json::to_string(&open).map_err(|error| Error::internal(error.to_string()))?,
        ..row
    })
}

/// A one-time credential whose counter has moved.
pub(crate) fn moved_counter(row: &CredentialRow, counter: i64) -> Result<CredentialRow, Error> {
    let bad = |error: String| Error::internal(format!("{}: {error}", place(&row.id)));
    let mut open: OpenPart = serde_json::from_str(&row.document).map_err(|error| bad(error.to_string()))?;
    let moved = crate::otp::with_counter(&open.credential_data, counter);
    open.credential_data = moved.ok_or_else(|| bad("its settings are no object".to_owned()))?;
    let document = serde_json::to_string(&open).map_err(|error| bad(error.to_string()))?;
    Ok(CredentialRow { document, ..row.clone() })
}

/// The user of a client that acts for itself, with the realm's default role.
pub(crate) fn service_account(
    realm: &Realm,
    client_row: &str,
    client_id: &str,
    id: String,
    now: Instant,
) -> Result<UserRow, AdminError> {
    let default = format!("default-roles-{}", realm.name);
    let role = realm.roles.iter().find(|role| role.client.is_none() && role.name == default);
    let document = UserDocument { created_timestamp: Some(now.millis()), ..UserDocument::default() };
    Ok(UserRow {
        id,
        realm_id: realm.id.clone(),
        username: format!("service-account-{}", client_id.to_lowercase()),
        email: None,
        enabled: true,
        service_client: Some(client_row.to_owned()),
        not_before: 0,
        document: json(&document)?,
        roles: role.map(|role| role.id.clone()).into_iter().collect(),
        groups: Vec::new(),
    })
}

/// What `user add` is told.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The name to sign in with.
    pub username: String,
    /// The address.
    pub email: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Names of realm roles beside the default role.
    pub roles: Vec<String>,
    /// The password, if it is known already.
    pub password: Option<Secret>,
}

impl Engine {
    /// Adds a user with the realm's default role.
    ///
    /// # Errors
    /// When the name is taken, or a role does not exist.
    pub async fn add_user(&self, realm: &Realm, new: NewUser, now: Instant) -> Result<String, AdminError> {
        let statements = self.user_statements(realm, &new, now).await?;
        let (id, statements) = statements;
        self.insert_user(realm, &new.username, statements).await?;
        Ok(id)
    }

    pub(crate) async fn insert_user(
        &self,
        realm: &Realm,
        username: &str,
        statements: Vec<grantor_store::Statement>,
    ) -> Result<(), AdminError> {
        match self.store.apply(statements).await {
            Ok(()) => Ok(()),
            Err(StoreError::Duplicate) => {
                Err(AdminError::new(format!("realm {} has a user {username:?} already", realm.name))
                    .hint(format!("grantor user set-password {username} --realm {}", realm.name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The statements that add a user, to be committed with others.
    pub(crate) async fn user_statements(
        &self,
        realm: &Realm,
        new: &NewUser,
        now: Instant,
    ) -> Result<(String, Vec<grantor_store::Statement>), AdminError> {
        let username = new.username.trim().to_lowercase();
        if username.is_empty() || username.len() > 255 || username.chars().any(char::is_control) {
            return Err(AdminError::new("a user name has 1 to 255 characters, none of them a control character"));
        }
        let default = format!("default-roles-{}", realm.name);
        let mut roles = Vec::new();
        for name in std::iter::once(&default).chain(&new.roles) {
            let role = realm.roles.iter().find(|role| role.client.is_none() && role.name == *name);
            match role {
                Some(role) => roles.push(role.id.clone()),
                None if *name == default => {}
                None => return Err(AdminError::new(format!("realm {} has no role {name:?}", realm.name))),
            }
        }
        let id = self.entropy.uuid(now)?;
        let email = new.email.as_ref().map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty());
        let document = UserDocument {
            first_name: new.first_name.clone(),
            last_name: new.last_name.clone(),
            email_verified: false,
            created_timestamp: Some(now.millis()),
            ..UserDocument::default()
        };
        let row = UserRow {
            id: id.clone(),
            realm_id: realm.id.clone(),
            username,
            email,
            enabled: true,
            service_client: None,
            not_before: 0,
            document: json(&document)?,
            roles,
            groups: Vec::new(),
        };
        let mut statements = table::insert(&row);
        if let Some(password) = &new.password {
            let owner = Owner { id: &id, username: &row.username, email: row.email.as_deref() };
            let credential = self.new_password(realm, &owner, self.entropy.uuid(now)?, password.clone(), now).await?;
            statements.push(table::insert_credential(&credential));
        }
        Ok((id, statements))
    }

    /// A user by name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stored_user(&self, realm: &Realm, username: &str) -> Result<UserRow, AdminError> {
        let found = self.store.user_by_name(&realm.id, &username.trim().to_lowercase()).await?;
        found.ok_or_else(|| AdminError::new(format!("realm {} has no user {username:?}", realm.name)))
    }

    /// Lets a user sign in, or not.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn enable_user(&self, realm: &Realm, username: &str, on: bool, now: Instant) -> Result<(), AdminError> {
        let user = self.stored_user(realm, username).await?;
        let revocation = revocations::of_user(realm, &user, on, now);
        let mut statements = match on && throttle::is_locked_for_good(&user.document) {
            true => vec![login_failures::forget(&realm.id, &user.id), throttle::switched(user, true)?],
            false => vec![table::set_enabled(&user.id, on)],
        };
        statements.extend(revocation);
        statements.extend(realm_table::changed(&realm.id));
        self.store.apply(statements).await?;
        self.reload(&realm.name, now).await?;
        Ok(())
    }

    /// The users whose logins failed lately, the last one first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn failed_logins(&self, realm: &Realm, now: Instant) -> Result<Vec<Failed>, AdminError> {
        const MOST: i64 = 1_000;
        let rows = self.store.users_who_failed(&realm.id, MOST).await?;
        Ok(rows.into_iter().map(|(username, row)| Failed::of(username, row, now)).collect())
    }

    /// Forgets a user's failed logins and ends the lock that they led to. `None` when there was nothing of the kind.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn unlock_user(&self, realm: &Realm, username: &str, now: Instant) -> Result<Option<Failed>, AdminError> {
        let user = self.stored_user(realm, username).await?;
        let row = self.store.login_failures(&realm.id, &user.id).await?;
        let off = !user.enabled && throttle::is_locked_for_good(&user.document);
        if off {
            self.enable_user(realm, username, true, now).await?;
        } else if row.is_some() {
            self.store.apply(vec![login_failures::forget(&realm.id, &user.id)]).await?;
        }
        let failed = row.map(|row| Failed::of(user.username.clone(), row, now));
        let unknown = || Failed {
            username: user.username.clone(),
            failures: 0,
            last: None,
            address: String::new(),
            lock: Some(Lock::ForGood),
        };
        Ok(failed.or_else(|| off.then(unknown)))
    }
}
