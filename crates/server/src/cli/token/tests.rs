//! `grantor token` against a small issuer on the loopback address.

use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use serde_json::json;

use super::*;
use crate::outbound::tests::{answer, serve};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    token: TokenArgs,
}

/// The arguments of a command line, after `grantor token`.
fn args(words: &str) -> Outcome<TokenArgs> {
    let words = std::iter::once("token").chain(words.split_whitespace());
    Ok(Program::try_parse_from(words)?.token)
}

const HERE: &str = "--token-url http://localhost/token --client-id app";

fn no_terminal(_: &str) -> Option<io::Result<String>> {
    None
}

/// What is sent when these variables are set and nobody can be asked.
fn sent(words: &str, variables: &[(&str, &str)]) -> Outcome<(Option<String>, String)> {
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let sources = Sources { variable: &variable, prompt: &no_terminal };
    let request = Request::of(&args(words)?, &sources)?;
    let header = request.headers.get(AUTHORIZATION).map(HeaderValue::to_str).transpose()?;
    Ok((header.map(str::to_owned), request.form))
}

#[test]
fn each_grant_sends_its_parameters() -> Outcome {
    let secret = ("GRANTOR_CLIENT_SECRET", "s3cret");
    let basic = || Some(format!("Basic {}", STANDARD.encode("app:s3cret")));
    assert_eq!(sent(HERE, &[secret])?, (basic(), "grant_type=client_credentials".to_owned()));
    assert_eq!(
        sent(&format!("{HERE} --username al+ice --scope openid"), &[secret, ("GRANTOR_PASSWORD", "p&q é")])?,
        (basic(), "grant_type=password&username=al%2Bice&password=p%26q+%C3%A9&scope=openid".to_owned())
    );
    assert_eq!(
        sent(HERE, &[secret, ("GRANTOR_REFRESH_TOKEN", "a.b.c")])?,
        (basic(), "grant_type=refresh_token&refresh_token=a.b.c".to_owned())
    );
    assert_eq!(
        sent(&format!("{HERE} --grant client_credentials"), &[secret, ("GRANTOR_REFRESH_TOKEN", "a.b.c")])?.1,
        "grant_type=client_credentials"
    );
    Ok(())
}

#[test]
fn each_client_authentication_shows_itself() -> Outcome {
    let secret = [("GRANTOR_CLIENT_SECRET", "p:q r")];
    let (header, _) = sent("--token-url http://localhost/ --client-id a:b", &secret)?;
    assert_eq!(header, Some(format!("Basic {}", STANDARD.encode("a%3Ab:p%3Aq+r"))));
    assert_eq!(
        sent(&format!("{HERE} --client-auth post"), &secret)?,
        (None, "grant_type=client_credentials&client_id=app&client_secret=p%3Aq+r".to_owned())
    );
    assert_eq!(
        sent(&format!("{HERE} --client-auth none"), &[])?,
        (None, "grant_type=client_credentials&client_id=app".to_owned())
    );
    Ok(())
}

#[test]
fn a_secret_comes_from_a_file_first_and_a_prompt_last() -> Outcome {
    let file = std::env::temp_dir().join(format!("grantor-token-{}.txt", std::process::id()));
    std::fs::write(&file, " with spaces \r\n")?;
    let wanted =
        |file| Wanted { what: "Secret".to_owned(), flag: "--f", file, variable: "V", prompted: true, otherwise: None };
    let (set, unset) = (|_: &str| Some("from variable".to_owned()), |_: &str| None::<String>);
    let typed = |question: &str| Some(Ok::<_, io::Error>(format!("typed after {question}")));

    let all = Sources { variable: &set, prompt: &typed };
    assert_eq!(all.secret(&wanted(Some(file.as_path())))?.expose(), " with spaces ");
    assert_eq!(all.secret(&wanted(None))?.expose(), "from variable");
    let person = Sources { variable: &unset, prompt: &typed };
    assert_eq!(person.secret(&wanted(None))?.expose(), "typed after Secret: ");
    let nobody = Sources { variable: &unset, prompt: &no_terminal };
    let refused = nobody.secret(&wanted(None)).err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("error: Secret: not given\n  set V, or name a file: --f FILE"));

    std::fs::write(&file, "\n")?;
    assert!(
        all.secret(&wanted(Some(file.as_path()))).is_err(),
        "an empty file is a mistake, not a reason to look elsewhere"
    );
    std::fs::remove_file(&file)?;
    assert!(all.secret(&wanted(Some(file.as_path()))).is_err());
    Ok(())
}

#[test]
fn what_is_missing_is_said() {
    let refused = |words: &str| sent(words, &[]).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        refused(HERE),
        "error: Secret of the client app: not given\n  \
         set GRANTOR_CLIENT_SECRET, or name a file: --client-secret-file FILE\n  \
         for a public client: --client-auth none"
    );
    assert!(refused(&format!("{HERE} --grant password")).contains("--username"));
    assert!(refused(&format!("{HERE} --grant refresh_token")).contains("GRANTOR_REFRESH_TOKEN"));
    for wrong in [
        "--client-id app",
        "--token-url http://localhost/",
        "--token-url http://localhost/ --issuer http://localhost --client-id app",
        "--token-url http://localhost/ --client-id app --client-secret x",
        "--token-url http://localhost/ --client-id app --grant implicit",
    ] {
        assert!(args(wrong).is_err(), "{wrong}");
    }
}

