//! Every key of the configuration, once: the table that checks a configuration and that the reference is printed from.
//!
//! The structs in the parent module say what the program reads; this table says what people may write and why. A test keeps the two the
//! same, and another keeps `docs/configuration.md` the same as [`reference_markdown`].

use std::fmt::Write;

pub use super::kind::Kind;

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it may be set to.
    pub kind: Kind,
    /// What holds when it is not set, for people; empty when that is nothing.
    pub default: &'static str,
    /// A setting of it as it would stand in a file, after the `=`.
    pub example: &'static str,
    /// The flag of `grantor serve` that sets it.
    pub flag: Option<&'static str>,
    /// What it is for.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}_{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// What the name of each environment variable of the configuration begins with.
pub(super) const VARIABLE_PREFIX: &str = "GRANTOR_";

/// The sections with what each is about, in the order of the reference.
pub const SECTIONS: &[(&str, &str)] = &[
    ("server", "Where the server listens and how the world sees it."),
    ("database", "Where everything is remembered."),
    ("passwords", "The workers that hash passwords; a hash takes time and memory on purpose."),
    ("log", "What is logged, on standard error."),
    ("outbound", "Requests that the server itself makes, such as for the keys of a partner."),
    ("assertions", "The JWT bearer grant: assertions of partners for tokens."),
    ("wso2", "The URLs of WSO2 Identity Server: /oauth2, /t/{tenant}."),
    ("gateway", "The gateway in front of APIs."),
    ("keys", "How secrets are sealed before they are stored."),
    ("decisions", "Explanations of refusals, as `grantor explain` prints them."),
];

