//! Users and their credentials.

use std::collections::BTreeMap;

use grantor_model::Secret;
use grantor_model::realm::{CredentialDocument, UserDocument};
use grantor_store::identity_providers::link;
use grantor_store::users::{self as table, UserRow};
use zeroize::Zeroizing;

use super::{AdminError, Importing, json};
use crate::admin::users::{NewCredential, credential_row};
use crate::passwords::StoredPassword;

impl Importing<'_> {
    pub(super) async fn add_user(&mut self, mut user: UserDocument) -> Result<(), AdminError> {
        let username = user.username.trim().to_lowercase();
        if username.is_empty() {
            return Err(AdminError::new("a user of the realm file has no username"));
        }
        let id = self.id(user.id.take(), "a user")?;
        self.only("users", &username)?;
        if self.report.migrated_from.is_some() {
            // What is to be accepted has another name since.
            for action in user.required_actions.iter_mut().filter(|action| *action == "terms_and_conditions") {
                *action = "TERMS_AND_CONDITIONS".to_owned();
            }
        }
        let (roles, lost) = self.names.roles(&user.realm_roles, &user.client_roles);
        for lost in lost {
            self.note(format!("user {username:?} has the role {lost:?}, which is not there"));
        }
        let mut groups = Vec::new();
        for path in std::mem::take(&mut user.groups) {
            match self.names.groups.get(&path) {
                Some(group) => groups.push(group.clone()),
                None => self.note(format!("user {username:?} is in the group {path:?}, which is not there")),
            }
        }
        let service_client = match &user.service_account_client_id {
            None => None,
            Some(client) => match self.names.clients.get(client).cloned() {
                Some(client) => Some(client),
                None => {
                    self.note(format!(
                        "{username:?} is the service account of {client:?}, which is not there; left out"
                    ));
                    return Ok(());
                }
            },
        };
        let credentials = std::mem::take(&mut user.credentials);
        let federated = std::mem::take(&mut user.federated_identities);
        let kept = std::mem::take(&mut user.kept);
        user.realm_roles = Vec::new();
        user.client_roles = BTreeMap::new();
        let email = user.email.as_ref().map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty());
        self.statements.extend(table::insert(&UserRow {
            id: id.clone(),
            realm_id: self.realm_id.clone(),
            username: username.clone(),
            email,
            enabled: user.enabled,
            service_client,
            not_before: user.not_before,
            document: json(&user)?,
            roles,
            groups,
        }));
        if !kept.is_empty() {
            self.kept_of("users", &kept);
            let sealed = self.engine.vault.seal(&format!("users/{id}"), json(&kept)?.as_bytes())?;
            self.statements.push(table::keep(&id, sealed));
        }
        for identity in federated {
            match self.names.identity_providers.get(&identity.identity_provider) {
                Some(provider) => {
                    self.statements.push(link(provider, &identity.user_id, &id, &identity.user_name));
                }
                None => self.note(format!(
                    "user {username:?} is linked to the identity provider {:?}, which is not there",
                    identity.identity_provider
                )),
            }
        }
        self.report.users += 1;
        for (position, credential) in (0..).zip(credentials) {
            self.credential(&id, &username, position, credential).await?;
        }
        Ok(())
    }

    async fn credential(
        &mut self,
        user_id: &str,
        username: &str,
        position: i64,
        credential: CredentialDocument,
    ) -> Result<(), AdminError> {
        let texts = match (&credential.secret_data, &credential.credential_data) {
            (Some(secret), Some(open)) => Some((open.clone(), Zeroizing::new(secret.clone()))),
            _ => {
                let hash = match (&credential.value, credential.kind.as_str()) {
                    // A rehearsal knows that it can be done.
                    (Some(_), "password") if self.rehearsal => return Ok(()),
                    (Some(value), "password") => Some(self.hashed(value).await?),
                    _ => StoredPassword::read_old(&credential),
                };
                hash.map(|hash| (hash.credential_data(), Zeroizing::new(hash.secret_data())))
            }
        };
        let Some((credential_data, secret_data)) = texts else {
            self.note(format!(
                "user {username:?}: a credential of type {:?} cannot be read, left out",
                credential.kind
            ));
            return Ok(());
        };
        let unusable = |password: StoredPassword| password.is_too_costly();
        if credential.kind == "password" && StoredPassword::read(&credential_data, &secret_data).is_none_or(unusable) {
            self.note(format!("user {username:?}: the password's hash is unreadable or too costly, no one can use it"));
        }
        let row = credential_row(
            &self.engine.vault,
            NewCredential {
                id: self.id(credential.id, "a credential")?,
                user_id,
                kind: &credential.kind,
                position,
                credential_data,
                secret_data,
                user_label: credential.user_label,
                created_date: credential.created_date,
            },
        )?;
        self.statements.push(table::insert_credential(&row));
        Ok(())
    }

    async fn hashed(&self, password: &str) -> Result<StoredPassword, AdminError> {
        let engine = self.engine;
        Ok(engine.passwords.hash(Secret::new(password), self.hashing.clone(), &engine.entropy).await?)
    }
}
