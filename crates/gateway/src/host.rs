//! Names in `Host` headers: one spelling for what is judged and for what is handed on.

use std::borrow::Cow;

/// A host in the one spelling, and its port if one was written. `None` for what is no host (RFC 3986 section 3.2.2).
pub fn canonical(host: &str) -> Option<(Cow<'_, str>, &str)> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.len() > 5 {
        return None;
    }
    // The root of the name system may be written or not.
    let name = name.strip_suffix('.').unwrap_or(name);
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let literal = |name: &str| {
        let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok())
    };
    if name.is_empty() || name.starts_with('.') || name.contains("..") || !(name.bytes().all(fine) || literal(name)) {
        return None;
    }
    let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Some((name, port))
}

/// The same as one text, for who gets the call.
pub(crate) fn written(host: &str) -> Option<String> {
    let (name, port) = canonical(host)?;
    Some(if port.is_empty() { name.into_owned() } else { format!("{name}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn a_host_has_one_spelling() {
        for (host, spelt) in [
            ("shop.test", "shop.test"),
            ("SHOP.test:", "shop.test"),
            ("shop.test.", "shop.test"),
            ("shop.test.:80", "shop.test:80"),
            ("[::1]", "[::1]"),
            ("[::1]:8000", "[::1]:8000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(written(host).as_deref(), Some(spelt), "{host}");
        }
        for host in [
            "",
            ":",
            ".",
            "a@shop.test",
            "shop.test:80:80",
            "shop.test:x",
            "shop..test",
            "a b",
            "a/b",
            "[::1",
            "[x]",
            "shop.test:123456",
            "\u{e9}",
        ] {
            assert_eq!(written(host), None, "{host}");
        }
    }
}
