//! The `scope` parameter (RFC 6749 section 3.3), as Keycloak reads it.

/// The name that is always allowed and never a client scope (OpenID Connect Core section 3.1.2.1).
pub const OPENID: &str = "openid";

/// The scope that asks for an offline session.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// Splits a `scope` parameter at single blanks.
///
/// Leading, trailing and only blanks are fine; an empty value and a double blank inside are not, as recorded from
/// Keycloak 26.7: both hold a scope whose name is empty.
///
/// # Errors
/// `Err(())` when a name is empty.
pub fn requested(parameter: Option<&str>) -> Result<Vec<&str>, EmptyName> {
    let Some(text) = parameter else { return Ok(Vec::new()) };
    if text.is_empty() {
        return Err(EmptyName);
    }
    let trimmed = text.trim_matches(' ');
    if trimmed.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for name in trimmed.split(' ') {
        if name.is_empty() {
            return Err(EmptyName);
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A scope name of no characters was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct EmptyName;

#[cfg(test)]
mod tests {
    use super::{EmptyName, requested};

    #[test]
    fn blanks() {
        assert_eq!(requested(None), Ok(vec![]));
        assert_eq!(requested(Some("   ")), Ok(vec![]));
        assert_eq!(requested(Some("")), Err(EmptyName));
        assert_eq!(requested(Some("a  b")), Err(EmptyName));
        assert_eq!(requested(Some(" a b a ")), Ok(vec!["a", "b"]));
    }
}
