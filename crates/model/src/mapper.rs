//! Protocol mappers, compiled: what a client scope or a client adds to a token, and to which kinds of answer.
//!
//! A [`MapperDocument`] is text; [`Mapper::compile`] reads it once, when the realm is loaded, so that issuing a
//! token parses nothing. Kinds that need a browser session (claims parameter) or organizations compile to nothing.

use crate::realm::{MapperDocument, attribute};

/// The answers a mapper may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An access token.
    Access,
    /// A lightweight access token: only what is marked for it.
    Lightweight,
    /// An ID token.
    Id,
    /// The userinfo answer.
    Userinfo,
    /// The introspection answer.
    Introspection,
    /// The token endpoint's JSON, beside the tokens.
    Response,
}

/// A compiled mapper.
#[derive(Clone, Debug)]
pub struct Mapper {
    pub(crate) rule: Rule,
    access: bool,
    lightweight: bool,
    id: bool,
    userinfo: bool,
    introspection: bool,
    response: bool,
}

/// Where a value goes: the members from the outside in.
pub(crate) type ClaimPath = Vec<String>;

/// How a text becomes a JSON value (`jsonType.label`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonType {
    Text,
    Integer,
    Boolean,
    Json,
}

/// A claim and how its values are written.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) path: ClaimPath,
    pub(crate) json: JsonType,
    pub(crate) multivalued: bool,
}

/// A realm role, or a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleName {
    pub(crate) client: Option<String>,
    pub(crate) role: String,
}

impl RoleName {
    /// `client.role`, or a realm role when there is no dot.
    fn parse(text: &str) -> Self {
        match text.rsplit_once('.') {
            Some((client, role)) => Self { client: Some(client.to_owned()), role: role.to_owned() },
            None => Self { client: None, role: text.to_owned() },
        }
    }
}

