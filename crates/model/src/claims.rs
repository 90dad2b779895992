//! From a subject, a client and its mappers to claims.
//!
//! Mappers run in Keycloak's order: those that change roles first, then the audience, then the rest, so that a
//! renamed role is seen by all that read roles. Members are written in the order in which Keycloak writes them;
//! clients do not depend on it, people who compare do.

mod roles;
mod write;

pub use roles::ResolvedRoles;

use serde_json::{Map, Value};

use crate::jose::sha256;
use crate::mapper::{Claim, Mapper, Rule, Target};
use crate::realm::ListAttributes;

/// Everything that mappers may read.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The user or service account.
    pub subject: Subject<'a>,
    /// The client that gets the token.
    pub client_id: &'a str,
    /// Where the client's redirect URIs lead: the sector of pairwise subjects.
    pub sector: Option<&'a str>,
    /// Origins of the client, resolved.
    pub allowed_origins: &'a [String],
    /// The session, also a transient one that no token names.
    pub session: String,
    /// Session notes by name: `clientHost`, `AUTH_TIME`, …
    pub notes: Vec<(&'static str, String)>,
    /// The authentication context class reference, if one is known.
    pub acr: Option<&'a str>,
    /// The nonce of the authorization request.
    pub nonce: Option<&'a str>,
    /// Roles of the subject, cut down to what client and scopes let through.
    pub roles: ResolvedRoles,
}

/// The user as mappers see it.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The key.
    pub id: &'a str,
    /// The name to sign in with.
    pub username: &'a str,
    /// The address.
    pub email: Option<&'a str>,
    /// Whether it was proved.
    pub email_verified: bool,
    /// Given name.
    pub first_name: Option<&'a str>,
    /// Family name.
    pub last_name: Option<&'a str>,
    /// Free lists of texts.
    pub attributes: &'a ListAttributes,
    /// Groups the user is in: path, name, then the attributes of the group and those above it.
    pub groups: Vec<GroupFacts<'a>>,
}

/// One group of the subject.
#[derive(Debug)]
pub struct GroupFacts<'a> {
    /// Such as `/staff/berlin`.
    pub path: &'a str,
    /// Such as `berlin`.
    pub name: &'a str,
    /// The group's attributes, then its parent's, up to the top.
    pub attributes: Vec<&'a ListAttributes>,
}

/// What the mappers made.
#[derive(Debug, Default)]
pub struct Mapped {
    /// Claims by name, in the order of writing.
    pub claims: Map<String, Value>,
    /// Audiences; the issuer decides about the form (RFC 7519 section 4.1.3).
    pub audience: Vec<String>,
}

/// Runs the mappers for one kind of answer.
pub fn map(facts: &Facts<'_>, mappers: &[&Mapper], target: Target) -> Mapped {
    let roles = roles::adjusted(&facts.roles, mappers);
    let mut made = Mapped::default();
    let writing = || mappers.iter().filter(|mapper| mapper.writes_to(target)).map(|mapper| &mapper.rule);
    for rule in writing() {
        match rule {
            Rule::AudienceResolve => {
                roles.clients_other_than(facts.client_id).for_each(|client| add(&mut made.audience, client));
            }
            Rule::Audience(audience) => add(&mut made.audience, audience),
            _ => {}
        }
    }
    for rule in writing() {
        apply(rule, facts, &roles, target, &mut made.claims);
    }
    made
}

fn add(audience: &mut Vec<String>, one: &str) {
    if !audience.iter().any(|known| known == one) {
        audience.push(one.to_owned());
    }
}

