//! What the face says.

use grantor_model::assertion::{Fault, SubjectFault};
use grantor_model::jose::Dates;
use grantor_model::{Code, Error, Kind};

/// The wrong client, whichever way it is wrong.
pub(super) fn wrong_client(error: Error) -> Error {
    match error.code {
        Code::InvalidClient | Code::UnauthorizedClient => {
            let told = Error::new(Kind::Unauthenticated, Code::InvalidClient, "Client credentials are invalid.");
            Error { reason: error.reason, ..told }
        }
        _ => error,
    }
}

/// A text of others, as far as an error description may hold it (RFC 6749 section 5.2).
fn shown(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).take(200).collect()
}

/// Why an assertion does not hold.
pub(super) fn of(fault: &Fault) -> Error {
    const PARSING: &str = "Error while parsing the JWT.";
    let text = match fault {
        Fault::Form(what) if what.contains("claim") => {
            "Error when trying to retrieve claimsSet from the JWT".to_owned()
        }
        Fault::Form(_) => PARSING.to_owned(),
        Fault::Type(name) => format!("Error when trying to retrieve claimsSet from the JWT: {name} has the wrong type"),
        Fault::Missing(name) => format!(
            "Mandatory fields(Issuer, Subject, Expiration time or Audience) are empty in the given JSON Web Token. Missing: {name}"
        ),
        Fault::UnknownIssuer(issuer) => {
            format!("No registered identity provider found for the JWT with issuer name : {}", shown(issuer))
        }
        Fault::ProviderOff(name) => format!("No Active IDP found for the JWT with issuer name : {}", shown(name)),
        Fault::NotForClient(name) => format!("The application may not use the identity provider {}", shown(name)),
        Fault::Algorithm(name) if name.eq_ignore_ascii_case("none") => PARSING.to_owned(),
        Fault::Algorithm(name) => {
            format!("Could not create a signature verifier for algorithm type: {}", shown(name))
        }
        Fault::NoKey { provider, .. } => {
            format!("Unable to locate certificate for Identity Provider {}", shown(provider))
        }
        Fault::Unreachable { reason, .. } => return Error::unavailable(reason.as_str()),
        Fault::NoKid => "Value of the kid property in JWS header is null.".to_owned(),
        Fault::Certificate(Dates::NotYet(_)) => "X509Certificate is not yet valid.".to_owned(),
        Fault::Certificate(_) => "X509Certificate has expired.".to_owned(),
        Fault::Signature => "Signature or Message Authentication invalid.".to_owned(),
        Fault::Audience(_) => "None of the audience values matched the tokenEndpoint Alias".to_owned(),
        Fault::ManyAudiences => "The identity provider allows one audience only".to_owned(),
        Fault::Expired(_) => "JSON Web Token is expired.".to_owned(),
        Fault::TooEarly(_) => "JSON Web Token is used before Not_Before_Time.".to_owned(),
        Fault::FromTheFuture(_) => "JSON Web Token is issued in the future.".to_owned(),
        Fault::TooOld(_) => "JSON Web Token is issued before the allowed time.".to_owned(),
        Fault::TooLong(_) => "JSON Web Token lives longer than allowed.".to_owned(),
        Fault::NoJti => "JSON Web Token has no jti.".to_owned(),
        Fault::Replayed => "JSON Web Token has been used before.".to_owned(),
        Fault::Subject(SubjectFault::Unknown | SubjectFault::OfOurs) => {
            "No user found for the subject of the JSON Web Token.".to_owned()
        }
        Fault::Subject(SubjectFault::Off) => "The user of the JSON Web Token is disabled.".to_owned(),
        Fault::Subject(SubjectFault::NotSetUp) => "The user of the JSON Web Token is not fully set up.".to_owned(),
    };
    Error::grant(text)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_foreign_text_is_short_and_harmless() {
        assert_eq!(shown("a\"b\\c\nd\u{e9}"), "abcd");
        assert_eq!(shown(&"x".repeat(500)).len(), 200);
    }
}
