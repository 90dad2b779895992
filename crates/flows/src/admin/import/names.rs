//! From names in a file to keys in the store.

use std::collections::{BTreeMap, HashMap};

/// The keys of what was read so far, by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Client scopes by name.
    pub(super) client_scopes: HashMap<String, String>,
    /// Clients by `client_id`.
    pub(crate) clients: HashMap<String, String>,
    /// Realm roles by name.
    pub(crate) realm_roles: HashMap<String, String>,
    /// Client roles by `client_id` and name.
    pub(super) client_roles: HashMap<(String, String), String>,
    /// Identity providers by alias.
    pub(super) identity_providers: HashMap<String, String>,
    /// Groups by path.
    pub(super) groups: HashMap<String, String>,
}

impl Names {
    /// The keys of roles that are there, and the names that lead nowhere.
    pub(super) fn roles(
        &self,
        realm: &[String],
        clients: &BTreeMap<String, Vec<String>>,
    ) -> (Vec<String>, Vec<String>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in realm {
            match self.realm_roles.get(name) {
                Some(id) => found.push(id.clone()),
                None => missing.push(name.clone()),
            }
        }
        for (client, names) in clients {
            for name in names {
                match self.client_roles.get(&(client.clone(), name.clone())) {
                    Some(id) => found.push(id.clone()),
                    None => missing.push(format!("{client}/{name}")),
                }
            }
        }
        (found, missing)
    }
}
