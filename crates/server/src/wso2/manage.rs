//! What the management APIs share: who may call, and the shape of errors.

use std::sync::Arc;

use grantor_flows::Realm;
use grantor_flows::wso2::manage::{Caller, caller};

use crate::app::Shared;
use crate::http::Inbound;

/// Whether an administrator who may see clients calls, and no client.
pub(crate) async fn is_administrator(app: &Shared, inbound: &Inbound, realm: &Arc<Realm>) -> bool {
    let call = inbound.call();
    let named = grantor_flows::wso2::manage::basic_name(call.authorization);
    // Whoever has a client's name is asked for a client's secret.
    if call.authorization.is_none() || named.is_some_and(|name| realm.clients.contains_key(&name)) {
        return false;
    }
    matches!(caller(&app.engine, &call, realm, &["view-clients", "manage-clients"]).await, Ok(Caller::Administrator))
}
