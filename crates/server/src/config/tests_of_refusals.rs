//! What people read when the configuration is wrong, word for word.

use std::path::Path;

use super::tests::{Folder, Outcome, of_environment, of_file, of_flags};
use super::{Config, Overrides, load};

fn refusal(outcome: Result<Config, String>) -> String {
    outcome.err().unwrap_or_else(|| "accepted".to_owned())
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(
        refusal(of_file("[server]\n\nlisen = \"127.0.0.1:8080\"\n")),
        "grantor.toml:3:1: unknown key \"lisen\" in [server]\n    \
             3 | lisen = \"127.0.0.1:8080\"\n      \
               | ^^^^^\n\
         did you mean \"listen\"?  (grantor config reference lists every key)"
    );
}

#[test]
fn an_unknown_key_near_to_none_lists_the_section() {
    assert_eq!(
        refusal(of_file("[log]\npassword = 1\n")),
        "grantor.toml:2:1: unknown key \"password\" in [log]\n    \
             2 | password = 1\n      \
               | ^^^^^^^^\n\
         keys of [log]: format, level  (grantor config reference lists every key)"
    );
}

#[test]
fn a_key_of_another_section_is_sent_there() {
    assert_eq!(
        refusal(of_file("[log]\nkeep_hours = 1\n")),
        "grantor.toml:2:1: unknown key \"keep_hours\" in [log]\n    \
             2 | keep_hours = 1\n      \
               | ^^^^^^^^^^\n\
         did you mean \"keep_hours\" in [decisions]?  (grantor config reference lists every key)"
    );
    assert_eq!(
        refusal(of_file("listen = \"off\"\n")),
        "grantor.toml:1:1: unknown key \"listen\" outside of any section\n    \
             1 | listen = \"off\"\n      \
               | ^^^^^^\n\
         did you mean \"listen\" in [server]?  (grantor config reference lists every key)"
    );
}

#[test]
fn an_unknown_section_names_the_nearest() {
    assert_eq!(
        refusal(of_file("[sever]\nlisten = \"off\"\n")),
        "grantor.toml:1:2: unknown section [sever]\n    \
             1 | [sever]\n      \
               |  ^^^^^\n\
         did you mean [server]?  (grantor config reference lists every key)"
    );
    assert_eq!(
        refusal(of_file("[http]\n")),
        "grantor.toml:1:2: unknown section [http]\n    \
             1 | [http]\n      \
               |  ^^^^\n\
         sections: [server], [database], [passwords], [log], [outbound], [assertions], [wso2], [gateway], [keys], [decisions]  \
         (grantor config reference lists every key)"
    );
}

#[test]
fn a_section_is_a_table() {
    for (content, place, line, carets) in
        [("server = 5\n", "1:1", "server = 5", "^^^^^^"), ("[[server]]\n", "1:3", "[[server]]", "  ^^^^^^")]
    {
        assert_eq!(
            refusal(of_file(content)),
            format!(
                "grantor.toml:{place}: \"server\" is a section, not a key\n    \
                     1 | {line}\n      \
                       | {carets}\n\
                 write [server] on a line of its own and its keys below it"
            )
        );
    }
}

#[test]
fn a_wrong_type_shows_a_right_one() {
    assert_eq!(
        refusal(of_file("[passwords]\nqueue = \"256\"\n")),
        "grantor.toml:2:9: queue in [passwords]: expected a whole number, found a string\n    \
             2 | queue = \"256\"\n      \
               |         ^^^^^\n\
         for example: queue = 256"
    );
    let cases = [
        ("[server]\nlisten = 8080", "2:10: listen in [server]: expected a string, found a whole number"),
        ("[server]\ndata = true", "2:8: data in [server]: expected a string, found true or false"),
        ("[server]\npublic_url = { a = 1 }", "2:14: public_url in [server]: expected a string, found a table"),
        (
            "[server]\ntrusted_proxies = \"::1\"",
            "2:19: trusted_proxies in [server]: expected a list of strings, found a string",
        ),
        (
            "[server]\ntrusted_proxies = [1]",
            "2:20: trusted_proxies in [server]: expected a string, found a whole number",
        ),
        ("[passwords]\nqueue = [1]", "2:9: queue in [passwords]: expected a whole number, found a list"),
        ("[outbound]\ntimeout_ms = 1.5", "2:14: timeout_ms in [outbound]: expected a whole number, found a fraction"),
        ("[log]\nlevel = 1979-05-27", "2:9: level in [log]: expected a string, found a date or time"),
    ];
    for (content, message) in cases {
        let refusal = refusal(of_file(content));
        assert_eq!(refusal.lines().next(), Some(format!("grantor.toml:{message}").as_str()));
    }
}

