//! Identity providers: what the command line and the management APIs do with them.

use grantor_model::identity_provider::{problem, setting};
use grantor_model::realm::{Attributes, IdentityProviderDocument};
use grantor_model::{Error, Instant};
use grantor_store::identity_providers::{self as table, IdentityProviderRow};
use grantor_store::{StoreError, realms as realm_table};
use zeroize::Zeroizing;

use super::clients::MASK;
use super::{AdminError, json};
use crate::engine::Engine;
use crate::realms::Realm;
use crate::vault::Vault;

/// The setting that this server proves itself to the provider with.
pub(crate) const CLIENT_SECRET: &str = "clientSecret";

fn place(id: &str) -> String {
    format!("identity_providers/{id}")
}

/// An identity provider as it is stored: the document without its secret, this sealed.
///
/// # Errors
/// When it cannot be sealed or written.
pub(crate) fn row(
    vault: &Vault,
    realm_id: &str,
    id: &str,
    mut document: IdentityProviderDocument,
) -> Result<IdentityProviderRow, AdminError> {
    let secret = document.config.remove(CLIENT_SECRET).flatten().filter(|secret| !secret.is_empty() && secret != MASK);
    let secret = secret.map(Zeroizing::new);
    document.internal_id = Some(id.to_owned());
    Ok(IdentityProviderRow {
        id: id.to_owned(),
        realm_id: realm_id.to_owned(),
        alias: document.alias.clone(),
        secret: secret.map(|secret| vault.seal(&place(id), secret.as_bytes())).transpose()?,
        document: json(&document)?,
    })
}

/// What this server proves itself to a stored provider with.
///
/// # Errors
/// When it does not open.
pub(crate) fn secret_of(vault: &Vault, row: &IdentityProviderRow) -> Result<Option<String>, Error> {
    let Some(sealed) = &row.secret else { return Ok(None) };
    let clear = vault.open(&place(&row.id), sealed)?;
    let text = std::str::from_utf8(&clear).map_err(|error| Error::internal(format!("{}: {error}", place(&row.id))))?;
    Ok(Some(text.to_owned()))
}

/// Why an identity provider was not saved.
#[derive(Debug)]
pub enum Unsaved {
    /// Another one of the realm has the name or the issuer.
    Taken(String),
    /// Something in it cannot be used.
    Bad(String),
    /// There is none of that name.
    Unknown(String),
    /// The database, or a race that was lost too often.
    Failed(Error),
}

impl From<Error> for Unsaved {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Unsaved {
    fn from(error: StoreError) -> Self {
        Self::Failed(crate::engine::store_error(error))
    }
}

impl From<AdminError> for Unsaved {
    fn from(error: AdminError) -> Self {
        Self::Failed(Error::internal(error.problem))
    }
}

impl From<Unsaved> for AdminError {
    fn from(unsaved: Unsaved) -> Self {
        match unsaved {
            Unsaved::Taken(problem) | Unsaved::Bad(problem) | Unsaved::Unknown(problem) => Self::new(problem),
            Unsaved::Failed(error) => error.into(),
        }
    }
}

impl Engine {
    /// All identity providers of a realm, as they are stored.
    ///
    /// # Errors
    /// When the database is lost.
    pub async fn identity_providers(
        &self,
        realm: &Realm,
    ) -> Result<Vec<(IdentityProviderRow, IdentityProviderDocument)>, Error> {
        let rows = self.store.identity_providers(&realm.id).await.map_err(crate::engine::store_error)?;
        let read = |row: IdentityProviderRow| {
            let document = serde_json::from_str(&row.document);
            document.map(|document| (row, document)).map_err(|error| Error::internal(error.to_string()))
        };
        rows.into_iter().map(read).collect()
    }