/// Every key, in the order of the reference.
pub const KEYS: &[Key] = &[
    Key {
        section: "server",
        name: "listen",
        kind: Kind::Listen,
        default: "127.0.0.1:8080",
        example: "\"127.0.0.1:8080\"",
        flag: Some("--listen"),
        about: "Address and port of the issuer, its pages and the console.",
    },
    Key {
        section: "server",
        name: "ops_listen",
        kind: Kind::Listen,
        default: "127.0.0.1:9000",
        example: "\"127.0.0.1:9000\"",
        flag: Some("--ops-listen"),
        about: "Address and port of health and metrics. Keep it where only operators reach it.",
    },
    Key {
        section: "server",
        name: "gateway_listen",
        kind: Kind::Listen,
        default: "127.0.0.1:8000",
        example: "\"127.0.0.1:8000\"",
        flag: Some("--gateway-listen"),
        about: "Address and port of the gateway in front of the APIs.",
    },
    Key {
        section: "server",
        name: "public_url",
        kind: Kind::Url,
        default: "",
        example: "\"https://id.example.org\"",
        flag: Some("--public-url"),
        about: "URL under which clients reach the issuer, without a trailing slash: every issuer begins with it. Without it the URL is \
                taken from each request, which is allowed only while `listen` is a loopback address.",
    },
    Key {
        section: "server",
        name: "default_realm",
        kind: Kind::Name,
        default: "demo",
        example: "\"acme\"",
        flag: None,
        about: "The realm of URLs that name none, such as `/api/auth/login`.",
    },
    Key {
        section: "server",
        name: "data",
        kind: Kind::Path,
        default: "./grantor-data",
        example: "\"/var/lib/grantor\"",
        flag: Some("--data"),
        about: "Folder of the embedded database and the master key. Relative paths, here and elsewhere, start at the folder the server \
                is started in.",
    },
    Key {
        section: "server",
        name: "hosts",
        kind: Kind::Destinations,
        default: "",
        example: "[\"grantor.identity.svc\"]",
        flag: None,
        about: "Host names and addresses that requests may carry beside that of `public_url` and those of this machine, such as the name \
                of the service inside a cluster. A request for another name is refused with 421.",
    },
    Key {
        section: "server",
        name: "trusted_proxies",
        kind: Kind::Networks,
        default: "",
        example: "[\"10.0.0.0/8\"]",
        flag: None,
        about: "Reverse proxies whose X-Forwarded-* headers are believed. From anyone else they are ignored.",
    },
    Key {
        section: "server",
        name: "tls_certificate",
        kind: Kind::Path,
        default: "",
        example: "\"/etc/grantor/tls.crt\"",
        flag: None,
        about: "PEM file with the certificate and its chain, read again when it changes. Together with `tls_key` it turns HTTPS on.",
    },
    Key {
        section: "server",
        name: "tls_key",
        kind: Kind::Path,
        default: "",
        example: "\"/etc/grantor/tls.key\"",
        flag: None,
        about: "PEM file with the private key of the certificate, not encrypted.",
    },
    Key {
        section: "database",
        name: "url",
        kind: Kind::Database,
        default: "sqlite:<data>/grantor.db",
        example: "\"postgres://grantor@db.example.org/grantor\"",
        flag: Some("--database"),
        about: "The database: sqlite:FILE or postgres://USER:PASSWORD@HOST/DATABASE.",
    },
    Key {
        section: "database",
        name: "url_file",
        kind: Kind::Path,
        default: "",
        example: "\"/run/secrets/database-url\"",
        flag: None,
        about: "File that holds the URL instead, so that its password is in no configuration.",
    },
    Key {
        section: "passwords",
        name: "workers",
        kind: Kind::Number { least: 1, most: 1024 },
        default: "the number of processors",
        example: "4",
        flag: None,
        about: "How many passwords are hashed at the same time. Each takes memory of its own.",
    },
    Key {
        section: "passwords",
        name: "queue",
        kind: Kind::Number { least: 1, most: 100_000 },
        default: "256",
        example: "256",
        flag: None,
        about: "How many hashes may wait for a worker. Beyond that a login is answered with 503, so a flood costs no memory.",
    },
    Key {
        section: "log",
        name: "format",
        kind: Kind::Word(&["text", "json"]),
        default: "text",
        example: "\"json\"",
        flag: None,
        about: "How a line is written: for people or for programs.",
    },
    Key {
        section: "log",
        name: "level",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        example: "\"info\"",
        flag: None,
        about: "The least important kind of line that is written.",
    },
    Key {
        section: "outbound",
        name: "allow_private",
        kind: Kind::Destinations,
        default: "",
        example: "[\"10.1.0.0/16\", \"idp.internal\"]",
        flag: None,
        about: "What the server may reach besides public addresses. Everything else that is private is refused, so that nobody can make \
                the server fetch from inside your network.",
    },
    Key {
        section: "outbound",
        name: "timeout_ms",
        kind: Kind::Number { least: 100, most: 60_000 },
        default: "3000",
        example: "3000",
        flag: None,
        about: "How long such a request may take as a whole, in milliseconds.",
    },
    Key {
        section: "assertions",
        name: "jwt_bearer",
        kind: Kind::Word(&["on", "off"]),
        default: "on",
        example: "\"off\"",
        flag: None,
        about: "Whether the grant is offered at all.",
    },
    Key {
        section: "assertions",
        name: "iat_window_minutes",
        kind: Kind::Number { least: 0, most: 527_040 },
        default: "30",
        example: "30",
        flag: None,
        about: "Minutes after `iat` within which an assertion is taken, for partners that have no setting of their own; 0 takes any age.",
    },
    Key {
        section: "wso2",
        name: "audiences",
        kind: Kind::Names,
        default: "",
        example: "[\"https://api.example.com\"]",
        flag: None,
        about: "Audiences of the tokens of applications that list none, beside their client id.",
    },
    Key {
        section: "gateway",
        name: "routes",
        kind: Kind::Path,
        default: "",
        example: "\"routes.toml\"",
        flag: None,
        about: "File with APIs beside those of `grantor api add`: `[[api]]` tables, read again when the file changes. A file with a \
                mistake in it leaves the routes as they were.",
    },
    Key {
        section: "gateway",
        name: "identity_key",
        kind: Kind::Path,
        default: "",
        example: "\"identity.pem\"",
        flag: None,
        about: "File with a private key (PKCS#8: Ed25519, EC or RSA) that signs identities for the upstreams of APIs with `identity_jwt`. \
                Gateways of one API share it; `openssl genpkey -algorithm ed25519 -out identity.pem` makes one.",
    },
    Key {
        section: "gateway",
        name: "detail",
        kind: Kind::Word(&["none", "code", "text"]),
        default: "code",
        example: "\"text\"",
        flag: None,
        about: "What callers are told about a refusal beside its status and the id of the decision: nothing, a code and the name of the \
                check, or a sentence as well.",
    },
    Key {
        section: "gateway",
        name: "remembered_tokens",
        kind: Kind::Number { least: 0, most: 1_000_000 },
        default: "16384",
        example: "65536",
        flag: None,
        about: "How many verified tokens are remembered, so that a token costs one signature. Each takes two to four kilobytes; 0 \
                remembers none.",
    },
    Key {
        section: "gateway",
        name: "stale_after_seconds",
        kind: Kind::Number { least: 1, most: 86_400 },
        default: "10",
        example: "30",
        flag: None,
        about: "Seconds without news of revocations (the database is lost) after which `when_stale` of each API decides.",
    },
    Key {
        section: "keys",
        name: "master_key_file",
        kind: Kind::Path,
        default: "<data>/master.key",
        example: "\"/run/secrets/grantor-master-key\"",
        flag: None,
        about: "File of the key that seals signing keys and client secrets in the database; made at the first start. Without it they are \
                lost: back it up, apart from the database.",
    },
    Key {
        section: "decisions",
        name: "keep_hours",
        kind: Kind::Number { least: 1, most: 720 },
        default: "24",
        example: "24",
        flag: None,
        about: "How many hours a refusal can be explained.",
    },
];