#[test]
fn a_value_that_is_not_accepted_says_what_is() {
    let cases = [
        (
            "[server]\nlisten = \"8080\"",
            "2:10: listen in [server]: \"8080\" is not ADDRESS:PORT (such as 127.0.0.1:8080 or [::1]:8080), nor \"off\"",
        ),
        ("[server]\ndata = \"\"", "2:8: data in [server]: the path is empty"),
        (
            "[server]\npublic_url = \"id.example.org\"",
            "2:14: public_url in [server]: \"id.example.org\" does not begin with https:// or http://",
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
            "2:34: trusted_proxies in [server]: \"proxy\" is not an address or a network such as 10.0.0.0/8",
        ),
        ("[passwords]\nworkers = 0", "2:11: workers in [passwords]: 0 is not between 1 and 1024"),
        ("[passwords]\nqueue = -1", "2:9: queue in [passwords]: -1 is not between 1 and 100000"),
        ("[decisions]\nkeep_hours = 721", "2:14: keep_hours in [decisions]: 721 is not between 1 and 720"),
        ("[log]\nformat = \"xml\"", "2:10: format in [log]: \"xml\" is none of text, json"),
        (
            "[outbound]\nallow_private = [\"http://idp\"]",
            "2:18: allow_private in [outbound]: \"http://idp\" is not a host name, an address or a network such as 10.0.0.0/8",
        ),
    ];
    for (content, message) in cases {
        let refusal = refusal(of_file(content));
        assert_eq!(refusal.lines().next(), Some(format!("grantor.toml:{message}").as_str()));
        assert_eq!(refusal.lines().count(), 3, "{refusal}");
    }
}

#[test]
fn the_first_mistake_is_the_one_nearest_the_top() {
    let refusal = refusal(of_file("[server]\nzebra = 1\nant = 2\n[database]\nq = 1\n"));
    assert_eq!(refusal.lines().next(), Some("grantor.toml:2:1: unknown key \"zebra\" in [server]"));
}

#[test]
fn what_is_not_toml_says_where() {
    assert_eq!(
        refusal(of_file("[log]\nlevel = \"info\"\nlevel = \"warn\"\n")),
        "grantor.toml:3:1: not valid TOML: duplicate key\n    \
             3 | level = \"warn\"\n      \
               | ^^^^^"
    );
    let unquoted = refusal(of_file("[server]\nlisten = 127.0.0.1:8080\n"));
    assert!(unquoted.starts_with("grantor.toml:2:"), "{unquoted}");
    assert!(unquoted.contains(": not valid TOML: "), "{unquoted}");
    assert!(unquoted.contains("\n    2 | listen = 127.0.0.1:8080\n"), "{unquoted}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = Path::new("/nonexistent/grantor.toml");
    assert_eq!(
        load(Some(missing), Vec::new(), &Overrides::default()).err().map(|error| error.to_string()),
        Some("/nonexistent/grantor.toml: cannot be read: No such file or directory (os error 2)".to_owned())
    );
}

#[test]
fn a_wrong_flag_is_named() {
    let listen = Overrides { listen: Some("8080".to_owned()), ..Overrides::default() };
    assert_eq!(
        refusal(of_flags(&listen)),
        "--listen: \"8080\" is not ADDRESS:PORT (such as 127.0.0.1:8080 or [::1]:8080), nor \"off\""
    );
    let url = Overrides { public_url: Some("https://id.example.org/".to_owned()), ..Overrides::default() };
    assert_eq!(
        refusal(of_flags(&url)),
        "--public-url: \"https://id.example.org/\" ends with a slash: write \"https://id.example.org\""
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let cases = [
        (
            "GRANTOR_PASSWORDS_QUEUE",
            "many",
            "GRANTOR_PASSWORDS_QUEUE: \"many\" is not a whole number between 1 and 100000",
        ),
        ("GRANTOR_PASSWORDS_QUEUE", "0", "GRANTOR_PASSWORDS_QUEUE: 0 is not between 1 and 100000"),
        ("GRANTOR_LOG_LEVEL", "loud", "GRANTOR_LOG_LEVEL: \"loud\" is none of error, warn, info, debug, trace"),
        (
            "GRANTOR_SERVER_TRUSTED_PROXIES",
            "::1,proxy",
            "GRANTOR_SERVER_TRUSTED_PROXIES: \"proxy\" is not an address or a network such as 10.0.0.0/8",
        ),
        (
            "GRANTOR_DATABASE_URL",
            "mysql://u:hunter2@db/g",
            "GRANTOR_DATABASE_URL: the URL is neither sqlite:FILE nor postgres://USER:PASSWORD@HOST/DATABASE",
        ),
    ];
    for (name, value, message) in cases {
        assert_eq!(refusal(of_environment(&[(name, value)])), message);
    }
}

#[test]
fn an_unknown_variable_names_the_nearest() {
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_SERVER_LISEN", "off")])),
        "GRANTOR_SERVER_LISEN: no such setting\n\
         did you mean GRANTOR_SERVER_LISTEN?  (grantor config reference lists every key)"
    );
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_DATA", "/srv")])),
        "GRANTOR_DATA: no such setting\n\
         did you mean GRANTOR_SERVER_DATA?  (grantor config reference lists every key)"
    );
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_XYZZY", "1")])),
        "GRANTOR_XYZZY: no such setting\n\
         grantor config reference lists every variable"
    );
}

