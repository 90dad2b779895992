//! The configuration that people write, and what becomes of it. What they read when it is wrong is in `tests_of_refusals`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

pub(super) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A folder that is gone after the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> std::io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("grantor-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn write(&self, name: &str, content: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn with_file(content: &str, environment: &[(&str, &str)], overrides: &Overrides) -> Result<Config, String> {
    let folder = Folder::new().map_err(|error| error.to_string())?;
    let path = folder.write("grantor.toml", content).map_err(|error| error.to_string())?;
    let long = path.display().to_string();
    load(Some(&path), variables(environment), overrides)
        .map_err(|error| error.to_string().replace(&long, "grantor.toml"))
}

/// The configuration of a file alone; an error names the file as if it stood in the folder.
pub(super) fn of_file(content: &str) -> Result<Config, String> {
    with_file(content, &[], &Overrides::default())
}

pub(super) fn of_environment(pairs: &[(&str, &str)]) -> Result<Config, String> {
    load(None, variables(pairs), &Overrides::default()).map_err(|error| error.to_string())
}

pub(super) fn of_flags(overrides: &Overrides) -> Result<Config, String> {
    load(None, Vec::new(), overrides).map_err(|error| error.to_string())
}

#[test]
fn nothing_set_is_the_defaults() -> Outcome {
    let config = of_file("")?;
    assert_eq!(config.server, Server::default());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url().as_str(), "sqlite:./grantor-data/grantor.db");
    assert_eq!(config.master_key_file(), Path::new("./grantor-data/master.key"));
    assert_eq!(config.tls_files(), None);
    assert_eq!(config.passwords.queue, 256);
    assert_eq!(config.listeners().len(), 3);
    assert_eq!(config.check_serving(), Ok(()));
    Ok(())
}

#[test]
fn the_stronger_layer_wins_and_is_remembered() -> Outcome {
    let config = with_file(
        "[server]\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\ngateway_listen = \"127.0.0.1:3\"\n",
        &[("GRANTOR_SERVER_OPS_LISTEN", "127.0.0.1:4"), ("GRANTOR_SERVER_GATEWAY_LISTEN", "127.0.0.1:5")],
        &Overrides { gateway_listen: Some("off".to_owned()), ..Overrides::default() },
    )?;
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:1");
    assert_eq!(config.server.ops_listen.to_string(), "127.0.0.1:4");
    assert_eq!(config.server.gateway_listen, Listen::Off);
    assert!(config.origin("server", "listen").to_string().ends_with("grantor.toml:2"));
    assert_eq!(config.origin("server", "ops_listen").to_string(), "GRANTOR_SERVER_OPS_LISTEN");
    assert_eq!(config.origin("server", "gateway_listen").to_string(), "--gateway-listen");
    assert_eq!(config.origin("server", "data").to_string(), "default");
    assert!(config.file().is_some_and(|file| file.ends_with("grantor.toml")));
    assert_eq!(config.listeners().iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), ["--listen", "--ops-listen"]);
    Ok(())
}

#[test]
fn every_flag_sets_its_key() -> Outcome {
    let text = |text: &str| Some(text.to_owned());
    let config = of_flags(&Overrides {
        data: text("/srv/grantor"),
        database: text("postgres://u:p@db/g"),
        listen: text("127.0.0.1:1"),
        ops_listen: text("127.0.0.1:2"),
        gateway_listen: text("127.0.0.1:3"),
        public_url: text("https://id.example.org"),
    })?;
    assert_eq!(config.server.data, Path::new("/srv/grantor"));
    assert_eq!(config.database_url().as_str(), "postgres://u:p@db/g");
    assert_eq!(config.master_key_file(), Path::new("/srv/grantor/master.key"));
    assert_eq!(config.server.public_url.as_ref().map(PublicUrl::as_str), Some("https://id.example.org"));
    let ports: Vec<u16> = config.listeners().iter().map(|(_, address)| address.port()).collect();
    assert_eq!(ports, [1, 2, 3]);
    Ok(())
}

