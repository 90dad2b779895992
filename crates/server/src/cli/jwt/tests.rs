//! `grantor jwt` with tokens signed here, keys from a file, a URL and an issuer.

use grantor_model::jose::{self, Algorithm, JwkSet, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::outbound::tests::{answer, serve};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// 2011-03-22 18:43:00 UTC.
const NOW: Instant = Instant::from_seconds(1_300_819_380);

fn key(kid: &str) -> Result<SigningKey> {
    Ok(SigningKey::ec(Some(kid.to_owned()), Algorithm::ES256, &jose::generate_ec(Algorithm::ES256)?, None)?)
}

fn set(keys: &[&SigningKey]) -> JwkSet {
    JwkSet { keys: keys.iter().filter_map(|key| key.public_jwk()).collect() }
}

fn token(key: &SigningKey, claims: &Value) -> Result<String> {
    Ok(jose::sign_with_header(&jose::encoded_header(key, "JWT"), claims.to_string().as_bytes(), key)?)
}

/// Claims that hold at `NOW`.
fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": ["app", "account"], "sub": "alice",
        "iat": 1_300_819_320, "nbf": 1_300_819_320, "exp": 1_300_819_680,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if let Some(members) = claims.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    claims
}

fn verify_args(token: &str) -> VerifyArgs {
    VerifyArgs {
        token: Some(token.to_owned()),
        keys: KeySource { realm: Some("demo".to_owned()), ..KeySource::default() },
        data: None,
        config: None,
        audience: None,
        expect_issuer: None,
        leeway: 0,
    }
}

async fn verified(args: VerifyArgs, keys: JwkSet) -> (String, Option<String>) {
    let output = Output::captured(false, false);
    let args = JwtArgs { command: JwtCommand::Verify(Box::new(args)) };
    let done = run(args, Some(keys), NOW, &output).await;
    (output.taken(), done.err().map(|error| error.to_string()))
}

/// The names of the checks that fail.
fn failing(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Vec<&'static str> {
    let checks = checks::checks(token, keys, expected, NOW);
    checks.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| check.check).collect()
}

#[tokio::test]
async fn a_good_token_holds_check_by_check() -> Result {
    let key = key("k1")?;
    let token = token(&key, &claims())?;
    let mut args = verify_args(&format!(" Bearer {token}\n"));
    args.audience = Some("account".to_owned());
    args.expect_issuer = Some("https://id.example".to_owned());
    let (printed, error) = verified(args, set(&[&key])).await;
    assert_eq!(error, None, "{printed}");
    let form = format!("ok       form       three parts, {} characters\n", token.len());
    assert_eq!(
        printed,
        form + "ok       alg        ES256\n\
            ok       key        k1\n\
            ok       signature  made by the key k1\n\
            ok       iss        https://id.example\n\
            ok       aud        app, account\n\
            ok       exp        2011-03-22 18:48:00 UTC (in 5 min)\n\
            ok       nbf        2011-03-22 18:42:00 UTC (1 min ago)\n\
            ok       iat        2011-03-22 18:42:00 UTC (1 min ago)\n"
    );
    Ok(())
}

#[tokio::test]
async fn what_fails_says_what_was_expected() -> Result {
    let key = key("k1")?;
    let mut args = verify_args(&token(&key, &with("exp", json!(1_300_819_380)))?);
    args.audience = Some("billing".to_owned());
    let (printed, error) = verified(args, set(&[&key])).await;
    assert_eq!(error.as_deref(), Some("error: the token does not hold: aud, exp"));
    for line in [
        "skipped  iss        https://id.example (not compared: no --expect-issuer)\n",
        "FAILED   aud        expected billing, found app, account\n",
        "FAILED   exp        expected a time after 2011-03-22 18:43:00 UTC, found 2011-03-22 18:43:00 UTC (now)\n",
    ] {
        assert!(printed.contains(line), "{line}{printed}");
    }
    Ok(())
}

#[test]
fn claims_are_compared_exactly() -> Result {
    let key = key("k1")?;
    let keys = set(&[&key]);
    let expected = Expected { issuer: Some("https://id.example"), audience: Some("app"), leeway: 0 };
    let cases = [
        (claims(), vec![]),
        (with("iss", json!("https://id.example/")), vec!["iss"]),
        (with("iss", json!(["https://id.example"])), vec!["iss"]),
        (with("aud", json!("app")), vec![]),
        (with("aud", json!("App")), vec!["aud"]),
        (with("aud", json!([])), vec!["aud"]),
        (with("aud", json!([["app"]])), vec!["aud"]),
        (with("exp", json!("1300819680")), vec!["exp"]),
        (with("exp", json!(1_300_819_380.5)), vec![]),
        (with("exp", json!(1_300_819_379.5)), vec!["exp"]),
        (with("exp", json!(1e300)), vec![]),
        (with("nbf", json!(1_300_819_380)), vec![]),
        (with("nbf", json!(1_300_819_381)), vec!["nbf"]),
        (with("iat", json!(1_300_819_381)), vec!["iat"]),
        (with("iat", json!(null)), vec!["iat"]),
        (json!({}), vec!["iss", "aud", "exp"]),
    ];
    for (claims, fails) in cases {
        assert_eq!(failing(&token(&key, &claims)?, &keys, &expected), fails, "{claims}");
    }
    Ok(())
}

