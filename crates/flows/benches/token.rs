//! What the token endpoint's work costs without HTTP: from a form to a signed answer, through the public interface.
//!
//! `client_credentials` authenticates the client, decides about scopes and roles, writes the claims and signs them;
//! `signature` is the bare signature with a key of the same kind, measured beside it. The lines at the end say how
//! much of the time of a token is its signature. `form` is the reading of the parameters.

#![allow(clippy::unwrap_used, reason = "a measurement may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "the ratios at the end are the answer")]

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use criterion::{Criterion, Throughput};
use grantor_flows::admin::import::IfExists;
use grantor_flows::client_secrets::SecretUses;
use grantor_flows::decisions::Decisions;
use grantor_flows::entropy::Entropy;
use grantor_flows::fetch::{Boxed, Fetch, Fetched};
use grantor_flows::key_sets::KeySets;
use grantor_flows::keys::Ahead;
use grantor_flows::passwords::Passwords;
use grantor_flows::realms::Realms;
use grantor_flows::signatures::Signatures;
use grantor_flows::token::{Seen, token};
use grantor_flows::vault::Vault;
use grantor_flows::{Call, Engine, Parameters, Realm};
use grantor_model::Instant;
use grantor_model::jose::{Algorithm, SigningKey, generate_ec, generate_ed25519, generate_rsa};
use grantor_store::{Store, connect, migrate};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

const REALM: &str = "bench";
const NOW: Instant = Instant::from_seconds(1_800_000_000);
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

const CALL: Call<'static> = Call {
    now: NOW,
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    secure: false,
    base: "http://127.0.0.1:8080",
    origin: None,
    authorization: None,
};

/// Nothing is fetched here.
struct Nowhere;

impl Fetch for Nowhere {
    fn get<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<Fetched, String>> {
        Box::pin(std::future::ready(Err("nothing is fetched here".to_owned())))
    }

    fn admits<'a>(&'a self, _: &'a str) -> Boxed<'a, Result<(), String>> {
        Box::pin(std::future::ready(Err("nothing is fetched here".to_owned())))
    }
}

/// A folder that goes when the measurement ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("grantor-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One client for each algorithm, named after it.
fn realm_file() -> Map<String, Value> {
    let client = |algorithm: Algorithm| {
        json!({
            "clientId": algorithm.name(),
            "protocol": "openid-connect",
            "publicClient": false,
            "serviceAccountsEnabled": true,
            "secret": secret(algorithm),
            "attributes": {"access.token.signed.response.alg": algorithm.name()},
        })
    };
    let file = json!({"realm": REALM, "enabled": true, "clients": ALGORITHMS.map(client)});
    file.as_object().cloned().unwrap()
}

fn secret(algorithm: Algorithm) -> String {
    format!("test-secret-{}", algorithm.name())
}

async fn engine(folder: &Folder) -> Engine {
    let database = connect(&format!("sqlite:{}", folder.0.join("grantor.db").display())).await.unwrap();
    migrate(database.as_ref(), NOW.millis()).await.unwrap();
    let entropy = Entropy::new();
    let vault = Vault::from_text(&Vault::new_key_text(&entropy).unwrap()).unwrap();
    let engine = Engine {
        store: Store::new(database),
        realms: Realms::new(),
        passwords: Passwords::new(1, 16, std::path::PathBuf::new()),
        vault: Arc::new(vault),
        entropy,
        signatures: Signatures::default(),
        decisions: std::sync::Arc::new(Decisions::default()),
        secret_uses: SecretUses::default(),
        key_sets: std::sync::Arc::new(KeySets::default()),
        keys_ahead: Ahead::default(),
        fetch: Arc::new(Nowhere),
        assertions: grantor_flows::assertions::Settings::default(),
        wso2: grantor_flows::wso2::Settings::default(),
    };
    engine.make_master(NOW).await.unwrap();
    engine.import_realm(realm_file(), IfExists::Fail, NOW).await.unwrap();
    engine
}

fn form(algorithm: Algorithm) -> String {
    format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=profile%20email",
        algorithm.name(),
        secret(algorithm)
    )
}

