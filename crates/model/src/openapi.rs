//! What an OpenAPI 3 document says about who may call what (OpenAPI 3.1 section 4.8.30), as rules for the gateway.
//!
//! Deny by default: an operation without `security`, in a document without any, is open by the specification's letter;
//! here it is an error, so that nobody publishes an API by forgetting a line. `security: []` says it is meant.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::RuleDocument;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenApi {
    /// `info.title`.
    pub title: String,
    /// The path of the first server, without a slash at the end; empty when there is none.
    pub path: String,
    /// The rules, exact paths before those with parameters.
    pub rules: Vec<RuleDocument>,
    /// The scopes that are asked for, with what the document says of them.
    pub scopes: BTreeMap<String, String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Reads a document.
///
/// # Errors
/// What is wrong, with the place.
pub fn read(document: &Value) -> Result<OpenApi, String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(format!("openapi: this reads OpenAPI 3.0 and 3.1, and the document says {version:?}"));
    }
    let mut read = OpenApi { title: text(document.pointer("/info/title")), ..OpenApi::default() };
    read.path = server_path(document)?;
    let none = Map::new();
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object).unwrap_or(&none);
    let paths = document.get("paths").and_then(Value::as_object).ok_or("paths: an object is needed")?;
    for (path, item) in paths {
        let item = item.as_object().ok_or_else(|| format!("paths.{path}: an object is needed"))?;
        if item.contains_key("$ref") {
            return Err(format!("paths.{path}: $ref to another document is not followed; bundle the document first"));
        }
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let place = format!("paths.{path}.{method}");
            let security = operation.get("security").or_else(|| document.get("security"));
            let rule = rule(path, method, security, schemes, &place, &mut read)?;
            read.rules.push(rule);
        }
    }
    if read.rules.is_empty() {
        return Err("paths: there is no operation".to_owned());
    }
    // The first rule that fits decides, and OpenAPI wants exact paths to go before parameters (section 4.8.8.2).
    read.rules.sort_by_key(|rule| segments(&rule.path));
    Ok(read)
}

/// For sorting: literals before parameters, segment by segment.
fn segments(path: &str) -> Vec<(bool, String)> {
    path.split('/').map(|segment| (segment.starts_with('{'), segment.to_owned())).collect()
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The path of the first server; variables stand for their defaults.
fn server_path(document: &Value) -> Result<String, String> {
    let Some(server) = document.pointer("/servers/0") else { return Ok(String::new()) };
    let mut url = text(server.get("url"));
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), &text(variable.get("default")));
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default(),
        None => url,
    };
    let path = path.trim_end_matches('/').to_owned();
    if !path.is_empty() && !path.starts_with('/') {
        return Err(format!("servers[0].url: {path:?} is no path that begins with a slash"));
    }
    Ok(path)
}

fn rule(
    path: &str,
    method: &str,
    security: Option<&Value>,
    schemes: &Map<String, Value>,
    place: &str,
    read: &mut OpenApi,
) -> Result<RuleDocument, String> {
    let mut rule =
        RuleDocument { path: path.to_owned(), methods: vec![method.to_ascii_uppercase()], ..RuleDocument::default() };
    let Some(security) = security else {
        return Err(format!(
            "{place}: no security is said, here or for all; write `security: []` where everybody may call"
        ));
    };
    let alternatives = security.as_array().ok_or_else(|| format!("{place}.security: a list is needed"))?;
    if alternatives.is_empty() || alternatives.iter().any(|one| one.as_object().is_some_and(Map::is_empty)) {
        rule.public = true;
        return Ok(rule);
    }
    let mut usable = alternatives.iter().filter_map(Value::as_object).map(|one| needed(one, schemes, place, read));
    // Each alternative is enough. The gateway asks for one: the first that it can check.
    let first = usable.find_map(Result::ok);
    let Some((scopes, roles)) = first else {
        return Err(format!("{place}.security: none of it is a bearer token (http bearer, oauth2, openIdConnect)"));
    };
    if alternatives.len() > 1 {
        read.notes.push(format!(
            "{place}: several kinds of security are offered; the first with a bearer token is asked for"
        ));
    }
    (rule.scopes, rule.roles) = (scopes, roles);
    Ok(rule)
}

