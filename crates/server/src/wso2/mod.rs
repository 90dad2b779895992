//! The URLs of WSO2 Identity Server: `/oauth2`, and the management APIs below `/api`. All of them are served below
//! `/t/{tenant}`, too: the edge takes that off and notes the tenant.

pub(crate) mod applications;
pub(crate) mod manage;
pub(crate) mod oauth;
pub(crate) mod providers;
pub(crate) mod registration;

use std::sync::Arc;

use grantor_flows::{Parameters, Realm};

use crate::app::Shared;
use crate::http::Inbound;

/// The realm of a request: the tenant of its path, or of its query, or the default one. `None` when there is none, or
/// path and query disagree: nobody is told which.
pub(crate) async fn realm(app: &Shared, inbound: &Inbound) -> Result<Option<Arc<Realm>>, grantor_model::Error> {
    let query = inbound.query();
    let named = app.engine.wso2.realm_of(inbound.tenant(), query.get("tenantDomain"));
    match named {
        Some(name) => app.engine.realm(name, inbound.context.now).await,
        None => Ok(None),
    }
}

/// Whether the tenant domain occurs once at most.
pub(crate) fn is_plain(query: &Parameters) -> bool {
    query.repeated().is_none()
}