#[test]
fn the_lists_of_the_environment_are_separated_by_commas() -> Outcome {
    let config = of_environment(&[
        ("GRANTOR_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1,"),
        ("GRANTOR_OUTBOUND_ALLOW_PRIVATE", "idp.internal"),
        ("GRANTOR_PASSWORDS_QUEUE", "12"),
    ])?;
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(Network::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1"]);
    assert_eq!(config.outbound.allow_private, [Destination::Host("idp.internal".to_owned())]);
    assert_eq!(config.passwords.queue, 12);
    Ok(())
}

#[test]
fn an_empty_variable_is_not_set_but_an_empty_list_is() -> Outcome {
    let config = with_file(
        "[server]\npublic_url = \"https://id.example.org\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n",
        &[("GRANTOR_SERVER_PUBLIC_URL", ""), ("GRANTOR_SERVER_TRUSTED_PROXIES", ""), ("GRANTOR_PASSWORDS_WORKERS", "")],
        &Overrides::default(),
    )?;
    assert_eq!(config.server.public_url.as_ref().map(PublicUrl::as_str), Some("https://id.example.org"));
    assert!(config.server.trusted_proxies.is_empty());
    Ok(())
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        ("PATH", "/bin"),
        ("grantor_server_listen", "off"),
        ("GRANTORS_LISTEN", "off"),
        ("GRANTOR_LOG", "debug"),
        ("GRANTOR_BOOTSTRAP_ADMIN_USERNAME", "admin"),
        ("GRANTOR_BOOTSTRAP_ADMIN_PASSWORD", "hunter2"),
        ("GRANTOR_BOOTSTRAP_ADMIN_PASSWORD_FILE", "/run/secrets/admin"),
        // What Kubernetes gives every container beside services called grantor and grantor-ops.
        ("GRANTOR_SERVICE_HOST", "10.0.0.1"),
        ("GRANTOR_SERVICE_PORT", "8080"),
        ("GRANTOR_SERVICE_PORT_HTTP", "8080"),
        ("GRANTOR_PORT", "tcp://10.0.0.1:8080"),
        ("GRANTOR_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("GRANTOR_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("GRANTOR_OPS_PORT_9000_TCP_PROTO", "tcp"),
    ];
    assert_eq!(of_environment(&others), of_environment(&[]));
}

#[test]
fn a_stronger_layer_replaces_either_form_of_a_secret() -> Outcome {
    let flag = Overrides { database: Some("sqlite:x".to_owned()), ..Overrides::default() };
    let config = with_file("[database]\nurl_file = \"/nonexistent\"\n", &[], &flag)?;
    assert_eq!(config.database_url().as_str(), "sqlite:x");
    assert_eq!(config.database.url_file, None);
    Ok(())
}

#[test]
fn a_secret_is_read_from_its_file_and_never_shown() -> Outcome {
    let folder = Folder::new()?;
    let file = folder.write("url", "postgres://u:hunter2@db/g\n")?.display().to_string();
    let config = of_environment(&[("GRANTOR_DATABASE_URL_FILE", file.as_str())])?;
    assert_eq!(config.database_url().as_str(), "postgres://u:hunter2@db/g");
    assert!(!format!("{config:?}").contains("hunter2"));
    let shown = show(&config);
    assert!(!shown.contains("hunter2"));
    let url = shown.lines().find(|line| line.starts_with("url = "));
    assert_eq!(url, Some("url = \"postgres://u:[redacted]@db/g\"             # GRANTOR_DATABASE_URL_FILE"));
    Ok(())
}

#[test]
fn what_is_shown_can_be_used() -> Outcome {
    let config = of_environment(&[
        ("GRANTOR_SERVER_PUBLIC_URL", "https://id.example.org"),
        ("GRANTOR_OUTBOUND_ALLOW_PRIVATE", "10.0.0.0/8,idp.internal"),
    ])?;
    let shown = show(&config);
    assert!(shown.starts_with("# no file; the environment and the flags over the defaults\n\n[server]\n"), "{shown}");
    assert!(shown.contains("# tls_key is not set\n"), "{shown}");
    let again = of_file(&shown)?;
    assert_eq!(again.server, config.server);
    assert_eq!(again.outbound, config.outbound);
    assert_eq!(again.database_url(), config.database_url());
    assert_eq!(again.master_key_file(), config.master_key_file());
    Ok(())
}

#[test]
fn programs_are_shown_the_same() -> Outcome {
    let config = of_environment(&[("GRANTOR_LOG_FORMAT", "json")])?;
    let effective = effective(&config);
    assert_eq!(effective.len(), reference::KEYS.len());
    let format = effective.iter().find(|shown| shown.key == "format");
    assert_eq!(
        serde_json::to_value(format)?,
        serde_json::json!({"section": "log", "key": "format", "value": "json", "origin": "GRANTOR_LOG_FORMAT"})
    );
    Ok(())
}