/// The scopes and roles of one alternative.
fn needed(
    alternative: &Map<String, Value>,
    schemes: &Map<String, Value>,
    place: &str,
    read: &mut OpenApi,
) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut scopes, mut roles) = (Vec::new(), Vec::new());
    for (name, words) in alternative {
        let scheme = schemes.get(name).ok_or_else(|| format!("{place}: there is no security scheme {name:?}"))?;
        let words = words.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        match (scheme.get("type").and_then(Value::as_str), scheme.get("scheme").and_then(Value::as_str)) {
            (Some("oauth2" | "openIdConnect"), _) => {
                for word in words {
                    read.scopes.entry(word.clone()).or_insert_with(|| described(scheme, &word));
                    scopes.push(word);
                }
            }
            // OpenAPI 3.1: for other kinds, the words are roles.
            (Some("http"), Some(kind)) if kind.eq_ignore_ascii_case("bearer") => roles.extend(words),
            _ => return Err(format!("{place}: {name:?} is no bearer token")),
        }
    }
    Ok((scopes, roles))
}

/// What the scheme says of a scope.
fn described(scheme: &Value, scope: &str) -> String {
    let flows = scheme.get("flows").and_then(Value::as_object).into_iter().flatten();
    let mut texts = flows.filter_map(|(_, flow)| flow.get("scopes")?.get(scope)?.as_str());
    texts.next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::read;

    fn document(paths: Value, security: Option<Value>) -> Value {
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {"title": "Orders", "version": "1"},
            "servers": [{"url": "https://{host}.example/v1/", "variables": {"host": {"default": "api"}}}],
            "components": {"securitySchemes": {
                "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "x", "scopes": {"orders:read": "Read orders"}}}},
                "bearer": {"type": "http", "scheme": "Bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            }},
            "paths": paths,
        });
        if let Some(security) = security {
            document["security"] = security;
        }
        document
    }

    #[test]
    fn operations_become_rules() {
        let paths = json!({
            "/orders/{id}": {"get": {}, "parameters": []},
            "/orders/mine": {"get": {"security": [{"bearer": ["clerk"]}]}},
            "/health": {"get": {"security": []}},
            "/both": {"post": {"security": [{"key": []}, {"oauth": ["a", "b"]}]}},
        });
        let read = read(&document(paths, Some(json!([{"oauth": ["orders:read"]}])))).expect("rules");
        assert_eq!((read.title.as_str(), read.path.as_str()), ("Orders", "/v1"));
        let paths: Vec<&str> = read.rules.iter().map(|rule| rule.path.as_str()).collect();
        assert_eq!(paths, ["/both", "/health", "/orders/mine", "/orders/{id}"]);
        assert_eq!(read.rules[0].scopes, ["a", "b"]);
        assert!(read.rules[1].public);
        assert_eq!(read.rules[2].roles, ["clerk"]);
        assert_eq!((read.rules[3].methods[0].as_str(), read.rules[3].scopes[0].as_str()), ("GET", "orders:read"));
        assert_eq!(read.scopes["orders:read"], "Read orders");
        assert_eq!(read.notes.len(), 1);
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        let open = json!({"/a": {"get": {}}});
        let key = json!({"/a": {"get": {"security": [{"key": []}]}}});
        let unknown = json!({"/a": {"get": {"security": [{"nope": []}]}}});
        let elsewhere = json!({"/a": {"$ref": "other.yaml"}});
        for paths in [open, key, unknown, elsewhere, json!({}), json!([]), json!({"/a": {}})] {
            assert!(read(&document(paths.clone(), None)).is_err(), "{paths}");
        }
        assert!(read(&json!({"swagger": "2.0"})).is_err());
    }
}
