//! Setting passwords: what the realm's policy says of them, and the ones that must not come again.

use grantor_model::realm::{PasswordPolicy, UserDocument};
use grantor_model::{Instant, Secret};
use grantor_store::Statement;
use grantor_store::users::{self as table, CredentialRow};
use zeroize::Zeroizing;

use super::users::{NewCredential, created, credential_row, credential_texts};
use super::{AdminError, json};
use crate::engine::Engine;
use crate::passwords::{Hashing, StoredPassword};
use crate::realms::Realm;

const PASSWORD: &str = "password";

/// The kind of credentials that were passwords once.
const HISTORY: &str = "password-history";

/// What a user must do who came with a password for once.
const UPDATE_PASSWORD: &str = "UPDATE_PASSWORD";

/// Whose password is set.
pub(super) struct Owner<'a> {
    pub(super) id: &'a str,
    pub(super) username: &'a str,
    pub(super) email: Option<&'a str>,
}

fn policy(realm: &Realm) -> PasswordPolicy<'_> {
    PasswordPolicy::new(realm.settings.password_policy.as_deref())
}

impl Engine {
    /// Replaces a user's password; what asked the user for a new one is done then.
    ///
    /// # Errors
    /// When there is no such user, or the realm's policy refuses the password.
    pub async fn set_password(
        &self,
        realm: &Realm,
        username: &str,
        password: Secret,
        now: Instant,
    ) -> Result<(), AdminError> {
        let mut user = self.stored_user(realm, username).await?;
        let before = self.store.credentials(&user.id).await?;
        let present = before.iter().find(|credential| credential.kind == PASSWORD);
        let history = newest_first(&before);
        self.refuse_earlier(realm, &password, present, &history, now).await?;
        let owner = Owner { id: &user.id, username: &user.username, email: user.email.as_deref() };
        let id = present.map_or_else(|| self.entropy.uuid(now), |present| Ok(present.id.clone()))?;
        let credential = self.new_password(realm, &owner, id, password, now).await?;
        let mut statements = vec![table::delete_credentials(&user.id, PASSWORD), table::insert_credential(&credential)];
        statements.extend(self.remembered(realm, present, &history, now)?);
        let mut document: UserDocument =
            serde_json::from_str(&user.document).map_err(|error| AdminError::new(format!("the user: {error}")))?;
        if document.required_actions.iter().any(|action| action == UPDATE_PASSWORD) {
            document.required_actions.retain(|action| action != UPDATE_PASSWORD);
            let read = std::mem::replace(&mut user.document, json(&document)?);
            statements.push(table::update(&user, &read));
        }
        Ok(self.store.apply(statements).await?)
    }

    /// The credential of a new password that the policy allows.
    pub(super) async fn new_password(
        &self,
        realm: &Realm,
        owner: &Owner<'_>,
        id: String,
        password: Secret,
        now: Instant,
    ) -> Result<CredentialRow, AdminError> {
        if password.is_empty() {
            return Err(AdminError::new("the password is empty"));
        }
        let policy = policy(realm);
        if let Some(why) = policy.refusal(password.expose(), owner.username, owner.email) {
            return Err(refused(realm, &why));
        }
        if let Some(list) = policy.blacklist()
            && self.passwords.is_listed(list, &password).await?
        {
            return Err(refused(realm, &format!("it is in {list}, a list of passwords that are too common")));
        }
        let hash = self.passwords.hash(password, Hashing::of_policy(policy), &self.entropy).await?;
        Ok(credential_row(
            &self.vault,
            NewCredential {
                id,
                user_id: owner.id,
                kind: PASSWORD,
                position: 0,
                credential_data: hash.credential_data(),
                secret_data: Zeroizing::new(hash.secret_data()),
                user_label: None,
                created_date: Some(now.millis()),
            },
        )?)
    }

    /// Refuses a password that the user had lately. The present one counts, whatever the number.
    async fn refuse_earlier(
        &self,
        realm: &Realm,
        password: &Secret,
        present: Option<&CredentialRow>,
        history: &[&CredentialRow],
        now: Instant,
    ) -> Result<(), AdminError> {
        let policy = policy(realm);
        if policy.history().is_none() && policy.not_again_for().is_none() {
            return Ok(());
        }
        let kept = kept(policy, history, now);
        for credential in present.into_iter().chain(kept) {
            let (open, secret) = credential_texts(&self.vault, credential)?;
            let stored = StoredPassword::read(&open, &secret);
            let checked = self.passwords.check(stored, password.clone(), Hashing::default(), &self.entropy).await?;
            if checked.right {
                return Err(refused(realm, "it is the present password, or one of the last"));
            }
        }
        Ok(())
    }

    /// The statements by which the present password becomes one of the last, and those go that are not asked for.
    fn remembered(
        &self,
        realm: &Realm,
        present: Option<&CredentialRow>,
        history: &[&CredentialRow],
        now: Instant,
    ) -> Result<Vec<Statement>, AdminError> {
        let policy = policy(realm);
        let mut statements = Vec::new();
        let mut taken = 0;
        if let Some(present) = present
            && (policy.history().is_some_and(|count| count > 1) || policy.not_again_for().is_some_and(|age| age > 0))
        {
            let (credential_data, secret_data) = credential_texts(&self.vault, present)?;
            taken = 1;
            statements.push(table::insert_credential(&credential_row(
                &self.vault,
                NewCredential {
                    id: self.entropy.uuid(now)?,
                    user_id: &present.user_id,
                    kind: HISTORY,
                    position: present.position.saturating_add(1),
                    credential_data,
                    secret_data,
                    user_label: None,
                    created_date: created(present),
                },
            )?));
        }
        let room = policy.history().unwrap_or_default().saturating_sub(1 + taken);
        let old = history.iter().skip(room).filter(|row| !within(policy, row, now));
        statements.extend(old.map(|row| table::delete_credential(&row.id)));
        Ok(statements)
    }
}

fn refused(realm: &Realm, why: &str) -> AdminError {
    let policy = realm.settings.password_policy.as_deref().unwrap_or_default();
    AdminError::new(format!("the password is not good enough: {why}")).hint(format!("realm {}: {policy}", realm.name))
}

fn newest_first(credentials: &[CredentialRow]) -> Vec<&CredentialRow> {
    let mut history: Vec<&CredentialRow> = credentials.iter().filter(|row| row.kind == HISTORY).collect();
    history.sort_by_key(|row| std::cmp::Reverse(created(row).unwrap_or_default()));
    history
}

/// Those of the last passwords that count.
fn kept<'a>(
    policy: PasswordPolicy<'_>,
    history: &[&'a CredentialRow],
    now: Instant,
) -> impl Iterator<Item = &'a CredentialRow> {
    let room = policy.history().unwrap_or_default().saturating_sub(1);
    let kept = history.iter().enumerate().filter(move |(place, row)| *place < room || within(policy, row, now));
    kept.map(|(_, row)| *row)
}

/// Whether the policy remembers a password for its age.
fn within(policy: PasswordPolicy<'_>, row: &CredentialRow, now: Instant) -> bool {
    let age = created(row).map(|created| now.millis().saturating_sub(created));
    policy.not_again_for().zip(age).is_some_and(|(limit, age)| age <= limit)
}
