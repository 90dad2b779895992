//! What the commands on the local store share: their forms of output, and where they take a secret from.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use grantor_flows::admin::AdminError;
use grantor_model::{Error, Instant, Secret};
use grantor_store::StoreError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::output::{CliError, Output, pairs, table, utc};

impl Output {
    /// Names and values: a listing for people, an object for programs.
    pub(crate) fn fields(&self, fields: &[(&str, &str)]) -> Result<(), CliError> {
        let object: Map<String, Value> =
            fields.iter().map(|(name, value)| (name.replace(' ', "_"), Value::from(*value))).collect();
        let listing: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.show(&object, || pairs(&listing))
    }

    /// Rows under headers: a table for people, a list of objects for programs.
    pub(crate) fn rows(&self, headers: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
        let object = |row: &Vec<String>| -> Map<String, Value> {
            headers.iter().zip(row).map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect()
        };
        let list: Vec<Map<String, Value>> = rows.iter().map(object).collect();
        let capitals: Vec<String> = headers.iter().map(|header| header.to_uppercase()).collect();
        let capitals: Vec<&str> = capitals.iter().map(String::as_str).collect();
        self.show(&list, || table(&capitals, rows))
    }

    /// Progress of long work, for people only.
    pub(crate) fn progress(&self, text: &str) {
        if !self.is_json() && std::io::stderr().is_terminal() {
            self.note(text);
        }
    }

    /// A moment in UTC.
    pub(crate) fn moment(&self, at: Instant) -> String {
        utc(at.seconds())
    }
}

impl CliError {
    /// The same, said of a part of the work.
    pub(crate) fn within(self, part: &str) -> Self {
        self.prefixed(&format!("{part}: "))
    }
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        let told = Self::new(error.problem);
        match error.hint {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        AdminError::from(error).into()
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        AdminError::from(error).into()
    }
}

/// A secret from a file (`-` is standard input), from a variable, or typed at the terminal; never from the command
/// line, which other users of the machine can see.
pub(crate) fn secret_from(
    file: Option<&PathBuf>,
    variable: &str,
    prompt: &str,
    flag: &str,
) -> Result<Secret, CliError> {
    let line = |text: String| Secret::new(text.trim_end_matches(['\r', '\n']));
    if let Some(file) = file {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            return read
                .map(|_| line(text))
                .map_err(|error| CliError::new(format!("standard input cannot be read: {error}")));
        }
        let text = std::fs::read_to_string(file);
        return text.map(line).map_err(|error| CliError::new(format!("{} cannot be read: {error}", file.display())));
    }
    if let Ok(text) = std::env::var(variable) {
        return Ok(Secret::new(text));
    }
    if !std::io::stdin().is_terminal() {
        return Err(CliError::new("no secret was given").with_hint(format!("set {variable}, or use {flag}")));
    }
    let typed = rpassword::prompt_password(prompt);
    typed.map(Secret::new).map_err(|error| CliError::new(format!("nothing could be typed: {error}")))
}

/// Whatever can be shown to people as text and to programs as JSON.
pub(crate) fn either(output: &Output, people: &str, value: &impl Serialize) -> Result<(), CliError> {
    output.show(value, || people.to_owned())
}