#[test]
fn leeway_is_for_both_directions() -> Result {
    let key = key("k1")?;
    let keys = set(&[&key]);
    let late = json!({"exp": 1_300_819_376, "nbf": 1_300_819_385, "iat": 1_300_819_385});
    for (leeway, fails) in [(5, vec![]), (4, vec!["exp", "nbf", "iat"])] {
        let expected = Expected { leeway, ..Expected::default() };
        assert_eq!(failing(&token(&key, &late)?, &keys, &expected), fails, "{leeway}");
    }
    Ok(())
}

#[test]
fn the_right_key_is_needed() -> Result {
    let (right, other, namesake) = (key("k1")?, key("k2")?, key("k1")?);
    let token = token(&right, &claims())?;
    let none = Expected::default();
    assert_eq!(failing(&token, &set(&[&other, &right]), &none), Vec::<&str>::new());
    assert_eq!(failing(&token, &set(&[&namesake]), &none), ["signature"]);
    assert_eq!(failing(&token, &set(&[&other]), &none), ["key"]);
    assert_eq!(failing(&token, &set(&[]), &none), ["key"]);
    let unnamed = jose::sign_compact(r#"{"alg":"ES256"}"#, claims().to_string().as_bytes(), &right)?;
    assert_eq!(failing(&unnamed, &set(&[&other, &right]), &none), Vec::<&str>::new());
    assert_eq!(failing(&unnamed, &set(&[&other]), &none), ["signature"]);

    let encryption = jose::Jwk { key_use: Some("enc".to_owned()), ..right.public_jwk().unwrap_or_default() };
    let checks = checks::checks(&token, &JwkSet { keys: vec![encryption] }, &none, NOW);
    let key = checks.iter().find(|check| check.check == "key").map(Check::detail);
    assert_eq!(
        key.as_deref(),
        Some("expected a key for ES256, found one that cannot be used: the key's use is not sig")
    );
    Ok(())
}

#[test]
fn no_algorithm_and_no_form_fail() -> Result {
    let keys = set(&[&key("k1")?]);
    let encoded = jose::b64url_encode(claims().to_string().as_bytes());
    let none = format!("{}.{encoded}.", jose::b64url_encode(br#"{"alg":"none"}"#));
    assert_eq!(failing(&none, &keys, &Expected::default()), ["alg"]);
    for token in ["", "x", "a.b.c", "e30.e30.e30", "a.b.c.d.e"] {
        assert_eq!(failing(token, &keys, &Expected::default()), ["form"], "{token}");
    }
    Ok(())
}

#[tokio::test]
async fn programs_read_an_array_of_checks() -> Result {
    let key = key("k1")?;
    let output = Output::captured(true, true);
    let args = JwtArgs { command: JwtCommand::Verify(Box::new(verify_args(&token(&key, &with("exp", json!(1)))?))) };
    assert!(run(args, Some(set(&[&key])), NOW, &output).await.is_err());
    let printed: Vec<Value> = serde_json::from_str(&output.taken())?;
    assert_eq!(printed.get(1), Some(&json!({"check": "alg", "outcome": "passed", "actual": "ES256"})));
    let exp = printed.iter().find(|check| check.get("check") == Some(&json!("exp"))).ok_or("no exp")?;
    assert_eq!(exp.get("outcome"), Some(&json!("failed")));
    assert_eq!(exp.get("expected"), Some(&json!("a time after 2011-03-22 18:43:00 UTC")));
    Ok(())
}

#[test]
fn a_terminal_gets_signs() {
    let checks = checks::checks("x", &JwkSet::default(), &Expected::default(), NOW);
    assert!(listed(&checks, true).starts_with("✗  form       expected a signed token"));
    assert!(listed(&checks, false).starts_with("FAILED   form       expected a signed token"));
}

#[tokio::test]
async fn keys_come_from_a_file_a_url_or_an_issuer() -> Result {
    let key = key("k1")?;
    let keys = serde_json::to_string(&set(&[&key]))?;
    let published = keys.clone();
    let server = serve(move |request| {
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        match request.split(' ').nth(1) {
            Some("/keys") => answer("200 OK", "", &published),
            Some("/realm/.well-known/openid-configuration") => {
                let metadata =
                    json!({"issuer": format!("http://{host}/realm"), "jwks_uri": format!("http://{host}/keys")});
                answer("200 OK", "", &metadata.to_string())
            }
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await?;
    let file = std::env::temp_dir().join(format!("grantor-jwt-{}.json", std::process::id()));
    std::fs::write(&file, keys)?;
    let issuer = format!("http://{server}/realm");
    let token = token(&key, &with("iss", json!(issuer)))?;
    for keys in [
        KeySource { jwks: Some(file.clone()), ..KeySource::default() },
        KeySource { jwks_url: Some(format!("http://{server}/keys")), ..KeySource::default() },
        KeySource { issuer: Some(issuer), ..KeySource::default() },
    ] {
        let args = VerifyArgs { keys: keys.clone(), ..verify_args(&token) };
        let (printed, error) = verified(args, JwkSet::default()).await;
        assert_eq!(error, None, "{keys:?} {printed}");
    }
    std::fs::remove_file(&file)?;
    for (keys, problem) in [
        (KeySource { jwks: Some(file.clone()), ..KeySource::default() }, "cannot be read"),
        (KeySource { jwks_url: Some(format!("http://{server}/none")), ..KeySource::default() }, "404 Not Found"),
        (KeySource::default(), "whose keys"),
    ] {
        let (_, error) = verified(VerifyArgs { keys, ..verify_args(&token) }, JwkSet::default()).await;
        assert!(error.as_ref().is_some_and(|error| error.contains(problem)), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn decoding_shows_header_claims_and_times() -> Result {
    let key = key("k1")?;
    let claims = json!({"exp": 1_300_819_440, "sub": "alice\u{9b}", "iat": 1_300_819_320.9, "auth_time": "x"});
    let args = |token: String| JwtArgs { command: JwtCommand::Decode(DecodeArgs { token: Some(token) }) };
    let output = Output::captured(false, true);
    run(args(token(&key, &claims)?), None, NOW, &output).await?;
    assert_eq!(
        output.taken(),
        "Header\n{\n  \"alg\": \"ES256\",\n  \"typ\": \"JWT\",\n  \"kid\": \"k1\"\n}\n\n\
         Claims\n{\n  \"exp\": 1300819440,\n  \"sub\": \"alice\\u009b\",\n  \"iat\": 1300819320.9,\n  \"auth_time\": \"x\"\n}\n\n\
         Times\niat  2011-03-22 18:42:00 UTC (1 min ago)\nexp  2011-03-22 18:44:00 UTC (in 1 min)\n"
    );
    let output = Output::captured(true, true);
    run(args(token(&key, &claims)?), None, NOW, &output).await?;
    let printed: Value = serde_json::from_str(&output.taken())?;
    assert_eq!(printed.get("claims"), Some(&claims));
    assert_eq!(printed.get("header"), Some(&json!({"alg": "ES256", "typ": "JWT", "kid": "k1"})));
    for (token, hint) in [("a.b.c.d.e", "encrypted"), ("opaque", "opaque token"), ("a.b.c", "cannot be read")] {
        let error = run(args(token.to_owned()), None, NOW, &output).await.err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(hint)), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_token_is_read_from_wherever_it_was_copied() -> Result {
    for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer\ta.b.c \r\n"] {
        assert_eq!(token_text(Some(text))?, "a.b.c");
    }
    assert!(token_text(Some("  ")).is_err());
    assert_eq!(from_input(b"a.b.c\n".as_slice())?, "a.b.c\n");
    assert!(from_input([0xff_u8].as_slice()).is_err());
    assert!(from_input(io::repeat(b'a')).is_ok_and(|text| text.len() > MAX_TOKEN_BYTES));
    Ok(())
}

#[test]
fn the_command_line_is_read() -> Result {
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        jwt: JwtArgs,
    }

    let read = |words: &str| Program::try_parse_from(words.split(' ')).map(|program| program.jwt);
    let args = read("grantor verify --realm demo --data d --audience app --leeway 5 a.b.c")?;
    assert_eq!(args.local_realm(), Some("demo"));
    assert!(matches!(&args.command, JwtCommand::Verify(verify) if verify.data.as_deref() == Some("d")));
    assert_eq!(read("grantor decode -")?.local_realm(), None);
    for wrong in [
        "grantor",
        "grantor verify a.b.c",
        "grantor verify --realm demo --issuer https://id.example a.b.c",
        "grantor verify --issuer https://id.example --data d a.b.c",
        "grantor verify --realm demo --leeway -1 a.b.c",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    Ok(())
}
