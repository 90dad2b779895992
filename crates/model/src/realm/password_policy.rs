//! A realm's password policy: `length(8) and digits(1) and notUsername(undefined)`, as Keycloak writes it and acts on
//! it (each rule was tried with a Keycloak 26.7).
//!
//! Characters are counted as Java counts them, in units of UTF-16: an emoji counts twice, as two special characters.

use fancy_regex::Regex;

/// The policy of a realm; without a text it allows everything.
#[derive(Clone, Copy, Debug)]
pub struct PasswordPolicy<'a>(Option<&'a str>);

/// Rules that say nothing about a new password itself.
const ABOUT_OTHERS: [&str; 8] = [
    "hashAlgorithm",
    "hashIterations",
    "passwordHistory",
    "passwordAge",
    "passwordBlacklist",
    "forceExpiredPasswordChange",
    "maxAuthAge",
    "recoveryCodesWarningThreshold",
];

impl<'a> PasswordPolicy<'a> {
    /// Reads `passwordPolicy` of a realm.
    pub fn new(text: Option<&'a str>) -> Self {
        Self(text)
    }

    /// Names and arguments. Of a name that stands twice the last one counts.
    fn rules(self) -> Vec<(&'a str, Option<&'a str>)> {
        let mut rules: Vec<(&str, Option<&str>)> = Vec::new();
        let parts = self.0.into_iter().flat_map(|text| text.split(" and ")).map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, argument) = match part.split_once('(') {
                Some((name, rest)) => (name.trim(), rest.strip_suffix(')').map(str::trim)),
                None => (part, None),
            };
            let argument = argument.filter(|argument| *argument != "undefined");
            match rules.iter_mut().find(|(other, _)| *other == name) {
                Some(rule) => rule.1 = argument,
                None => rules.push((name, argument)),
            }
        }
        rules
    }

    /// What stands in the parentheses of a rule.
    pub fn argument(self, name: &str) -> Option<&'a str> {
        self.rules().into_iter().find(|(other, _)| *other == name)?.1
    }

    /// The number of a rule, `default` where it says none; `None` without the rule.
    pub fn number(self, name: &str, default: i64) -> Option<i64> {
        let (_, argument) = self.rules().into_iter().find(|(other, _)| *other == name)?;
        Some(argument.map_or(default, |argument| argument.parse().unwrap_or(default)))
    }

    /// How many of the last passwords a new one must not be, the present one included (`passwordHistory`).
    pub fn history(self) -> Option<usize> {
        self.number("passwordHistory", 3).map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// Milliseconds for which a password must not come again (`passwordAge`, in days).
    pub fn not_again_for(self) -> Option<i64> {
        self.number("passwordAge", 30).map(days)
    }

    /// Milliseconds after which a password has to be another (`forceExpiredPasswordChange`, in days).
    pub fn expires_after(self) -> Option<i64> {
        self.number("forceExpiredPasswordChange", 365).filter(|count| *count >= 0).map(days)
    }

    /// Lists of passwords that are too common (`passwordBlacklist`), by the names of their files.
    pub fn blacklist(self) -> Option<&'a str> {
        self.argument("passwordBlacklist").filter(|name| is_file_name(name))
    }

    /// Rules that are not known, or whose pattern cannot be read. While there is one, no password is good enough.
    pub fn unknown(self) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, argument) in self.rules() {
            let known = match name {
                "regexPattern" => whole(argument.unwrap_or_default()).is_some(),
                "passwordBlacklist" => argument.is_some_and(is_file_name),
                name => ABOUT_OTHERS.contains(&name) || violated(name, argument, "", "", None).is_some(),
            };
            if !known {
                unknown.push(argument.map_or(name.to_owned(), |argument| format!("{name}({argument})")));
            }
        }
        unknown
    }

    /// Why a password is not good enough for a user, by the rules that need nothing but the password; `None` when it is.
    pub fn refusal(self, password: &str, username: &str, email: Option<&str>) -> Option<String> {
        for (name, argument) in self.rules() {
            if name == "passwordBlacklist" && self.blacklist().is_none() {
                return Some("the realm's password policy names no list of common passwords".to_owned());
            }
            if ABOUT_OTHERS.contains(&name) {
                continue;
            }
            match violated(name, argument, password, username, email) {
                Some(None) => {}
                Some(Some(why)) => return Some(why),
                None => return Some(format!("the realm's password policy has a rule that is not known: {name}")),
            }
        }
        None
    }
}

