//! What the management APIs share: who may call, the shape of errors, and lists.

use std::sync::Arc;

use grantor_flows::admin::AdminError;
use grantor_flows::wso2::manage::{Caller, basic_name, caller};
use grantor_flows::{Parameters, Realm};
use grantor_model::{Error, Kind};
use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::{is_plain, realm};
use crate::app::Shared;
use crate::http::answer::Answer;
use crate::http::{Inbound, error};

/// An error of a management API.
#[derive(Debug)]
pub(crate) struct Told {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    description: String,
    /// Seconds after which another try makes sense.
    retry_after: Option<i64>,
}

impl Told {
    /// Something in the request is wrong.
    pub(crate) fn bad(description: impl Into<String>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, description)
    }

    /// There is none of that id.
    pub(crate) fn missing(what: &str) -> Self {
        Self::with(StatusCode::NOT_FOUND, format!("There is no {what} of that id"))
    }

    /// Another one has the name.
    pub(crate) fn taken(description: impl Into<String>) -> Self {
        Self::with(StatusCode::CONFLICT, description)
    }

    /// The one table from statuses to codes and titles.
    fn with(status: StatusCode, description: impl Into<String>) -> Self {
        let (code, message) = match status {
            StatusCode::UNAUTHORIZED => ("GR-401", "Unauthorized"),
            StatusCode::FORBIDDEN => ("GR-403", "Forbidden"),
            StatusCode::NOT_FOUND => ("GR-404", "Resource not found"),
            StatusCode::CONFLICT => ("GR-409", "Conflict"),
            StatusCode::TOO_MANY_REQUESTS => ("GR-429", "Too many requests"),
            StatusCode::INTERNAL_SERVER_ERROR => ("GR-500", "Internal error"),
            StatusCode::SERVICE_UNAVAILABLE => ("GR-503", "Unavailable"),
            _ => ("GR-400", "Invalid Request"),
        };
        Self { status, code, message, description: description.into(), retry_after: None }
    }

    /// What is wrong, for people.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// In the shape of these APIs; the trace is the id of the request's log line.
    pub(crate) fn answer(&self, inbound: &Inbound) -> Answer {
        let trace = inbound.context.request_id.to_string();
        let body =
            json!({"code": self.code, "message": self.message, "description": self.description, "traceId": trace});
        let answer = Answer::json(self.status, &body).no_store().with_standard_headers();
        let answer = match self.status {
            StatusCode::UNAUTHORIZED => answer.header(WWW_AUTHENTICATE, "Basic realm=\"management\", Bearer"),
            _ => answer,
        };
        match self.retry_after {
            Some(seconds) => answer.header(RETRY_AFTER, &seconds.to_string()),
            None => answer,
        }
    }
}

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        if matches!(error.kind, Kind::Internal | Kind::Unavailable) {
            tracing::error!(%error, "a management request failed");
        }
        let description = error.description.map(String::from).unwrap_or_default();
        let retry_after = match error.kind {
            Kind::Unavailable => Some(2),
            Kind::Throttled(seconds) => Some(seconds),
            _ => None,
        };
        Self { retry_after, ..Self::with(error::status(error.kind), description) }
    }
}

impl From<AdminError> for Told {
    fn from(error: AdminError) -> Self {
        match error.kind {
            Kind::Internal => Error::internal(error.problem).into(),
            Kind::Unavailable => Error::unavailable(error.problem).into(),
            _ => Self::bad(error.problem),
        }
    }
}

/// The realm that is managed, for somebody who holds one of these roles there.
pub(crate) async fn enter(app: &Shared, inbound: &Inbound, roles: &[&str]) -> Result<Arc<Realm>, Told> {
    let nobody =
        || Told::with(StatusCode::UNAUTHORIZED, "An administrator's name and password, or access token, is needed");
    if !is_plain(&inbound.query()) {
        return Err(Told::bad("a parameter of the URL occurs twice"));
    }
    // Which tenants there are is told to administrators only.
    let Some(realm) = realm(app, inbound).await? else { return Err(nobody()) };
    match caller(&app.engine, &inbound.call(), &realm, roles).await? {
        Caller::Administrator => Ok(realm),
        Caller::Nobody => Err(nobody()),
        Caller::Other => {
            let text = format!("One of these roles is needed: {}, realm-admin", roles.join(", "));
            Err(Told::with(StatusCode::FORBIDDEN, text))
        }
    }
}

