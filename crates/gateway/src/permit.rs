//! What a rule asks of a caller whose token counts: scopes, roles, clients, claims, and limits.

use grantor_model::api::RateBy;
use grantor_model::{Code, Error, Kind};
use serde_json::Value;

use crate::enforce::{Ask, Case, Denied, With};
use crate::known::Known;
use crate::rate::Standing;
use crate::table::{Api, Limit, Rule};

/// Scopes, roles, clients and claims that a rule asks for.
pub(crate) fn permitted(rule: &Rule, known: &Known, case: &mut Case<'_>) -> Result<(), Box<Denied>> {
    let document = &rule.document;
    let forbidden = |text: &'static str| Error::new(Kind::Forbidden, Code::AccessDenied, text);
    if document.deny {
        return Err(case.deny(
            "rule",
            "one that lets somebody pass",
            "deny",
            forbidden("Nobody may do this"),
            With::Nothing,
        ));
    }
    if let Some(missing) = document.scopes.iter().find(|scope| !known.scopes().contains(scope)) {
        let error = Error::new(Kind::Forbidden, Code::InsufficientScope, "The token lacks a scope");
        let needed = document.scopes.join(" ");
        let found = format!("{} (without {missing})", known.scopes().join(" "));
        return Err(case.deny("scope", needed.clone(), &found, error, With::Scopes(needed)));
    }
    if !document.roles.is_empty() && !document.roles.iter().any(|role| known.has_role(role)) {
        let expected = format!("one of {}", document.roles.join(", "));
        let found = known.roles().join(", ");
        return Err(case.deny("role", expected, &found, forbidden("The token lacks a role"), With::Nothing));
    }
    let client = known.client().unwrap_or_default();
    if !document.clients.is_empty() && !document.clients.iter().any(|one| one == client) {
        let expected = format!("one of {}", document.clients.join(", "));
        return Err(case.deny("client", expected, client, forbidden("This client may not do this"), With::Nothing));
    }
    for (name, values) in &document.claims {
        let found = known.claim(name);
        if !found.iter().any(|found| values.contains(found)) {
            let expected = format!("{name} = {}", values.join(" or "));
            return Err(case.deny(
                "claim",
                expected,
                &found.join(", "),
                forbidden("A claim of the token does not fit"),
                With::Nothing,
            ));
        }
    }
    case.trail.pass("rule");
    Ok(())
}

/// The limits of API and rule.
pub(crate) fn limited(
    case: &mut Case<'_>,
    ask: &Ask<'_>,
    api: &Api,
    rule: &Rule,
    known: Option<&Known>,
) -> Result<Option<Standing>, Box<Denied>> {
    let mut tightest: Option<Standing> = None;
    for limit in [&api.rate, &rule.rate].into_iter().flatten() {
        let standing = counted(limit, ask, known);
        if let Some(seconds) = standing.wait {
            let expected = format!("{} at most", standing.limit);
            let error = Error::new(Kind::Throttled(i64::from(seconds)), Code::RateLimited, "API rate limit exceeded");
            return Err(case.deny("rate", expected, "more", error, With::Limit(standing)));
        }
        if tightest.is_none_or(|known| standing.left < known.left) {
            tightest = Some(standing);
        }
    }
    Ok(tightest)
}

fn counted(limit: &Limit, ask: &Ask<'_>, known: Option<&Known>) -> Standing {
    // Whoever has an IPv6 address has 2^64 of them.
    let address = || match ask.address {
        std::net::IpAddr::V6(address) => format!("{:x?}", address.segments().get(..4)),
        address => address.to_string(),
    };
    // Names of two issuers are two names.
    let of = |known: &Known, name: &str| format!("{} {name}", known.issuer.name());
    let caller = match (limit.by, known) {
        (RateBy::All, _) => String::new(),
        (RateBy::Client, Some(known)) => known.client().map_or_else(address, |client| of(known, client)),
        (RateBy::User, Some(known)) => {
            known.claims.get("sub").and_then(Value::as_str).map_or_else(address, |user| of(known, user))
        }
        _ => address(),
    };
    limit.rate.count(&caller, ask.now)
}
