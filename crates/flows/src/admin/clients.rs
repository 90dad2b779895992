//! Clients: their secrets, and what the command line does with them.

use std::collections::BTreeMap;

use grantor_model::realm::{ClientDocument, MapperDocument};
use grantor_model::{Error, Instant};
use grantor_store::client_secrets::forget;
use grantor_store::clients::{self as table, ClientRow};
use grantor_store::users as user_table;
use grantor_store::{Statement, StoreError, realms as realm_table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{AdminError, json};
use crate::assertions::{ENABLED, PROVIDERS};
use crate::client_secrets::{self, attribute};
use crate::engine::Engine;
use crate::login::{Delivery, LOGIN};
use crate::realms::Realm;
use crate::vault::Vault;

/// The client scope whose mappers say which client a service account belongs to.
pub(crate) const SERVICE_ACCOUNT: &str = "service_account";

/// What a masked export writes instead of a secret.
pub const MASK: &str = "**********";

/// The secret parts of a client, sealed beside its document.
#[derive(Default, Serialize, Deserialize)]
pub struct ClientSecrets {
    /// The client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The id under which its uses are counted, if it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The same for the secret before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_id: Option<String>,
    /// Attributes that hold secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    /// What is not understood yet: it may hold secrets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kept: Map<String, Value>,
}

impl std::fmt::Debug for ClientSecrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ClientSecrets([redacted])")
    }
}

fn place(id: &str) -> String {
    format!("clients/{id}")
}

impl ClientSecrets {
    /// Opens what is stored with a client.
    ///
    /// # Errors
    /// When it does not open.
    pub fn open(vault: &Vault, row: &ClientRow) -> Result<Self, Error> {
        let Some(sealed) = &row.secret else { return Ok(Self::default()) };
        let clear = vault.open(&place(&row.id), sealed)?;
        serde_json::from_slice(&clear).map_err(|error| Error::internal(format!("{}: {error}", place(&row.id))))
    }

    fn seal(&self, vault: &Vault, id: &str) -> Result<Option<Vec<u8>>, Error> {
        if self.secret.is_none() && self.attributes.is_empty() && self.kept.is_empty() {
            return Ok(None);
        }
        let clear = Zeroizing::new(serde_json::to_vec(self).map_err(|error| Error::internal(error.to_string()))?);
        vault.seal(&place(id), &clear).map(Some)
    }

    /// The secret before, if there is one.
    pub fn old(&self) -> Option<&str> {
        self.attributes.get(attribute::OLD).and_then(Option::as_deref).filter(|secret| !secret.is_empty())
    }

    /// Takes the secret parts out of a document.
    fn taken_from(document: &mut ClientDocument) -> Self {
        let secret = document.secret.take().filter(|secret| !secret.is_empty() && secret != MASK);
        let names: Vec<String> = document.attributes.keys().filter(|name| is_secret(name)).cloned().collect();
        let attributes = names.into_iter().filter_map(|name| document.attributes.remove_entry(&name)).collect();
        Self { secret, attributes, kept: std::mem::take(&mut document.kept), ..Self::default() }
    }
}

fn is_secret(name: &str) -> bool {
    name == attribute::OLD || name.ends_with("private.key")
}

/// A client as it is stored: the document without its secrets, these sealed.
///
/// # Errors
/// When it cannot be sealed or written.
pub(crate) fn row(
    vault: &Vault,
    realm_id: &str,
    id: &str,
    mut document: ClientDocument,
) -> Result<ClientRow, AdminError> {
    let secrets = ClientSecrets::taken_from(&mut document);
    document.id = Some(id.to_owned());
    Ok(ClientRow {
        id: id.to_owned(),
        realm_id: realm_id.to_owned(),
        client_id: document.client_id.clone(),
        secret: secrets.seal(vault, id)?,
        document: json(&document)?,
    })
}

