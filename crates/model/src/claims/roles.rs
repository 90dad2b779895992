//! The roles of a subject by name, and the mappers that add and rename them.

use crate::mapper::{Mapper, RoleName, Rule};

/// Roles by name, cut down to what a token may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRoles {
    /// Realm roles.
    pub realm: Vec<String>,
    /// Client roles by `clientId`; never an empty list.
    pub clients: Vec<(String, Vec<String>)>,
}

impl ResolvedRoles {
    /// Adds a role unless it is there.
    pub fn add(&mut self, client: Option<&str>, role: &str) {
        let roles = match client {
            None => &mut self.realm,
            Some(client) => self.of_client(client),
        };
        if !roles.iter().any(|known| known == role) {
            roles.push(role.to_owned());
        }
    }

    /// Adds a role that is not there yet, as the roles of a realm are named once each.
    pub fn push(&mut self, client: Option<&str>, role: &str) {
        match client {
            None => self.realm.push(role.to_owned()),
            Some(client) => self.of_client(client).push(role.to_owned()),
        }
    }

    fn of_client(&mut self, client: &str) -> &mut Vec<String> {
        let at = self.clients.iter().position(|(known, _)| known == client);
        let at = at.unwrap_or(self.clients.len());
        if at == self.clients.len() {
            self.clients.push((client.to_owned(), Vec::new()));
        }
        #[expect(clippy::indexing_slicing, reason = "the position was found or made above")]
        &mut self.clients[at].1
    }

    /// Takes a role away; `true` when it was there.
    fn remove(&mut self, name: &RoleName) -> bool {
        let roles = match &name.client {
            None => Some(&mut self.realm),
            Some(client) => self.clients.iter_mut().find(|(known, _)| known == client).map(|(_, roles)| roles),
        };
        let Some(roles) = roles else { return false };
        let before = roles.len();
        roles.retain(|role| *role != name.role);
        let found = roles.len() != before;
        self.clients.retain(|(_, roles)| !roles.is_empty());
        found
    }

    /// The clients with a role here, without one of them.
    pub(crate) fn clients_other_than(&self, client: &str) -> impl Iterator<Item = &str> {
        self.clients.iter().map(|(known, _)| known.as_str()).filter(move |known| *known != client)
    }
}

/// Roles after the mappers that add (first) and rename (then), whatever kind of answer is being made.
pub(super) fn adjusted(roles: &ResolvedRoles, mappers: &[&Mapper]) -> ResolvedRoles {
    let mut roles = roles.clone();
    for mapper in mappers {
        if let Rule::AddRole(name) = &mapper.rule {
            roles.add(name.client.as_deref(), &name.role);
        }
    }
    for mapper in mappers {
        if let Rule::RenameRole { from, to } = &mapper.rule
            && roles.remove(from)
        {
            roles.add(to.client.as_deref(), &to.role);
        }
    }
    roles
}
