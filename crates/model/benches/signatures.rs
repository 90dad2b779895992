//! What signing, verifying and reading a token cost, without anything around them: `cargo bench --workspace`.
//!
//! `sign` is the bare signature that the token endpoint is measured against (`benches/load`, docs/performance.md);
//! `token` adds base64url and the joining of the parts; `verify` is the signature of a token that was read before;
//! `parse` is reading alone, which proves nothing.

#![allow(clippy::unwrap_used, reason = "a measurement may stop at the first surprise")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use grantor_model::jose::{
    Algorithm, SigningKey, encoded_header, generate_ec, generate_ed25519, generate_hmac, generate_rsa, parse,
    sign_with_header,
};
use serde_json::json;

/// The claims of a service account, as the token endpoint writes them.
fn claims() -> Vec<u8> {
    let claims = json!({
        "exp": 1_795_657_232, "iat": 1_795_656_932, "jti": "trrtcc:01a2157e-5b09-7b47-836d-2d9d20ffb094",
        "clientId": "demo-app", "iss": "http://127.0.0.1:8080/realms/demo", "aud": "account",
        "sub": "01a2157e-571b-743c-8397-bdbe902a8b8a", "typ": "Bearer", "azp": "demo-app", "acr": "1",
        "realm_access": {"roles": ["default-roles-demo", "offline_access", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}},
        "scope": "profile email", "preferred_username": "service-account-demo-app", "email_verified": false,
        "client_id": "demo-app", "clientHost": "127.0.0.1", "clientAddress": "127.0.0.1"
    });
    claims.to_string().into_bytes()
}

/// RSA and HMAC keys have the lengths that a new realm's have.
fn keys() -> Vec<SigningKey> {
    let rsa = generate_rsa(2048).unwrap();
    vec![
        SigningKey::rsa(None, Algorithm::RS256, &rsa).unwrap(),
        SigningKey::rsa(None, Algorithm::PS256, &rsa).unwrap(),
        SigningKey::ec(None, Algorithm::ES256, &generate_ec(Algorithm::ES256).unwrap(), None).unwrap(),
        SigningKey::ed25519(None, &generate_ed25519().unwrap(), None).unwrap(),
        SigningKey::hmac("shared".to_owned(), Algorithm::HS512, &generate_hmac(128).unwrap()).unwrap(),
    ]
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (keys, claims) = (keys(), claims());
    let signed = |key: &SigningKey| sign_with_header(&encoded_header(key, "JWT"), &claims, key).unwrap();

    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Elements(1));
    for key in &keys {
        let token = signed(key);
        let (message, _) = token.rsplit_once('.').unwrap();
        group.bench_function(id(key), |bencher| bencher.iter(|| key.sign(black_box(message.as_bytes())).unwrap()));
    }
    group.finish();

    let mut group = criterion.benchmark_group("token");
    group.throughput(Throughput::Elements(1));
    for key in &keys {
        let header = encoded_header(key, "JWT");
        group.bench_function(id(key), |bencher| {
            bencher.iter(|| sign_with_header(&header, black_box(&claims), key).unwrap());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    for key in &keys {
        let token = signed(key);
        let (parsed, verifying) = (parse(&token).unwrap(), key.verifying_key().unwrap());
        group.bench_function(id(key), |bencher| bencher.iter(|| black_box(&parsed).verify(&verifying).unwrap()));
    }
    group.finish();

    let mut group = criterion.benchmark_group("parse");
    for key in &keys {
        let token = signed(key);
        group.throughput(Throughput::Bytes(token.len() as u64));
        group.bench_function(BenchmarkId::new("header", key.algorithm().name()), |bencher| {
            bencher.iter(|| parse(black_box(&token)).unwrap());
        });
        group.bench_function(BenchmarkId::new("header and claims", key.algorithm().name()), |bencher| {
            bencher.iter(|| parse(black_box(&token)).unwrap().claims().unwrap());
        });
    }
    group.finish();

    criterion.final_summary();
}

fn id(key: &SigningKey) -> BenchmarkId {
    BenchmarkId::from_parameter(key.algorithm().name())
}
