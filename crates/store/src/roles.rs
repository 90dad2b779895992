//! Tables `roles`, `role_composites`, `groups` and `group_roles`.

use crate::Store;
use crate::clients::pair;
use crate::database::{Row, Statement, StoreError};

/// A realm or client role.
#[derive(Clone, Debug)]
pub struct RoleRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// The key of the client whose role it is; empty for a realm role.
    pub owner: String,
    /// Unique with its owner.
    pub name: String,
    /// `RoleDocument` as JSON.
    pub document: String,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// The key.
    pub id: String,
    /// The realm's key.
    pub realm_id: String,
    /// The group above.
    pub parent_id: Option<String>,
    /// Unique among its siblings.
    pub name: String,
    /// `GroupDocument` as JSON.
    pub document: String,
}

fn role(row: &Row) -> Result<RoleRow, StoreError> {
    Ok(RoleRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        owner: row.text(2)?.to_owned(),
        name: row.text(3)?.to_owned(),
        document: row.text(4)?.to_owned(),
    })
}

fn group(row: &Row) -> Result<GroupRow, StoreError> {
    Ok(GroupRow {
        id: row.text(0)?.to_owned(),
        realm_id: row.text(1)?.to_owned(),
        parent_id: row.opt_text(2)?.map(str::to_owned),
        name: row.text(3)?.to_owned(),
        document: row.text(4)?.to_owned(),
    })
}

/// Adds a role.
pub fn insert(role: &RoleRow) -> Statement {
    Statement::new(
        "INSERT INTO roles (id, realm_id, owner, name, document) VALUES ($1, $2, $3, $4, $5)",
        [
            role.id.as_str().into(),
            role.realm_id.as_str().into(),
            role.owner.as_str().into(),
            role.name.as_str().into(),
            role.document.as_str().into(),
        ],
    )
}

/// Makes `member` come with `role`.
pub fn insert_composite(role_id: &str, member_id: &str) -> Statement {
    Statement::new(
        "INSERT INTO role_composites (role_id, member_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [role_id.into(), member_id.into()],
    )
}

/// Adds a group; its parent must be there.
pub fn insert_group(group: &GroupRow) -> Statement {
    Statement::new(
        "INSERT INTO groups (id, realm_id, parent_id, name, document) VALUES ($1, $2, $3, $4, $5)",
        [
            group.id.as_str().into(),
            group.realm_id.as_str().into(),
            group.parent_id.clone().into(),
            group.name.as_str().into(),
            group.document.as_str().into(),
        ],
    )
}

/// Gives a role to the members of a group.
pub fn insert_group_role(group_id: &str, role_id: &str) -> Statement {
    Statement::new(
        "INSERT INTO group_roles (group_id, role_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [group_id.into(), role_id.into()],
    )
}

impl Store {
    /// The key of a realm role by its name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn realm_role_key(&self, realm_id: &str, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT id FROM roles WHERE realm_id = $1 AND owner = '' AND name = $2";
        self.one(Statement::new(sql, [realm_id.into(), name.into()]), |row| Ok(row.text(0)?.to_owned())).await
    }

    /// All roles of a realm.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn roles(&self, realm_id: &str) -> Result<Vec<RoleRow>, StoreError> {
        let sql = "SELECT id, realm_id, owner, name, document FROM roles WHERE realm_id = $1 ORDER BY owner, name";
        self.all(Statement::new(sql, [realm_id.into()]), role).await
    }

    /// Which role comes with which: pairs of keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn role_composites(&self, realm_id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT c.role_id, c.member_id FROM role_composites c JOIN roles r ON r.id = c.role_id WHERE r.realm_id = $1";
        self.all(Statement::new(sql, [realm_id.into()]), pair).await
    }

    /// All groups of a realm.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn groups(&self, realm_id: &str) -> Result<Vec<GroupRow>, StoreError> {
        let sql = "SELECT id, realm_id, parent_id, name, document FROM groups WHERE realm_id = $1 ORDER BY name";
        self.all(Statement::new(sql, [realm_id.into()]), group).await
    }

    /// Which group gives which role: pairs of keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn group_roles(&self, realm_id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql =
            "SELECT m.group_id, m.role_id FROM group_roles m JOIN groups g ON g.id = m.group_id WHERE g.realm_id = $1";
        self.all(Statement::new(sql, [realm_id.into()]), pair).await
    }
}