/// Whether an administrator who may see clients calls, and no client.
///
/// # Errors
/// When that cannot be told now.
pub(crate) async fn is_administrator(app: &Shared, inbound: &Inbound, realm: &Arc<Realm>) -> Result<bool, Error> {
    let call = inbound.call();
    let named = basic_name(call.authorization);
    // Whoever has a client's name is asked for a client's secret.
    if call.authorization.is_none() || named.is_some_and(|name| realm.clients.contains_key(&name)) {
        return Ok(false);
    }
    Ok(caller(&app.engine, &call, realm, &["view-clients", "manage-clients"]).await? == Caller::Administrator)
}

/// The path of a resource, as the caller reaches it.
pub(crate) fn location(inbound: &Inbound, path: &str) -> String {
    let tenant = inbound.tenant().map(|tenant| format!("/t/{tenant}")).unwrap_or_default();
    format!("{}{tenant}{path}", inbound.context.base)
}

/// A page of a list: `limit`, `offset`, and `filter` as `attribute operator value`.
pub(crate) fn page(items: Vec<Map<String, Value>>, query: &Parameters, name: &str) -> Result<Value, Told> {
    let number = |parameter: &str, otherwise: usize| match query.get(parameter) {
        None => Ok(otherwise),
        Some(text) => text.parse::<usize>().map_err(|_| Told::bad(format!("{parameter} must be a number"))),
    };
    let (limit, offset) = (number("limit", 30)?.min(100), number("offset", 0)?);
    let items = match query.get("filter").filter(|filter| !filter.is_empty()) {
        None => items,
        Some(filter) => filtered(items, filter)?,
    };
    let total = items.len();
    let shown: Vec<Map<String, Value>> = items.into_iter().skip(offset).take(limit).collect();
    Ok(
        json!({"totalResults": total, "startIndex": offset.saturating_add(1), "count": shown.len(), "links": [], name: shown}),
    )
}

fn filtered(items: Vec<Map<String, Value>>, filter: &str) -> Result<Vec<Map<String, Value>>, Told> {
    let bad = || Told::bad("a filter is: attribute, one of eq co sw ew, and a value");
    let mut words = filter.splitn(3, ' ');
    let (Some(name), Some(operator), Some(value)) = (words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let value = value.trim().trim_matches('"');
    let holds: fn(&str, &str) -> bool = match operator.to_ascii_lowercase().as_str() {
        "eq" => |text, value| text == value,
        "co" => |text, value| text.contains(value),
        "sw" => |text, value| text.starts_with(value),
        "ew" => |text, value| text.ends_with(value),
        _ => return Err(bad()),
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(items.into_iter().filter(|item| item.get(name).is_some_and(|found| holds(&text(found), value))).collect())
}

#[cfg(test)]
mod tests {
    use grantor_flows::Parameters;
    use serde_json::{Map, Value, json};

    use super::page;

    fn listed(query: &[(&str, &str)]) -> Option<Value> {
        let items = ["one", "two", "three"].map(|name| Map::from_iter([("name".to_owned(), json!(name))])).to_vec();
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        page(items, &Parameters::new(query), "all").ok()
    }

    #[test]
    fn lists_are_filtered_and_cut() {
        let names = |query: &[(&str, &str)]| listed(query).map(|page| page["all"].to_string());
        assert_eq!(
            names(&[("filter", "name sw t"), ("limit", "1"), ("offset", "1")]).as_deref(),
            Some(r#"[{"name":"three"}]"#)
        );
        assert_eq!(names(&[("filter", "name eq \"two\"")]).as_deref(), Some(r#"[{"name":"two"}]"#));
        assert_eq!(listed(&[("limit", "0")]).map(|page| page["totalResults"].clone()), Some(json!(3)));
        for bad in [("filter", "name"), ("filter", "name lt x"), ("limit", "-1"), ("offset", "x")] {
            assert!(listed(&[bad]).is_none(), "{bad:?}");
        }
    }
}
