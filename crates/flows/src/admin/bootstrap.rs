//! The first start: realms `master` and `demo`, and the first administrator.
//!
//! There is never a default password. The administrator comes from the environment, or through a link that works once.

use grantor_model::jose::sha256;
use grantor_model::{Instant, Secret};
use grantor_store::once as table;

use super::AdminError;
use super::clients::NewClient;
use super::users::NewUser;
use crate::engine::Engine;

/// The realm of administrators.
pub const MASTER: &str = "master";

/// The realm to try things in.
pub const DEMO: &str = "demo";

/// The client of the first `curl` line.
pub const DEMO_CLIENT: &str = "demo-app";

const ADMINISTRATOR: &str = "administrator";

/// Seconds that the link works.
const LINK_LIFE: i64 = 3_600;

/// What the first start made.
#[derive(Debug)]
pub struct FirstStart {
    /// The secret of [`DEMO_CLIENT`].
    pub demo_secret: String,
}

impl Engine {
    /// Makes the first realms in an empty store; `None` when there are realms already.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn first_start(&self, now: Instant) -> Result<Option<FirstStart>, AdminError> {
        if !self.make_master(now).await? {
            return Ok(None);
        }
        self.add_realm(DEMO, now).await?;
        let realm = self.required_realm(DEMO, now).await?;
        let client = NewClient { client_id: DEMO_CLIENT.to_owned(), service_account: true, ..NewClient::default() };
        let secret = self.add_client(&realm, client, now).await?;
        Ok(Some(FirstStart { demo_secret: secret.unwrap_or_default() }))
    }

    /// Makes realm `master` where it is missing; `true` when there was no realm at all.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn make_master(&self, now: Instant) -> Result<bool, AdminError> {
        let realms = self.store.realm_versions().await?;
        if realms.iter().all(|(name, _)| name != MASTER) {
            self.add_realm(MASTER, now).await?;
        }
        Ok(realms.is_empty())
    }

    /// Whether somebody can administer this server: a user that is on with the role `admin` in realm `master`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has_administrator(&self, now: Instant) -> Result<bool, AdminError> {
        let realm = self.required_realm(MASTER, now).await?;
        let role = realm.roles.iter().find(|role| role.client.is_none() && role.name == "admin");
        let Some(role) = role else { return Ok(false) };
        Ok(self.store.has_user_with_role(&realm.id, &role.id).await?)
    }

    /// Adds an administrator of the whole server.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn add_administrator(&self, username: &str, password: Secret, now: Instant) -> Result<(), AdminError> {
        let realm = self.required_realm(MASTER, now).await?;
        let user = administrator(username, password);
        self.add_user(&realm, user, now).await?;
        Ok(())
    }

    /// A new link for an administrator; links given out before stop working.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn administrator_link(&self, now: Instant) -> Result<String, AdminError> {
        let secret = self.entropy.secret::<32>()?;
        let until = now.plus_seconds(LINK_LIFE);
        let statements = vec![
            table::delete_links(ADMINISTRATOR),
            table::insert_link(&sha256(secret.as_bytes()), ADMINISTRATOR, until),
        ];
        self.store.apply(statements).await?;
        Ok(secret)
    }

    /// Whether a link for an administrator still works.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_administrator_link(&self, secret: &str, now: Instant) -> Result<bool, AdminError> {
        Ok(self.store.is_link_open(&sha256(secret.as_bytes()), ADMINISTRATOR, now).await?)
    }

    /// Uses a link up and adds the administrator, both or neither.
    ///
    /// # Errors
    /// When the link does not work any more, or the name is taken.
    pub async fn use_administrator_link(
        &self,
        secret: &str,
        username: &str,
        password: Secret,
        now: Instant,
    ) -> Result<(), AdminError> {
        let realm = self.required_realm(MASTER, now).await?;
        let (_, mut statements) = self.user_statements(&realm, &administrator(username, password), now).await?;
        statements.insert(0, table::use_link(&sha256(secret.as_bytes()), ADMINISTRATOR, now));
        match self.store.apply(statements).await {
            Err(grantor_store::StoreError::Guard { .. }) => {
                Err(AdminError::new("This link has been used, or is too old.")
                    .hint("grantor admin recover prints a new one"))
            }
            Err(grantor_store::StoreError::Duplicate) => Err(AdminError::new("There is a user of that name already.")),
            other => Ok(other?),
        }
    }
}

/// An administrator needs no address: realm master requires none of its users.
fn administrator(username: &str, password: Secret) -> NewUser {
    NewUser {
        username: username.to_owned(),
        roles: vec!["admin".to_owned()],
        password: Some(password),
        ..NewUser::default()
    }
}
