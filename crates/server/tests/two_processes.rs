//! Two processes on one PostgreSQL: what may happen once happens once, whichever of them is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

#[cfg(grantor_postgres)]
#[path = "../../store/tests/support/postgres.rs"]
mod postgres;

/// Without the programs the tests that call this are ignored.
#[cfg(not(grantor_postgres))]
mod postgres {
    pub(crate) fn fresh_database() -> String {
        panic!("PostgreSQL is missing")
    }
}

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use grantor_model::jose::{self, Algorithm, SigningKey};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A server of its own process, which ends with the test.
struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn grantor(data: &Path, database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grantor"));
    command.env_clear().env("GRANTOR_SERVER_DATA", data).env("GRANTOR_DATABASE_URL", database);
    command
}

impl Server {
    fn start(data: &Path, database: &str) -> Self {
        let mut command = grantor(data, database);
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--gateway-listen", "off"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.map_while(Result::ok).find(|line| line.contains("issuer")).expect("a line with the issuer");
        let address = issuer.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { process, address }
    }
}

async fn status(address: String, path: &'static str, body: String) -> String {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn one_of_fifty_posts_of_an_assertion_is_accepted() {
    let folder = std::env::temp_dir().join(format!("grantor-two-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let database = postgres::fresh_database();
    let der = jose::generate_rsa(2048).unwrap();
    let key = SigningKey::rsa(None, Algorithm::RS256, &der).unwrap();
    let set = json!({"keys": [key.public_jwk().unwrap()]}).to_string();
    let realm = json!({"realm": "demo", "enabled": true, "clients": [{
        "clientId": "orders", "secret": "test-secret", "publicClient": false, "protocol": "openid-connect",
        "attributes": {"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": "*"}}],
        "identityProviders": [{"alias": "partner", "config": {"issuer": "p", "jwtAuthorizationGrantEnabled": "true",
            "grantor.skew": "30", "grantor.subject": "federated", "grantor.certificates": set}}]});
    let file = folder.join("demo.json");
    std::fs::write(&file, realm.to_string()).unwrap();
    let imported = grantor(&folder, &database).args(["realm", "import"]).arg(&file).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let servers = [Server::start(&folder, &database), Server::start(&folder, &database)];
    let now = grantor::start::now().seconds();
    for (number, path) in ["/oauth2/token", "/realms/demo/protocol/openid-connect/token"].into_iter().enumerate() {
        let aud = "http://localhost/oauth2/token";
        let claims =
            json!({"iss": "p", "sub": "u", "aud": aud, "iat": now, "exp": now + 60, "jti": number.to_string()});
        let assertion = jose::sign_compact(r#"{"alg":"RS256"}"#, claims.to_string().as_bytes(), &key).unwrap();
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        let body = format!("grant_type={grant}&client_id=orders&client_secret=test-secret&assertion={assertion}");
        let mut racing = JoinSet::new();
        for turn in 0..50 {
            racing.spawn(status(servers[turn % 2].address.clone(), path, body.clone()));
        }
        let statuses = racing.join_all().await;
        assert_eq!(statuses.iter().filter(|status| *status == "200").count(), 1, "{path}: {statuses:?}");
        assert!(statuses.iter().all(|status| ["200", "400"].contains(&status.as_str())), "{path}: {statuses:?}");
    }
    drop(servers);
    let _ = std::fs::remove_dir_all(&folder);
}

/// What was on SQLite goes on on PostgreSQL, and back.
#[tokio::test]
#[cfg_attr(not(grantor_postgres), ignore = "needs PostgreSQL's programs (Debian: postgresql)")]
async fn a_backup_moves_between_databases() {
    let folder = std::env::temp_dir().join(format!("grantor-backup-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    for name in ["sqlite", "postgres", "again"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let database = postgres::fresh_database();
    let file = folder.join("acme.json");
    std::fs::write(&file, include_str!("exports/26.7.0/acme-realm.json")).unwrap();
    let run = |data: &str, arguments: &[&str], database: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantor"));
        command.env_clear().env("GRANTOR_SERVER_DATA", folder.join(data)).current_dir(&folder).args(arguments);
        command.envs(database.map(|url| ("GRANTOR_DATABASE_URL", url)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("sqlite", &["realm", "import", "acme.json"], None);
    run("sqlite", &["backup", "one.backup"], None);
    for other in ["postgres", "again"] {
        std::fs::copy(folder.join("sqlite/master.key"), folder.join(other).join("master.key")).unwrap();
    }
    run("postgres", &["restore", "one.backup"], Some(&database));
    run("postgres", &["backup", "two.backup"], Some(&database));
    run("again", &["restore", "two.backup"], None);
    run("sqlite", &["realm", "export", "acme", "--dir", "before"], None);
    run("again", &["realm", "export", "acme", "--dir", "after"], None);
    let read = |name: &str| std::fs::read(folder.join(name).join("acme-realm.json")).unwrap();
    assert!(read("before") == read("after"), "the same to the letter");
    let _ = std::fs::remove_dir_all(&folder);
}
