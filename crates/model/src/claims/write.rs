//! Writing values into claims: types, lists, nesting.

use serde_json::{Map, Value};

use crate::mapper::{Claim, JsonType};

/// Writes an attribute's values: all of them for a list, else the first. Nothing when there is none, or when the
/// first cannot be read as the claim's type.
pub(super) fn values(claims: &mut Map<String, Value>, claim: &Claim, values: &[String]) {
    let value = if claim.multivalued {
        let list: Vec<Value> = values.iter().filter_map(|value| typed(value, claim.json)).collect();
        (!list.is_empty()).then_some(Value::Array(list))
    } else {
        values.first().and_then(|value| typed(value, claim.json))
    };
    if let Some(value) = value {
        at(claims, &claim.path, value);
    }
}

/// Writes a text if there is one.
pub(super) fn text(claims: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        claims.insert(name.to_owned(), Value::from(value));
    }
}

/// Writes at a path and makes the objects on the way. What is in the way and no object stays.
pub(super) fn at(claims: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            claims.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            if let Value::Object(inner) = claims.entry(first.clone()).or_insert_with(|| Value::Object(Map::new())) {
                at(inner, rest, value);
            }
        }
    }
}

fn typed(text: &str, json: JsonType) -> Option<Value> {
    match json {
        JsonType::Text => Some(Value::from(text)),
        JsonType::Integer => text.trim().parse::<i64>().ok().map(Value::from),
        JsonType::Boolean => Some(Value::from(text.trim().eq_ignore_ascii_case("true"))),
        JsonType::Json => serde_json::from_str(text).ok(),
    }
}