fn days(count: i64) -> i64 {
    count.saturating_mul(86_400_000)
}

/// A name without a folder in it.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// The rule's complaint about the password; `None` for a rule that is not known.
fn violated(
    name: &str,
    argument: Option<&str>,
    password: &str,
    username: &str,
    email: Option<&str>,
) -> Option<Option<String>> {
    let number = |default: usize| match argument {
        // Keycloak takes no other text; a negative number asks for nothing.
        Some(argument) => argument.parse::<i64>().map_or(default, |count| usize::try_from(count).unwrap_or_default()),
        None => default,
    };
    let lower = password.to_lowercase();
    let length = password.encode_utf16().count();
    let least = |class: &str, what: &str| {
        let wanted = number(1);
        let found = count(class, password)?;
        Some((found < wanted).then(|| format!("it must contain at least {wanted} {what}")))
    };
    Some(match name {
        "length" => (length < number(8)).then(|| format!("minimum length {}", number(8))),
        "maxLength" => (length > number(64)).then(|| format!("maximum length {}", number(64))),
        "digits" => return least(r"\p{Nd}", "numerical digits"),
        "lowerCase" => return least(r"\p{Lowercase}", "lower case characters"),
        "upperCase" => return least(r"\p{Uppercase}", "upper case characters"),
        "specialChars" => return least(r"[^\p{L}\p{Nd}]", "special characters"),
        "notUsername" => (lower == username.to_lowercase()).then(|| "it must not be equal to the username".to_owned()),
        "notContainsUsername" => {
            let contains = !username.is_empty() && lower.contains(&username.to_lowercase());
            contains.then(|| "it can not contain the username".to_owned())
        }
        "notEmail" => {
            let is_email = email.is_some_and(|email| email.to_lowercase() == lower);
            is_email.then(|| "it must not be equal to the email".to_owned())
        }
        "regexPattern" => {
            let matches = whole(argument?)?.is_match(password).ok();
            (matches != Some(true)).then(|| "it fails to match the realm's pattern".to_owned())
        }
        _ => return None,
    })
}

/// The pattern for the whole of a text. Java's classes that others name differently are translated.
fn whole(pattern: &str) -> Option<Regex> {
    let mut pattern = pattern.to_owned();
    for (java, other) in [
        (r"\p{Punct}", r"[!-/:-@\[-`{-~]"),
        (r"\p{Lower}", "[a-z]"),
        (r"\p{Upper}", "[A-Z]"),
        (r"\p{Alpha}", "[a-zA-Z]"),
        (r"\p{Digit}", "[0-9]"),
        (r"\p{Alnum}", "[a-zA-Z0-9]"),
        (r"\p{Space}", r"[ \t\n\x0B\f\r]"),
        (r"\d", "[0-9]"),
    ] {
        pattern = pattern.replace(java, other);
    }
    Regex::new(&format!(r"\A(?:{pattern})\z")).ok()
}

