//! The configuration that is in force, with where each value came from.
//!
//! Secrets are not printed: the types that hold one write themselves without it.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::Config;
use super::reference::{KEYS, Key, SECTIONS, of_section};

/// One key with the value that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The section.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// Its value; null when it is not set.
    pub value: Value,
    /// Where the value came from: `default`, a place in the file, a variable, a flag.
    pub origin: String,
}

/// Every key with its value, in the order of the reference; for programs.
#[must_use]
pub fn effective(config: &Config) -> Vec<Effective> {
    // Structs of texts, numbers and lists always become JSON; were one not to, its keys would show as not set.
    let values = serde_json::to_value(config).unwrap_or_default();
    KEYS.iter().map(|key| one(config, &values, key)).collect()
}

fn one(config: &Config, values: &Value, key: &'static Key) -> Effective {
    let set = values.get(key.section).and_then(|section| section.get(key.name));
    let value = match (key.section, key.name) {
        // Two defaults follow from another key.
        ("database", "url") => Value::from(config.database_url().to_string()),
        ("keys", "master_key_file") => Value::from(config.master_key_file().display().to_string()),
        _ => set.cloned().unwrap_or_default(),
    };
    Effective { section: key.section, key: key.name, value, origin: config.origin(key.section, key.name).to_string() }
}

/// The same for people: a file that could be used, but for the secrets.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut text = match config.file() {
        Some(file) => format!("# {}, the environment and the flags over the defaults\n", file.display()),
        None => String::from("# no file; the environment and the flags over the defaults\n"),
    };
    let effective = effective(config);
    for (section, _) in SECTIONS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n[{section}]");
        for key in of_section(section) {
            let shown = effective.iter().find(|shown| shown.section == key.section && shown.key == key.name);
            let _ = match shown {
                Some(Effective { value, origin, .. }) if !value.is_null() => {
                    // A JSON text, number or list of texts is a TOML one as well.
                    writeln!(text, "{:<48} # {origin}", format!("{} = {value}", key.name))
                }
                _ => writeln!(text, "# {} is not set", key.name),
            };
        }
    }
    text
}
