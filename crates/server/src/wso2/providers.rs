//! `/api/server/v1/identity-providers`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantor_flows::Realm;
use grantor_flows::admin::identity_providers::{Unsaved, standard_settings};
use grantor_model::identity_provider::{SEPARATOR, setting as s};
use grantor_model::realm::IdentityProviderDocument;
use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::manage::{Told, enter, location, page};
use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

const PATH: &str = "/api/server/v1/identity-providers";

/// The member of a document that holds what has no setting here.
const KEPT: &str = "wso2";

const VIEW: [&str; 2] = ["view-identity-providers", "manage-identity-providers"];
const MANAGE: [&str; 1] = ["manage-identity-providers"];

/// What a caller writes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Model {
    name: String,
    idp_issuer_name: Option<String>,
    alias: Option<String>,
    is_enabled: Option<bool>,
    certificate: Option<Certificate>,
    claims: Option<Claims>,
    roles: Option<Roles>,
    /// Display and routing: kept, and given back.
    #[serde(flatten)]
    kept: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Certificate {
    certificates: Vec<String>,
    jwks_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claims {
    role_claim: Option<Claim>,
    mappings: Vec<ClaimMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Claim {
    Name(String),
    Uri { uri: String },
}

impl Claim {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Uri { uri: name } => name,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimMapping {
    idp_claim: Claim,
    local_claim: Claim,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Roles {
    mappings: Vec<RoleMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleMapping {
    idp_role: String,
    local_role: String,
}

fn told(unsaved: Unsaved) -> Told {
    match unsaved {
        Unsaved::Taken(text) => Told::taken(text),
        Unsaved::Bad(text) => Told::bad(text),
        Unsaved::Unknown(_) => Told::missing("identity provider"),
        Unsaved::Failed(error) => error.into(),
    }
}

/// Writes a model into a document. Keys that are shown as they were stay as they are: not every form has another one.
fn apply(members: Map<String, Value>, document: &mut IdentityProviderDocument, realm: &Realm) -> Result<(), Told> {
    let same_keys = shown("", document).get("certificate") == members.get("certificate");
    let model: Model =
        serde_json::from_value(Value::Object(members)).map_err(|error| Told::bad(format!("the body: {error}")))?;
    if model.name.trim().is_empty() {
        return Err(Told::bad("an identity provider has a name"));
    }
    document.display_name = Some(model.name);
    document.enabled = model.is_enabled.unwrap_or(true);
    let config = &mut document.config;
    let mut put = |name: &str, value: Option<String>| match value.filter(|value| !value.is_empty()) {
        Some(value) => drop(config.insert(name.to_owned(), Some(value))),
        None => drop(config.remove(name)),
    };
    put(s::ISSUER, model.idp_issuer_name);
    put(s::AUDIENCES, model.alias);
    let certificate = model.certificate.unwrap_or_default();
    let url = certificate.jwks_uri.filter(|url| !url.is_empty());
    if url.is_some() && !certificate.certificates.is_empty() {
        return Err(Told::bad("certificate: certificates or jwksUri, not both"));
    }
    if !same_keys {
        put(s::USES_URL, Some(url.is_some().to_string()));
        put(s::URL, url);
        put(s::CERTIFICATES, Some(pem(&certificate.certificates)?));
        put(s::PUBLIC_KEY, None);
    }
    let claims = model.claims.unwrap_or_default();
    put(s::ROLE_CLAIM, claims.role_claim.map(|claim| claim.name().to_owned()));
    let pair = |theirs: &str, ours: &str| {
        let fine = !theirs.is_empty() && !ours.is_empty() && !theirs.contains('=');
        let apart = ![theirs, ours].iter().any(|text| text.contains(SEPARATOR));
        if fine && apart {
            Ok(format!("{theirs}={ours}"))
        } else {
            Err(Told::bad("a mapping has two names without = and ##"))
        }
    };
    let mappings = claims.mappings.iter().map(|one| pair(one.idp_claim.name(), one.local_claim.name()));
    put(s::CLAIMS, Some(mappings.collect::<Result<Vec<_>, _>>()?.join(SEPARATOR)));
    let roles = model.roles.unwrap_or_default().mappings;
    for mapping in &roles {
        if !realm.roles.iter().any(|role| role.client.is_none() && role.name == mapping.local_role) {
            return Err(Told::bad(format!("there is no role {:?}", mapping.local_role)));
        }
    }
    let mappings = roles.iter().map(|one| pair(&one.idp_role, &one.local_role));
    put(s::ROLES, Some(mappings.collect::<Result<Vec<_>, _>>()?.join(SEPARATOR)));
    let mut kept = model.kept;
    // What logins through it need is not used here, and may hold secrets.
    for name in ["id", "federatedAuthenticators", "provisioning"] {
        kept.remove(name);
    }
    document.kept.insert(KEPT.to_owned(), Value::Object(kept));
    Ok(())
}

/// Certificates as they come, each base64 of PEM or of DER, as one PEM text.
fn pem(certificates: &[String]) -> Result<String, Told> {
    let mut blocks = Vec::new();
    for text in certificates {
        let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let inner = STANDARD.decode(&compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        blocks.push(match inner {
            _ if text.contains("-----BEGIN ") => text.trim().to_owned(),
            Some(inner) if inner.contains("-----BEGIN ") => inner.trim().to_owned(),
            _ => format!("-----BEGIN CERTIFICATE-----\n{compact}\n-----END CERTIFICATE-----"),
        });
    }
    Ok(blocks.join("\n"))
}

/// A provider as a caller reads it.
fn shown(id: &str, document: &IdentityProviderDocument) -> Map<String, Value> {
    let mut shown = document.kept.get(KEPT).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("id", json!(id));
    put("name", json!(document.display_name.as_deref().unwrap_or(&document.alias)));
    put("isEnabled", json!(document.enabled));
    let pairs = |name: &str| grantor_model::identity_provider::entries(document.setting(name));
    if let Some(issuer) = document.setting(s::ISSUER) {
        put("idpIssuerName", json!(issuer));
    }
    if let Some(alias) = document.setting(s::AUDIENCES) {
        put("alias", json!(alias));
    }
    let url = document.setting(s::URL).filter(|_| document.switched_on(s::USES_URL));
    let certificate = match (url, document.setting(s::CERTIFICATES).or(document.setting(s::PUBLIC_KEY))) {
        (Some(url), _) => json!({"jwksUri": url}),
        (None, Some(text)) => {
            let blocks = text.split_inclusive("-----END ").collect::<Vec<_>>().len();
            let mut found = Vec::with_capacity(blocks);
            for block in text.split("-----BEGIN ").skip(1) {
                found.push(STANDARD.encode(format!("-----BEGIN {}", block.trim_end())));
            }
            json!({"certificates": found})
        }
        (None, None) => json!({}),
    };
    put("certificate", certificate);
    let mapping = |entry: &String| entry.split_once('=').map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
    let claims: Vec<Value> = pairs(s::CLAIMS)
        .iter()
        .filter_map(mapping)
        .map(|(theirs, ours)| json!({"idpClaim": theirs, "localClaim": {"uri": ours}}))
        .collect();
    put(
        "claims",
        json!({"roleClaim": {"uri": document.setting(s::ROLE_CLAIM).unwrap_or_default()}, "mappings": claims}),
    );
    let roles: Vec<Value> = pairs(s::ROLES)
        .iter()
        .filter_map(mapping)
        .map(|(theirs, ours)| json!({"idpRole": theirs, "localRole": ours}))
        .collect();
    put("roles", json!({"mappings": roles}));
    shown
}

/// A name for URLs and settings that no other provider of the realm has.
fn alias(name: &str, realm: &Realm) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let base: String = name.chars().map(fine).take(200).collect();
    let taken = |alias: &str| realm.providers.iter().any(|provider| provider.alias == alias);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|alias| !taken(alias)).unwrap_or(base)
}

async fn by_id(app: &Shared, realm: &Realm, id: &str) -> Result<IdentityProviderDocument, Told> {
    let all = app.engine.identity_providers(realm).await?;
    all.into_iter()
        .find(|(row, _)| row.id == id)
        .map(|(_, document)| document)
        .ok_or(Told::missing("identity provider"))
}

macro_rules! handler {
    ($name:ident, $inner:ident) => {
        pub(crate) async fn $name(app: Shared, mut inbound: Inbound) -> Answer {
            match $inner(&app, &mut inbound).await {
                Ok(answer) => answer.no_store().with_standard_headers(),
                Err(told) => told.answer(&inbound),
            }
        }
    };
}
pub(super) use handler;

handler!(list, listed);
handler!(add, added);
handler!(get, got);
handler!(patch, patched);
handler!(delete, deleted);

async fn listed(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &VIEW).await?;
    let all = app.engine.identity_providers(&realm).await?;
    let short =
        |(row, document): &(grantor_store::identity_providers::IdentityProviderRow, IdentityProviderDocument)| {
            let whole = shown(&row.id, document);
            let names = ["id", "name", "description", "isEnabled", "image", "idpIssuerName", "alias"];
            let mut short: Map<String, Value> =
                names.iter().filter_map(|name| Some(((*name).to_owned(), whole.get(*name)?.clone()))).collect();
            short.insert("self".to_owned(), json!(location(inbound, &format!("{PATH}/{}", row.id))));
            short
        };
    let page = page(all.iter().map(short).collect(), &inbound.query(), "identityProviders")?;
    Ok(Answer::json(StatusCode::OK, &page))
}

async fn added(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let members = inbound.object().await?;
    let mut document = IdentityProviderDocument {
        provider_id: "jwt-authorization-grant".to_owned(),
        config: standard_settings(),
        ..IdentityProviderDocument::default()
    };
    apply(members, &mut document, &realm)?;
    document.alias = alias(document.display_name.as_deref().unwrap_or_default(), &realm);
    let id = app.engine.add_identity_provider(&realm, document.clone(), inbound.context.now).await.map_err(told)?;
    let place = location(inbound, &format!("{PATH}/{id}"));
    Ok(Answer::json(StatusCode::CREATED, &shown(&id, &document)).header(LOCATION, &place))
}

async fn got(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &VIEW).await?;
    let id = inbound.segment(4);
    Ok(Answer::json(StatusCode::OK, &shown(&id, &by_id(app, &realm, &id).await?)))
}

/// JSON Patch (RFC 6902) on root attributes, with WSO2's `operation` for `op`.
async fn patched(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    #[derive(Deserialize)]
    struct Operation {
        #[serde(alias = "op")]
        operation: String,
        path: String,
        #[serde(default)]
        value: Value,
    }
    let realm = enter(app, inbound, &MANAGE).await?;
    let id = inbound.segment(4);
    let alias = by_id(app, &realm, &id).await?.alias;
    let body = inbound.value().await?;
    let operations: Vec<Operation> =
        serde_json::from_value(body).map_err(|error| Told::bad(format!("a patch is a list of operations: {error}")))?;
    let change = |document: &mut IdentityProviderDocument| {
        let mut members = shown(&id, document);
        for one in &operations {
            let name =
                one.path.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/') && *name != "id");
            let Some(name) = name else { return Err(Unsaved::Bad(format!("{:?} is no root attribute", one.path))) };
            match one.operation.to_ascii_uppercase().as_str() {
                "ADD" | "REPLACE" => drop(members.insert(name.to_owned(), one.value.clone())),
                "REMOVE" => drop(members.remove(name)),
                other => return Err(Unsaved::Bad(format!("{other:?} is none of ADD, REMOVE, REPLACE"))),
            }
        }
        apply(members, document, &realm).map_err(|told| Unsaved::Bad(told.description().to_owned()))
    };
    app.engine.change_identity_provider(&realm, &alias, inbound.context.now, change).await.map_err(told)?;
    Ok(Answer::json(StatusCode::OK, &shown(&id, &by_id(app, &realm, &id).await?)))
}

async fn deleted(app: &Shared, inbound: &mut Inbound) -> Result<Answer, Told> {
    let realm = enter(app, inbound, &MANAGE).await?;
    let alias = by_id(app, &realm, &inbound.segment(4)).await?.alias;
    app.engine.remove_identity_provider(&realm, &alias, inbound.context.now).await.map_err(told)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
