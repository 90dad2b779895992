//! The layers a configuration is made of: the file, the environment, the flags.
//!
//! Each layer becomes a list of [`Setting`]s, already known to be keys that exist with values they accept; [`Settings`] lays one over
//! the other and makes a [`Config`] of the result. Rules between keys are in `checks`.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::error::{ConfigError, nearest};
use super::origin::{Mark, Origin};
use super::reference::{self, KEYS, Key, SECTIONS, VARIABLE_PREFIX};
use super::{Config, Overrides};

/// Said after every suggestion.
const SEE_REFERENCE: &str = "  (grantor config reference lists every key)";

/// Environment variables that begin like ours and are not settings.
const OTHER_VARIABLES: &[&str] = &[
    "GRANTOR_BOOTSTRAP_ADMIN_USERNAME",
    "GRANTOR_BOOTSTRAP_ADMIN_PASSWORD",
    "GRANTOR_BOOTSTRAP_ADMIN_PASSWORD_FILE",
    "GRANTOR_CLIENT_SECRET",
    "GRANTOR_LOG",
    "GRANTOR_PASSWORD",
    "GRANTOR_REFRESH_TOKEN",
    "GRANTOR_ORACLE",
];

/// One key as one layer sets it. Not `Debug`: the value may hold a password that only the types of [`Config`] know to leave out.
pub(super) struct Setting {
    key: &'static Key,
    value: Value,
    origin: Origin,
}

/// The settings of all layers so far, the strongest of each key.
#[derive(Default)]
pub(super) struct Settings(BTreeMap<(&'static str, &'static str), Setting>);

impl Settings {
    /// Lays a stronger layer over what is there.
    ///
    /// A secret and its `_file` twin are two ways to set one thing: a stronger layer that uses one of them replaces the other, and a
    /// layer that uses both contradicts itself.
    pub(super) fn apply(&mut self, layer: Vec<Setting>) -> Result<(), ConfigError> {
        for setting in &layer {
            let key = setting.key;
            let Some(twin) = reference::find(key.section, &format!("{}_file", key.name)) else {
                continue;
            };
            let is_twin = |other: &&Setting| other.key.section == twin.section && other.key.name == twin.name;
            if let Some(other) = layer.iter().find(is_twin) {
                let message = format!("set {} or {}, not both", key.name, twin.name);
                return Err(ConfigError::of_key(twin.section, twin.name, &other.origin, &message));
            }
        }
        for setting in layer {
            let key = setting.key;
            let twins = [Some(format!("{}_file", key.name)), key.name.strip_suffix("_file").map(str::to_owned)];
            for twin in twins.iter().flatten().filter_map(|twin| reference::find(key.section, twin)) {
                self.0.remove(&(twin.section, twin.name));
            }
            self.0.insert((key.section, key.name), setting);
        }
        Ok(())
    }

    /// The configuration: these settings over the defaults.
    pub(super) fn into_config(self) -> Result<Config, ConfigError> {
        let mut table = toml::Table::new();
        let mut origins = BTreeMap::new();
        for ((section, name), setting) in self.0 {
            let keys = table.entry(section).or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(keys) = keys {
                keys.insert(name.to_owned(), setting.value);
            }
            origins.insert((section, name), setting.origin);
        }
        // Every value was read by the parser that serde uses too, so this fails only if the table of keys and the structs differ.
        let mut config: Config =
            table.try_into().map_err(|error: toml::de::Error| ConfigError::at(&Origin::Default, error.message()))?;
        config.origins = origins;
        Ok(config)
    }
}

/// The settings of a file.
pub(super) fn file(path: &Path, content: &str) -> Result<Vec<Setting>, ConfigError> {
    let document = DeTable::parse(content).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let origin = Origin::File(Mark::new(path, content, span));
        ConfigError::at(&origin, format!("not valid TOML: {}", error.message()))
    })?;
    let mut reader = Reader { path, content, settings: Vec::new(), wrong: Vec::new() };
    for (section, value) in document.get_ref() {
        reader.section(section, value);
    }
    // The parser orders keys by name; a person reads from the top.
    match reader.wrong.into_iter().min_by_key(|(place, _)| *place) {
        Some((_, error)) => Err(error),
        None => Ok(reader.settings),
    }
}

/// Walks a parsed file and sorts what it finds.
struct Reader<'a> {
    path: &'a Path,
    content: &'a str,
    settings: Vec<Setting>,
    /// What is wrong, with the place in the file.
    wrong: Vec<(usize, ConfigError)>,
}

