//! Lines that are token requests: forms, and the events that a Keycloak writes to its log.

use form_urlencoded::Serializer;

/// A token request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The form that is sent.
    pub(super) form: String,
    /// The same for people, without what is secret.
    pub(super) shown: String,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Request(Request),
    /// Empty, or a comment.
    Nothing,
    /// Something that cannot be asked again.
    Other,
    /// A request that lacks something.
    Bad(String),
}

/// Parameters that are nobody else's business.
const SECRET: [&str; 12] = [
    "client_secret",
    "password",
    "totp",
    "otp",
    "refresh_token",
    "assertion",
    "client_assertion",
    "subject_token",
    "actor_token",
    "code",
    "code_verifier",
    "device_code",
];

/// Reads a line; `variable` looks up the environment. Events of another realm are passed over.
pub(super) fn read(line: &str, realm: &str, variable: impl Fn(&str) -> Option<String>) -> Line {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Line::Nothing;
    }
    // A line of a log has spaces, and no form in it.
    let is_form = line.starts_with("grant_type=") || line.contains("&grant_type=");
    if !is_form && line.contains(' ') {
        return event(line, realm, variable);
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(line.as_bytes()).into_owned().collect();
    if !pairs.iter().any(|(name, _)| name == "grant_type") {
        return Line::Bad("a request has a grant_type: grant_type=client_credentials&client_id=…".to_owned());
    }
    let mut filled = Vec::new();
    for (name, value) in pairs {
        match replaced(&value, &variable) {
            Ok(value) => filled.push((name, value)),
            Err(missing) => return Line::Bad(format!("the environment has no {missing}, which {name} is taken from")),
        }
    }
    Line::Request(request(&filled))
}

fn request(pairs: &[(String, String)]) -> Request {
    let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let open = pairs.iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
    let shown: Vec<String> = open.map(|(name, value)| format!("{name}={value}")).collect();
    Request { form, shown: shown.join(" ") }
}

/// A value with `${NAME}` replaced, or the name that is not there.
fn replaced(value: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        text.push_str(before);
        text.push_str(&variable(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// `…type="CLIENT_LOGIN", realmId="…", clientId="orders", …, grant_type="client_credentials"`.
fn event(line: &str, realm: &str, variable: impl Fn(&str) -> Option<String>) -> Line {
    let member = |name: &str| {
        let part = line.split(", ").find_map(|part| {
            let (before, value) = part.split_once('=')?;
            (before.rsplit([' ', '(']).next() == Some(name)).then_some(value)
        })?;
        Some(part.trim_matches(['"', '\'']).to_owned())
    };
    let named = |kind: &str, of: &str| {
        let of: String =
            of.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        let name = format!("{kind}_{of}");
        variable(&name).ok_or(name)
    };
    if member("realmName").is_some_and(|name| name != realm) {
        return Line::Other;
    }
    let (Some(kind), Some(client), Some(grant)) = (member("type"), member("clientId"), member("grant_type")) else {
        return Line::Other;
    };
    let mut pairs = vec![("grant_type".to_owned(), grant.clone()), ("client_id".to_owned(), client.clone())];
    pairs.extend(member("scope").map(|scope| ("scope".to_owned(), scope)));
    if let Ok(secret) = named("SECRET", &client) {
        pairs.push(("client_secret".to_owned(), secret));
    }
    match (kind.as_str(), grant.as_str()) {
        ("CLIENT_LOGIN", "client_credentials") => {}
        ("LOGIN", "password") => {
            let Some(user) = member("username") else { return Line::Other };
            match named("PASSWORD", &user) {
                Ok(password) => pairs.push(("password".to_owned(), password)),
                Err(_) => return Line::Other,
            }
            pairs.push(("username".to_owned(), user));
        }
        _ => return Line::Other,
    }
    Line::Request(request(&pairs))
}

#[cfg(test)]
mod tests {
    use super::{Line, read};

    fn variable(name: &str) -> Option<String> {
        match name {
            "ORDERS" => Some("s3cr&t".to_owned()),
            "SECRET_ORDERS_API" => Some("of the client".to_owned()),
            "PASSWORD_ALICE" => Some("of the user".to_owned()),
            _ => None,
        }
    }

    fn form(line: &str) -> (String, String) {
        match read(line, "acme", variable) {
            Line::Request(request) => (request.form, request.shown),
            other => (format!("{other:?}"), String::new()),
        }
    }

    #[test]
    fn a_form_takes_its_secrets_from_the_environment() {
        let (form_of, shown) = form("grant_type=client_credentials&client_id=orders&client_secret=${ORDERS}&scope=a+b");
        assert_eq!(form_of, "grant_type=client_credentials&client_id=orders&client_secret=s3cr%26t&scope=a+b");
        assert_eq!(shown, "grant_type=client_credentials client_id=orders scope=a b");
        for nothing in ["", "  ", "# a remark"] {
            assert_eq!(read(nothing, "acme", variable), Line::Nothing);
        }
        assert!(matches!(read("client_id=x", "acme", variable), Line::Bad(_)));
        let missing = read("grant_type=password&password=${NONE}", "acme", variable);
        assert_eq!(missing, Line::Bad("the environment has no NONE, which password is taken from".to_owned()));
    }

    #[test]
    fn events_of_a_keycloak_are_asked_again() {
        let event = "2026-11-26 10:00:00,000 DEBUG [org.keycloak.events] (executor-thread-1) type=\"CLIENT_LOGIN\", realmId=\"r\", \
                     realmName=\"acme\", clientId=\"orders-api\", userId=\"u\", ipAddress=\"127.0.0.1\", grant_type=\"client_credentials\", \
                     scope=\"profile email\", username=\"service-account-orders-api\"";
        let (form_of, shown) = form(event);
        assert_eq!(
            form_of,
            "grant_type=client_credentials&client_id=orders-api&scope=profile+email&client_secret=of+the+client"
        );
        assert_eq!(shown, "grant_type=client_credentials client_id=orders-api scope=profile email");
        let login =
            "type=LOGIN, realmId=r, clientId=web, userId=u, ipAddress=1.2.3.4, grant_type=password, username=alice";
        assert_eq!(form(login).0, "grant_type=password&client_id=web&password=of+the+user&username=alice");
        for other in [
            "type=\"LOGIN\", clientId=\"web\", grant_type=\"password\", username=\"bob\"",
            "type=\"CODE_TO_TOKEN\", clientId=\"web\", grant_type=\"authorization_code\"",
            "type=\"LOGOUT\", clientId=\"web\"",
            "type=\"CLIENT_LOGIN\", realmName=\"other\", clientId=\"orders-api\", grant_type=\"client_credentials\"",
            "2026-11-26 10:00:00,000 INFO  [io.quarkus] (main) Keycloak 26.7.0 started in 9.1s.",
            "java.lang.IllegalStateException: at com.example=1",
        ] {
            assert_eq!(read(other, "acme", variable), Line::Other, "{other}");
        }
    }
}