/// An issuer that answers the token request so, and what it was sent.
async fn issuer(
    status: &'static str,
    headers: &'static str,
    body: Value,
) -> Outcome<(String, Arc<Mutex<Vec<String>>>)> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = serve(move |request| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.to_owned());
        let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        if request.starts_with("GET /realm/.well-known/openid-configuration ") {
            let metadata = json!({
                "issuer": format!("http://{host}/realm"),
                "token_endpoint": format!("http://{host}/realm/token"),
            });
            answer("200 OK", "", &metadata.to_string())
        } else {
            answer(status, headers, &body.to_string())
        }
    })
    .await?;
    Ok((format!("http://{server}/realm"), asked))
}

async fn printed(issuer: &str, flags: &str, output: &Output) -> Outcome<(String, Option<String>)> {
    let args = args(&format!("--issuer {issuer} --client-id app --client-auth none {flags}"))?;
    let request = Request::of(&args, &Sources { variable: &|_| None, prompt: &no_terminal })?;
    let done = exchange(&args, request, output).await;
    Ok((output.taken(), done.err().map(|error| error.to_string())))
}

fn granted() -> Value {
    json!({
        "access_token": "a.b.c", "expires_in": 300, "refresh_expires_in": 1800, "refresh_token": "r.r.r",
        "token_type": "Bearer", "scope": "profile email",
    })
}

#[tokio::test]
async fn a_token_fits_where_it_is_printed() -> Outcome {
    let (issuer, asked) = issuer("200 OK", "", granted()).await?;
    for (flags, terminal) in [("", false), ("--access-token", false), ("--access-token", true)] {
        let got = printed(&issuer, flags, &Output::captured(false, terminal)).await?;
        assert_eq!(got, ("a.b.c\n".to_owned(), None));
    }
    let (shown, _) = printed(&issuer, "", &Output::captured(false, true)).await?;
    assert_eq!(
        shown,
        "type           Bearer\n\
         expires        in 5 min\n\
         scope          profile email\n\
         refresh token  expires in 30 min; --json shows it\n\
         \n\
         a.b.c\n"
    );
    let (json, _) = printed(&issuer, "", &Output::captured(true, false)).await?;
    assert_eq!(serde_json::from_str::<Value>(&json)?, granted());
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let post = asked.iter().find(|request| request.starts_with("POST /realm/token ")).ok_or("no request")?;
    assert!(post.ends_with("\r\n\r\ngrant_type=client_credentials&client_id=app"), "{post}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_leads_to_its_explanation() -> Outcome {
    let body = json!({"error": "invalid_client", "error_description": "Invalid client\u{1b}[2J or credentials"});
    let (first, _) = issuer("401 Unauthorized", "grantor-decision: 0199-af\r\n", body.clone()).await?;
    let (shown, error) = printed(&first, "", &Output::captured(false, false)).await?;
    assert_eq!(shown, "");
    assert_eq!(
        error.as_deref(),
        Some(
            "error: invalid_client: Invalid client\\u001b[2J or credentials (HTTP 401)\n  \
             decision 0199-af; on the server, this says why: grantor explain 0199-af"
        )
    );
    let (shown, error) = printed(&first, "", &Output::captured(true, false)).await?;
    assert_eq!(serde_json::from_str::<Value>(&shown)?, body);
    assert!(error.is_some());

    let (second, _) =
        issuer("400 Bad Request", "grantor-decision: x; rm -rf ~\r\n", json!({"error": "invalid_scope"})).await?;
    let (_, error) = printed(&second, "", &Output::captured(false, false)).await?;
    assert_eq!(error.as_deref(), Some("error: invalid_scope (HTTP 400)"));
    Ok(())
}

#[tokio::test]
async fn an_answer_without_a_token_is_no_success() -> Outcome {
    for (status, body) in [
        ("200 OK", json!({"access_token": 7})),
        ("200 OK", json!([])),
        ("400 Bad Request", json!({"access_token": "a.b.c"})),
        ("503 Service Unavailable", json!("later")),
    ] {
        let (issuer, _) = issuer(status, "", body).await?;
        let (shown, error) = printed(&issuer, "", &Output::captured(false, false)).await?;
        assert_eq!(shown, "");
        assert!(error.is_some_and(|error| error.starts_with("error: the answer holds no access token (HTTP ")));
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_another_gets_no_secret() -> Outcome {
    let (issuer, asked) = issuer("200 OK", "", granted()).await?;
    let (_, error) = printed(&format!("{issuer}/"), "", &Output::captured(false, false)).await?;
    assert!(error.is_some_and(|error| error.contains("are of another issuer")));
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    Ok(())
}