/// The key of this name in this section.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The keys of a section, in the order of the reference.
pub(super) fn of_section(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The reference for a terminal, as `grantor config reference` prints it.
#[must_use]
pub fn reference_text() -> String {
    let mut text = String::from(
        "Keys of grantor.toml, and the environment variables and flags that set them.\n\
         A flag is stronger than a variable, a variable is stronger than the file.\n",
    );
    for (section, about) in SECTIONS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n[{section}]  {about}");
        for key in of_section(section) {
            let default = if key.default.is_empty() { "not set" } else { key.default };
            let flag = key.flag.map(|flag| format!("  {flag}")).unwrap_or_default();
            let _ = writeln!(text, "\n  {}  ({}; default: {default})", key.name, key.kind.label());
            let _ = writeln!(text, "      {}{flag}", key.variable());
            for line in wrapped(key.about, 90) {
                let _ = writeln!(text, "      {line}");
            }
        }
    }
    text
}

/// The reference as the page of the documentation; `docs/configuration.md` is this text.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for (section, about) in SECTIONS {
        let _ = write!(page, "\n## [{section}]\n\n{about}\n\n");
        page.push_str("| key | accepts | default | variable, flag | what it is for |\n|---|---|---|---|---|\n");
        for key in of_section(section) {
            let default = match key.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let flag = key.flag.map(|flag| format!(", `{flag}`")).unwrap_or_default();
            let _ = writeln!(
                page,
                "| `{}` | {} | {default} | `{}`{flag} | {} |",
                key.name,
                key.kind.label(),
                key.variable(),
                key.about
            );
        }
    }
    page
}

/// What precedes the tables in the documentation.
const INTRODUCTION: &str = "# Configuration

<!-- Written by `grantor config reference --markdown`; CI compares the two. Change crates/server/src/config/reference.rs instead. -->