/// What `client add` is told.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    /// The `client_id`.
    pub client_id: String,
    /// Without credentials.
    pub public: bool,
    /// Client credentials grant.
    pub service_account: bool,
    /// Password grant.
    pub direct_access: bool,
    /// Redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Web origins.
    pub web_origins: Vec<String>,
    /// Plain login, and how its tokens are handed over.
    pub login: Option<Delivery>,
    /// Attributes besides.
    pub attributes: BTreeMap<String, String>,
}

/// Seconds that the token of a plain login lives: no refresh token comes with it.
const LOGIN_LIFESPAN: i64 = 900;

/// Sets a client up for plain login: tokens signed with HS256 that name the user, the roles and the client, and
/// nothing else about the user.
fn set_up_for_login(document: &mut ClientDocument, delivery: Delivery) {
    let mapper = |name: &str, kind: &str, settings: &[(&str, &str)]| MapperDocument {
        name: name.to_owned(),
        protocol: Some("openid-connect".to_owned()),
        protocol_mapper: kind.to_owned(),
        config: settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        ..MapperDocument::default()
    };
    let everywhere = [("access.token.claim", "true"), ("introspection.token.claim", "true")];
    let roles = [("claim.name", "roles"), ("jsonType.label", "String"), ("multivalued", "true")];
    let audience = [("included.client.audience", document.client_id.as_str())];
    document.protocol_mappers = vec![
        mapper("sub", "oidc-sub-mapper", &everywhere),
        mapper("roles", "oidc-usermodel-realm-role-mapper", &[&everywhere[..], &roles].concat()),
        mapper("audience", "oidc-audience-mapper", &[&everywhere[..], &audience].concat()),
    ];
    document.default_client_scopes = Some(Vec::new());
    document.optional_client_scopes = Some(Vec::new());
    document.attributes.extend(
        [
            (LOGIN, delivery.name().to_owned()),
            ("access.token.signed.response.alg", "HS256".to_owned()),
            ("access.token.lifespan", LOGIN_LIFESPAN.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), Some(value))),
    );
}

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The id under which its uses are counted.
    pub id: String,
    /// Whether it is the one before, kept beside the present one.
    pub old: bool,
    /// When it was made, in seconds since the epoch, if that was noted.
    pub created: Option<i64>,
    /// Until when it is good; `None` without end.
    pub until: Option<i64>,
    /// When it was used last.
    pub last_used: Option<i64>,
    /// How often it was used.
    pub uses: i64,
}

fn forget_old(document: &mut ClientDocument, secrets: &mut ClientSecrets) {
    secrets.attributes.remove(attribute::OLD);
    secrets.old_id = None;
    for name in [attribute::OLD_CREATED, attribute::OLD_UNTIL] {
        document.attributes.remove(name);
    }
}

impl Engine {
    /// Adds a client; gives back its secret, if it has one.
    ///
    /// # Errors
    /// When the name is taken or cannot be used.
    pub async fn add_client(&self, realm: &Realm, new: NewClient, now: Instant) -> Result<Option<String>, AdminError> {
        if new.client_id.trim().is_empty() || new.client_id.len() > 255 || new.client_id.chars().any(char::is_control) {
            return Err(AdminError::new("a client id has 1 to 255 characters, none of them a control character"));
        }
        if new.public && new.service_account {
            return Err(AdminError::new("a public client cannot have a service account")
                .hint("leave --public out: a client that acts for itself needs a secret"));
        }
        if new.login.is_some() && new.service_account {
            return Err(AdminError::new("a client for plain login cannot have a service account")
                .hint("add two clients: what a login token says is not what a service account's token says"));
        }
        let id = self.entropy.uuid(now)?;
        let secret = if new.public { None } else { Some(self.entropy.secret::<32>()?) };
        let mut scopes = realm.settings.default_default_client_scopes.clone();
        scopes.retain(|name| realm.scopes.contains_key(name));
        if new.service_account && realm.scopes.contains_key(SERVICE_ACCOUNT) {
            scopes.push(SERVICE_ACCOUNT.to_owned());
        }
        let mut document = ClientDocument {
            client_id: new.client_id.clone(),
            protocol: Some("openid-connect".to_owned()),
            secret: secret.clone(),
            public_client: Some(new.public),
            direct_access_grants_enabled: Some(new.direct_access),
            standard_flow_enabled: !new.redirect_uris.is_empty(),
            service_accounts_enabled: new.service_account,
            redirect_uris: new.redirect_uris,
            web_origins: Some(new.web_origins),
            default_client_scopes: Some(scopes),
            ..ClientDocument::default()
        };
        document.attributes.extend(new.attributes.into_iter().map(|(name, value)| (name, Some(value))));
        if let Some(delivery) = new.login {
            set_up_for_login(&mut document, delivery);
        }
        match self.insert_client(realm, &id, document, now).await? {
            true => Ok(secret),
            false => Err(AdminError::new(format!("realm {} has a client {:?} already", realm.name, new.client_id))
                .hint(format!("grantor client show {} --realm {}", new.client_id, realm.name))),
        }
    }

