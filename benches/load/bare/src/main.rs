//! What Grantor is measured against: the least that a server with a token endpoint could do, and a signature alone.
//!
//!     load-bare serve PORT              answers on 127.0.0.1 until it is stopped
//!     load-bare rate ALGORITHM SECONDS  signs on one thread and prints the signatures per second
//!
//! `POST /fixed` takes the body and answers 1.1 KB of JSON that never change. `POST /sign/ALGORITHM` takes the body,
//! signs claims that never change, and answers with the token: no client, no realm, no clock, no log. Both are plain
//! axum handlers on a runtime like Grantor's, with the same keys, signed by the same library.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use grantor_model::jose::{
    Algorithm, JoseError, SigningKey, encoded_header, generate_ec, generate_ed25519, generate_rsa, sign_with_header,
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use tokio::net::TcpListener;

const USAGE: &str = "usage: load-bare serve PORT | load-bare rate RS256|ES256|EdDSA SECONDS";

const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The claims of a service account, as Grantor writes them.
const CLAIMS: &str = concat!(
    r#"{"exp":1795657232,"iat":1795656932,"jti":"trrtcc:01a2157e-5b09-7b47-836d-2d9d20ffb094","#,
    r#""clientId":"load-es256","iss":"http://127.0.0.1:8080/realms/load","aud":"account","#,
    r#""sub":"01a2157e-571b-743c-8397-bdbe902a8b8a","typ":"Bearer","azp":"load-es256","acr":"1","#,
    r#""realm_access":{"roles":["default-roles-load","offline_access","uma_authorization"]},"#,
    r#""resource_access":{"account":{"roles":["manage-account","manage-account-links","view-profile"]}},"#,
    r#""scope":"profile email","preferred_username":"service-account-load-es256","email_verified":false,"#,
    r#""client_id":"load-es256","clientHost":"127.0.0.1","clientAddress":"127.0.0.1"}"#,
);

/// What stands around the token in the answer.
const AFTER: &str = concat!(
    r#"","expires_in":300,"refresh_expires_in":0,"token_type":"Bearer","#,
    r#""not-before-policy":0,"scope":"profile email"}"#,
);

/// A key and the header of its tokens.
struct Signer {
    key: SigningKey,
    header: String,
}

impl Signer {
    fn new(algorithm: Algorithm) -> Result<Self, JoseError> {
        let key = match algorithm {
            Algorithm::ES256 => SigningKey::ec(None, algorithm, &generate_ec(algorithm)?, None),
            Algorithm::EdDSA => SigningKey::ed25519(None, &generate_ed25519()?, None),
            _ => SigningKey::rsa(None, algorithm, &generate_rsa(2048)?),
        }?;
        let header = encoded_header(&key, "JWT");
        Ok(Self { key, header })
    }

    /// The answer around a new token.
    fn answer(&self) -> Result<String, JoseError> {
        let token = sign_with_header(&self.header, CLAIMS.as_bytes(), &self.key)?;
        let mut body = String::with_capacity(token.len() + AFTER.len() + 20);
        body.push_str(r#"{"access_token":""#);
        body.push_str(&token);
        body.push_str(AFTER);
        Ok(body)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", port] => port.parse().map_err(|_| USAGE.to_owned()).and_then(serve),
        ["rate", algorithm, seconds] => match (Algorithm::parse(algorithm), seconds.parse::<f64>()) {
            (Some(algorithm), Ok(seconds)) if seconds > 0.0 && seconds < 600.0 => rate(algorithm, seconds),
            _ => Err(USAGE.to_owned()),
        },
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(2)
        }
    }
}

/// Signs what a token signs, over and over, and prints how often in a second.
fn rate(algorithm: Algorithm, seconds: f64) -> Result<(), String> {
    let signer = Signer::new(algorithm).map_err(|error| error.to_string())?;
    let token = sign_with_header(&signer.header, CLAIMS.as_bytes(), &signer.key).map_err(|error| error.to_string())?;
    let message = token.rsplit_once('.').map(|(input, _)| input.as_bytes()).unwrap_or_default();
    let signatures = |long: Duration| -> Result<f64, JoseError> {
        let (started, mut count) = (Stopwatch::now(), 0_u32);
        while started.elapsed() < long {
            for _ in 0..16 {
                black_box(signer.key.sign(black_box(message))?);
            }
            count += 16;
        }
        Ok(f64::from(count) / started.elapsed().as_secs_f64())
    };
    // A little first, so that caches and clock speed are what they will be.
    let measured = signatures(Duration::from_secs_f64(seconds / 8.0))
        .and_then(|_| signatures(Duration::from_secs_f64(seconds)))
        .map_err(|error| error.to_string())?;
    println!("{measured:.1}");
    Ok(())
}

/// Answers until it is stopped.
fn serve(port: u16) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut router = Router::new();
    for algorithm in ALGORITHMS {
        let signer = Arc::new(Signer::new(algorithm).map_err(|error| error.to_string())?);
        let path = format!("/sign/{}", algorithm.name());
        router = router.route(&path, post(sign).with_state(signer));
    }
    let signer = Signer::new(Algorithm::ES256).map_err(|error| error.to_string())?;
    let fixed = Bytes::from(signer.answer().map_err(|error| error.to_string())?);
    router = router.route("/fixed", post(unchanged).with_state(fixed));
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
        axum::serve(listener, router).await.map_err(|error| error.to_string())
    })
}

fn headers() -> [(HeaderName, &'static str); 2] {
    [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")]
}

async fn unchanged(State(body): State<Bytes>, request: Bytes) -> impl IntoResponse {
    black_box(request);
    (headers(), body)
}

async fn sign(State(signer): State<Arc<Signer>>, request: Bytes) -> impl IntoResponse {
    black_box(request);
    (headers(), signer.answer().unwrap_or_default())
}
