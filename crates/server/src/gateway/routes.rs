//! The table of routes: APIs of the database and of the routes file, compiled together.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use grantor_flows::Realm;
use grantor_gateway::issuer::SharedIssuer;
use grantor_gateway::table::{Api, Table};
use grantor_model::api::ApiDocument;
use grantor_model::{Error, Instant};
use serde::Deserialize;

use super::issuers::{Other, Own, Remote};
use crate::app::Shared;

/// A file of routes: `[[api]]`, as often as there are APIs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    api: Vec<ApiDocument>,
}

/// The routes file, and when it was read.
#[derive(Debug)]
pub(crate) struct File {
    path: Option<PathBuf>,
    read: Mutex<Option<(SystemTime, u64)>>,
    /// The APIs of it that were used last.
    last: Mutex<Vec<ApiDocument>>,
}

impl File {
    /// The file at a path, if there is to be one.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, read: Mutex::default(), last: Mutex::default() }
    }

    /// Whether it is not as it was when this was asked last.
    pub(super) fn look(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let seen = std::fs::metadata(path).ok().and_then(|about| Some((about.modified().ok()?, about.len())));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *read, seen) != seen
    }

    /// The APIs of it that were used last.
    fn last(&self) -> Vec<ApiDocument> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, documents: impl Iterator<Item = ApiDocument>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = documents.collect();
    }

    /// What it says.
    pub(crate) fn apis(&self) -> Result<Vec<ApiDocument>, String> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        read(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The APIs of a routes file.
///
/// # Errors
/// What is wrong, and where.
fn read(text: &str) -> Result<Vec<ApiDocument>, String> {
    toml::from_str::<Written>(text).map(|written| written.api).map_err(|error| error.to_string())
}

/// Compiles what is written now, and tells what of it cannot be used. Where the file, or an API in it, has a mistake, the
/// APIs that were there before go on as they were written, with the keys and clients of now.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn table(app: &Shared, change: i64, now: Instant) -> Result<(Table, Vec<String>), Error> {
    let before = app.gateway.gateway.table().clone();
    let mut faults = Vec::new();
    let mut documents: Vec<ApiDocument> = Vec::new();
    for stored in app.engine.apis().await.map_err(|error| Error::unavailable(error.to_string()))? {
        documents.push(ApiDocument { realm: Some(stored.realm), ..stored.document });
    }
    let own: HashSet<String> = documents.iter().map(|document| document.name.clone()).collect();
    match app.gateway.routes.apis() {
        Ok(written) => {
            let good = |document: &ApiDocument| {
                let is_new = !own.contains(&document.name);
                if is_new { Ok(()) } else { Err(format!("API {:?} is in the file and in the database", document.name)) }
            };
            for document in written {
                match good(&document) {
                    Ok(()) => documents.push(document),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        Err(fault) => {
            faults.push(fault);
            documents.extend(app.gateway.routes.last());
        }
    }
    let mut realms: HashMap<String, Arc<Realm>> = HashMap::new();
    for name in documents.iter().filter_map(|document| document.realm.as_ref()) {
        if !realms.contains_key(name)
            && let Some(realm) = app.engine.realm(name, now).await?
        {
            realms.insert(name.clone(), realm);
        }
    }
    let signers: HashMap<&String, SharedIssuer> = realms
        .iter()
        .map(|(name, realm)| (name, Arc::new(Own::new(app.clone(), realm.clone())) as SharedIssuer))
        .collect();
    let epoch = before.epoch.wrapping_add(1);
    let revision = format!("change {change}, table {epoch}");
    let remote = Remote::of(app);
    let mut apis: Vec<Arc<Api>> = Vec::new();
    for document in documents {
        let compiled = compile(&document, &signers, &remote, &before).or_else(|fault| {
            faults.push(fault.clone());
            // As it was, if it was.
            let known = before.named(&document.name).ok_or(fault)?;
            compile(&known.document, &signers, &remote, &before)
        });
        let Ok(api) = compiled else { continue };
        let mut all = apis.clone();
        all.push(Arc::new(api));
        // One that means what another one means already is left out; the others stay.
        match Table::of(all.clone(), epoch, revision.clone()) {
            Ok(_) => apis = all,
            Err(fault) => faults.push(fault),
        }
    }
    app.gateway
        .routes
        .keep(apis.iter().map(|api| api.document.clone()).filter(|document| !own.contains(&document.name)));
    let table = Table::of(apis, epoch, revision).map_err(Error::internal)?;
    Ok((table, faults))
}

fn compile(
    document: &ApiDocument,
    signers: &HashMap<&String, SharedIssuer>,
    remote: &Remote,
    before: &Table,
) -> Result<Api, String> {
    let mut issuers: Vec<SharedIssuer> = Vec::new();
    if let Some(name) = &document.realm {
        let signer = signers.get(name).ok_or_else(|| format!("API {:?}: there is no realm {name:?}", document.name))?;
        issuers.push(signer.clone());
    }
    for issuer in &document.issuers {
        issuers.push(Arc::new(Other::new(remote.clone(), issuer.clone())?));
    }
    Api::compile(document.clone(), issuers, before.named(&document.name).map(Arc::as_ref))
}

/// An API with its issuers.
pub(crate) async fn compiled(app: &Shared, document: ApiDocument, before: &Table, now: Instant) -> Result<Api, String> {
    let mut issuers: Vec<SharedIssuer> = Vec::new();
    if let Some(name) = &document.realm {
        let realm = app.engine.realm(name, now).await.map_err(|error| error.to_string())?;
        let realm = realm.ok_or_else(|| format!("API {:?}: there is no realm {name:?}", document.name))?;
        issuers.push(Arc::new(Own::new(app.clone(), realm)));
    }
    for issuer in &document.issuers {
        issuers.push(Arc::new(Other::new(Remote::of(app), issuer.clone())?));
    }
    let before = before.named(&document.name).map(Arc::as_ref);
    Api::compile(document, issuers, before)
}