    /// Adds a client as it stands, with its service account if it has one; `false` when the name is taken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_client(
        &self,
        realm: &Realm,
        id: &str,
        document: ClientDocument,
        now: Instant,
    ) -> Result<bool, AdminError> {
        let account = document.service_accounts_enabled.then(|| document.client_id.clone());
        let mut statements = vec![table::insert(&row(&self.vault, &realm.id, id, document)?)];
        if let Some(client_id) = account {
            let user = super::users::service_account(realm, id, &client_id, self.entropy.uuid(now)?, now)?;
            statements.extend(user_table::insert(&user));
        }
        statements.extend(realm_table::changed(&realm.id));
        match self.store.apply(statements).await {
            Ok(()) => {
                self.reload(&realm.name, now).await?;
                Ok(true)
            }
            Err(StoreError::Duplicate) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a client and its secrets as they are stored now. A client that begins to act for itself gets its user.
    ///
    /// # Errors
    /// When there is no such client, or the change does not want it.
    pub async fn edit_client(
        &self,
        realm: &Realm,
        client_id: &str,
        now: Instant,
        edit: impl Fn(&mut ClientDocument, &mut ClientSecrets) -> Result<Vec<Statement>, AdminError>,
    ) -> Result<(), AdminError> {
        let has_account = realm.clients.get(client_id).is_some_and(|client| client.service_account.is_some());
        let account = self.entropy.uuid(now)?;
        self.change_client(realm, client_id, now, |row, mut document, mut secrets| {
            let mut statements = edit(&mut document, &mut secrets)?;
            if document.service_accounts_enabled && !has_account {
                let user = super::users::service_account(realm, &row.id, client_id, account.clone(), now)?;
                statements.extend(user_table::insert(&user));
            }
            statements.extend(self.rewritten(row, &document, &secrets)?);
            Ok(statements)
        })
        .await
    }

    /// Removes a client with everything that it gave out.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn remove_client(&self, realm: &Realm, client_id: &str, now: Instant) -> Result<(), AdminError> {
        let (row, _, _) = self.stored_client(realm, client_id).await?;
        let mut statements = table::delete(&row.id).to_vec();
        // Another client of its name must not bring its tokens back.
        statements.extend(crate::revocations::of_client(realm, client_id, now));
        statements.extend(realm_table::changed(&realm.id));
        match self.store.apply(statements).await {
            // Somebody else removed it.
            Ok(()) | Err(StoreError::Guard { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.reload(&realm.name, now).await?;
        Ok(())
    }

    /// A client as it is stored, with its secrets.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn stored_client(
        &self,
        realm: &Realm,
        client_id: &str,
    ) -> Result<(ClientRow, ClientDocument, ClientSecrets), AdminError> {
        let found = self.store.client(&realm.id, client_id).await?;
        let row = found.ok_or_else(|| {
            let names: Vec<&str> = realm.clients.keys().map(String::as_str).collect();
            AdminError::new(format!("realm {} has no client {client_id:?}", realm.name))
                .hint(super::realms::nearest_hint(client_id, &names, "client"))
        })?;
        let document = serde_json::from_str(&row.document).map_err(|error| AdminError::new(error.to_string()))?;
        let secrets = ClientSecrets::open(&self.vault, &row)?;
        Ok((row, document, secrets))
    }

    /// Gives a client a new secret. The old one is refused from now on, or from `kept_until` on (seconds since the
    /// epoch); one that was kept before is refused in any case.
    ///
    /// # Errors
    /// When there is no such client, or it is public.
    pub async fn rotate_client_secret(
        &self,
        realm: &Realm,
        client_id: &str,
        kept_until: Option<i64>,
        now: Instant,
    ) -> Result<String, AdminError> {
        let (secret, new_id) = (self.entropy.secret::<32>()?, self.entropy.uuid(now)?);
        self.change_client(realm, client_id, now, |row, mut document, mut secrets| {
            if document.is_public() {
                return Err(AdminError::new(format!("{client_id} is a public client: it has no secret")));
            }
            let (id, old_id) = client_secrets::ids(&row.id, &secrets);
            let mut statements = vec![forget(&old_id)];
            forget_old(&mut document, &mut secrets);
            let replaced = secrets.secret.replace(secret.clone()).filter(|secret| !secret.is_empty());
            let made = document.attributes.insert(attribute::CREATED.to_owned(), Some(now.seconds().to_string()));
            match (replaced, kept_until) {
                (Some(old), Some(until)) => {
                    secrets.attributes.insert(attribute::OLD.to_owned(), Some(old));
                    secrets.old_id = Some(id);
                    document.attributes.insert(attribute::OLD_UNTIL.to_owned(), Some(until.to_string()));
                    document.attributes.extend(made.map(|made| (attribute::OLD_CREATED.to_owned(), made)));
                }
                _ => {
                    statements.push(forget(&id));
                    // What the cancelled secret brought ends with it.
                    document.not_before = document.not_before.max(now.seconds().saturating_add(1));
                }
            }
            secrets.id = Some(new_id.clone());
            statements.extend(self.rewritten(row, &document, &secrets)?);
            Ok(statements)
        })
        .await?;
        Ok(secret)
    }

    /// Ends the secret that was kept beside the present one.
    ///
    /// # Errors
    /// When there is no such client, or it has one secret only.
    pub async fn remove_old_secret(&self, realm: &Realm, client_id: &str, now: Instant) -> Result<(), AdminError> {
        self.change_client(realm, client_id, now, |row, mut document, mut secrets| {
            if secrets.old().is_none() {
                return Err(AdminError::new(format!("{client_id} has no old secret")));
            }
            let (_, old_id) = client_secrets::ids(&row.id, &secrets);
            forget_old(&mut document, &mut secrets);
            let mut statements = vec![forget(&old_id)];
            statements.extend(self.rewritten(row, &document, &secrets)?);
            Ok(statements)
        })
        .await
    }

    /// Ends one of two secrets, by its id; the other one is the present one then.
    ///
    /// # Errors
    /// When there is no such client or secret, or no other one.
    pub async fn remove_secret(
        &self,
        realm: &Realm,
        client_id: &str,
        id: &str,
        now: Instant,
    ) -> Result<(), AdminError> {
        self.change_client(realm, client_id, now, |row, mut document, mut secrets| {
            let (present, old_id) = client_secrets::ids(&row.id, &secrets);
            let live = document.seconds(attribute::OLD_UNTIL).is_some_and(|until| until > now.seconds());
            let Some(old) = secrets.old().filter(|_| live).map(str::to_owned) else {
                return Err(AdminError::new("the only secret of a client cannot be removed"));
            };
            if id == present {
                secrets.secret = Some(old);
                secrets.id = Some(old_id);
                let made = document.attributes.get(attribute::OLD_CREATED).cloned().flatten();
                document.attributes.insert(attribute::CREATED.to_owned(), made);
            } else if id != old_id {
                return Err(AdminError::new(format!("there is no secret {id:?}")));
            }
            forget_old(&mut document, &mut secrets);
            let mut statements = vec![forget(id)];
            statements.extend(self.rewritten(row, &document, &secrets)?);
            Ok(statements)
        })
        .await
    }

    /// What is known of a client's secrets, the present one first. Nothing of the secrets themselves.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn client_secrets(
        &self,
        realm: &Realm,
        client_id: &str,
        now: Instant,
    ) -> Result<Vec<SecretFacts>, AdminError> {
        let (row, document, secrets) = self.stored_client(realm, client_id).await?;
        let uses = self.store.secret_uses(&row.id).await?;
        let facts = |id: &str, old: bool, created: Option<i64>, until: Option<i64>| {
            let used = uses.iter().find(|one| one.id == id);
            SecretFacts {
                id: id.to_owned(),
                old,
                created,
                until,
                last_used: used.map(|one| one.used.seconds()),
                uses: used.map_or(0, |one| one.uses),
            }
        };
        let (id, old_id) = client_secrets::ids(&row.id, &secrets);
        let mut all = Vec::new();
        if secrets.secret.as_deref().is_some_and(|secret| !secret.is_empty()) {
            all.push(facts(&id, false, document.seconds(attribute::CREATED), None));
        }
        let until = document.seconds(attribute::OLD_UNTIL).filter(|until| *until > now.seconds());
        if secrets.old().is_some() && until.is_some() {
            all.push(facts(&old_id, true, document.seconds(attribute::OLD_CREATED), until));
        }
        Ok(all)
    }

    /// A client's document and secrets, both if they are still what was read.
    fn rewritten(
        &self,
        row: &ClientRow,
        document: &ClientDocument,
        secrets: &ClientSecrets,
    ) -> Result<[Statement; 2], AdminError> {
        let sealed = secrets.seal(&self.vault, &row.id)?;
        Ok([table::update_document(row, &json(document)?), table::update_secret(row, sealed)])
    }

    /// Switches a client on or off; a client that is off is treated as unknown.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn enable_client(
        &self,
        realm: &Realm,
        client_id: &str,
        on: bool,
        now: Instant,
    ) -> Result<(), AdminError> {
        self.change_client(realm, client_id, now, |row, mut document, _| {
            document.enabled = on;
            Ok(vec![table::update_document(row, &json(&document)?)])
        })
        .await
    }

    /// Lets a client exchange assertions of an identity provider.
    ///
    /// # Errors
    /// When there is no such client, or it is public.
    pub async fn allow_identity_provider(
        &self,
        realm: &Realm,
        client_id: &str,
        alias: &str,
        now: Instant,
    ) -> Result<(), AdminError> {
        self.change_client(realm, client_id, now, |row, mut document, _| {
            if document.is_public() {
                return Err(AdminError::new(format!("{client_id} is a public client: it cannot exchange assertions")));
            }
            let mut listed = grantor_model::identity_provider::entries(document.attribute(PROVIDERS));
            if !listed.iter().any(|one| one == alias) {
                listed.push(alias.to_owned());
            }
            let listed = listed.join(grantor_model::identity_provider::SEPARATOR);
            document.attributes.insert(PROVIDERS.to_owned(), Some(listed));
            document.attributes.insert(ENABLED.to_owned(), Some("true".to_owned()));
            Ok(vec![table::update_document(row, &json(&document)?)])
        })
        .await
    }

    /// Changes a client as it is stored now; when somebody else was faster, as it is stored then.
    async fn change_client(
        &self,
        realm: &Realm,
        client_id: &str,
        now: Instant,
        change: impl Fn(&ClientRow, ClientDocument, ClientSecrets) -> Result<Vec<Statement>, AdminError>,
    ) -> Result<(), AdminError> {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            let (row, document, secrets) = self.stored_client(realm, client_id).await?;
            let mut statements = change(&row, document, secrets)?;
            statements.extend(realm_table::changed(&realm.id));
            match self.store.apply(statements).await {
                Err(StoreError::Guard { .. }) => {}
                other => {
                    other?;
                    self.reload(&realm.name, now).await?;
                    return Ok(());
                }
            }
        }
        Err(AdminError::new(format!("others keep changing client {client_id:?}")).hint("try again"))
    }
}