fn apply(rule: &Rule, facts: &Facts<'_>, roles: &ResolvedRoles, target: Target, claims: &mut Map<String, Value>) {
    let subject = &facts.subject;
    match rule {
        Rule::Attribute { attribute, aggregate, claim } => {
            write::values(claims, claim, &attribute_values(subject, attribute, *aggregate));
        }
        Rule::Property { property, claim } => {
            if let Some(value) = property_value(subject, property) {
                write::values(claims, claim, &[value]);
            }
        }
        Rule::RealmRoles { prefix, claim } => write::values(claims, claim, &prefixed(prefix, &roles.realm)),
        Rule::ClientRoles { client, prefix, claim } => client_roles(claims, roles, client.as_deref(), prefix, claim),
        Rule::SessionNote { note, claim } => {
            if let Some((_, value)) = facts.notes.iter().find(|(name, _)| name == note) {
                write::values(claims, claim, std::slice::from_ref(value));
            }
        }
        Rule::Groups { full_path, path } => {
            let names: Vec<Value> =
                subject.groups.iter().map(|g| Value::from(if *full_path { g.path } else { g.name })).collect();
            if !names.is_empty() {
                write::at(claims, path, Value::Array(names));
            }
        }
        Rule::FullName => {
            let parts: Vec<&str> = [subject.first_name, subject.last_name].into_iter().flatten().collect();
            write::text(claims, "name", Some(parts.join(" ").trim()).filter(|name| !name.is_empty()));
        }
        Rule::Address(parts) => address(claims, subject, parts),
        Rule::Fixed { value, claim } => write::values(claims, claim, std::slice::from_ref(value)),
        Rule::AllowedOrigins => {
            // Only who calls an API needs them: never in an ID token or userinfo.
            let wanted = matches!(target, Target::Access | Target::Lightweight | Target::Introspection);
            if wanted && !facts.allowed_origins.is_empty() {
                claims.insert("allowed-origins".to_owned(), Value::from(facts.allowed_origins.to_vec()));
            }
        }
        // A pairwise subject wins over the plain one, whichever mapper comes first.
        Rule::Subject => {
            claims.entry("sub").or_insert_with(|| Value::from(subject.id));
        }
        Rule::PairwiseSubject { sector, salt } => {
            let sector = sector.as_deref().and_then(host).or(facts.sector).unwrap_or_default();
            claims.insert("sub".to_owned(), Value::from(pairwise(sector, subject.id, salt)));
        }
        Rule::Acr => write::text(claims, "acr", facts.acr),
        // Nothing is known about the methods of a grant without a browser: the list is there, and empty.
        Rule::Amr => {
            if matches!(target, Target::Access | Target::Id | Target::Lightweight) {
                claims.insert("amr".to_owned(), Value::Array(Vec::new()));
            }
        }
        Rule::Nonce => write::text(claims, "nonce", facts.nonce),
        Rule::SessionState => write::text(claims, "session_state", Some(&facts.session)),
        Rule::AddRole(_) | Rule::RenameRole { .. } | Rule::Audience(_) | Rule::AudienceResolve => {}
    }
}

fn prefixed(prefix: &str, roles: &[String]) -> Vec<String> {
    roles.iter().map(|role| format!("{prefix}{role}")).collect()
}

/// `${client_id}` in a claim name is the client that the role belongs to, not the one that gets the token.
fn client_roles(
    claims: &mut Map<String, Value>,
    roles: &ResolvedRoles,
    only: Option<&str>,
    prefix: &str,
    claim: &Claim,
) {
    for (client, names) in roles.clients.iter().filter(|(client, _)| only.is_none_or(|only| only == client)) {
        let path = claim.path.iter().map(|member| member.replace("${client_id}", client)).collect();
        write::values(claims, &Claim { path, ..claim.clone() }, &prefixed(prefix, names));
    }
}

/// The user's own values; else those of the first group that has any; all of them together when aggregated.
fn attribute_values(subject: &Subject<'_>, name: &str, aggregate: bool) -> Vec<String> {
    let mut values = own_values(subject, name);
    if !aggregate && !values.is_empty() {
        return values;
    }
    for attributes in subject.groups.iter().flat_map(|group| &group.attributes) {
        let Some(more) = attributes.get(name).filter(|more| !more.is_empty()) else { continue };
        if !aggregate {
            return more.clone();
        }
        for value in more {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    values
}

fn own_values(subject: &Subject<'_>, name: &str) -> Vec<String> {
    let built_in = match name {
        "username" => Some(subject.username),
        "email" => subject.email,
        "firstName" => subject.first_name,
        "lastName" => subject.last_name,
        _ => return subject.attributes.get(name).cloned().unwrap_or_default(),
    };
    built_in.map(|value| vec![value.to_owned()]).unwrap_or_default()
}

fn property_value(subject: &Subject<'_>, name: &str) -> Option<String> {
    match name {
        "id" => Some(subject.id.to_owned()),
        "username" => Some(subject.username.to_owned()),
        "email" => subject.email.map(str::to_owned),
        "emailVerified" => Some(subject.email_verified.to_string()),
        "firstName" => subject.first_name.map(str::to_owned),
        "lastName" => subject.last_name.map(str::to_owned),
        _ => None,
    }
}

fn address(claims: &mut Map<String, Value>, subject: &Subject<'_>, parts: &[(&'static str, String)]) {
    let found: Map<String, Value> = parts
        .iter()
        .filter_map(|(member, attribute)| {
            let value = attribute_values(subject, attribute, false).into_iter().next()?;
            Some(((*member).to_owned(), Value::from(value)))
        })
        .collect();
    if !found.is_empty() {
        claims.insert("address".to_owned(), Value::Object(found));
    }
}

