//! `grantor idp`: identity providers, whose assertions become tokens.

mod tried;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use grantor_flows::admin::identity_providers::{Unsaved, standard_settings};
use grantor_model::identity_provider::{
    IAT_WINDOW, IdentityProvider, KeySource, LONGEST_LIFE, SEPARATOR, SKEW, SubjectRule, setting,
};
use grantor_model::jose::trusted_keys;
use grantor_model::realm::IdentityProviderDocument;
use serde_json::{Value, json};

use super::local::{Local, Where};
use super::output::{CliError, Output, utc};

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The name of the identity provider
    name: String,
    /// The realm
    #[arg(long, value_name = "NAME")]
    realm: String,
    #[command(flatten)]
    place: Where,
}

/// What is asked of assertions, and what becomes of them.
#[derive(Debug, Default, Args)]
pub(crate) struct RuleArgs {
    /// `iss` of its assertions, to the letter
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,
    /// Public key or certificate (PEM, or base64 of DER), or a key set (JSON); may be given several times
    #[arg(long = "key", visible_alias = "cert", value_name = "FILE", conflicts_with = "jwks_url")]
    keys: Vec<PathBuf>,
    /// Where it publishes its keys
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Audience that means this server, besides its issuer and token endpoint; may be given several times
    #[arg(long, value_name = "AUD")]
    audience: Vec<String>,
    /// Algorithm it may sign with; may be given several times [default: all that its keys can]
    #[arg(long, value_name = "ALG")]
    algorithm: Vec<String>,
    /// Seconds by which its clock may differ from ours
    #[arg(long, value_name = "SECONDS", help = format!("Seconds by which its clock may differ from ours [default: {SKEW}]"))]
    skew: Option<u32>,
    /// Minutes after `iat` within which an assertion is taken, or off
    #[arg(long, value_name = "MINUTES", help = format!("Minutes after iat within which an assertion is taken, or off [default: {}]", IAT_WINDOW / 60))]
    iat_window: Option<String>,
    /// Seconds that may be left until `exp`
    #[arg(long, value_name = "SECONDS", help = format!("Seconds that may be left until exp [default: {LONGEST_LIFE}]"))]
    max_life: Option<u32>,
    /// Whether an assertion with a jti is good only once [default: on]
    #[arg(long, value_name = "on|off")]
    replay_check: Option<Switch>,
    /// Whom the subject stands for [default: federated]
    #[arg(long, value_name = "RULE")]
    subject: Option<Subject>,
    /// Claim to take over: THEIRS=OURS; may be given several times [default: none]
    #[arg(long, value_name = "THEIRS=OURS")]
    map_claim: Vec<String>,
    /// The claim with its roles [default: roles]
    #[arg(long, value_name = "CLAIM")]
    role_claim: Option<String>,
    /// Role to take over: THEIRS=OURS, a role of the realm; may be given several times [default: none]
    #[arg(long, value_name = "THEIRS=OURS")]
    map_role: Vec<String>,
    /// Client that may use it; may be given several times
    #[arg(long, value_name = "ID")]
    client: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Whom the subject stands for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// Itself: a user of the provider, unknown here
    Federated,
    /// The user who is linked to it (`grantor idp link`)
    LinkedUser,
    /// The linked user, made when there is none
    JustInTime,
}

