//! Roles, groups, and what may go into tokens when full scope is off: keys become names.

use std::collections::{BTreeMap, HashMap};

use grantor_model::realm::Composites;
use grantor_store::roles::GroupRow;
use serde_json::{Map, Value, json};

use super::{AdminError, Exporting, object};
use crate::realms::DEEPEST;

/// The path of each group, by key.
pub(super) fn paths(groups: &[GroupRow]) -> HashMap<String, String> {
    let by_id: HashMap<&str, &GroupRow> = groups.iter().map(|group| (group.id.as_str(), group)).collect();
    let path = |group: &GroupRow| {
        let (mut names, mut at) = (Vec::new(), Some(group));
        while let Some(group) = at
            && names.len() < DEEPEST
        {
            names.push(group.name.as_str());
            at = group.parent_id.as_ref().and_then(|parent| by_id.get(parent.as_str()).copied());
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
    };
    groups.iter().map(|group| (group.id.clone(), path(group))).collect()
}

impl Exporting<'_> {
    /// Roles by key as names, those of the realm and those of clients.
    pub(super) fn named<'k>(&self, keys: impl Iterator<Item = &'k String>) -> Composites {
        let (mut realm, mut client) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
        for (owner, name) in keys.filter_map(|key| self.roles.get(key)) {
            match owner {
                None => realm.push(name.clone()),
                Some(owner) => client.entry(owner.clone()).or_default().push(name.clone()),
            }
        }
        Composites { realm, client }
    }

    /// The role that every user has: as it came, or the one that a realm made here goes by.
    pub(super) async fn default_role(&self, file: &Map<String, Value>) -> Result<Option<Value>, AdminError> {
        if file.get("defaultRole").is_some_and(Value::is_object) {
            return Ok(None);
        }
        let name = format!("default-roles-{}", self.row.name);
        let role = self.roles.iter().find(|(_, (owner, own))| owner.is_none() && *own == name);
        Ok(role.map(|(id, _)| {
            json!({"id": id, "name": name, "description": "${role_default-roles}", "composite": true,
                   "clientRole": false, "containerId": self.row.id})
        }))
    }

    pub(super) async fn all_roles(&self) -> Result<Value, AdminError> {
        let mut members: HashMap<String, Vec<String>> = HashMap::new();
        for (role, member) in self.store.role_composites(&self.row.id).await? {
            members.entry(role).or_default().push(member);
        }
        let (mut realm, mut client) = (Vec::new(), BTreeMap::<String, Vec<Value>>::new());
        for row in self.store.roles(&self.row.id).await? {
            let mut role = object(&row.document, "role")?;
            let composites = members.remove(&row.id).unwrap_or_default();
            let composites = self.named(composites.iter());
            let is_composite = !composites.realm.is_empty() || !composites.client.is_empty();
            let owner = self.clients.get(&row.owner);
            role.insert("id".to_owned(), json!(row.id));
            role.insert("name".to_owned(), json!(row.name));
            role.insert("composite".to_owned(), json!(is_composite));
            role.insert("clientRole".to_owned(), json!(owner.is_some()));
            let container = if owner.is_some() { &row.owner } else { &self.row.id };
            role.insert("containerId".to_owned(), json!(container));
            role.entry("attributes").or_insert_with(|| json!({}));
            if is_composite {
                role.insert("composites".to_owned(), short(&composites));
            }
            match owner {
                None => realm.push(Value::Object(role)),
                Some(owner) => client.entry(owner.clone()).or_default().push(Value::Object(role)),
            }
        }
        for id in self.clients.values() {
            client.entry(id.clone()).or_default();
        }
        Ok(json!({"realm": realm, "client": client}))
    }

    pub(super) async fn all_groups(&self) -> Result<Value, AdminError> {
        let mut roles: HashMap<String, Vec<String>> = HashMap::new();
        for (group, role) in self.store.group_roles(&self.row.id).await? {
            roles.entry(group).or_default().push(role);
        }
        let rows = self.store.groups(&self.row.id).await?;
        let mut below: HashMap<Option<String>, Vec<&GroupRow>> = HashMap::new();
        for row in &rows {
            below.entry(row.parent_id.clone()).or_default().push(row);
        }
        Ok(Value::Array(self.groups_below(None, &below, &roles, 0)?))
    }

    fn groups_below(
        &self,
        parent: Option<&str>,
        below: &HashMap<Option<String>, Vec<&GroupRow>>,
        roles: &HashMap<String, Vec<String>>,
        depth: usize,
    ) -> Result<Vec<Value>, AdminError> {
        let mut all = Vec::new();
        let rows = below.get(&parent.map(str::to_owned)).filter(|_| depth < DEEPEST);
        for row in rows.into_iter().flatten() {
            let mut group = object(&row.document, "group")?;
            let own = self.named(roles.get(&row.id).into_iter().flatten());
            group.insert("id".to_owned(), json!(row.id));
            group.insert("name".to_owned(), json!(row.name));
            group.insert("path".to_owned(), json!(self.groups.get(&row.id)));
            if let Some(parent) = &row.parent_id {
                group.insert("parentId".to_owned(), json!(parent));
            }
            group.entry("attributes").or_insert_with(|| json!({}));
            group.insert("realmRoles".to_owned(), json!(own.realm));
            group.insert("clientRoles".to_owned(), json!(own.client));
            let children = self.groups_below(Some(&row.id), below, roles, depth + 1)?;
            group.insert("subGroups".to_owned(), Value::Array(children));
            all.push(Value::Object(group));
        }
        Ok(all)
    }

    /// `scopeMappings` and `clientScopeMappings`: which client or client scope may put which roles into tokens.
    pub(super) async fn scope_mappings(&self, file: &mut Map<String, Value>) -> Result<(), AdminError> {
        let scopes = self.store.client_scopes(&self.row.id).await?;
        let scopes: HashMap<String, String> = scopes.into_iter().map(|scope| (scope.id, scope.name)).collect();
        let mut holders: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
        for (holder, role) in self.store.scope_roles(&self.row.id).await? {
            let who = match (self.clients.get(&holder), scopes.get(&holder)) {
                (Some(client), _) => ("client", client.clone()),
                (None, Some(scope)) => ("clientScope", scope.clone()),
                (None, None) => continue,
            };
            holders.entry(who).or_default().push(role);
        }
        let (mut realm, mut clients) = (Vec::new(), BTreeMap::<String, Vec<Value>>::new());
        for ((kind, name), roles) in holders {
            let named = self.named(roles.iter());
            if !named.realm.is_empty() {
                realm.push(json!({kind: name, "roles": named.realm}));
            }
            for (owner, roles) in named.client {
                clients.entry(owner).or_default().push(json!({kind: name, "roles": roles}));
            }
        }
        file.insert("scopeMappings".to_owned(), Value::Array(realm));
        file.insert("clientScopeMappings".to_owned(), json!(clients));
        Ok(())
    }
}

/// Composites without the half that is empty.
fn short(composites: &Composites) -> Value {
    let mut value = Map::new();
    if !composites.realm.is_empty() {
        value.insert("realm".to_owned(), json!(composites.realm));
    }
    if !composites.client.is_empty() {
        value.insert("client".to_owned(), json!(composites.client));
    }
    Value::Object(value)
}