/// A subject that another sector cannot recognise (OpenID Connect Core 8.1), computed as Keycloak computes it: the
/// version-3 UUID of SHA-256 over sector, user and salt, so that subjects survive a migration.
fn pairwise(sector: &str, user: &str, salt: &str) -> String {
    let hash = sha256(format!("{sector}{user}{salt}").as_bytes());
    let (name, rest) = hash.split_at(16);
    let name = <[u8; 16]>::try_from(name).unwrap_or_default();
    // Java's nameUUIDFromBytes has no name space: MD5 over the whole hash. The first half stands in for one.
    uuid::Uuid::new_v3(&uuid::Uuid::from_bytes(name), rest).to_string()
}

/// The host of a URL, without user, port and path.
pub fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::{Facts, ResolvedRoles, Subject, host, map, pairwise};
    use crate::mapper::{Mapper, Target};
    use crate::realm::{ListAttributes, MapperDocument};

    fn mapper(kind: &str, config: &[(&str, &str)]) -> Mapper {
        let mut config: crate::realm::Attributes =
            config.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
        config.insert("access.token.claim".into(), Some("true".into()));
        let document = MapperDocument { protocol_mapper: kind.to_owned(), config, ..MapperDocument::default() };
        Mapper::compile(&document).expect("a mapper")
    }

    fn claims(attributes: &ListAttributes, mappers: &[Mapper]) -> serde_json::Value {
        let facts = Facts {
            subject: Subject {
                id: "1",
                username: "alice",
                email: None,
                email_verified: false,
                first_name: Some("Alice"),
                last_name: None,
                attributes,
                groups: vec![],
            },
            client_id: "app",
            sector: None,
            allowed_origins: &[],
            session: "s".to_owned(),
            notes: Vec::new(),
            acr: Some("1"),
            nonce: None,
            roles: ResolvedRoles::default(),
        };
        let mappers: Vec<&Mapper> = mappers.iter().collect();
        map(&facts, &mappers, Target::Access).claims.into()
    }

    #[test]
    fn json_types() {
        let attributes: ListAttributes = [("n", "00032112"), ("b", "true"), ("j", "{\"a\":[1]}"), ("bad", "x")]
            .map(|(k, v)| (k.into(), vec![v.into()]))
            .into();
        let typed = |name: &str, json: &str| {
            mapper(
                "oidc-usermodel-attribute-mapper",
                &[("user.attribute", name), ("claim.name", name), ("jsonType.label", json)],
            )
        };
        let made =
            claims(&attributes, &[typed("n", "long"), typed("b", "boolean"), typed("j", "JSON"), typed("bad", "int")]);
        assert_eq!(made, serde_json::json!({"n": 32112, "b": true, "j": {"a": [1]}}));
    }

    #[test]
    fn a_half_name_is_a_name() {
        assert_eq!(
            claims(&ListAttributes::new(), &[mapper("oidc-full-name-mapper", &[])]),
            serde_json::json!({"name": "Alice"})
        );
    }

    #[test]
    fn a_claim_inside_a_claim_that_is_no_object_replaces_nothing() {
        let fixed = |name: &str| mapper("oidc-hardcoded-claim-mapper", &[("claim.name", name), ("claim.value", "v")]);
        let made = claims(&ListAttributes::new(), &[fixed("a"), fixed("a.b")]);
        assert_eq!(made, serde_json::json!({"a": "v"}));
    }

    #[test]
    fn pairwise_subjects_are_version_3_uuids_and_differ_by_sector() {
        let one = pairwise("a.example", "user", "salt");
        assert_eq!(one.as_bytes().get(14), Some(&b'3'));
        assert_ne!(one, pairwise("b.example", "user", "salt"));
    }

    #[test]
    fn hosts() {
        assert_eq!(host("https://u@a.example:8443/x?y"), Some("a.example"));
        assert_eq!(host("https://[::1]:1/"), Some("::1"));
        assert_eq!(host("/relative"), None);
    }
}
