//! Everything in the store, table by table, to be written elsewhere and read back: between databases of either kind.
//!
//! Rows are read in pages by their keys. They are put into an empty store in the same order, so that what is referred to
//! is there first; a realm is seen by nobody before [`Store::restored`].

use crate::Store;
use crate::database::{Row, Statement, StoreError, Value};

/// What realms are marked with while they are restored.
const RESTORING: i64 = 1;

/// Rows of one page.
const PAGE: i64 = 500;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `TEXT`
    Text,
    /// `BIGINT`
    Int,
    /// `BYTEA`
    Bytes,
    /// `BOOLEAN`
    Bool,
}

/// A table that is backed up.
#[derive(Debug)]
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// Columns in their order.
    pub columns: &'static [(&'static str, Kind)],
    /// How many of the first columns are the key.
    keys: usize,
    first: &'static str,
    next: &'static str,
    insert: &'static str,
}

macro_rules! table {
    ($name:literal, $keys:literal, $key:literal, $next:literal, $limit:literal, $values:literal, $($column:literal $kind:ident),+) => {
        Table {
            name: $name,
            columns: &[$(($column, Kind::$kind)),+],
            keys: $keys,
            first: concat!("SELECT ", columns!($($column),+), " FROM ", $name, " ORDER BY ", $key, " LIMIT $1"),
            next: concat!(
                "SELECT ", columns!($($column),+), " FROM ", $name, " WHERE (", $key, ") > (", $next, ") ORDER BY ", $key,
                " LIMIT ", $limit
            ),
            insert: concat!("INSERT INTO ", $name, " (", columns!($($column),+), ") VALUES (", $values, ")"),
        }
    };
}

macro_rules! columns {
    ($first:literal $(, $more:literal)*) => { concat!($first $(, ", ", $more)*) };
}

/// The tables, each after those that it refers to. Decisions, key sets of others, one-time links and what gateways have
/// applied are left out: they come again by themselves.
#[rustfmt::skip]
pub const TABLES: [Table; 25] = [
    table!("realms", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5, $6",
        "id" Text, "name" Text, "version" Int, "document" Text, "kept" Bytes, "unfinished" Int),
    table!("clients", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5",
        "id" Text, "realm_id" Text, "client_id" Text, "secret" Bytes, "document" Text),
    table!("client_scopes", 1, "id", "$1", "$2", "$1, $2, $3, $4",
        "id" Text, "realm_id" Text, "name" Text, "document" Text),
    table!("roles", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5",
        "id" Text, "realm_id" Text, "owner" Text, "name" Text, "document" Text),
    table!("role_composites", 2, "role_id, member_id", "$1, $2", "$3", "$1, $2",
        "role_id" Text, "member_id" Text),
    table!("scope_roles", 2, "holder_id, role_id", "$1, $2", "$3", "$1, $2, $3",
        "holder_id" Text, "role_id" Text, "realm_id" Text),
    table!("groups", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5",
        "id" Text, "realm_id" Text, "parent_id" Text, "name" Text, "document" Text),
    table!("group_roles", 2, "group_id, role_id", "$1, $2", "$3", "$1, $2", "group_id" Text, "role_id" Text),
    table!("realm_keys", 1, "id", "$1", "$2", "$1, $2, $3, $4",
        "id" Text, "realm_id" Text, "material" Bytes, "published_until" Int),
    table!("users", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5, $6, $7, $8, $9",
        "id" Text, "realm_id" Text, "username" Text, "email" Text, "enabled" Bool, "service_client" Text,
        "not_before" Int, "document" Text, "kept" Bytes),
    table!("user_roles", 2, "user_id, role_id", "$1, $2", "$3", "$1, $2", "user_id" Text, "role_id" Text),
    table!("user_groups", 2, "user_id, group_id", "$1, $2", "$3", "$1, $2", "user_id" Text, "group_id" Text),
    table!("credentials", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5, $6",
        "id" Text, "user_id" Text, "kind" Text, "position" Int, "document" Text, "secret" Bytes),
    table!("sessions", 2, "id, offline", "$1, $2", "$3", "$1, $2, $3, $4, $5, $6, $7",
        "id" Text, "offline" Bool, "realm_id" Text, "user_id" Text, "started" Int, "used" Int, "ends" Int),
    table!("client_sessions", 3, "session_id, offline, client_id", "$1, $2, $3", "$4", "$1, $2, $3, $4, $5",
        "session_id" Text, "offline" Bool, "client_id" Text, "started" Int, "used" Int),
    table!("refresh_chains", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5, $6, $7, $8",
        "id" Text, "session_id" Text, "offline" Bool, "client_id" Text, "used" Text, "uses" Int, "successors" Text,
        "revision" Int),
    table!("seen", 3, "realm_id, issuer, jti", "$1, $2, $3", "$4", "$1, $2, $3, $4",
        "realm_id" Text, "issuer" Text, "jti" Text, "until" Int),
    table!("revoked_tokens", 2, "realm_id, jti", "$1, $2", "$3", "$1, $2, $3",
        "realm_id" Text, "jti" Text, "until" Int),
    table!("identity_providers", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5",
        "id" Text, "realm_id" Text, "alias" Text, "secret" Bytes, "document" Text),
    table!("federated_identities", 2, "provider_id, subject", "$1, $2", "$3", "$1, $2, $3, $4",
        "provider_id" Text, "subject" Text, "user_id" Text, "username" Text),
    table!("client_secret_uses", 1, "id", "$1", "$2", "$1, $2, $3, $4",
        "id" Text, "client_id" Text, "used" Int, "uses" Int),
    table!("opaque_tokens", 1, "id", "$1", "$2", "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10",
        "id" Text, "realm_id" Text, "hash" Bytes, "kind" Text, "client_id" Text, "grant_id" Text, "spent" Bool,
        "issued" Int, "until" Int, "document" Text),
    table!("login_failures", 2, "realm_id, subject", "$1, $2", "$3", "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11",
        "realm_id" Text, "subject" Text, "failures" Int, "second_factor" Int, "lockouts" Int, "last" Int,
        "locked_until" Int, "for_good" Bool, "address" Text, "forgotten" Int, "revision" Int),
    table!("apis", 1, "id", "$1", "$2", "$1, $2, $3, $4", "id" Text, "realm_id" Text, "name" Text, "document" Text),
    table!("revocations", 1, "position", "$1", "$2", "$1, $2, $3, $4, $5, $6",
        "position" Int, "realm_id" Text, "what" Text, "subject" Text, "before" Int, "until" Int),
];

