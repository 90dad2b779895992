//! The configuration: one struct for each section with its defaults beside it, and how it is read.
//!
//! [`load`] lays the environment over the file and the flags over both, and refuses what it does not understand: an unknown key, a wrong
//! type, a value out of range, keys that contradict each other. What it returns can be used as it is. Paths are as they were written,
//! relative to the folder that the program was started in. The rule that only matters to a server that serves is apart, in
//! [`Config::check_serving`].
//!
//! `reference` is the table of keys that people read, `show` prints what is in force. Reading the first administrator's name and
//! password (`GRANTOR_BOOTSTRAP_…`), and acting on any setting, is left to others.

mod checks;
mod error;
mod kind;
mod network;
mod origin;
pub mod reference;
mod show;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_refusals;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use network::{Destination, Network};
pub use origin::{Mark, Origin};
pub use show::{Effective, effective, show};
pub use values::{DatabaseUrl, Invalid, Listen, LogFormat, LogLevel, PublicUrl};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "grantor.toml";

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens and how the world sees it.
    pub server: Server,
    /// Where everything is remembered.
    pub database: Database,
    /// The workers that hash passwords.
    pub passwords: Passwords,
    /// What is logged.
    pub log: Log,
    /// Requests that the server itself makes.
    pub outbound: Outbound,
    /// Assertions of partners.
    pub assertions: Assertions,
    /// The URLs of WSO2 Identity Server.
    pub wso2: Wso2,
    /// The gateway in front of APIs.
    pub gateway: Gateway,
    /// How secrets are sealed.
    pub keys: Keys,
    /// Explanations of refusals.
    pub decisions: Decisions,
    /// The file that was read.
    #[serde(skip)]
    file: Option<PathBuf>,
    /// Where each value that is not a default came from, by section and key.
    #[serde(skip)]
    origins: BTreeMap<(&'static str, &'static str), Origin>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Issuer, pages and console.
    pub listen: Listen,
    /// Health and metrics.
    pub ops_listen: Listen,
    /// The gateway.
    pub gateway_listen: Listen,
    /// The URL that clients know, when it is fixed.
    pub public_url: Option<PublicUrl>,
    /// The realm that URLs without one mean.
    pub default_realm: String,
    /// Folder of the embedded database and the master key.
    pub data: PathBuf,
    /// Further host names and addresses that requests may carry.
    pub hosts: Vec<Destination>,
    /// Whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Certificate chain of HTTPS; set together with `tls_key` or not at all.
    pub tls_certificate: Option<PathBuf>,
    /// Private key of HTTPS.
    pub tls_key: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(8080),
            ops_listen: Listen::loopback(9000),
            gateway_listen: Listen::loopback(8000),
            public_url: None,
            default_realm: "demo".to_owned(),
            data: PathBuf::from("./grantor-data"),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// `[database]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// The database; after [`load`] also when `url_file` named it. [`Config::database_url`] knows the default.
    pub url: Option<DatabaseUrl>,
    /// The file that the URL was read from.
    pub url_file: Option<PathBuf>,
}

/// `[passwords]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// How many hashes are computed at the same time.
    pub workers: usize,
    /// How many may wait.
    pub queue: usize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { workers: std::thread::available_parallelism().map_or(1, usize::from), queue: 256 }
    }
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line is written.
    pub format: LogFormat,
    /// Which lines are written.
    pub level: LogLevel,
}

/// `[outbound]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// What may be reached besides public addresses.
    pub allow_private: Vec<Destination>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { allow_private: Vec::new(), timeout_ms: 3000 }
    }
}

/// `[assertions]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assertions {
    /// Whether the grant is offered.
    pub jwt_bearer: Switch,
    /// Minutes after `iat`; 0 for any age.
    pub iat_window_minutes: u32,
}

impl Default for Assertions {
    fn default() -> Self {
        Self { jwt_bearer: Switch::On, iat_window_minutes: 30 }
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// `[wso2]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wso2 {
    /// Audiences of applications that list none.
    pub audiences: Vec<String>,
}

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// A file with further APIs.
    pub routes: Option<PathBuf>,
    /// The private key that signs identities for upstreams.
    pub identity_key: Option<PathBuf>,
    /// What callers are told about refusals.
    pub detail: Detail,
    /// How many verified tokens are remembered.
    pub remembered_tokens: u64,
    /// Seconds without news of revocations after which they count as not known.
    pub stale_after_seconds: u64,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            routes: None,
            identity_key: None,
            detail: Detail::Code,
            remembered_tokens: 16_384,
            stale_after_seconds: 10,
        }
    }
}

