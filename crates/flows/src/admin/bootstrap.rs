//! The first start: realms `master` and `demo`, and the first administrator.
//!
//! There is never a default password. The administrator comes from the environment, or through a link that works once.

use grantor_model::jose::sha256;
use grantor_model::{Instant, Secret};
use grantor_store::once as table;
use serde_json::json;

use super::AdminError;
use super::import::IfExists;
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
        let realms = self.store.realm_versions().await?;
        // Realm master comes last, and says that all is there. Realm demo alone is what a first start left behind that
        // was cut off; nobody has seen its secret.
        if realms.iter().any(|(name, _)| name != DEMO) {
            self.make_master(now).await?;
            return Ok(None);
        }
        // The first token waits for a key; it is made while the realms are written.
        self.keys_ahead.begin();
        let demo_secret = self.entropy.secret::<32>()?;
        let file = json!({"realm": DEMO, "enabled": true, "clients": [
            {"clientId": DEMO_CLIENT, "secret": demo_secret, "serviceAccountsEnabled": true,
             "standardFlowEnabled": false, "directAccessGrantsEnabled": false, "webOrigins": []},
        ]});
        let file = file.as_object().cloned().unwrap_or_default();
        self.import_realm(file, IfExists::Overwrite, now).await?;
        self.make_master(now).await?;
        Ok(Some(FirstStart { demo_secret }))
    }

    /// Makes realm `master` where it is missing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn make_master(&self, now: Instant) -> Result<(), AdminError> {
        if self.store.realm_number(MASTER).await?.is_none() {
            self.add_realm(MASTER, now).await?;
        }
        Ok(())
    }

    /// Whether somebody can administer this server: a user that is on and has the role `admin` in realm `master`,
    /// directly, with another role, or through a group.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn has_administrator(&self, now: Instant) -> Result<bool, AdminError> {
        let realm = self.required_realm(MASTER, now).await?;
        let Some(admin) = realm.roles.iter().position(|role| role.client.is_none() && role.name == "admin") else {
            return Ok(false);
        };
        let brings = |roles: Vec<usize>| realm.with_members(roles).contains(&admin);
        for (position, role) in realm.roles.iter().enumerate() {
            if brings(vec![position]) && self.store.has_user_with_role(&realm.id, &role.id).await? {
                return Ok(true);
            }
        }
        for (group, position) in realm.group_keys() {
            let roles = realm.lineage(position).flat_map(|group| group.roles.iter().copied()).collect();
            if brings(roles) && self.store.has_user_in_group(&realm.id, group).await? {
                return Ok(true);
            }
        }
        Ok(false)
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