/// A row's values, in the order of the table's columns.
pub type Values = Vec<Value>;

impl Table {
    fn values(&self, row: &Row) -> Result<Values, StoreError> {
        let values = self.columns.iter().enumerate().map(|(at, (_, kind))| {
            Ok(match kind {
                Kind::Text => row.opt_text(at)?.into(),
                Kind::Int => row.opt_int(at)?.into(),
                Kind::Bytes => row.opt_bytes(at)?.into(),
                Kind::Bool => row.opt_bool(at)?.into(),
            })
        });
        values.collect()
    }
}

impl Store {
    /// The rows of a table after one (`None` for the first), by key; an empty list is the end.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rows_after(&self, table: &Table, after: Option<&Values>) -> Result<Vec<Values>, StoreError> {
        let statement = match after {
            None => Statement::new(table.first, [PAGE.into()]),
            Some(row) => {
                let key = row.iter().take(table.keys).cloned();
                Statement::new(table.next, key.chain([PAGE.into()]))
            }
        };
        self.read(statement).await?.iter().map(|row| table.values(row)).collect()
    }

    /// The numbers that changes and revocations are at.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn numbers(&self) -> Result<(i64, i64), StoreError> {
        Ok((self.change_number().await?, self.revocation_position().await?))
    }

    /// Whether nothing is in the store but what a restore left that was cut off.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.realm_versions().await?.is_empty())
    }

    /// Empties a store in which no realm is to be seen.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn clear_unfinished(&self) -> Result<(), StoreError> {
        self.apply_unhurried(vec![Statement::new("DELETE FROM realms WHERE unfinished <> 0", [])]).await
    }

    /// Puts rows into an empty store; realms unseen, groups beside each other.
    ///
    /// # Errors
    /// When a row does not fit.
    pub async fn put(&self, table: &Table, rows: Vec<Values>) -> Result<(), StoreError> {
        let place = |name: &str| table.columns.iter().position(|(column, _)| *column == name);
        let overwritten = match table.name {
            "realms" => place("unfinished").map(|at| (at, Value::Int(RESTORING))),
            // The one above may come later.
            "groups" => place("parent_id").map(|at| (at, Value::Null)),
            _ => None,
        };
        let statements = rows.into_iter().map(|mut row| {
            if let Some((at, value)) = &overwritten
                && let Some(place) = row.get_mut(*at)
            {
                *place = value.clone();
            }
            Statement::new(table.insert, row)
        });
        self.apply_unhurried(statements.collect()).await
    }

    /// Puts groups below each other, by keys: the group and the one above.
    ///
    /// # Errors
    /// When one is not there.
    pub async fn put_below(&self, groups: Vec<(String, String)>) -> Result<(), StoreError> {
        let below = |(group, above): (String, String)| {
            Statement::new("UPDATE groups SET parent_id = $2 WHERE id = $1", [group.into(), above.into()]).must_touch(1)
        };
        self.apply_unhurried(groups.into_iter().map(below).collect()).await
    }

    /// Ends a restore: realms by key that are to be seen, and the numbers that changes and revocations go on from.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn restored(&self, realms: Vec<String>, numbers: (i64, i64)) -> Result<(), StoreError> {
        let mut statements: Vec<Statement> =
            realms.iter().map(|realm| crate::realms::finished(realm, RESTORING)).collect();
        statements.push(Statement::new("UPDATE changes SET number = $1 WHERE one = 1", [(numbers.0 + 1).into()]));
        let position = "UPDATE revocation_log SET position = $1 WHERE one = 1";
        statements.push(Statement::new(position, [numbers.1.into()]));
        self.apply_unhurried(statements).await
    }
}