/// What callers of the gateway are told about refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// The id of the decision only.
    None,
    /// An error code, and which check it was.
    Code,
    /// A sentence, too.
    Text,
}

impl From<Detail> for grantor_gateway::Detail {
    fn from(detail: Detail) -> Self {
        match detail {
            Detail::None => Self::None,
            Detail::Code => Self::Code,
            Detail::Text => Self::Text,
        }
    }
}

/// `[keys]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The master key's file. [`Config::master_key_file`] knows the default.
    pub master_key_file: Option<PathBuf>,
}

/// `[decisions]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decisions {
    /// How many hours a refusal can be explained.
    pub keep_hours: u64,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { keep_hours: 24 }
    }
}

impl Config {
    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where the value of a key came from.
    #[must_use]
    pub fn origin(&self, section: &'static str, name: &'static str) -> &Origin {
        self.origins.get(&(section, name)).unwrap_or(&Origin::Default)
    }

    /// The database to open.
    #[must_use]
    pub fn database_url(&self) -> DatabaseUrl {
        match &self.database.url {
            Some(url) => url.clone(),
            None => DatabaseUrl::sqlite(&self.server.data.join("grantor.db")),
        }
    }

    /// The file of the master key.
    #[must_use]
    pub fn master_key_file(&self) -> PathBuf {
        match &self.keys.master_key_file {
            Some(file) => file.clone(),
            None => self.server.data.join("master.key"),
        }
    }

    /// Certificate and key of HTTPS, when it is on.
    #[must_use]
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        self.server.tls_certificate.as_deref().zip(self.server.tls_key.as_deref())
    }

    /// Where callers reach the issuer, as far as the configuration tells.
    #[must_use]
    pub fn issuer_base(&self) -> String {
        match (&self.server.public_url, self.server.listen.address()) {
            (Some(url), _) => url.as_str().to_owned(),
            (None, Some(address)) => {
                format!("{}://{address}", if self.tls_files().is_some() { "https" } else { "http" })
            }
            (None, None) => String::new(),
        }
    }

    /// The listeners that are not switched off, with the flag that moves each.
    #[must_use]
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        [
            ("--listen", self.server.listen),
            ("--ops-listen", self.server.ops_listen),
            ("--gateway-listen", self.server.gateway_listen),
        ]
        .into_iter()
        .filter_map(|(flag, listen)| listen.address().map(|address| (flag, address)))
        .collect()
    }

    /// Whether a server may start with this.
    ///
    /// Apart from [`load`] because other commands read the same file without the flags that the server is started with.
    ///
    /// # Errors
    ///
    /// When other machines reach the issuer and its URL is not fixed: then whoever sends a request could choose the issuer by its
    /// `Host` header.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        checks::issuer_is_fixed(self)
    }
}

/// What flags of the command line set. They are texts, as the environment's variables are, so that both are read by the same rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Folder of the embedded database and the master key (default: ./grantor-data)
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Database: sqlite:FILE or postgres://USER:PASSWORD@HOST/DATABASE (default: a file in the data folder)
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Where the issuer listens, or off (default: 127.0.0.1:8080)
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Where health and metrics listen, or off (default: 127.0.0.1:9000)
    #[arg(long, value_name = "ADDR:PORT")]
    pub ops_listen: Option<String>,
    /// Where the gateway listens, or off (default: 127.0.0.1:8000)
    #[arg(long, value_name = "ADDR:PORT")]
    pub gateway_listen: Option<String>,
    /// URL under which clients reach the issuer, without a trailing slash
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

/// The variables of the process, for [`load`]. What is not UTF-8 is replaced, so that it is refused with its name if it is ours.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Reads the configuration: the defaults, under the file, under the environment, under the flags.
///
/// The file is the one given, which must be there, or [`DEFAULT_FILE`] if that is there.
///
/// # Errors
///
/// The first thing that is wrong, as a message to show as it is.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let file = file.or_else(|| {
        // When nobody can say whether it is there, reading it says why.
        Some(Path::new(DEFAULT_FILE)).filter(|file| file.try_exists().unwrap_or(true))
    });
    let mut settings = source::Settings::default();
    if let Some(path) = file {
        let content = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::of_file(path, format!("cannot be read: {error}")))?;
        settings.apply(source::file(path, &content)?)?;
    }
    settings.apply(source::environment(environment)?)?;
    settings.apply(source::flags(overrides)?)?;

    let mut config = settings.into_config()?;
    config.file = file.map(Path::to_owned);
    checks::read_secret_files(&mut config)?;
    checks::check(&config)?;
    Ok(config)
}