Grantor starts without any. What is set comes from, weakest first:

1. `grantor.toml`: the file named by `--config`, or `./grantor.toml` if it is there;
2. environment variables, `GRANTOR_<SECTION>_<KEY>`; the items of a list are separated by commas, and an empty variable counts as not
   set (for a list: as the empty list);
3. flags of `grantor serve`.

A key that does not exist or a value of the wrong type stops the start and says where it stands and what was probably meant.
`grantor config check` does the same without starting; `grantor config show` prints what is in force and where each value came from.

Not part of the file, because they are not settings: `GRANTOR_BOOTSTRAP_ADMIN_USERNAME`, `GRANTOR_BOOTSTRAP_ADMIN_PASSWORD` and
`GRANTOR_BOOTSTRAP_ADMIN_PASSWORD_FILE` make the first administrator, as Keycloak's `KC_BOOTSTRAP_ADMIN_USERNAME`,
`KC_BOOTSTRAP_ADMIN_PASSWORD`, `KEYCLOAK_ADMIN` and `KEYCLOAK_ADMIN_PASSWORD` do; `GRANTOR_CLIENT_SECRET`, `GRANTOR_PASSWORD` and
`GRANTOR_REFRESH_TOKEN` give a command its secret; `GRANTOR_LOG` sets the log level by part of the program
(`info,hyper=debug`) for one run.
";

/// The text in lines of at most so many characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides, load};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// `section.key` for each field of the structs, as serde writes them.
    fn fields(config: &Config) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let value = serde_json::to_value(config)?;
        let mut fields = Vec::new();
        for (section, keys) in value.as_object().ok_or("not an object")? {
            for name in keys.as_object().ok_or("not an object")?.keys() {
                fields.push(format!("{section}.{name}"));
            }
        }
        Ok(fields)
    }

    #[test]
    fn the_table_and_the_structs_are_the_same_keys_in_the_same_order() -> Outcome {
        let table: Vec<String> = KEYS.iter().map(|key| format!("{}.{}", key.section, key.name)).collect();
        assert_eq!(table, fields(&Config::default())?);
        Ok(())
    }

    #[test]
    fn every_key_is_in_a_section_of_the_reference() {
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(section, _)| *section == key.section), "{key:?}");
        }
        for (section, _) in SECTIONS {
            assert!(of_section(section).next().is_some(), "{section}");
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_the_defaults_of_the_structs() -> Outcome {
        // Those that depend on the machine or on another key are words, not values.
        let words = ["passwords.workers", "database.url", "keys.master_key_file"];
        let environment: Vec<(String, String)> = KEYS
            .iter()
            .filter(|key| !key.default.is_empty())
            .filter(|key| !words.contains(&format!("{}.{}", key.section, key.name).as_str()))
            .map(|key| (key.variable(), key.default.to_owned()))
            .collect();
        assert!(!environment.is_empty());
        let config = load(None, environment, &Overrides::default())?;
        assert_eq!(serde_json::to_value(&config)?, serde_json::to_value(Config::default())?);
        Ok(())
    }

    #[test]
    fn every_example_is_accepted() -> Outcome {
        for key in KEYS {
            let text = format!("[{}]\n{} = {}\n", key.section, key.name, key.example);
            let settings = crate::config::source::file(std::path::Path::new("example"), &text)?;
            assert_eq!(settings.len(), 1, "{text}");
        }
        Ok(())
    }

    #[test]
    fn both_forms_of_the_reference_name_every_key() {
        let (text, page) = (reference_text(), reference_markdown());
        for key in KEYS {
            let variable = key.variable();
            assert!(text.contains(&variable), "{variable}");
            assert!(page.contains(&format!("| `{}` |", key.name)), "{variable}");
            assert!(page.contains(&format!("`{variable}`")), "{variable}");
            assert!(!key.about.contains('|'), "{variable}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 120));
    }
}