/// What a mapper does.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Attribute { attribute: String, aggregate: bool, claim: Claim },
    Property { property: String, claim: Claim },
    RealmRoles { prefix: String, claim: Claim },
    ClientRoles { client: Option<String>, prefix: String, claim: Claim },
    SessionNote { note: String, claim: Claim },
    Groups { full_path: bool, path: ClaimPath },
    FullName,
    Address(Vec<(&'static str, String)>),
    Fixed { value: String, claim: Claim },
    AddRole(RoleName),
    RenameRole { from: RoleName, to: RoleName },
    Audience(String),
    AudienceResolve,
    AllowedOrigins,
    Subject,
    PairwiseSubject { sector: Option<String>, salt: String },
    Acr,
    Amr,
    Nonce,
    SessionState,
}

impl Mapper {
    /// Reads a mapper's settings. `None` for a kind that is not understood, or that lacks what it needs.
    pub fn compile(document: &MapperDocument) -> Option<Self> {
        let rule = rule(document)?;
        let on = |name: &str| attribute(&document.config, name) == Some("true");
        let on_unless_false = |name: &str| attribute(&document.config, name).is_none_or(|value| value == "true");
        // Mappers older than these switches have none of them; Keycloak reads their absence as "on".
        let old = matches!(rule, Rule::AudienceResolve | Rule::AllowedOrigins | Rule::Subject | Rule::Acr);
        // Older mappers about the user have no switch for userinfo: the one for ID tokens counts there as well.
        let about_user = matches!(
            rule,
            Rule::Attribute { .. }
                | Rule::Property { .. }
                | Rule::RealmRoles { .. }
                | Rule::ClientRoles { .. }
                | Rule::Groups { .. }
                | Rule::FullName
                | Rule::Address(_)
                | Rule::Fixed { .. }
        );
        let everywhere = matches!(rule, Rule::PairwiseSubject { .. });
        Some(Self {
            access: everywhere || if old { on_unless_false("access.token.claim") } else { on("access.token.claim") },
            lightweight: on("lightweight.claim"),
            id: everywhere || on("id.token.claim"),
            userinfo: everywhere
                || attribute(&document.config, "userinfo.token.claim")
                    .map_or_else(|| about_user && on("id.token.claim"), |value| value == "true"),
            introspection: everywhere || on_unless_false("introspection.token.claim"),
            response: on("access.tokenResponse.claim"),
            rule,
        })
    }

    /// Whether what it writes is another value for each session.
    pub fn names_the_session(&self) -> bool {
        matches!(self.rule, Rule::SessionState)
    }

    /// Whether this mapper writes to `target`.
    pub fn writes_to(&self, target: Target) -> bool {
        match target {
            Target::Access => self.access,
            Target::Lightweight => self.lightweight,
            Target::Id => self.id,
            Target::Userinfo => self.userinfo,
            Target::Introspection => self.introspection,
            Target::Response => self.response,
        }
    }
}

fn rule(document: &MapperDocument) -> Option<Rule> {
    let setting = |name: &str| attribute(&document.config, name).filter(|value| !value.is_empty()).map(str::to_owned);
    let text = |name: &str| setting(name).unwrap_or_default();
    let on = |name: &str| attribute(&document.config, name) == Some("true");
    let claim = || claim(document);
    Some(match document.protocol_mapper.as_str() {
        "oidc-usermodel-attribute-mapper" => {
            Rule::Attribute { attribute: setting("user.attribute")?, aggregate: on("aggregate.attrs"), claim: claim()? }
        }
        "oidc-usermodel-property-mapper" => Rule::Property { property: setting("user.attribute")?, claim: claim()? },
        "oidc-usermodel-realm-role-mapper" => {
            Rule::RealmRoles { prefix: text("usermodel.realmRoleMapping.rolePrefix"), claim: claim()? }
        }
        "oidc-usermodel-client-role-mapper" => Rule::ClientRoles {
            client: setting("usermodel.clientRoleMapping.clientId"),
            prefix: text("usermodel.clientRoleMapping.rolePrefix"),
            claim: claim()?,
        },
        "oidc-usersessionmodel-note-mapper" => {
            Rule::SessionNote { note: setting("user.session.note")?, claim: claim()? }
        }
        "oidc-group-membership-mapper" => Rule::Groups {
            full_path: attribute(&document.config, "full.path") != Some("false"),
            path: free_path(&setting("claim.name")?)?,
        },
        "oidc-full-name-mapper" => Rule::FullName,
        "oidc-address-mapper" => Rule::Address(
            ADDRESS
                .iter()
                .map(|(part, member)| {
                    (*member, setting(&format!("user.attribute.{part}")).unwrap_or_else(|| (*part).to_owned()))
                })
                .collect(),
        ),
        "oidc-hardcoded-claim-mapper" => Rule::Fixed { value: setting("claim.value")?, claim: claim()? },
        "oidc-hardcoded-role-mapper" => Rule::AddRole(RoleName::parse(&setting("role")?)),
        "oidc-role-name-mapper" => Rule::RenameRole {
            from: RoleName::parse(&setting("role")?),
            to: RoleName::parse(&setting("new.role.name")?),
        },
        "oidc-audience-mapper" => {
            Rule::Audience(setting("included.client.audience").or_else(|| setting("included.custom.audience"))?)
        }
        "oidc-audience-resolve-mapper" => Rule::AudienceResolve,
        "oidc-allowed-origins-mapper" => Rule::AllowedOrigins,
        "oidc-sub-mapper" => Rule::Subject,
        "oidc-sha256-pairwise-sub-mapper" => {
            Rule::PairwiseSubject { sector: setting("sectorIdentifierUri"), salt: text("pairwiseSubAlgorithmSalt") }
        }
        "oidc-acr-mapper" => Rule::Acr,
        "oidc-amr-mapper" => Rule::Amr,
        "oidc-nonce-backwards-compatible-mapper" => Rule::Nonce,
        "oidc-session-state-mapper" => Rule::SessionState,
        _ => return None,
    })
}

/// Keycloak's names for the parts of an address, and the members of the `address` claim (OpenID Connect Core 5.1.1).
const ADDRESS: [(&str, &str); 6] = [
    ("street", "street_address"),
    ("locality", "locality"),
    ("region", "region"),
    ("postal_code", "postal_code"),
    ("country", "country"),
    ("formatted", "formatted"),
];

/// Claims that only the issuer sets. A mapper that names one of them is left out.
const RESERVED: [&str; 9] = ["exp", "iat", "nbf", "jti", "iss", "typ", "azp", "sid", "at_hash"];

/// Where a mapper may write. `None` for a claim of the issuer's.
fn free_path(name: &str) -> Option<ClaimPath> {
    claim_path(name).filter(|path| path.first().is_some_and(|first| !RESERVED.contains(&first.as_str())))
}

fn claim(document: &MapperDocument) -> Option<Claim> {
    Some(Claim {
        path: free_path(attribute(&document.config, "claim.name")?)?,
        json: match attribute(&document.config, "jsonType.label") {
            Some("long" | "int") => JsonType::Integer,
            Some("boolean") => JsonType::Boolean,
            Some("JSON") => JsonType::Json,
            _ => JsonType::Text,
        },
        multivalued: attribute(&document.config, "multivalued") == Some("true"),
    })
}

/// Splits a claim name at its dots; `\.` is a dot of the name. `None` when nothing is left.
fn claim_path(name: &str) -> Option<ClaimPath> {
    let mut path = Vec::new();
    let mut member = String::new();
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'.') => {
                member.push('.');
                letters.next();
            }
            '.' => path.push(std::mem::take(&mut member)),
            other => member.push(other),
        }
    }
    path.push(member);
    (!path.iter().any(String::is_empty)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{Mapper, RoleName, Target, claim_path};
    use crate::realm::MapperDocument;

    fn document(kind: &str, config: &[(&str, &str)]) -> MapperDocument {
        MapperDocument {
            protocol_mapper: kind.to_owned(),
            config: config.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect(),
            ..MapperDocument::default()
        }
    }

    #[test]
    fn dots_nest_and_escaped_dots_do_not() {
        assert_eq!(claim_path("a.b.c"), Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(claim_path("urn:x\\.y:z"), Some(vec!["urn:x.y:z".into()]));
        assert_eq!(claim_path(""), None);
        assert_eq!(claim_path("a..b"), None);
    }

    #[test]
    fn a_role_belongs_to_the_client_before_its_last_dot() {
        assert_eq!(RoleName::parse("a.b.read"), RoleName { client: Some("a.b".into()), role: "read".into() });
        assert_eq!(RoleName::parse("read"), RoleName { client: None, role: "read".into() });
    }

    #[test]
    fn reserved_claims_cannot_be_mapped() {
        for name in ["exp", "iss", "jti", "sid", "iat.x"] {
            let config = [("claim.name", name), ("claim.value", "1"), ("access.token.claim", "true")];
            for kind in
                ["oidc-hardcoded-claim-mapper", "oidc-group-membership-mapper", "oidc-usermodel-realm-role-mapper"]
            {
                assert!(Mapper::compile(&document(kind, &config)).is_none(), "{kind} {name}");
            }
        }
    }

    #[test]
    fn absent_switches_mean_what_they_mean_in_keycloak() {
        let mapper = Mapper::compile(&document("oidc-audience-resolve-mapper", &[])).expect("compiles");
        assert!(mapper.writes_to(Target::Access) && mapper.writes_to(Target::Introspection));
        assert!(!mapper.writes_to(Target::Id) && !mapper.writes_to(Target::Lightweight));
        let mapper = Mapper::compile(&document("oidc-full-name-mapper", &[])).expect("compiles");
        assert!(!mapper.writes_to(Target::Access) && mapper.writes_to(Target::Introspection));
    }
}
