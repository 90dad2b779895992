//! Partners: issuers of assertions, with keys, certificates, and a server that publishes the keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use grantor_model::jose::{self, Algorithm, SigningKey};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{BEGINNING, World};

/// Who signs assertions.
pub struct Partner {
    pub key: SigningKey,
    der: Vec<u8>,
}

impl Partner {
    /// The partner that tests trust.
    pub fn trusted() -> &'static Self {
        static ONE: OnceLock<Partner> = OnceLock::new();
        ONE.get_or_init(|| Self::rsa("partner-1"))
    }

    /// Somebody else.
    pub fn stranger() -> &'static Self {
        static ONE: OnceLock<Partner> = OnceLock::new();
        ONE.get_or_init(|| Self::rsa("partner-1"))
    }

    fn rsa(kid: &str) -> Self {
        let der = jose::generate_rsa(2048).unwrap().to_vec();
        Self { key: SigningKey::rsa(Some(kid.to_owned()), Algorithm::RS256, &der).unwrap(), der }
    }

    /// The same key under another algorithm.
    pub fn under(&self, algorithm: Algorithm) -> Self {
        let kid = Some(self.key.kid().to_owned());
        Self { key: SigningKey::rsa(kid, algorithm, &self.der).unwrap(), der: self.der.clone() }
    }

    /// The public key as PEM.
    pub fn public_key(&self) -> String {
        pem("PUBLIC KEY", self.key.spki_der().unwrap())
    }

    /// A certificate that is valid for some days after a moment.
    pub fn certificate(&self, from: i64, days: i64) -> String {
        let der = rustls::pki_types::PrivateKeyDer::try_from(self.der.clone()).unwrap();
        let key = rcgen::KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["partner.example".to_owned()]).unwrap();
        params.not_before = time::OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(from + days * 86_400).unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    /// A certificate that is valid when worlds begin.
    pub fn valid_certificate(&self) -> String {
        self.certificate(BEGINNING - 86_400, 365)
    }

    /// The key set that it publishes.
    pub fn key_set(&self) -> Value {
        json!({"keys": [self.key.public_jwk().unwrap()]})
    }

    /// Signs whatever it is given.
    pub fn sign(&self, header: &Value, claims: &str) -> String {
        jose::sign_compact(&header.to_string(), claims.as_bytes(), &self.key).unwrap()
    }

    /// Signs claims under the usual header.
    pub fn assertion(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.key.algorithm().name(), "kid": self.key.kid()}), &claims.to_string())
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Claims with some replaced; `null` takes one away.
pub fn changed(claims: &Value, changes: Value) -> Value {
    let mut claims: Map<String, Value> = claims.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap().clone() {
        match value {
            Value::Null => drop(claims.shift_remove(&name)),
            value => drop(claims.insert(name, value)),
        }
    }
    Value::Object(claims)
}

/// What a key server does with a request.
#[derive(Clone, Debug)]
pub enum Does {
    /// Answers with a body of JSON.
    Publish(Value),
    /// Answers with these bytes after the status line `HTTP/1.1 `.
    Say(String),
    /// Takes the request and says nothing.
    Hang,
    /// Closes the connection.
    Close,
}

/// A server that publishes keys, until it does something else.
#[derive(Clone)]
pub struct KeyServer {
    pub address: SocketAddr,
    does: Arc<Mutex<Does>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    pub async fn start(does: Does) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), does: Arc::new(Mutex::new(does)), asked: Arc::default() };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let mut head = [0; 2048];
                    let _ = stream.read(&mut head).await;
                    shared.asked.fetch_add(1, Ordering::SeqCst);
                    let does = shared.does.lock().unwrap().clone();
                    let text = match does {
                        Does::Publish(body) => {
                            let body = body.to_string();
                            format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                        }
                        Does::Say(text) => text,
                        Does::Hang => return tokio::time::sleep(Duration::from_secs(60)).await,
                        Does::Close => return,
                    };
                    let _ = stream.write_all(format!("HTTP/1.1 {text}").as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    /// One that speaks TLS, under a certificate of these days.
    pub async fn start_tls(from: i64, days: i64) -> Self {
        let (server, chain) = (Self::start(Does::Close).await, Partner::trusted().certificate(from, days));
        let chain =
            rustls::pki_types::CertificateDer::from(grantor_model::jose::pem_or_base64_der(&chain).unwrap().to_vec());
        let key = rustls::pki_types::PrivateKeyDer::try_from(Partner::trusted().der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![chain], key).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let secure = Self { address: listener.local_addr().unwrap(), ..server };
        let asked = secure.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = tokio_rustls::TlsAcceptor::from(config.clone()).accept(stream).await;
            }
        });
        secure
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    pub fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl World {
    /// Adds an identity provider with Grantor's rules and these settings.
    pub async fn trust(&self, realm: &str, alias: &str, settings: &[(&str, &str)]) {
        self.try_to_trust(realm, alias, settings).await.unwrap();
    }

    /// The same, and why it was not saved.
    pub async fn try_to_trust(&self, realm: &str, alias: &str, settings: &[(&str, &str)]) -> Result<(), String> {
        let mut config = grantor_flows::admin::identity_providers::standard_settings();
        config.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))));
        let document = grantor_model::realm::IdentityProviderDocument {
            alias: alias.to_owned(),
            config,
            ..grantor_model::realm::IdentityProviderDocument::default()
        };
        let realm = self.realm(realm).await;
        let added = self.app.engine.add_identity_provider(&realm, document, self.now()).await;
        added.map(drop).map_err(|error| format!("{error:?}"))
    }
}