    /// One identity provider as it is stored, by a property of it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stored_identity_provider(
        &self,
        realm: &Realm,
        alias: &str,
    ) -> Result<(IdentityProviderRow, IdentityProviderDocument), Unsaved> {
        let all = self.identity_providers(realm).await?;
        let names: Vec<String> = all.iter().map(|(row, _)| row.alias.clone()).collect();
        all.into_iter().find(|(row, _)| row.alias == alias).ok_or_else(|| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let hint = super::realms::nearest_hint(alias, &names, "identity provider");
            Unsaved::Unknown(format!("realm {} has no identity provider {alias:?}; {hint}", realm.name))
        })
    }

    /// Adds an identity provider; gives back its key.
    ///
    /// # Errors
    /// When it cannot be used as it is, or the name or the issuer is taken.
    pub async fn add_identity_provider(
        &self,
        realm: &Realm,
        document: IdentityProviderDocument,
        now: Instant,
    ) -> Result<String, Unsaved> {
        self.judge_identity_provider(realm, None, &document, now).await?;
        let id = self.entropy.uuid(now)?;
        let alias = document.alias.clone();
        let mut statements = vec![table::insert(&row(&self.vault, &realm.id, &id, document)?)];
        statements.extend(realm_table::changed(&realm.id));
        match self.store.apply(statements).await {
            Ok(()) => {}
            Err(StoreError::Duplicate) => return Err(taken(realm, &alias)),
            Err(error) => return Err(error.into()),
        }
        self.reload(&realm.name, now).await?;
        Ok(id)
    }

    /// Changes an identity provider as it is stored now; when somebody else was faster, as it is stored then.
    ///
    /// # Errors
    /// As [`Engine::add_identity_provider`], and when there is none of that alias.
    pub async fn change_identity_provider(
        &self,
        realm: &Realm,
        alias: &str,
        now: Instant,
        change: impl Fn(&mut IdentityProviderDocument) -> Result<(), Unsaved>,
    ) -> Result<(), Unsaved> {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            let (read, mut document) = self.stored_identity_provider(realm, alias).await?;
            change(&mut document)?;
            // What the provider knows us by is not changed here.
            document.config.remove(CLIENT_SECRET);
            self.judge_identity_provider(realm, Some(&read.id), &document, now).await?;
            let mut statements = vec![table::update(&read, &document.alias, &json(&document)?)];
            statements.extend(realm_table::changed(&realm.id));
            match self.store.apply(statements).await {
                Err(StoreError::Guard { .. }) => {}
                Err(StoreError::Duplicate) => return Err(taken(realm, &document.alias)),
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.reload(&realm.name, now).await?;
                    return Ok(());
                }
            }
        }
        Err(Error::unavailable(format!("others keep changing the identity provider {alias:?}")).into())
    }

    /// Removes an identity provider and its links to users.
    ///
    /// # Errors
    /// When there is none of that alias.
    pub async fn remove_identity_provider(&self, realm: &Realm, alias: &str, now: Instant) -> Result<(), Unsaved> {
        let (read, _) = self.stored_identity_provider(realm, alias).await?;
        let mut statements = vec![table::delete(&read.id)];
        statements.extend(realm_table::changed(&realm.id));
        match self.store.apply(statements).await {
            // Somebody else removed it.
            Ok(()) | Err(StoreError::Guard { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.reload(&realm.name, now).await?;
        Ok(())
    }

    /// Links a user to a subject of an identity provider.
    ///
    /// # Errors
    /// When one of them is not there, or is linked already.
    pub async fn link_user(&self, realm: &Realm, alias: &str, subject: &str, username: &str) -> Result<(), AdminError> {
        let (provider, _) = self.stored_identity_provider(realm, alias).await?;
        let user = self.stored_user(realm, username).await?;
        match self.store.apply(vec![table::link(&provider.id, subject, &user.id, subject)]).await {
            Ok(()) => Ok(()),
            Err(StoreError::Duplicate) => {
                Err(AdminError::new(format!("{username} or the subject {subject:?} of {alias} is linked already")))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn judge_identity_provider(
        &self,
        realm: &Realm,
        own: Option<&str>,
        document: &IdentityProviderDocument,
        now: Instant,
    ) -> Result<(), Unsaved> {
        // One that is off harms nobody: it can be switched off when it has become unusable.
        if let Some(problem) = problem(document, now).filter(|_| document.enabled) {
            return Err(Unsaved::Bad(problem));
        }
        if document.enabled
            && document.switched_on(setting::USES_URL)
            && let Err(reason) = self.fetch.admits(document.setting(setting::URL).unwrap_or_default()).await
        {
            // What a name leads to inside is told to operators only.
            tracing::warn!(reason, "the key set of an identity provider may not be fetched");
            let hint = "it is not a public https:// address, and allow_private in [outbound] does not hold it";
            return Err(Unsaved::Bad(format!("the key set cannot be fetched from there: {hint}")));
        }
        for (row, other) in self.identity_providers(realm).await?.iter().filter(|(row, _)| Some(row.id.as_str()) != own)
        {
            let issuer = document.setting(setting::ISSUER);
            if issuer.is_some() && issuer == other.setting(setting::ISSUER) {
                return Err(Unsaved::Taken(format!(
                    "the identity provider {} of realm {} has that issuer already",
                    row.alias, realm.name
                )));
            }
            if document.display_name.is_some() && document.display_name == other.display_name {
                return Err(taken(realm, document.display_name.as_deref().unwrap_or_default()));
            }
        }
        Ok(())
    }
}

fn taken(realm: &Realm, name: &str) -> Unsaved {
    Unsaved::Taken(format!("realm {} has an identity provider {name:?} already", realm.name))
}

/// The settings of a provider whose assertions are judged by Grantor's rules, at their defaults.
pub fn standard_settings() -> Attributes {
    use grantor_model::identity_provider::{LONGEST_LIFE, SKEW};
    let settings = [
        (setting::FOR_ASSERTIONS, "true".to_owned()),
        (setting::SKEW, SKEW.to_string()),
        (setting::LONGEST_LIFE, LONGEST_LIFE.to_string()),
        (setting::SUBJECT, "federated".to_owned()),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
}
