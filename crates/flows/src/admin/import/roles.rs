//! Roles, groups, and what may go into tokens when full scope is off.

use std::collections::BTreeMap;

use grantor_model::realm::{Composites, GroupDocument, RoleDocument, ScopeMappingDocument};
use grantor_store::clients as client_table;
use grantor_store::roles::{self as table, GroupRow, RoleRow};
use serde::Deserialize;

use super::{AdminError, Importing, json};

/// `roles` of a realm file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RolesPart {
    pub(super) realm: Vec<RoleDocument>,
    pub(super) client: BTreeMap<String, Vec<RoleDocument>>,
}

impl Importing<'_> {
    /// The file's roles, and the built-in ones that it lacks: those of the realm by name, those of clients whose
    /// client was built in as well (`missing`) or whose roles the file does not name at all.
    pub(super) fn roles(
        &mut self,
        file: &RolesPart,
        built_in: &RolesPart,
        missing: &[String],
    ) -> Result<(), AdminError> {
        let mut composites: Vec<(String, String, Composites)> = Vec::new();
        let lacks = |role: &&RoleDocument| file.realm.iter().all(|own| own.name != role.name);
        for role in file.realm.iter().chain(built_in.realm.iter().filter(lacks)) {
            self.only("realm roles", &role.name)?;
            let id = self.role(role, "")?;
            self.names.realm_roles.insert(role.name.clone(), id.clone());
            composites.extend(role.composites.clone().map(|members| (id, role.name.clone(), members)));
        }
        let standard =
            built_in.client.iter().filter(|(client, _)| missing.contains(client) || !file.client.contains_key(*client));
        let own = file.client.iter().map(|part| (part, true));
        for ((client, roles), own) in own.chain(standard.map(|part| (part, false))) {
            let Some(owner) = self.names.clients.get(client).cloned() else {
                self.note(format!("roles of the client {client:?}: there is no such client, left out"));
                continue;
            };
            for role in roles {
                let key = (client.clone(), role.name.clone());
                if self.names.client_roles.contains_key(&key) {
                    if own {
                        return Err(AdminError::new(format!(
                            "two roles of client {client:?} are called {:?}",
                            role.name
                        )));
                    }
                    continue;
                }
                let id = self.role(role, &owner)?;
                self.names.client_roles.insert(key, id.clone());
                composites.extend(role.composites.clone().map(|members| (id, role.name.clone(), members)));
            }
        }
        for (id, name, members) in composites {
            let (found, lost) = self.names.roles(&members.realm, &members.client);
            self.statements.extend(found.iter().map(|member| table::insert_composite(&id, member)));
            for lost in lost {
                self.note(format!("role {name:?} is composed of {lost:?}, which is not there"));
            }
        }
        Ok(())
    }

    fn role(&mut self, role: &RoleDocument, owner: &str) -> Result<String, AdminError> {
        let id = self.id(role.id.clone(), "a role")?;
        let document = RoleDocument { composites: None, id: Some(id.clone()), ..role.clone() };
        self.statements.push(table::insert(&RoleRow {
            id: id.clone(),
            realm_id: self.realm_id.clone(),
            owner: owner.to_owned(),
            name: role.name.clone(),
            document: json(&document)?,
        }));
        self.report.roles += 1;
        Ok(id)
    }

    pub(super) fn groups(&mut self, groups: &[GroupDocument]) -> Result<(), AdminError> {
        let mut open: Vec<(&GroupDocument, Option<String>, String)> =
            groups.iter().rev().map(|group| (group, None, String::new())).collect();
        while let Some((group, parent_id, above)) = open.pop() {
            let id = self.id(group.id.clone(), "a group")?;
            let path = format!("{above}/{}", group.name);
            // A name may hold a slash: the path alone does not tell.
            if !self.is_new("groups", &format!("{parent_id:?} {}", group.name)) {
                return Err(AdminError::new(format!("two groups are called {path:?}")));
            }
            let document = GroupDocument {
                sub_groups: Vec::new(),
                realm_roles: Vec::new(),
                client_roles: BTreeMap::new(),
                ..group.clone()
            };
            self.statements.push(table::insert_group(&GroupRow {
                id: id.clone(),
                realm_id: self.realm_id.clone(),
                parent_id,
                name: group.name.clone(),
                document: json(&document)?,
            }));
            self.report.groups += 1;
            let (found, lost) = self.names.roles(&group.realm_roles, &group.client_roles);
            self.statements.extend(found.iter().map(|role| table::insert_group_role(&id, role)));
            for lost in lost {
                self.note(format!("group {path} has the role {lost:?}, which is not there"));
            }
            open.extend(group.sub_groups.iter().rev().map(|child| (child, Some(id.clone()), path.clone())));
            self.names.groups.insert(path, id);
        }
        Ok(())
    }

    pub(super) fn scope_mappings(
        &mut self,
        realm: &[ScopeMappingDocument],
        clients: &BTreeMap<String, Vec<ScopeMappingDocument>>,
    ) -> Result<(), AdminError> {
        for mapping in realm {
            self.scope_mapping(mapping, None);
        }
        for (owner, mappings) in clients {
            for mapping in mappings {
                self.scope_mapping(mapping, Some(owner));
            }
        }
        Ok(())
    }

    fn scope_mapping(&mut self, mapping: &ScopeMappingDocument, owner: Option<&String>) {
        let client = mapping.client.as_ref().and_then(|client| self.names.clients.get(client));
        let scope = mapping.client_scope.as_ref().and_then(|scope| self.names.client_scopes.get(scope));
        let Some(holder) = client.or(scope).cloned() else {
            let who = mapping.client.as_ref().or(mapping.client_scope.as_ref());
            self.note(format!("scope mapping of {:?}, which is not there", who.map_or("nobody", String::as_str)));
            return;
        };
        let (found, lost) = match owner {
            None => self.names.roles(&mapping.roles, &BTreeMap::new()),
            Some(owner) => self.names.roles(&[], &BTreeMap::from([(owner.clone(), mapping.roles.clone())])),
        };
        let realm_id = self.realm_id.clone();
        self.statements.extend(found.iter().map(|role| client_table::insert_scope_role(&realm_id, &holder, role)));
        for lost in lost {
            self.note(format!("scope mapping to the role {lost:?}, which is not there"));
        }
    }
}