#[test]
fn a_secret_comes_from_one_place() {
    assert_eq!(
        refusal(of_file("[database]\nurl = \"sqlite:x\"\nurl_file = \"y\"\n")),
        "grantor.toml:3:12: url_file in [database]: set url or url_file, not both\n    \
             3 | url_file = \"y\"\n      \
               |            ^^^"
    );
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_DATABASE_URL", "sqlite:x"), ("GRANTOR_DATABASE_URL_FILE", "y")])),
        "GRANTOR_DATABASE_URL_FILE: set url or url_file, not both"
    );
}

#[test]
fn a_file_of_a_secret_that_is_no_use_is_named() -> Outcome {
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_DATABASE_URL_FILE", "/nonexistent/url")])),
        "GRANTOR_DATABASE_URL_FILE: /nonexistent/url cannot be read: No such file or directory (os error 2)"
    );
    let folder = Folder::new()?;
    let file = folder.write("url", "hunter2\n")?.display().to_string();
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_DATABASE_URL_FILE", file.as_str())])),
        format!(
            "GRANTOR_DATABASE_URL_FILE: in {file}, the URL is neither sqlite:FILE nor \
             postgres://USER:PASSWORD@HOST/DATABASE"
        )
    );
    Ok(())
}

#[test]
fn a_line_with_a_password_is_shown_without_it() {
    assert_eq!(
        refusal(of_file("[database]\nulr = \"postgres://u:hunter2@db/g\"\n")),
        "grantor.toml:2:1: unknown key \"ulr\" in [database]\n    \
             2 | ulr = \"postgres://u:[redacted]@db/g\"\n      \
               | ^^^\n\
         keys of [database]: url, url_file  (grantor config reference lists every key)"
    );
}

#[test]
fn certificate_and_key_come_together_and_can_be_read() -> Outcome {
    assert_eq!(
        refusal(of_file("[server]\ntls_key = \"k.pem\"\n")),
        "grantor.toml:2:11: tls_key in [server]: needs tls_certificate beside it\n    \
             2 | tls_key = \"k.pem\"\n      \
               |           ^^^^^^^"
    );
    assert_eq!(
        refusal(of_environment(&[("GRANTOR_SERVER_TLS_CERTIFICATE", "c.pem")])),
        "GRANTOR_SERVER_TLS_CERTIFICATE: needs tls_key beside it"
    );
    let folder = Folder::new()?;
    let certificate = folder.write("c.pem", "")?;
    let content = format!(
        "[server]\ntls_certificate = {:?}\ntls_key = \"/nonexistent/k.pem\"\n",
        certificate.display().to_string()
    );
    assert_eq!(
        refusal(of_file(&content)),
        "grantor.toml:3:11: tls_key in [server]: /nonexistent/k.pem cannot be read: No such file or directory (os error 2)\n    \
             3 | tls_key = \"/nonexistent/k.pem\"\n      \
               |           ^^^^^^^^^^^^^^^^^^^^"
    );
    let whole = content.replace("/nonexistent/k.pem", &certificate.display().to_string());
    let config = of_file(&whole)?;
    assert_eq!(config.tls_files(), Some((certificate.as_path(), certificate.as_path())));
    Ok(())
}

#[test]
fn two_listeners_do_not_share_an_address() {
    let flag = Overrides { listen: Some("127.0.0.1:9000".to_owned()), ..Overrides::default() };
    assert_eq!(refusal(of_flags(&flag)), "--listen: 127.0.0.1:9000 is the address of ops_listen too");
    assert_eq!(
        refusal(of_file("[server]\ngateway_listen = \"127.0.0.1:8080\"\n")),
        "grantor.toml:2:18: gateway_listen in [server]: 127.0.0.1:8080 is the address of listen too\n    \
             2 | gateway_listen = \"127.0.0.1:8080\"\n      \
               |                  ^^^^^^^^^^^^^^^^"
    );
    let any = Some("127.0.0.1:0".to_owned());
    let free = Overrides { listen: any.clone(), ops_listen: any, ..Overrides::default() };
    assert!(of_flags(&free).is_ok());
}

#[test]
fn beyond_loopback_the_issuer_must_be_fixed() -> Outcome {
    let mut flags = Overrides { listen: Some("0.0.0.0:8080".to_owned()), ..Overrides::default() };
    let open = of_flags(&flags)?;
    assert_eq!(
        open.check_serving().err().map(|error| error.to_string()).as_deref(),
        Some(
            "--listen: 0.0.0.0:8080 is reached from other machines, so public_url must be set\n\
             for example: --public-url https://id.example.org  (or public_url in [server], or GRANTOR_SERVER_PUBLIC_URL)"
        )
    );
    flags.public_url = Some("https://id.example.org".to_owned());
    assert_eq!(of_flags(&flags)?.check_serving(), Ok(()));
    for local in ["[::1]:8080", "127.0.0.5:8080", "off"] {
        flags = Overrides { listen: Some(local.to_owned()), ..Overrides::default() };
        assert_eq!(of_flags(&flags)?.check_serving(), Ok(()));
    }
    Ok(())
}
