//! The table of routes: APIs of the database and of the routes file, compiled together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use grantor_gateway::issuer::SharedIssuer;
use grantor_gateway::table::{Api, Table};
use grantor_model::Instant;
use grantor_model::api::ApiDocument;
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
}

impl File {
    /// The file at a path, if there is to be one.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// Whether it is not as it was when this was asked last.
    pub(super) fn look(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let seen = std::fs::metadata(path).ok().and_then(|about| Some((about.modified().ok()?, about.len())));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *read, seen) != seen
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

/// Compiles what is written now.
///
/// # Errors
/// What is wrong: then nothing of it is used.
pub(super) async fn table(app: &Shared, now: Instant) -> Result<Table, String> {
    let before = app.gateway.gateway.table().clone();
    let mut documents: Vec<ApiDocument> = Vec::new();
    for stored in app.engine.apis().await.map_err(|error| error.to_string())? {
        documents.push(ApiDocument { realm: Some(stored.realm), ..stored.document });
    }
    documents.extend(app.gateway.routes.apis()?);
    let mut apis = Vec::with_capacity(documents.len());
    for document in documents {
        apis.push(Arc::new(compiled(app, document, &before, now).await?));
    }
    let change = app.engine.store.change_number().await.map_err(|error| error.to_string())?;
    let epoch = before.epoch.wrapping_add(1);
    Table::of(apis, epoch, format!("change {change}, table {epoch}"))
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
