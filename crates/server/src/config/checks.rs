//! The rules that hold between keys, and between the configuration and the files it names.
//!
//! That a single value is well formed is known before; see `kind`.

use std::fs::File;
use std::path::Path;

use super::values::DatabaseUrl;
use super::{Config, ConfigError};

impl Config {
    /// An error about the value of a key, at the place where it was set.
    fn wrong(&self, section: &'static str, name: &'static str, message: &str) -> ConfigError {
        ConfigError::of_key(section, name, self.origin(section, name), message)
    }
}

/// Puts the contents of the files that hold secrets where the secrets would stand.
pub(super) fn read_secret_files(config: &mut Config) -> Result<(), ConfigError> {
    let Some(file) = &config.database.url_file else {
        return Ok(());
    };
    let wrong = |message: String| config.wrong("database", "url_file", &message);
    let content =
        std::fs::read_to_string(file).map_err(|error| wrong(format!("{} cannot be read: {error}", file.display())))?;
    // An editor ends the file with a newline; no URL ends with one.
    let url =
        content.trim().parse::<DatabaseUrl>().map_err(|invalid| wrong(format!("in {}, {invalid}", file.display())))?;
    let origin = config.origin("database", "url_file").clone();
    config.database.url = Some(url);
    config.origins.insert(("database", "url"), origin);
    Ok(())
}

/// Every rule that holds for all commands.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    listeners_differ(config)?;
    tls_is_whole(config)
}

/// Two listeners cannot share a port; port 0 is a new one each time.
fn listeners_differ(config: &Config) -> Result<(), ConfigError> {
    let server = &config.server;
    let listeners =
        [("listen", server.listen), ("ops_listen", server.ops_listen), ("gateway_listen", server.gateway_listen)];
    for (index, (name, listen)) in listeners.iter().enumerate() {
        let Some(address) = listen.address().filter(|address| address.port() != 0) else {
            continue;
        };
        let same = |(_, other): &&(&'static str, super::Listen)| other.address() == Some(address);
        if let Some((other, _)) = listeners.iter().take(index).find(same) {
            // The one that somebody set is the one to change.
            let set = [*name, *other]
                .into_iter()
                .find(|name| config.origins.contains_key(&("server", *name)))
                .unwrap_or(*name);
            let rival = if set == *name { other } else { name };
            return Err(config.wrong("server", set, &format!("{address} is the address of {rival} too")));
        }
    }
    Ok(())
}

/// Certificate and key come together, and can be read.
fn tls_is_whole(config: &Config) -> Result<(), ConfigError> {
    let server = &config.server;
    match (&server.tls_certificate, &server.tls_key) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(config.wrong("server", "tls_certificate", "needs tls_key beside it")),
        (None, Some(_)) => Err(config.wrong("server", "tls_key", "needs tls_certificate beside it")),
        (Some(certificate), Some(key)) => {
            readable(config, "tls_certificate", certificate)?;
            readable(config, "tls_key", key)
        }
    }
}

/// Whether a file of `[server]` can be opened. What is in it is for whoever uses it.
fn readable(config: &Config, name: &'static str, file: &Path) -> Result<(), ConfigError> {
    File::open(file)
        .map(drop)
        .map_err(|error| config.wrong("server", name, &format!("{} cannot be read: {error}", file.display())))
}

/// The issuer's URL is not left to whoever sends a request from another machine.
pub(super) fn issuer_is_fixed(config: &Config) -> Result<(), ConfigError> {
    let server = &config.server;
    match server.listen.address() {
        Some(address) if !address.ip().to_canonical().is_loopback() && server.public_url.is_none() => {
            let message = format!("{address} is reached from other machines, so public_url must be set");
            Err(config.wrong("server", "listen", &message).with_hint(
                "for example: --public-url https://id.example.org  (or public_url in [server], or GRANTOR_SERVER_PUBLIC_URL)",
            ))
        }
        _ => Ok(()),
    }
}
