//! Keys: those of the file, or the standard set.

use grantor_model::realm::ComponentDocument;
use grantor_store::keys as table;

use super::{AdminError, Importing};
use crate::admin::clients::MASK;
use crate::keys;

impl Importing<'_> {
    pub(super) async fn keys(&mut self, components: Option<Vec<ComponentDocument>>) -> Result<(), AdminError> {
        let masked = |component: &ComponentDocument| component.config.values().flatten().any(|value| value == MASK);
        let usable: Vec<ComponentDocument> = match components {
            // A partial export has the components without their material: new keys are made then.
            Some(components) => {
                components.into_iter().filter(|component| !masked(component) && has_material(component)).collect()
            }
            None => Vec::new(),
        };
        let entropy = &self.engine.entropy;
        let signs_refresh_tokens = |component: &ComponentDocument| {
            component.provider_id == "hmac-generated" && component.setting("algorithm") == Some(keys::INTERNAL.name())
        };
        let none = usable.is_empty();
        let mut components = usable;
        if !components.iter().any(signs_refresh_tokens) {
            // Files from before 24 have none.
            let new = keys::quick([entropy.uuid(self.now)?, entropy.uuid(self.now)?])?;
            components.extend(new.into_iter().filter(|new| none || signs_refresh_tokens(new)));
        }
        for mut component in components {
            let id = self.id(component.id.take(), "a key")?;
            if let Err(error) = keys::complete(&mut component, &self.realm, self.now) {
                let name = component.name.as_deref().unwrap_or_default();
                self.note(format!("key {name:?} cannot be used: {}", AdminError::from(error)));
            }
            let row = keys::sealed_row(&self.engine.vault, &self.realm_id, id, &component)?;
            self.statements.push(table::insert(&row));
            self.report.keys += 1;
        }
        Ok(())
    }
}

fn has_material(component: &ComponentDocument) -> bool {
    ["privateKey", "ecdsaPrivateKey", "eddsaPrivateKey", "ecdhPrivateKey", "secret"]
        .iter()
        .any(|name| component.setting(name).is_some_and(|value| !value.is_empty()))
}