/// How many characters of a class there are. A character of two units is none but a special one, twice.
fn count(class: &str, password: &str) -> Option<usize> {
    let class = Regex::new(&format!(r"\A{class}\z")).ok()?;
    let special = class.is_match("\u{1f511}").unwrap_or(false);
    let mut found = 0;
    let mut buffer = [0; 4];
    for c in password.chars() {
        found += match c.len_utf16() {
            1 => usize::from(class.is_match(c.encode_utf8(&mut buffer)).unwrap_or(false)),
            _ if special => 2,
            _ => 0,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PasswordPolicy;

    fn refused(policy: &str, password: &str) -> bool {
        PasswordPolicy::new(Some(policy)).refusal(password, "bobby", Some("bobby@x.org")).is_some()
    }

    /// Each line was asked of a Keycloak 26.7: policy, passwords that it takes, passwords that it refuses.
    #[test]
    fn rules_are_those_of_keycloak() {
        let lines: [(&str, &[&str], &[&str]); 21] = [
            ("notUsername(undefined)", &["xbobby"], &["bobby", "BOBBY"]),
            ("notContainsUsername(undefined)", &["bob"], &["xbobbyx", "xBOBBYx"]),
            ("notEmail(undefined)", &["bobby@x.orgx"], &["bobby@x.org", "BOBBY@x.org"]),
            ("regexPattern(^[a-z]+$)", &["abc"], &["abc1"]),
            ("regexPattern([a-z])", &["a"], &["abc", "1"]),
            ("regexPattern((?=.*a)(?=.*b).{3,})", &["xab"], &["xxx"]),
            ("specialChars(2)", &["a b ", "€€", "😀", "_-"], &["abé", "a b"]),
            ("digits(2)", &["a12", "٣٤"], &["a1", "²²"]),
            ("lowerCase(1) and upperCase(1)", &["aA", "éÉ", "їЇ", "ªA"], &["a1", "A1"]),
            ("length(4)", &["😀😀", "abcd"], &["abc", "éé"]),
            ("length(5) and maxLength(6)", &["abcdef"], &["abcd", "abcdefg"]),
            ("digits and length", &["abcdefg1"], &["abcdefgh"]),
            ("length(3) and length(9)", &["abcdefghi"], &["abcde"]),
            ("length(-1)", &["a"], &[]),
            ("", &["a"], &[]),
            ("hashIterations(5) and passwordHistory(3) and forceExpiredPasswordChange(365)", &["a"], &[]),
            // What is not known is not let through.
            ("passwordBlacklist(../../etc/passwd)", &[], &["a-very-long-password-1"]),
            ("passwordBlacklist(/dev/zero)", &[], &["a-very-long-password-1"]),
            ("passwordBlacklist(undefined)", &[], &["a-very-long-password-1"]),
            ("unknown(3)", &[], &["a-very-long-password-1"]),
            ("regexPattern([)", &[], &["["]),
        ];
        for (policy, taken, not) in lines {
            for password in taken {
                assert!(!refused(policy, password), "{policy}: {password}");
            }
            for password in not {
                assert!(refused(policy, password), "{policy}: {password}");
            }
        }
        assert!(PasswordPolicy::new(None).refusal("", "", None).is_none());
    }

    #[test]
    fn what_is_not_known_is_named() {
        let unknown = |policy: &str| PasswordPolicy::new(Some(policy)).unknown();
        let known = "length(8) and digits and notUsername(undefined) and regexPattern(a{2}) and \
                     passwordBlacklist(top.txt) and hashAlgorithm(argon2) and maxAuthAge(5)";
        assert!(unknown(known).is_empty(), "{:?}", unknown(known));
        assert_eq!(unknown("sparkles(3) and length(1)"), ["sparkles(3)"]);
        assert_eq!(
            unknown("regexPattern([) and passwordBlacklist(../x)"),
            ["regexPattern([)", "passwordBlacklist(../x)"]
        );
        assert_eq!(unknown(r"regexPattern(^(?=.*\p{Punct})\d+.*$)"), Vec::<String>::new());
    }

    #[test]
    fn numbers_have_defaults() {
        let policy = PasswordPolicy::new(Some("passwordHistory and forceExpiredPasswordChange(2) and passwordAge(1)"));
        assert_eq!(policy.history(), Some(3));
        assert_eq!(policy.expires_after(), Some(172_800_000));
        assert_eq!(policy.not_again_for(), Some(86_400_000));
        assert_eq!(PasswordPolicy::new(None).history(), None);
    }

    proptest! {
        #[test]
        fn any_policy_is_read(policy in "([a-zA-Z()0-9]| and |regexPattern\\(|\\)|[\\[\\\\{}*+?]){0,40}", password in "\\PC{0,20}") {
            let policy = PasswordPolicy::new(Some(&policy));
            let _ = (policy.refusal(&password, "u", None), policy.unknown(), policy.history());
        }
    }
}