fn parameters(form: &str) -> Parameters {
    Parameters::new(form_urlencoded::parse(form.as_bytes()).into_owned())
}

async fn issued(engine: &Engine, realm: &Arc<Realm>, parameters: &Parameters) -> String {
    let mut seen = Seen::default();
    token(engine, &CALL, realm.clone(), parameters, &mut seen).await.unwrap().body
}

/// A key as the realm has it: the first token makes those that are missing.
async fn warm(engine: &Engine) -> Arc<Realm> {
    for algorithm in ALGORITHMS {
        let realm = engine.realm(REALM, NOW).await.unwrap().unwrap();
        issued(engine, &realm, &parameters(&form(algorithm))).await;
    }
    engine.realm(REALM, NOW).await.unwrap().unwrap()
}

fn key(algorithm: Algorithm) -> SigningKey {
    let key = match algorithm {
        Algorithm::RS256 => SigningKey::rsa(None, algorithm, &generate_rsa(2048).unwrap()),
        Algorithm::ES256 => SigningKey::ec(None, algorithm, &generate_ec(algorithm).unwrap(), None),
        _ => SigningKey::ed25519(None, &generate_ed25519().unwrap(), None),
    };
    key.unwrap()
}

/// The least time of one round, over all samples.
#[derive(Default)]
struct Least(Cell<Option<Duration>>);

impl Least {
    /// Takes a sample in; short ones say nothing.
    fn note(&self, all: Duration, rounds: u64) -> Duration {
        let one = all / u32::try_from(rounds).unwrap_or(u32::MAX);
        if all >= Duration::from_millis(2) && self.0.get().is_none_or(|least| one < least) {
            self.0.set(Some(one));
        }
        all
    }
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let folder = Folder::new();
    let (engine, realm) = runtime.block_on(async {
        let engine = engine(&folder).await;
        let realm = warm(&engine).await;
        (engine, realm)
    });
    let mut criterion = Criterion::default().configure_from_args();

    let mut lines = Vec::new();
    for algorithm in ALGORITHMS {
        let (bare, whole) = (Least::default(), Least::default());
        let mut group = criterion.benchmark_group(algorithm.name());
        group.throughput(Throughput::Elements(1));
        let parameters = parameters(&form(algorithm));
        let (key, message) = (key(algorithm), signing_input(&runtime, &engine, &realm, &parameters));
        group.bench_function("signature", |bencher| {
            bencher.iter_custom(|rounds| {
                let started = Stopwatch::now();
                for _ in 0..rounds {
                    black_box(key.sign(black_box(message.as_bytes())).unwrap());
                }
                bare.note(started.elapsed(), rounds)
            });
        });
        group.bench_function("client_credentials", |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Stopwatch::now();
                    for _ in 0..rounds {
                        black_box(issued(&engine, &realm, black_box(&parameters)).await);
                    }
                    whole.note(started.elapsed(), rounds)
                })
            });
        });
        group.finish();
        if let (Some(bare), Some(whole)) = (bare.0.get(), whole.0.get()) {
            let share = 100.0 * bare.as_secs_f64() / whole.as_secs_f64();
            lines.push(format!("{algorithm}: {share:.1} % of the bare signature's rate ({bare:?} of {whole:?})"));
        }
    }

    let mut group = criterion.benchmark_group("form");
    let short = form(Algorithm::RS256);
    let long = format!("grant_type=refresh_token&client_id=app&refresh_token={}", "eyJhbGciOiJIUzUxMiJ9.".repeat(40));
    for (name, body) in [("client_credentials", &short), ("refresh_token", &long)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parameters(black_box(body))));
    }
    group.finish();

    criterion.final_summary();
    for line in lines {
        println!("{line}");
    }
    drop(engine);
}

/// What is signed in a token of this client.
fn signing_input(runtime: &Runtime, engine: &Engine, realm: &Arc<Realm>, parameters: &Parameters) -> String {
    let answer: Value = serde_json::from_str(&runtime.block_on(issued(engine, realm, parameters))).unwrap();
    let token = answer.get("access_token").and_then(Value::as_str).unwrap();
    token.rsplit_once('.').map(|(input, _)| input.to_owned()).unwrap()
}