impl From<Subject> for SubjectRule {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Federated => Self::Federated,
            Subject::LinkedUser => Self::LinkedUser,
            Subject::JustInTime => Self::JustInTime,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdpCommand {
    /// Trust an issuer of assertions
    #[command(after_help = "Examples:
  grantor idp add partner --realm acme --issuer https://partner.example --key partner.pem --client orders
  grantor idp add partner --realm acme --issuer https://partner.example --jwks-url https://partner.example/jwks.json
  grantor idp add jwtIDP --realm acme --issuer jwtIDP --cert idp.crt --audience my-token-endpoint

Its assertions are exchanged at the token endpoint, with
  grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer")]
    Add {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        rules: Box<RuleArgs>,
    },
    /// Change what is asked of an issuer's assertions
    #[command(after_help = "Example:\n  grantor idp set partner --realm acme --skew 90")]
    Set {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        rules: Box<RuleArgs>,
    },
    /// List the identity providers of a realm
    List {
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Show an identity provider: its keys and what is asked of its assertions
    Show(Named),
    /// Judge an assertion, check by check, without using it
    #[command(after_help = "Examples:
  grantor idp try assertion.jwt --realm acme
  grantor idp try assertion.jwt --realm acme --client orders
  ./make-assertion | grantor idp try - --realm acme

The command succeeds (exit code 0) only if the assertion would be exchanged now. When one check alone fails, it
says which change would let the assertion pass; whether that is right is yours to say.")]
    Try {
        /// File with the assertion; - is standard input
        file: PathBuf,
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        /// The client that would show it
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Where callers reach the server [default: its public_url, else its listener]
        #[arg(long, value_name = "URL")]
        base: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Say which user a subject of the provider is
    #[command(after_help = "Example:\n  grantor idp link partner 4711 ada --realm acme")]
    Link {
        /// The name of the identity provider
        name: String,
        /// `sub` of its assertions
        subject: String,
        /// The user here
        username: String,
        /// The realm
        #[arg(long, value_name = "NAME")]
        realm: String,
        #[command(flatten)]
        place: Where,
    },
    /// Switch an identity provider on
    Enable(Named),
    /// Switch an identity provider off: its assertions are refused at once
    Disable(Named),
    /// Remove an identity provider, and its links to users
    Remove(Named),
}

pub(crate) async fn run(command: IdpCommand, output: &Output) -> Result<(), CliError> {
    match command {
        IdpCommand::Add { named, rules } => add(&named, &rules, output).await,
        IdpCommand::Set { named, rules } => set(&named, &rules, output).await,
        IdpCommand::List { realm, place } => list(&realm, &place, output).await,
        IdpCommand::Show(named) => show(&named, output).await,
        IdpCommand::Try { file, realm, client, base, place } => {
            let base = base.map_or_else(|| place.config().map(|config| config.issuer_base()), Ok)?;
            tried::tried(&file, &realm, client.as_deref(), base.trim_end_matches('/'), &place, output).await
        }
        IdpCommand::Link { name, subject, username, realm, place } => {
            let local = place.open().await?;
            let realm = local.realm(&realm).await?;
            local.engine.link_user(&realm, &name, &subject, &username).await?;
            output.fields(&[("identity provider", &name), ("subject", &subject), ("user", &username)])
        }
        IdpCommand::Enable(named) => switch(&named, true, output).await,
        IdpCommand::Disable(named) => switch(&named, false, output).await,
        IdpCommand::Remove(named) => {
            let local = named.place.open().await?;
            let realm = local.realm(&named.realm).await?;
            local.engine.remove_identity_provider(&realm, &named.name, local.now).await.map_err(unsaved)?;
            local.settle().await;
            output.fields(&[("removed", &named.name)])
        }
    }
}

fn unsaved(error: Unsaved) -> CliError {
    grantor_flows::admin::AdminError::from(error).into()
}

async fn add(named: &Named, rules: &RuleArgs, output: &Output) -> Result<(), CliError> {
    if rules.issuer.is_none() {
        return Err(CliError::new("nothing says whose assertions these are")
            .with_hint("--issuer ISS: the iss of the assertions, to the letter")
            .with_code(CliError::USAGE));
    }
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    let mut document = IdentityProviderDocument {
        alias: named.name.clone(),
        provider_id: "jwt-authorization-grant".to_owned(),
        config: standard_settings(),
        ..IdentityProviderDocument::default()
    };
    apply(rules, &mut document)?;
    roles_are_there(rules, &realm)?;
    for client in &rules.client {
        local.engine.stored_client(&realm, client).await?;
    }
    local.engine.add_identity_provider(&realm, document, local.now).await.map_err(unsaved)?;
    allowed(&local, named, rules).await?;
    local.settle().await;
    show(named, output).await
}

async fn set(named: &Named, rules: &RuleArgs, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    roles_are_there(rules, &realm)?;
    for client in &rules.client {
        local.engine.stored_client(&realm, client).await?;
    }
    // Read once, so that a file that cannot be read is told before anything is changed.
    apply(rules, &mut IdentityProviderDocument::default())?;
    let change = |document: &mut IdentityProviderDocument| {
        let ours = document.setting(setting::SKEW).is_some();
        // Whoever sets one of these rules gets all of them, as `add` gives them; who the subject is stays.
        if !ours {
            let subject = document.setting(setting::SUBJECT).unwrap_or("linked-user").to_owned();
            for (name, value) in standard_settings() {
                document.config.entry(name).or_insert(value);
            }
            document.config.insert(setting::SUBJECT.to_owned(), Some(subject));
        }
        apply(rules, document).map_err(|error| Unsaved::Bad(error.to_string()))
    };
    local.engine.change_identity_provider(&realm, &named.name, local.now, change).await.map_err(unsaved)?;
    allowed(&local, named, rules).await?;
    local.settle().await;
    show(named, output).await
}

/// Lets clients use it.
async fn allowed(local: &Local, named: &Named, rules: &RuleArgs) -> Result<(), CliError> {
    for client in &rules.client {
        let realm = local.realm(&named.realm).await?;
        local.engine.allow_identity_provider(&realm, client, &named.name, local.now).await?;
    }
    Ok(())
}

fn roles_are_there(rules: &RuleArgs, realm: &grantor_flows::Realm) -> Result<(), CliError> {
    for pair in &rules.map_role {
        let ours = pair.split_once('=').map(|(_, ours)| ours).unwrap_or_default();
        if !realm.roles.iter().any(|role| role.client.is_none() && role.name == ours) {
            return Err(CliError::new(format!("realm {} has no role {ours:?}", realm.name)));
        }
    }
    Ok(())
}

/// Writes the options into the settings.
fn apply(rules: &RuleArgs, document: &mut IdentityProviderDocument) -> Result<(), CliError> {
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            document.config.insert(name.to_owned(), Some(value));
        }
    };
    let joined = |values: &[String]| (!values.is_empty()).then(|| values.join(SEPARATOR));
    put(setting::ISSUER, rules.issuer.clone());
    put(setting::AUDIENCES, joined(&rules.audience));
    put(setting::ALGORITHMS, (!rules.algorithm.is_empty()).then(|| rules.algorithm.join(",")));
    put(setting::SKEW, rules.skew.map(|seconds| seconds.to_string()));
    put(setting::IAT_WINDOW, rules.iat_window.as_deref().map(window).transpose()?);
    put(setting::LONGEST_LIFE, rules.max_life.map(|seconds| seconds.to_string()));
    put(setting::REUSE, rules.replay_check.map(|switch| (switch == Switch::Off).to_string()));
    put(setting::SUBJECT, rules.subject.map(|subject| SubjectRule::from(subject).name().to_owned()));
    put(setting::CLAIMS, pairs(&rules.map_claim, "--map-claim")?);
    put(setting::ROLE_CLAIM, rules.role_claim.clone());
    put(setting::ROLES, pairs(&rules.map_role, "--map-role")?);
    if let Some(url) = &rules.jwks_url {
        put(setting::URL, Some(url.clone()));
        put(setting::USES_URL, Some("true".to_owned()));
        document.config.remove(setting::CERTIFICATES);
        document.config.remove(setting::PUBLIC_KEY);
    } else if !rules.keys.is_empty() {
        put(setting::USES_URL, Some("false".to_owned()));
        put(setting::CERTIFICATES, Some(key_texts(&rules.keys)?));
        document.config.remove(setting::URL);
        document.config.remove(setting::PUBLIC_KEY);
    }
    Ok(())
}

fn window(text: &str) -> Result<String, CliError> {
    match text {
        "off" => Ok(text.to_owned()),
        minutes => match minutes.parse::<u32>() {
            Ok(minutes) => Ok((u64::from(minutes) * 60).to_string()),
            Err(_) => Err(CliError::new(format!("--iat-window {text:?} is neither a number of minutes nor off"))
                .with_code(CliError::USAGE)),
        },
    }
}

fn pairs(pairs: &[String], option: &str) -> Result<Option<String>, CliError> {
    if let Some(bad) =
        pairs.iter().find(|pair| !pair.split_once('=').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()))
    {
        return Err(CliError::new(format!("{option} {bad:?} is not THEIRS=OURS")).with_code(CliError::USAGE));
    }
    Ok((!pairs.is_empty()).then(|| pairs.join(SEPARATOR)))
}