impl Reader<'_> {
    fn origin(&self, span: std::ops::Range<usize>) -> Origin {
        Origin::File(Mark::new(self.path, self.content, span))
    }

    /// A key at the top of the file: it should be the name of a section, and a table.
    fn section<K: AsRef<str>>(&mut self, name: &Spanned<K>, value: &Spanned<DeValue<'_>>) {
        let word = name.get_ref().as_ref();
        let known = SECTIONS.iter().map(|(section, _)| *section).find(|section| *section == word);
        let origin = self.origin(name.span());
        let error = match (known, value.get_ref()) {
            (Some(section), DeValue::Table(keys)) => {
                for (key, value) in keys {
                    self.key(section, key, value);
                }
                return;
            }
            (Some(section), _) => ConfigError::at(&origin, format!("\"{section}\" is a section, not a key"))
                .with_hint(format!("write [{section}] on a line of its own and its keys below it")),
            (None, DeValue::Table(_)) => {
                ConfigError::at(&origin, format!("unknown section [{word}]")).with_hint(section_hint(word))
            }
            (None, _) => ConfigError::at(&origin, format!("unknown key \"{word}\" outside of any section"))
                .with_hint(key_hint(None, word)),
        };
        self.wrong.push((name.span().start, error));
    }

    /// A key of a section.
    fn key<K: AsRef<str>>(&mut self, section: &'static str, name: &Spanned<K>, value: &Spanned<DeValue<'_>>) {
        let word = name.get_ref().as_ref();
        let Some(key) = reference::find(section, word) else {
            let origin = self.origin(name.span());
            let error = ConfigError::at(&origin, format!("unknown key \"{word}\" in [{section}]"))
                .with_hint(key_hint(Some(section), word));
            self.wrong.push((name.span().start, error));
            return;
        };
        match key.kind.parse_toml(value) {
            Ok(parsed) => {
                let origin = self.origin(value.span());
                self.settings.push(Setting { key, value: parsed, origin });
            }
            Err(wrong) => {
                let place = wrong.span.start;
                let origin = self.origin(wrong.span);
                let mut error = ConfigError::of_key(section, key.name, &origin, &wrong.message);
                if wrong.mistyped {
                    error = error.with_hint(format!("for example: {} = {}", key.name, key.example));
                }
                self.wrong.push((place, error));
            }
        }
    }
}

/// What was probably meant by an unknown key of a section, or of none.
fn key_hint(section: Option<&'static str>, word: &str) -> String {
    let here = || section.into_iter().flat_map(reference::of_section);
    if let Some(name) = nearest(word, here().map(|key| key.name)) {
        return format!("did you mean \"{name}\"?{SEE_REFERENCE}");
    }
    if let Some(key) = KEYS.iter().find(|key| key.name == word) {
        return format!("did you mean \"{}\" in [{}]?{SEE_REFERENCE}", key.name, key.section);
    }
    match section {
        Some(section) => {
            let names: Vec<&str> = here().map(|key| key.name).collect();
            format!("keys of [{section}]: {}{SEE_REFERENCE}", names.join(", "))
        }
        None => section_hint(word),
    }
}

/// What was probably meant by an unknown section.
fn section_hint(word: &str) -> String {
    match nearest(word, SECTIONS.iter().map(|(section, _)| *section)) {
        Some(section) => format!("did you mean [{section}]?{SEE_REFERENCE}"),
        None => {
            let names: Vec<String> = SECTIONS.iter().map(|(section, _)| format!("[{section}]")).collect();
            format!("sections: {}{SEE_REFERENCE}", names.join(", "))
        }
    }
}

/// The settings of the environment.
pub(super) fn environment(variables: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Setting>, ConfigError> {
    // In the order of their names, so that the same mistakes give the same message each time.
    let ours: BTreeMap<String, String> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
        .filter(|(name, _)| !OTHER_VARIABLES.contains(&name.as_str()) && !is_service_link(name))
        .collect();
    let mut settings = Vec::new();
    for (name, text) in ours {
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let hint = variable_hint(&name);
            return Err(ConfigError::at(&Origin::Environment(name), "no such setting").with_hint(hint));
        };
        let origin = Origin::Environment(name);
        let value =
            key.kind.parse_text(&text).map_err(|message| ConfigError::of_key(key.section, key.name, &origin, &message));
        // Compose files and charts pass a variable on whether or not it has a value.
        let unset = text.is_empty() && !matches!(value, Ok(Value::Array(_)));
        if !unset {
            settings.push(Setting { key, value: value?, origin });
        }
    }
    Ok(settings)
}

/// Whether a variable was put there by Kubernetes, which gives every container the addresses of the services beside it: for a service
/// called `grantor` that is `GRANTOR_SERVICE_HOST`, `GRANTOR_PORT_8080_TCP_ADDR` and more.
fn is_service_link(name: &str) -> bool {
    let after_port = name.split_once("_PORT_").map(|(_, rest)| rest);
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || after_port.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// What was probably meant by an unknown variable.
fn variable_hint(name: &str) -> String {
    let rest = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_ascii_lowercase();
    let by_key = KEYS.iter().find(|key| key.name == rest).map(Key::variable);
    let meant = by_key.or_else(|| {
        let words = KEYS.iter().map(|key| format!("{}_{}", key.section, key.name));
        nearest(&rest, words).map(|word| format!("{VARIABLE_PREFIX}{}", word.to_ascii_uppercase()))
    });
    match meant {
        Some(variable) => format!("did you mean {variable}?{SEE_REFERENCE}"),
        None => "grantor config reference lists every variable".to_owned(),
    }
}

/// The settings of the command line.
pub(super) fn flags(overrides: &Overrides) -> Result<Vec<Setting>, ConfigError> {
    let given = [
        ("--data", &overrides.data),
        ("--database", &overrides.database),
        ("--listen", &overrides.listen),
        ("--ops-listen", &overrides.ops_listen),
        ("--gateway-listen", &overrides.gateway_listen),
        ("--public-url", &overrides.public_url),
    ];
    let mut settings = Vec::new();
    for (flag, text) in given {
        let (Some(text), Some(key)) = (text, KEYS.iter().find(|key| key.flag == Some(flag))) else {
            continue;
        };
        let origin = Origin::Flag(flag);
        let value = key
            .kind
            .parse_text(text)
            .map_err(|message| ConfigError::of_key(key.section, key.name, &origin, &message))?;
        settings.push(Setting { key, value, origin });
    }
    Ok(settings)
}
