//! What the registry offers, as its YAML file says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Model {
    pub(crate) processes: BTreeMap<String, Process>,
    pub(crate) conditions: BTreeMap<String, Condition>,
}

/// A business process that can be started.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    pub(crate) roles: Vec<String>,
    pub(crate) start_vars: Vec<String>,
    pub(crate) return_vars: Vec<String>,
}

/// A search condition: a table, seen through some columns.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Condition {
    pub(crate) table: String,
    pub(crate) columns: BTreeMap<String, Column>,
    pub(crate) order: String,
    pub(crate) pagination: Pagination,
    pub(crate) limit: Option<i64>,
    /// Whether external systems see that it is there.
    pub(crate) external_system: bool,
    /// Who may read it; `isAuthenticated` is everybody who was let in. Nobody, where nothing is said.
    pub(crate) roles: Vec<String>,
    /// Which rows a caller sees.
    pub(crate) rows: Option<Rows>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) search: Option<Search>,
    #[serde(default = "yes")]
    pub(crate) returning: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Text,
    Integer,
}

/// How a parameter is compared with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Search {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    In,
    NotIn,
    Between,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pagination {
    /// `offset` and `limit`; a plain array.
    #[default]
    Offset,
    /// `pageNo` and `pageSize`; an object with the total.
    Page,
    /// Neither.
    None,
}

/// Row-level security: a column must have the value of a claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rows {
    pub(crate) column: String,
    pub(crate) claim: String,
}

impl Model {
    /// Reads a model and checks that its names can stand in SQL.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let model: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 63
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        for (name, condition) in &model.conditions {
            let rows = condition.rows.as_ref().map(|rows| &rows.column);
            let names =
                [name, &condition.table, &condition.order].into_iter().chain(condition.columns.keys()).chain(rows);
            if let Some(bad) = names.into_iter().find(|name| !is_name(name)) {
                return Err(format!("condition {name}: {bad:?} is not a name: small letters, digits, _"));
            }
        }
        Ok(model)
    }

    /// The condition at a path: dashes there are underscores here.
    pub(crate) fn at(&self, path: &str) -> Option<(&str, &Condition)> {
        let is_dashed = path.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let (name, condition) = self.conditions.get_key_value(&path.replace('-', "_")).filter(|_| is_dashed)?;
        condition.external_system.then_some((name, condition))
    }
}

/// The model in use, and the file it comes from.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    read: Mutex<(Option<SystemTime>, Arc<Model>)>,
}

impl Source {
    pub(crate) fn open(path: PathBuf) -> Result<Self, String> {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let model = Model::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let changed = std::fs::metadata(&path).and_then(|about| about.modified()).ok();
        Ok(Self { path, read: Mutex::new((changed, Arc::new(model))) })
    }

    /// The model as the file says now.
    pub(crate) fn now(&self) -> Arc<Model> {
        let changed = std::fs::metadata(&self.path).and_then(|about| about.modified()).ok();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != changed {
            read.0 = changed;
            let text = std::fs::read_to_string(&self.path).map_err(|error| error.to_string());
            match text.and_then(|text| Model::read(&text)) {
                Ok(model) => read.1 = Arc::new(model),
                Err(error) => tracing::error!(error, "the model is left as it was"),
            }
        }
        read.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Model;

    #[test]
    fn the_example_is_read() {
        let model = Model::read(include_str!("../registry.yaml")).expect("a model");
        assert!(model.at("count-units-in-parallel").is_some());
        for hidden in ["hidden-sc", "nosuch", "count_units_in_parallel", "COUNT-units-in-parallel", ""] {
            assert!(model.at(hidden).is_none(), "{hidden}");
        }
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        for table in ["units; DROP TABLE units", "Units", "", "a-b"] {
            let text = format!("conditions: {{a: {{table: {table:?}, order: a}}}}");
            assert!(Model::read(&text).is_err(), "{table}");
        }
        assert!(Model::read("conditions: {a: {table: b, order: c, unknown: d}}").is_err());
    }
}