/// The keys in files as one text. Several files are PEM each; one may be of any form.
fn key_texts(files: &[PathBuf]) -> Result<String, CliError> {
    let mut texts = Vec::new();
    for file in files {
        let here = file.display();
        let bytes = std::fs::read(file).map_err(|error| CliError::new(format!("{here} cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).unwrap_or_else(|error| pem(error.as_bytes()));
        trusted_keys(&text, None, None).map_err(|error| CliError::new(format!("{here}: {error}")))?;
        let text = text.trim();
        texts.push(if files.len() == 1 || text.contains("-----BEGIN ") {
            text.to_owned()
        } else {
            pem_of_base64(text)
        });
    }
    Ok(texts.join("\n"))
}

/// DER as PEM; the label says nothing, the DER does.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    pem_of_base64(&base64::engine::general_purpose::STANDARD.encode(der))
}

fn pem_of_base64(text: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----")
}

async fn list(realm: &str, place: &Where, output: &Output) -> Result<(), CliError> {
    let local = place.open().await?;
    let realm = local.realm(realm).await?;
    let row = |provider: &IdentityProvider| {
        let state = if !provider.enabled {
            "off"
        } else if provider.for_assertions {
            "on"
        } else {
            "no assertions"
        };
        let issuer = provider.issuer.as_deref().unwrap_or("-");
        [provider.alias.as_str(), issuer, state, &keys_of(&provider.keys), provider.subject.name()]
            .map(str::to_owned)
            .to_vec()
    };
    let rows: Vec<Vec<String>> = realm.providers.iter().map(|provider| row(provider)).collect();
    output.rows(&["name", "issuer", "state", "keys", "subject"], &rows)
}

fn keys_of(source: &KeySource) -> String {
    match source {
        KeySource::Given(keys) if keys.len() == 1 => "1 key".to_owned(),
        KeySource::Given(keys) => format!("{} keys", keys.len()),
        KeySource::Url(url) => url.clone(),
        KeySource::None(reason) => format!("none: {reason}"),
    }
}

async fn show(named: &Named, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    local.engine.stored_identity_provider(&realm, &named.name).await.map_err(unsaved)?;
    let Some(provider) = realm.providers.iter().find(|provider| provider.alias == named.name) else {
        return Err(CliError::new(format!("the identity provider {} went away", named.name)));
    };
    let value = described(provider);
    output.show(&value, || {
        let lines = listed(&value);
        let lines: Vec<(&str, String)> = lines.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        super::output::pairs(&lines)
    })
}

/// Everything about a provider, for programs.
fn described(provider: &IdentityProvider) -> Value {
    let keys = match &provider.keys {
        KeySource::Given(keys) => json!(
            keys.iter()
                .map(|key| json!({
                    "sha256": key.fingerprint(), "kid": key.key().kid(), "until": key.until().map(utc),
                }))
                .collect::<Vec<_>>()
        ),
        KeySource::Url(url) => json!({"url": url}),
        KeySource::None(reason) => json!({"none": reason}),
    };
    let rules = &provider.rules;
    let algorithms: Vec<&str> = rules.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    json!({
        "name": provider.alias,
        "displayName": provider.name,
        "issuer": provider.issuer,
        "enabled": provider.enabled,
        "takesAssertions": provider.for_assertions,
        "keys": keys,
        "algorithms": algorithms,
        "audiences": rules.audiences,
        "otherAudiences": rules.other_audiences,
        "skew": rules.skew,
        "skewAtExpiry": rules.expiry_skew,
        "iatWindow": rules.iat_window,
        "maxLife": rules.longest_life,
        "replayCheck": rules.once,
        "subject": provider.subject.name(),
        "claims": provider.claims,
        "roleClaim": provider.role_claim,
        "roles": provider.roles,
    })
}

/// The same, a line each.
fn listed(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        other => other.to_string(),
    };
    // One line for each key: what people compare, and until when it is good.
    let key = |key: &Value| {
        let part = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let until = if part("until").is_empty() { String::new() } else { format!(" until {}", part("until")) };
        format!("sha256 {}{until}", part("sha256"))
    };
    let pairs = |members: &serde_json::Map<String, Value>| {
        members.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
    };
    let mut lines = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("keys", Value::Array(keys)) => lines.extend(keys.iter().map(|one| ("key".to_owned(), key(one)))),
            (_, Value::Object(members)) if !members.is_empty() => lines.push((name.clone(), pairs(members))),
            _ => lines.push((name.clone(), text(value))),
        }
    }
    lines
}

async fn switch(named: &Named, on: bool, output: &Output) -> Result<(), CliError> {
    let local = named.place.open().await?;
    let realm = local.realm(&named.realm).await?;
    let change = |document: &mut IdentityProviderDocument| {
        document.enabled = on;
        Ok(())
    };
    local.engine.change_identity_provider(&realm, &named.name, local.now, change).await.map_err(unsaved)?;
    local.settle().await;
    output.fields(&[("identity provider", &named.name), ("state", if on { "on" } else { "off" })])
}
